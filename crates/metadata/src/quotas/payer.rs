//! Who pays for changes of the cluster (KIP-599).

use crate::layout::layout;

/// The client for which topics or partitions are made or taken away. The leader of the metadata takes the tokens, so that a quota holds for the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payer {
    /// Its user: the name of the principal.
    pub user: String,
    /// Its client id.
    pub client_id: String,
    /// Whether what it has no tokens for is refused. Older versions of the requests have no error for that: then it is done, and the client only has to wait.
    pub strict: bool,
}
layout!(Payer { user, client_id, strict });

/// Results, and how long the client has to wait for what they cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charged<T> {
    /// The results.
    pub results: T,
    /// How long to wait, in milliseconds.
    pub throttle_ms: i32,
}
