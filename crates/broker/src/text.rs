//! Texts as `kafka-protocol` wants them.

use caudal_protocol::messages::StrBytes;
use caudal_protocol::messages::TopicName;

/// A text on the wire.
pub(crate) fn wire(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A topic's name on the wire.
pub(crate) fn topic_name(name: &str) -> TopicName {
    TopicName(wire(name))
}
