//! The configuration keys of consumer groups.

use super::ConfigType;

/// A configuration key of a consumer group.
#[derive(Debug)]
pub struct GroupConfigDef {
    /// The group-level name.
    pub name: &'static str,
    /// The node-level name whose value is the default.
    pub broker_name: &'static str,
    /// The type.
    pub kind: ConfigType,
    /// One sentence for users.
    pub documentation: &'static str,
}

/// All keys, by name.
pub const GROUP_CONFIG_DEFS: &[GroupConfigDef] = &[
    GroupConfigDef {
        name: "consumer.heartbeat.interval.ms",
        broker_name: "group.consumer.heartbeat.interval.ms",
        kind: ConfigType::Int,
        documentation: "How often members of the consumer protocol are told to show themselves, in milliseconds.",
    },
    GroupConfigDef {
        name: "consumer.session.timeout.ms",
        broker_name: "group.consumer.session.timeout.ms",
        kind: ConfigType::Int,
        documentation: "How long a member of the consumer protocol may be silent before it is removed, in milliseconds.",
    },
];

/// Checks a value. The bounds that the nodes set are not known here.
///
/// # Errors
/// What is wrong and what to do.
pub fn validate_group_config(name: &str, value: &str) -> Result<(), String> {
    if GROUP_CONFIG_DEFS.iter().all(|def| def.name != name) {
        return Err(format!("Unknown group config name: {name}; see the documentation for the settings of groups"));
    }
    match value.trim().parse::<i32>() {
        Ok(1..) => Ok(()),
        _ => {
            Err(format!("Invalid value '{value}' for configuration '{name}': it must be a whole number of at least 1"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_and_values_checked() {
        assert!(GROUP_CONFIG_DEFS.is_sorted_by_key(|def| def.name));
        assert_eq!(validate_group_config("consumer.session.timeout.ms", " 50000 "), Ok(()));
        assert!(validate_group_config("consumer.session.timeout.ms", "0").is_err());
        assert!(validate_group_config("session.timeout.ms", "1").unwrap_err().contains("session.timeout.ms"));
    }
}
