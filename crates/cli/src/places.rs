//! Topics, or some of their partitions, as flags name them: `orders`, `orders:0,2`.

use std::collections::BTreeSet;

use caudal_client::{Client, Place};

/// A topic, or some of its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPartitions {
    /// The topic.
    pub topic: String,
    /// The partitions; none: all of them.
    pub partitions: Option<BTreeSet<i32>>,
}

impl TopicPartitions {
    /// Reads `TOPIC` or `TOPIC:P,P…`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (topic, partitions) = match text.split_once(':') {
            None => (text, None),
            Some((topic, list)) => (topic, Some(list)),
        };
        let number = |part: &str| {
            let number = part.parse::<i32>().ok().filter(|number| *number >= 0);
            number.ok_or_else(|| format!("'{part}' is no partition; write TOPIC or TOPIC:0,2"))
        };
        if topic.is_empty() {
            return Err(format!("'{text}' names no topic; write TOPIC or TOPIC:0,2"));
        }
        let partitions = partitions.map(|list| list.split(',').map(number).collect()).transpose()?;
        Ok(Self { topic: topic.to_owned(), partitions })
    }
}

/// The partitions that are meant; those that do not exist are an error.
pub(crate) async fn resolve(client: &Client, wanted: &[TopicPartitions]) -> anyhow::Result<BTreeSet<Place>> {
    let mut places = BTreeSet::new();
    for wanted in wanted {
        let topic = client.topic(&wanted.topic, false).await?;
        let all = || topic.partitions.iter().map(|partition| partition.index).collect();
        for partition in wanted.partitions.clone().unwrap_or_else(all) {
            topic.partition(partition)?;
            places.insert((wanted.topic.clone(), partition));
        }
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_named_whole_or_in_part() {
        let parse = |text| TopicPartitions::parse(text).map(|found| (found.topic, found.partitions));
        assert_eq!(parse("orders"), Ok(("orders".to_owned(), None)));
        assert_eq!(parse("orders:2,0,2"), Ok(("orders".to_owned(), Some(BTreeSet::from([0, 2])))));
        for wrong in ["", ":1", "orders:", "orders:x", "orders:-1", "orders:1,"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
