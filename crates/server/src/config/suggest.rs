//! The nearest known key to a mistyped one.

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
        assert_eq!(nearest("zookeeper.connect", keys.into_iter()), None);
    }

    #[test]
    fn edits_count_like_levenshtein() {
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("a.b", "A_B"), 0);
    }
}
