//! Settings of consumer groups: those of the node, and those of a group over them.

use std::collections::BTreeMap;

use super::assignor::Assignor;
use crate::classic::Millis;

/// What the node says about consumer groups. Names and defaults are Kafka's.
#[derive(Clone, Debug)]
pub struct ConsumerGroupConfig {
    /// `group.consumer.session.timeout.ms`.
    pub session_timeout: Limited,
    /// `group.consumer.heartbeat.interval.ms`.
    pub heartbeat_interval: Limited,
    /// `group.consumer.max.size`.
    pub max_size: usize,
    /// `group.consumer.assignors`; the first one is for groups whose members do not say.
    pub assignors: Vec<Assignor>,
    /// `group.consumer.migration.policy`.
    pub migration: MigrationPolicy,
}

/// A time in milliseconds, and within what bounds a group may have another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limited {
    /// For groups without their own.
    pub default: i32,
    /// The least.
    pub min: i32,
    /// The most.
    pub max: i32,
}

/// Whether groups may change their protocol while they have members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MigrationPolicy {
    /// To the consumer protocol and back.
    #[default]
    Bidirectional,
    /// To the consumer protocol.
    Upgrade,
    /// Back to the classic protocol.
    Downgrade,
    /// Neither.
    Disabled,
}

impl MigrationPolicy {
    /// The policy of Kafka's name for it.
    pub fn of_name(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "bidirectional" => Some(Self::Bidirectional),
            "upgrade" => Some(Self::Upgrade),
            "downgrade" => Some(Self::Downgrade),
            "disabled" => Some(Self::Disabled),
            _ => None,
        }
    }

    /// Whether a classic group with members may become a consumer group.
    pub(crate) fn upgrades(self) -> bool {
        matches!(self, Self::Bidirectional | Self::Upgrade)
    }

    /// Whether a consumer group whose members all speak the classic protocol becomes a classic one.
    pub(crate) fn downgrades(self) -> bool {
        matches!(self, Self::Bidirectional | Self::Downgrade)
    }
}

impl Default for ConsumerGroupConfig {
    fn default() -> Self {
        Self {
            session_timeout: Limited { default: 45_000, min: 45_000, max: 60_000 },
            heartbeat_interval: Limited { default: 5_000, min: 5_000, max: 15_000 },
            max_size: usize::MAX,
            assignors: Assignor::ALL.to_vec(),
            migration: MigrationPolicy::default(),
        }
    }
}

/// The group's own setting of the session time-out.
pub const SESSION_TIMEOUT: &str = "consumer.session.timeout.ms";
/// The group's own setting of the heartbeat interval.
pub const HEARTBEAT_INTERVAL: &str = "consumer.heartbeat.interval.ms";

impl ConsumerGroupConfig {
    /// Checks a group's own value against the node's bounds.
    ///
    /// # Errors
    /// What is wrong and what to do.
    pub fn check(&self, key: &str, value: &str) -> Result<(), String> {
        let (Some(Limited { min, max, .. }), Ok(value)) = (self.limited(key), value.trim().parse::<i32>()) else {
            // Whoever knows all keys says so.
            return Ok(());
        };
        if (min..=max).contains(&value) {
            return Ok(());
        }
        let (who, what) = key.split_once('.').unwrap_or((key, ""));
        Err(format!(
            "{key} must be from {min} (group.{who}.min.{what}) to {max} (group.{who}.max.{what}); {value} is not"
        ))
    }

    fn limited(&self, key: &str) -> Option<Limited> {
        match key {
            SESSION_TIMEOUT => Some(self.session_timeout),
            HEARTBEAT_INTERVAL => Some(self.heartbeat_interval),
            _ => None,
        }
    }

    /// How long a member may be silent.
    pub(crate) fn session_timeout(&self, own: Option<&BTreeMap<String, String>>) -> Millis {
        Millis::try_from(self.session_timeout.of(own, SESSION_TIMEOUT)).unwrap_or(0)
    }

    /// How often members are told to show themselves, in milliseconds.
    pub(crate) fn heartbeat_interval(&self, own: Option<&BTreeMap<String, String>>) -> i32 {
        self.heartbeat_interval.of(own, HEARTBEAT_INTERVAL)
    }
}

impl Limited {
    /// The group's own value, moved into the bounds of today, or the default.
    fn of(self, own: Option<&BTreeMap<String, String>>, key: &str) -> i32 {
        let own = own.and_then(|own| own.get(key)).and_then(|value| value.trim().parse::<i32>().ok());
        own.map_or(self.default, |value| value.clamp(self.min, self.max.max(self.min)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_groups_own_setting_stays_within_the_nodes_bounds() {
        let config = ConsumerGroupConfig::default();
        let own = |value: &str| BTreeMap::from([(SESSION_TIMEOUT.to_owned(), value.to_owned())]);
        assert_eq!(config.session_timeout(None), 45_000);
        assert_eq!(config.session_timeout(Some(&own("50000"))), 50_000);
        assert_eq!(config.session_timeout(Some(&own("5"))), 45_000);
        assert_eq!(config.session_timeout(Some(&own("5000000"))), 60_000);
        assert_eq!(config.heartbeat_interval(Some(&own("50000"))), 5_000);
    }

    #[test]
    fn values_beyond_the_bounds_are_refused() {
        let config = ConsumerGroupConfig::default();
        assert_eq!(config.check(SESSION_TIMEOUT, "50000"), Ok(()));
        let refusal = config.check(HEARTBEAT_INTERVAL, "1").unwrap_err();
        assert!(refusal.contains("group.consumer.min.heartbeat.interval.ms"), "{refusal}");
    }

    #[test]
    fn policies_have_kafkas_names() {
        assert_eq!(MigrationPolicy::of_name("BIDIRECTIONAL"), Some(MigrationPolicy::Bidirectional));
        assert_eq!(MigrationPolicy::of_name("sideways"), None);
        assert!(MigrationPolicy::Upgrade.upgrades() && !MigrationPolicy::Upgrade.downgrades());
    }
}
