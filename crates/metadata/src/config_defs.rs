//! The topic configuration keys that tools see: names, types, defaults, validation, descriptions.

/// The type of a key, as DescribeConfigs numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum ConfigType {
    /// `true` or `false`.
    Boolean = 1,
    /// Any text.
    String = 2,
    /// 32 bits.
    Int = 3,
    /// 16 bits.
    Short = 4,
    /// 64 bits.
    Long = 5,
    /// Floating point.
    Double = 6,
    /// Texts with commas between.
    List = 7,
    /// A class's name.
    Class = 8,
    /// A secret.
    Password = 9,
}

/// A topic configuration key.
#[derive(Debug)]
pub struct TopicConfigDef {
    /// The topic-level name, such as `segment.bytes`.
    pub name: &'static str,
    /// The node-level name whose value is the default, such as `log.segment.bytes`.
    pub broker_name: Option<&'static str>,
    /// The type.
    pub kind: ConfigType,
    /// The default when no node-level value is set, in Kafka's spelling.
    pub default: &'static str,
    /// One sentence for users.
    pub documentation: &'static str,
}

/// All keys, by name: those of Apache Kafka 4.3.
pub fn topic_config_defs() -> &'static [TopicConfigDef] {
    todo!()
}

/// Checks a value.
///
/// # Errors
/// What is wrong and what to do.
pub fn validate_topic_config(_name: &str, _value: &str) -> Result<(), String> {
    todo!()
}
