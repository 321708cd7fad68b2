//! The configuration keys of subscriptions to clients' metrics (KIP-714).

use std::collections::BTreeMap;

use super::{ConfigType, list_items};

/// A configuration key of a subscription to clients' metrics.
#[derive(Debug)]
pub struct ClientMetricsConfigDef {
    /// The name.
    pub name: &'static str,
    /// The type.
    pub kind: ConfigType,
    /// The value of subscriptions without their own.
    pub default: &'static str,
    /// One sentence for users.
    pub documentation: &'static str,
}

/// All keys, by name.
pub const CLIENT_METRICS_CONFIG_DEFS: &[ClientMetricsConfigDef] = &[
    ClientMetricsConfigDef {
        name: "interval.ms",
        kind: ConfigType::Int,
        default: "300000",
        documentation: "How often clients are to send their metrics, in milliseconds.",
    },
    ClientMetricsConfigDef {
        name: "match",
        kind: ConfigType::List,
        default: "",
        documentation: "Which clients the subscription is for: a list of PROPERTY=REGEX, all of which have to match; an empty list means all clients.",
    },
    ClientMetricsConfigDef {
        name: "metrics",
        kind: ConfigType::List,
        default: "",
        documentation: "What the names of the wished metrics begin with, as a list; * alone means all metrics, and an empty list none.",
    },
];

/// The properties that `match` may name.
pub const CLIENT_METRICS_MATCH_PROPERTIES: [&str; 6] = [
    "client_id",
    "client_instance_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
];

/// The shortest and the longest interval, in milliseconds (Kafka's own).
const INTERVAL_MS: std::ops::RangeInclusive<i32> = 100..=3_600_000;

/// Checks the own settings of a subscription.
///
/// # Errors
/// What is wrong and what to do.
pub fn validate_client_metrics_configs(own: &BTreeMap<String, String>) -> Result<(), String> {
    own.iter().try_for_each(|(name, value)| validate(name, value))
}

fn validate(name: &str, value: &str) -> Result<(), String> {
    match name {
        "interval.ms" => match value.trim().parse::<i32>() {
            Ok(interval) if INTERVAL_MS.contains(&interval) => Ok(()),
            _ => Err(format!(
                "Invalid value '{value}' for configuration 'interval.ms': it must be a whole number from {} to {}",
                INTERVAL_MS.start(),
                INTERVAL_MS.end()
            )),
        },
        "match" => list_items(value).into_iter().try_for_each(check_match),
        "metrics" => Ok(()),
        other => Err(format!("Unknown client metrics config name: {other}; there are interval.ms, match and metrics")),
    }
}

fn check_match(item: &str) -> Result<(), String> {
    let wrong = |what: &str| format!("Illegal client matching pattern: {item}: {what}");
    let Some((property, pattern)) = item.split_once('=') else {
        return Err(wrong("write PROPERTY=REGEX"));
    };
    if !CLIENT_METRICS_MATCH_PROPERTIES.contains(&property.trim()) {
        return Err(wrong(&format!("the property must be one of {}", CLIENT_METRICS_MATCH_PROPERTIES.join(", "))));
    }
    match regex::Regex::new(pattern.trim()) {
        Ok(_) => Ok(()),
        Err(error) => Err(wrong(&format!("it is no regular expression: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, value: &str) -> Result<(), String> {
        validate_client_metrics_configs(&BTreeMap::from([(name.to_owned(), value.to_owned())]))
    }

    #[test]
    fn keys_are_sorted_and_their_defaults_are_legal() {
        assert!(CLIENT_METRICS_CONFIG_DEFS.is_sorted_by_key(|def| def.name));
        for def in CLIENT_METRICS_CONFIG_DEFS {
            assert_eq!(check(def.name, def.default), Ok(()));
        }
    }

    #[test]
    fn values_are_checked_as_in_kafka() {
        assert_eq!(check("interval.ms", "100"), Ok(()));
        assert!(check("interval.ms", "99").unwrap_err().contains("from 100 to 3600000"));
        assert!(check("interval.ms", "3600001").is_err());
        assert_eq!(check("match", "client_software_name=apache-kafka-.*,client_id=a[0-9]+"), Ok(()));
        assert!(check("match", "client_software_name").unwrap_err().contains("PROPERTY=REGEX"));
        assert!(check("match", "colour=red").unwrap_err().contains("client_source_port"));
        assert!(check("match", "client_id=(").unwrap_err().contains("regular expression"));
        assert_eq!(check("metrics", "org.apache.kafka.producer.,*"), Ok(()));
        assert!(check("interval", "1").unwrap_err().contains("interval"));
    }
}
