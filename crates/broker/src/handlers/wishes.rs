//! Topics that a request wishes for, each with an outcome of its own.

use std::collections::HashMap;

use caudal_protocol::messages::TopicName;

use crate::error::Refusal;

/// The wishes with their topics, and the topics that are refused already.
pub(crate) struct Wishes<W> {
    pub(crate) names: Vec<TopicName>,
    pub(crate) wished: Vec<W>,
    pub(crate) refused: Vec<(TopicName, Refusal)>,
}

/// Turns a request's topics into wishes. One that is named more than once is refused once.
pub(crate) fn wishes<T, W>(
    topics: Vec<T>,
    name: impl Fn(&T) -> &TopicName,
    typed: impl Fn(T) -> Result<W, Refusal>,
) -> Wishes<W> {
    let mut counts: HashMap<TopicName, usize> = HashMap::new();
    for topic in &topics {
        *counts.entry(name(topic).clone()).or_default() += 1;
    }
    let mut wishes = Wishes { names: Vec::new(), wished: Vec::new(), refused: Vec::new() };
    for topic in topics {
        let name = name(&topic).clone();
        let Some(count) = counts.remove(&name) else { continue };
        match if count > 1 { Err(repeated(&name)) } else { typed(topic) } {
            Ok(wish) => {
                wishes.names.push(name);
                wishes.wished.push(wish);
            }
            Err(refusal) => wishes.refused.push((name, refusal)),
        }
    }
    wishes
}

fn repeated(name: &TopicName) -> Refusal {
    Refusal::invalid_request(format!("the topic '{}' is named twice; name it once", name.as_str()))
}
