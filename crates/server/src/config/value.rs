//! How a text becomes a typed value.

use std::path::PathBuf;
use std::time::Duration;

use caudal_broker::ReplicaSelector;
use caudal_coordinator::{Assignor, MigrationPolicy};
use caudal_metadata::config_defs::{ConfigType, address_counts};

use super::address::{ClusterNode, HostPort, PlaintextListener};

/// A type that a key can have.
pub trait ConfigValue: Sized {
    /// What readers of the documentation are told.
    const KIND: &'static str;

    /// What clients are told.
    const TYPE: ConfigType;

    /// Reads a value.
    ///
    /// # Errors
    /// What is wrong, and what to write instead.
    fn parse(text: &str) -> Result<Self, String>;
}

macro_rules! integers {
    ($($integer:ty: $type:ident),+) => {$(
        impl ConfigValue for $integer {
            const KIND: &'static str = "integer";
            const TYPE: ConfigType = ConfigType::$type;

            fn parse(text: &str) -> Result<Self, String> {
                let number: i64 = text.parse().map_err(|_| "write a whole number, without a unit".to_owned())?;
                Self::try_from(number).map_err(|_| format!("write a number from {} to {}", Self::MIN, Self::MAX))
            }
        }
    )+};
}

integers!(i16: Short, i32: Int, i64: Long, u32: Int, usize: Long);

impl ConfigValue for f64 {
    const KIND: &'static str = "number";
    const TYPE: ConfigType = ConfigType::Double;

    fn parse(text: &str) -> Result<Self, String> {
        let number: Self = text.parse().map_err(|_| "write a number, without a unit".to_owned())?;
        if number >= 0.0 { Ok(number) } else { Err("write a number that is not negative".to_owned()) }
    }
}

impl ConfigValue for bool {
    const KIND: &'static str = "boolean";
    const TYPE: ConfigType = ConfigType::Boolean;

    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("write true or false".to_owned()),
        }
    }
}

impl ConfigValue for String {
    const KIND: &'static str = "text";
    const TYPE: ConfigType = ConfigType::String;

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
}

impl ConfigValue for PathBuf {
    const KIND: &'static str = "path";
    const TYPE: ConfigType = ConfigType::String;

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "" => Err("write the path of a folder".to_owned()),
            _ if text.contains(',') => Err("a node keeps all its data in one folder; write one path".to_owned()),
            _ => Ok(Self::from(text)),
        }
    }
}

/// Written as milliseconds, as Kafka's keys that end in `.ms` do.
impl ConfigValue for Duration {
    const KIND: &'static str = "milliseconds";
    const TYPE: ConfigType = ConfigType::Long;

    fn parse(text: &str) -> Result<Self, String> {
        let millis = text.parse().map_err(|_| "write a whole number of milliseconds, without a unit".to_owned())?;
        Ok(Self::from_millis(millis))
    }
}

/// Empty text is no value.
impl<T: ConfigValue> ConfigValue for Option<T> {
    const KIND: &'static str = T::KIND;
    const TYPE: ConfigType = T::TYPE;

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Ok(None) } else { T::parse(text).map(Some) }
    }
}

impl ConfigValue for HostPort {
    const KIND: &'static str = "HOST:PORT";
    const TYPE: ConfigType = ConfigType::String;

    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
    }
}

impl ConfigValue for PlaintextListener {
    const KIND: &'static str = "PLAINTEXT://HOST:PORT";
    const TYPE: ConfigType = ConfigType::List;

    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
    }
}

impl ConfigValue for Vec<ClusterNode> {
    const KIND: &'static str = "list of ID@HOST:PORT";
    const TYPE: ConfigType = ConfigType::List;

    fn parse(text: &str) -> Result<Self, String> {
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::parse).collect()
    }
}

impl ConfigValue for Vec<Assignor> {
    const KIND: &'static str = "list of uniform and range";
    const TYPE: ConfigType = ConfigType::List;

    fn parse(text: &str) -> Result<Self, String> {
        let mut assignors = Self::new();
        for name in text.split(',').map(str::trim) {
            match Assignor::of_name(name) {
                Some(assignor) if !assignors.contains(&assignor) => assignors.push(assignor),
                Some(_) => return Err(format!("{name} is in the list twice; leave one out")),
                None => return Err("write uniform, range or both with a comma between".to_owned()),
            }
        }
        Ok(assignors)
    }
}

impl ConfigValue for MigrationPolicy {
    const KIND: &'static str = "bidirectional, upgrade, downgrade or disabled";
    const TYPE: ConfigType = ConfigType::String;

