//! The features that are claimed (KIP-584), with their levels. Levels are those of the Caudal version: they do not change while it runs.

/// A feature of Kafka's, with the levels that are served; the highest is the one in force.
pub(crate) struct Feature {
    pub(crate) name: &'static str,
    pub(crate) min: i16,
    pub(crate) max: i16,
}

/// The features that are claimed. Those of what is not served (`share.version`, `streams.version` ...) are not named, so that clients do not rely on them.
pub(crate) const FEATURES: &[Feature] = &[
    // The consumer protocol (KIP-848).
    Feature { name: "group.version", min: 0, max: 1 },
    // From Kafka 3.3, the first that has the feature, to the behaviour of Kafka 4.3, by Kafka's numbers for them.
    Feature { name: "metadata.version", min: 7, max: 30 },
    // Verification of transactions at the partition, and an epoch for each (KIP-890).
    Feature { name: "transaction.version", min: 0, max: 2 },
];

/// A feature by name.
pub(crate) fn find(name: &str) -> Option<&'static Feature> {
    FEATURES.iter().find(|feature| feature.name == name)
}
