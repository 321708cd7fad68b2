//! The rows of a shard, as they lie in column family `state`: one file per kind, encoders and decoders beside each other. Every value begins
//! with a version byte. Persisted: keep stable, and add versions instead of changing one.

pub(crate) mod consumer_group;
pub(crate) mod consumer_member;
pub(crate) mod consumer_target;
pub(crate) mod group;
pub(crate) mod meta;
pub(crate) mod offset;
pub(crate) mod pending;
pub(crate) mod transaction;

use caudal_storage::keys::state::FIRST_USER_KIND;

use crate::codec::{DecodeError, Reader};

pub(crate) use consumer_group::ConsumerGroupRow;
pub(crate) use consumer_member::{ClassicPart, ConsumerMemberKey, ConsumerMemberRow, MemberState, Progress};
pub(crate) use group::{GroupRow, MemberRow, RestState};
pub(crate) use meta::MetaRow;
pub(crate) use offset::{OffsetRow, OffsetRowKey};
pub(crate) use pending::{PendingOffset, PendingRow, PendingRowKey, PendingTopics};
pub use transaction::Participant;
pub(crate) use transaction::{TransactionRow, TransactionState};

/// The kind of the one [`MetaRow`].
pub(crate) const META_KIND: u8 = FIRST_USER_KIND;
/// The kind of [`GroupRow`]s.
pub(crate) const GROUP_KIND: u8 = FIRST_USER_KIND + 1;
/// The kind of [`OffsetRow`]s.
pub(crate) const OFFSET_KIND: u8 = FIRST_USER_KIND + 2;
/// The kind of [`TransactionRow`]s.
pub(crate) const TRANSACTION_KIND: u8 = FIRST_USER_KIND + 10;
/// The kind of [`PendingRow`]s.
pub(crate) const PENDING_KIND: u8 = FIRST_USER_KIND + 11;
/// The kind of [`ConsumerGroupRow`]s.
pub(crate) const CONSUMER_GROUP_KIND: u8 = FIRST_USER_KIND + 3;
/// The kind of [`ConsumerMemberRow`]s.
pub(crate) const CONSUMER_MEMBER_KIND: u8 = FIRST_USER_KIND + 4;
/// The kind of [`consumer_target`]s.
pub(crate) const CONSUMER_TARGET_KIND: u8 = FIRST_USER_KIND + 5;

/// Checks the version byte before a value.
fn check_version(reader: &mut Reader, known: u8, what: &str) -> Result<(), DecodeError> {
    match reader.u8()? {
        version if version == known => Ok(()),
        version => Err(DecodeError(format!(
            "{what} has version {version}, and this program knows version {known}; start a newer program"
        ))),
    }
}