    fn parse(text: &str) -> Result<Self, String> {
        Self::of_name(text).ok_or_else(|| format!("write {}", Self::KIND))
    }
}

/// Numbers for addresses or host names, written as `10.0.0.7:100,gateway:1000`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressCounts(pub Vec<(String, usize)>);

impl ConfigValue for AddressCounts {
    const KIND: &'static str = "list of ADDRESS:NUMBER";
    const TYPE: ConfigType = ConfigType::String;

    fn parse(text: &str) -> Result<Self, String> {
        address_counts(text).map(Self)
    }
}

impl ConfigValue for ReplicaSelector {
    const KIND: &'static str = "class";
    const TYPE: ConfigType = ConfigType::String;

    fn parse(text: &str) -> Result<Self, String> {
        let unknown = || "write org.apache.kafka.common.replica.RackAwareReplicaSelector, or leave it out".to_owned();
        Self::of_class(text).ok_or_else(unknown)
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

impl ConfigValue for LogFormat {
    const KIND: &'static str = "text or json";
    const TYPE: ConfigType = ConfigType::String;

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("write text or json".to_owned()),
        }
    }
}

/// What is logged: a level, or directives such as `info,caudal_raft=debug`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(pub String);

impl ConfigValue for LogFilter {
    const KIND: &'static str = "level or directives";
    const TYPE: ConfigType = ConfigType::String;

    fn parse(text: &str) -> Result<Self, String> {
        match tracing_subscriber::EnvFilter::builder().parse(text) {
            Ok(_) if !text.is_empty() && text.split(',').all(sensible_directive) => Ok(Self(text.to_owned())),
            Ok(_) | Err(_) => {
                Err("write error, warn, info, debug or trace, with exceptions behind it as in info,caudal_raft=debug"
                    .to_owned())
            }
        }
    }
}

/// `tracing` takes any word for the name of a module; a mistyped level would silence everything.
fn sensible_directive(directive: &str) -> bool {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    directive.contains('=') || LEVELS.contains(&directive.trim().to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_kafka_writes_them() {
        assert_eq!(i32::parse("-1"), Ok(-1));
        assert_eq!(f64::parse("1.7976931348623157E308"), Ok(f64::MAX));
        assert_eq!(bool::parse("TRUE"), Ok(true));
        assert_eq!(Duration::parse("600000"), Ok(Duration::from_secs(600)));
        assert_eq!(Option::<i16>::parse(""), Ok(None));
        assert_eq!(Option::<i16>::parse("3"), Ok(Some(3)));
        assert_eq!(PathBuf::parse("/a/b"), Ok(PathBuf::from("/a/b")));
        assert_eq!(Vec::parse("range, uniform"), Ok(vec![Assignor::Range, Assignor::Uniform]));
        assert_eq!(MigrationPolicy::parse("Upgrade"), Ok(MigrationPolicy::Upgrade));
        let counts = vec![("10.0.0.7".to_owned(), 100), ("::1".to_owned(), 2), ("gateway".to_owned(), 0)];
        assert_eq!(AddressCounts::parse("10.0.0.7:100, ::1:2,gateway:0"), Ok(AddressCounts(counts)));
        assert_eq!(AddressCounts::parse(""), Ok(AddressCounts::default()));
        assert_eq!(LogFilter::parse("info,caudal_raft=debug"), Ok(LogFilter("info,caudal_raft=debug".to_owned())));
    }

    #[test]
    fn wrong_values_say_what_to_write() {
        assert_eq!(i16::parse("70000"), Err("write a number from -32768 to 32767".to_owned()));
        assert_eq!(i32::parse("4 MB"), Err("write a whole number, without a unit".to_owned()));
        assert!(f64::parse("-0.5").is_err() && f64::parse("NaN").is_err());
        assert_eq!(bool::parse("yes"), Err("write true or false".to_owned()));
        assert!(Duration::parse("-1").is_err());
        assert!(Duration::parse("5s").is_err());
        assert!(PathBuf::parse("/a,/b").is_err_and(|reason| reason.contains("one path")));
        assert!(LogFilter::parse("inof").is_err());
        assert!(LogFilter::parse("").is_err());
        assert!(LogFormat::parse("xml").is_err());
        assert!(["gateway", "gateway:", ":5", "a:-1"].iter().all(|text| AddressCounts::parse(text).is_err()));
        assert!(Vec::<Assignor>::parse("uniform,uniform").is_err() && Vec::<Assignor>::parse("").is_err());
        assert!(MigrationPolicy::parse("sideways").is_err());
        assert!(ReplicaSelector::parse("com.example.Nearest").is_err());
    }
}
