//! Which topic names are legal.

use crate::limits::TOPIC_NAME_MAX_LEN;

/// Why a name cannot be a topic's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicNameError {
    /// The name has no characters.
    #[error("the topic name is empty; choose one of 1 to {TOPIC_NAME_MAX_LEN} characters")]
    Empty,
    /// The name is `.` or `..`.
    #[error("the topic name cannot be '.' or '..'; choose another")]
    Dots,
    /// The name is too long.
    #[error("the topic name is {0} characters long; the most is {TOPIC_NAME_MAX_LEN}")]
    TooLong(usize),
    /// The name has a character that Kafka does not allow.
    #[error("the topic name '{0}' has a character other than ASCII letters and digits, '.', '_' and '-'; leave it out")]
    IllegalCharacter(String),
}

/// Checks a topic name by Kafka's rules.
///
/// # Errors
/// What is wrong with the name, and what to do.
pub fn validate_topic_name(name: &str) -> Result<(), TopicNameError> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match name {
        "" => Err(TopicNameError::Empty),
        "." | ".." => Err(TopicNameError::Dots),
        _ if name.len() > TOPIC_NAME_MAX_LEN => Err(TopicNameError::TooLong(name.len())),
        _ if !name.chars().all(legal) => Err(TopicNameError::IllegalCharacter(name.to_owned())),
        _ => Ok(()),
    }
}

/// What Kafka compares to tell whether two topic names collide: in metric names `.` and `_` look the same.
pub fn collision_key(name: &str) -> String {
    name.replace('.', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_kafkas_rules() {
        assert_eq!(validate_topic_name("compra-efetuada_v1.0"), Ok(()));
        assert_eq!(validate_topic_name(""), Err(TopicNameError::Empty));
        assert_eq!(validate_topic_name(".."), Err(TopicNameError::Dots));
        assert_eq!(validate_topic_name(&"a".repeat(250)), Err(TopicNameError::TooLong(250)));
        assert!(matches!(validate_topic_name("não"), Err(TopicNameError::IllegalCharacter(_))));
        assert_eq!(collision_key("a.b"), collision_key("a_b"));
    }
}
