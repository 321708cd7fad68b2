//! Comparing long lists: a test that fails shows where they part, not all that is in them.

use std::fmt::Debug;

/// Checks that two lists are equal.
///
/// # Panics
/// When they are not, naming `what` they are.
pub fn assert_same<T: Debug + PartialEq>(what: &str, found: &[T], wanted: &[T]) {
    let differs = |at: &usize| found.get(*at) != wanted.get(*at);
    let Some(at) = (0..found.len().max(wanted.len())).find(differs) else { return };
    let (found_there, wanted_there) = (found.get(at), wanted.get(at));
    panic!(
        "{what}: {} instead of {}; number {at} is {found_there:?} instead of {wanted_there:?}",
        found.len(),
        wanted.len()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lists_are_the_same() {
        assert_same("letters", &["a", "b"], &["a", "b"]);
    }

    #[test]
    #[should_panic(expected = "letters: 3 instead of 2; number 1 is Some(\"a\") instead of Some(\"b\")")]
    fn the_first_difference_is_shown() {
        assert_same("letters", &["a", "a", "b"], &["a", "b"]);
    }
}
