//! The one list of the APIs that Caudal serves. Dispatch, ApiVersions, metric names and `docs/protocol-support.md` come from it.

/// An API with the versions that are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Api {
    /// Kafka's number.
    pub key: i16,
    /// Kafka's name.
    pub name: &'static str,
    /// The least version that is advertised (Produce: 0, though 3 is the least served, or old clients turn compression off: KAFKA-18659).
    pub min_advertised: i16,
    /// The least version that is served.
    pub min: i16,
    /// The greatest version that is served.
    pub max: i16,
    /// The first version with flexible encoding (KIP-482), if there is one.
    pub flexible_from: Option<i16>,
}
