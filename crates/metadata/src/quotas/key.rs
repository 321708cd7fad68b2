//! What is limited.

use crate::layout::{Layout, Malformed, Reader};

/// What a quota limits. Numbers are persisted, keep them stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QuotaKey {
    /// Bytes of Produce requests a second.
    ProducerByteRate = 1,
    /// Bytes of records in answers to Fetch a second.
    ConsumerByteRate = 2,
    /// Time of the node's threads, in percent of one thread.
    RequestPercentage = 3,
    /// Partitions created or deleted a second.
    ControllerMutationRate = 4,
    /// Connections a second, of one address.
    ConnectionCreationRate = 5,
}

impl QuotaKey {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::ProducerByteRate,
        Self::ConsumerByteRate,
        Self::RequestPercentage,
        Self::ControllerMutationRate,
        Self::ConnectionCreationRate,
    ];

    /// Kafka's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ProducerByteRate => "producer_byte_rate",
            Self::ConsumerByteRate => "consumer_byte_rate",
            Self::RequestPercentage => "request_percentage",
            Self::ControllerMutationRate => "controller_mutation_rate",
            Self::ConnectionCreationRate => "connection_creation_rate",
        }
    }

    /// The key of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == name)
    }

    /// Whether it is one for addresses; the others are for users and client ids.
    pub const fn is_for_addresses(self) -> bool {
        matches!(self, Self::ConnectionCreationRate)
    }

    /// The largest whole number that it takes; `None` when it takes fractions.
    const fn whole_up_to(self) -> Option<f64> {
        match self {
            Self::ProducerByteRate | Self::ConsumerByteRate => Some(i64::MAX as f64),
            Self::ConnectionCreationRate => Some(i32::MAX as f64),
            Self::RequestPercentage | Self::ControllerMutationRate => None,
        }
    }

    /// Whether a value can be, by Kafka's rules.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn check(self, value: f64) -> Result<(), String> {
        let name = self.name();
        if value.is_nan() || value <= 0.0 {
            return Err(format!("The quota {name} is {value}; set it above 0, or remove it to have none"));
        }
        let Some(most) = self.whole_up_to() else { return Ok(()) };
        if value > most {
            return Err(format!("The quota {name} is {value}, which is too large; the most is {most}"));
        }
        if (value % 1.0).abs() > 1e-6 {
            return Err(format!("The quota {name} is {value}; write a whole number"));
        }
        Ok(())
    }
}

impl Layout for QuotaKey {
    fn put(&self, to: &mut Vec<u8>) {
        (*self as u8).put(to);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let number = u8::get(from)?;
        let key = Self::ALL.into_iter().find(|key| *key as u8 == number);
        key.ok_or(Malformed::Kind(number, "quota"))
    }
}

/// A quota's value, kept as its bits, so that what is stored is what was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QuotaValue(u64);

impl QuotaValue {
    /// This value.
    pub const fn new(value: f64) -> Self {
        Self(value.to_bits())
    }

    /// The value.
    pub const fn get(self) -> f64 {
        f64::from_bits(self.0)
    }
}

impl Layout for QuotaValue {
    fn put(&self, to: &mut Vec<u8>) {
        self.0.put(to);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        u64::get(from).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_as_kafka_does() {
        let takes = |key: QuotaKey, value: f64| key.check(value).is_ok();
        for key in QuotaKey::ALL {
            assert!(takes(key, 1.0));
            for wrong in [0.0, -1.0, f64::NAN, f64::NEG_INFINITY] {
                assert!(!takes(key, wrong), "{} {wrong}", key.name());
            }
            assert_eq!(QuotaKey::of_name(key.name()), Some(key));
        }
        assert!(!takes(QuotaKey::ProducerByteRate, 1.5) && !takes(QuotaKey::ConnectionCreationRate, 0.5));
        assert!(takes(QuotaKey::RequestPercentage, 0.5) && takes(QuotaKey::ControllerMutationRate, 0.01));
        assert!(takes(QuotaKey::ConnectionCreationRate, 2_147_483_647.0));
        assert!(!takes(QuotaKey::ConnectionCreationRate, 2_147_483_648.0));
        assert!(takes(QuotaKey::ConsumerByteRate, 9e18) && !takes(QuotaKey::ConsumerByteRate, 1e19));
        assert_eq!(QuotaKey::of_name("bytes"), None);
    }
}
