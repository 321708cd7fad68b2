//! The configuration keys of groups: those of Apache Kafka 4.3.

use super::ConfigType;
use super::rule::Rule;

const INT_MAX: i64 = i32::MAX as i64;

/// A configuration key of a group.
#[derive(Debug)]
pub struct GroupConfigDef {
    /// The group-level name.
    pub name: &'static str,
    /// The node-level name whose value is the default, where there is one.
    pub broker_name: Option<&'static str>,
    /// The type.
    pub kind: ConfigType,
    /// The value of groups without their own, on a node that sets nothing.
    pub default: &'static str,
    /// One sentence for users.
    pub documentation: &'static str,
    rule: Rule,
}

const fn def(
    name: &'static str,
    broker_name: Option<&'static str>,
    default: &'static str,
    rule: Rule,
    documentation: &'static str,
) -> GroupConfigDef {
    let kind = match rule {
        Rule::Whole(..) => ConfigType::Int,
        Rule::Boolean => ConfigType::Boolean,
        _ => ConfigType::String,
    };
    GroupConfigDef { name, broker_name, kind, default, documentation, rule }
}

/// All keys, by name.
pub const GROUP_CONFIG_DEFS: &[GroupConfigDef] = &[
    def(
        "consumer.assignment.interval.ms",
        Some("group.consumer.assignment.interval.ms"),
        "1000",
        Rule::Whole(0, INT_MAX),
        "The least time between two assignments of a consumer group, in milliseconds; accepted for compatibility and without effect, since Caudal assigns at once.",
    ),
    def(
        "consumer.heartbeat.interval.ms",
        Some("group.consumer.heartbeat.interval.ms"),
        "5000",
        Rule::Whole(1, INT_MAX),
        "How often members of the consumer protocol are told to show themselves, in milliseconds.",
    ),
    def(
        "consumer.session.timeout.ms",
        Some("group.consumer.session.timeout.ms"),
        "45000",
        Rule::Whole(1, INT_MAX),
        "How long a member of the consumer protocol may be silent before it is removed, in milliseconds.",
    ),
    def(
        "share.assignment.interval.ms",
        Some("group.share.assignment.interval.ms"),
        "1000",
        Rule::Whole(0, INT_MAX),
        "The least time between two assignments of a share group, in milliseconds; without effect, since Caudal has no share groups.",
    ),
    def(
        "share.auto.offset.reset",
        None,
        "latest",
        Rule::OffsetReset,
        "Where a share group begins to read: 'earliest', 'latest', or by_duration: and how far back, as in by_duration:PT1H; without effect, since Caudal has no share groups.",
    ),
    def(
        "share.delivery.count.limit",
        Some("group.share.delivery.count.limit"),
        "5",
        Rule::Whole(2, INT_MAX),
        "How often a record is given to the members of a share group before it is given up; without effect, since Caudal has no share groups.",
    ),
    def(
        "share.heartbeat.interval.ms",
        Some("group.share.heartbeat.interval.ms"),
        "5000",
        Rule::Whole(1, INT_MAX),
        "How often members of a share group are told to show themselves, in milliseconds; without effect, since Caudal has no share groups.",
    ),
    def(
        "share.isolation.level",
        None,
        "read_uncommitted",
        Rule::OneOf(&["read_committed", "read_uncommitted"]),
        "Whether a share group reads records of transactions that are not committed; without effect, since Caudal has no share groups.",
    ),
    def(
        "share.partition.max.record.locks",
        Some("group.share.partition.max.record.locks"),
        "2000",
        Rule::Whole(100, INT_MAX),
        "The most records of a partition that the members of a share group may hold at once; without effect, since Caudal has no share groups.",
    ),
    def(
        "share.record.lock.duration.ms",
        Some("group.share.record.lock.duration.ms"),
        "30000",
        Rule::Whole(1000, INT_MAX),
        "How long a member of a share group may hold a record before another one gets it, in milliseconds; without effect, since Caudal has no share groups.",
    ),
    def(
        "share.renew.acknowledge.enable",
        None,
        "true",
        Rule::Boolean,
        "Whether members of a share group may ask for more time for a record; without effect, since Caudal has no share groups.",
    ),
    def(
        "share.session.timeout.ms",
        Some("group.share.session.timeout.ms"),
        "45000",
        Rule::Whole(1, INT_MAX),
        "How long a member of a share group may be silent before it is removed, in milliseconds; without effect, since Caudal has no share groups.",
    ),
    def(
        "streams.assignment.interval.ms",
        Some("group.streams.assignment.interval.ms"),
        "1000",
        Rule::Whole(0, INT_MAX),
        "The least time between two assignments of a streams group, in milliseconds; without effect, since Caudal has no streams groups.",
    ),
    def(
        "streams.heartbeat.interval.ms",
        Some("group.streams.heartbeat.interval.ms"),
        "5000",
        Rule::Whole(1, INT_MAX),
        "How often members of a streams group are told to show themselves, in milliseconds; without effect, since Caudal has no streams groups.",
    ),
    def(
        "streams.initial.rebalance.delay.ms",
        Some("group.streams.initial.rebalance.delay.ms"),
        "3000",
        Rule::Whole(0, INT_MAX),
        "How long an empty streams group waits for more members behind the first, in milliseconds; without effect, since Caudal has no streams groups.",
    ),
    def(
        "streams.num.standby.replicas",
        Some("group.streams.num.standby.replicas"),
        "0",
        Rule::Whole(0, INT_MAX),
        "How many standby copies of each task's state a streams group keeps; without effect, since Caudal has no streams groups.",
    ),
    def(
        "streams.session.timeout.ms",
        Some("group.streams.session.timeout.ms"),
        "45000",
        Rule::Whole(1, INT_MAX),
        "How long a member of a streams group may be silent before it is removed, in milliseconds; without effect, since Caudal has no streams groups.",
    ),
];

/// Checks a value. The bounds that the nodes set are not known here.
///
/// # Errors
/// What is wrong and what to do.
pub fn validate_group_config(name: &str, value: &str) -> Result<(), String> {
    let Some(def) = GROUP_CONFIG_DEFS.iter().find(|def| def.name == name) else {
        return Err(format!("Unknown group config name: {name}; see the documentation for the settings of groups"));
    };
    let checked = def.rule.check(value.trim());
    checked.map_err(|allowed| format!("Invalid value '{value}' for configuration '{name}': {allowed}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_and_values_checked() {
        assert_eq!(GROUP_CONFIG_DEFS.len(), 17);
        assert!(GROUP_CONFIG_DEFS.is_sorted_by_key(|def| def.name));
        for def in GROUP_CONFIG_DEFS {
            assert_eq!(validate_group_config(def.name, def.default), Ok(()));
        }
        assert_eq!(validate_group_config("consumer.session.timeout.ms", " 50000 "), Ok(()));
        assert!(validate_group_config("consumer.session.timeout.ms", "0").is_err());
        assert!(validate_group_config("session.timeout.ms", "1").unwrap_err().contains("session.timeout.ms"));
        assert_eq!(validate_group_config("share.auto.offset.reset", "by_duration:P1DT2H"), Ok(()));
        assert!(validate_group_config("share.auto.offset.reset", "none").unwrap_err().contains("by_duration:"));
        assert!(validate_group_config("share.isolation.level", "serializable").is_err());
    }
}
