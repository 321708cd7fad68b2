//! The nearest known key to a mistyped one.

/// Keys of older versions of Kafka, each with that which does the same here.
const ELSEWHERE: [(&str, &str); 1] = [("zookeeper.connect", "cluster.nodes")];

/// What to write instead of `word`: the key that does here what that one does in Kafka, else the nearest of `known`.
pub fn suggestion<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    match ELSEWHERE.iter().find(|(theirs, _)| *theirs == word) {
        Some((_, ours)) => Some(ours),
        None => nearest(word, known),
    }
}

/// The candidate with the fewest edits from `word`, if they are few enough to be a slip.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let budget = (word.len() / 3).clamp(2, 8);
    candidates
        .map(|candidate| (edits(word, candidate), candidate))
        .min()
        .filter(|(distance, _)| *distance <= budget)
        .map(|(_, candidate)| candidate)
}

/// The least number of characters to insert, remove or replace (Levenshtein), case ignored; `-` and `_` count as the dots
/// that they are often written for.
pub fn edits(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().map(fold).collect();
    let mut previous: Vec<usize> = (0..=right.len()).collect();
    for (row, left) in left.chars().map(fold).enumerate() {
        let mut current = vec![row + 1];
        for (column, right) in right.iter().enumerate() {
            let replaced = previous[column] + usize::from(left != *right);
            current.push(replaced.min(previous[column + 1] + 1).min(current[column] + 1));
        }
        previous = current;
    }
    previous[right.len()]
}

fn fold(c: char) -> char {
    match c {
        '-' | '_' => '.',
        other => other.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_find_their_key_and_nonsense_none() {
        let keys = ["num.partitions", "node.id", "log.dirs"];
        assert_eq!(nearest("num.partition", keys.into_iter()), Some("num.partitions"));
        assert_eq!(nearest("NUM_PARTITIONS", keys.into_iter()), Some("num.partitions"));
        assert_eq!(nearest("nodeid", keys.into_iter()), Some("node.id"));
        assert_eq!(nearest("transaction.max.timeout.ms", keys.into_iter()), None);
        assert_eq!(suggestion("zookeeper.connect", keys.into_iter()), Some("cluster.nodes"));
        assert_eq!(suggestion("log.dir", keys.into_iter()), Some("log.dirs"));
    }

    #[test]
    fn names_from_kafka_lead_to_keys_that_exist() {
        for (theirs, ours) in ELSEWHERE {
            assert!(
                !crate::config::layers::all_names().any(|name| name == theirs)
                    && crate::config::keys::find(ours).is_some(),
                "{theirs}"
            );
        }
    }

    #[test]
    fn edits_count_like_levenshtein() {
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("a.b", "A_B"), 0);
    }
}
