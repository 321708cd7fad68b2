//! A consumer group of the classic protocol, as its coordinator holds it: decisions only, without clock, channel or disk.
//!
//! A decision changes the group at once and says what must become a command ([`ClassicGroup::take_change`]) and who is to be answered what
//! ([`Answers`]). The caller lets the answers wait until the command, and all that came before it, is committed. If it never is, the
//! group is thrown away and made again from the rows.
//!
//! Members wait with a [`WaiterId`]; each is answered exactly once, or dropped with the group.

mod change;
mod join;
mod leave;
mod member;
mod migration;
mod rebalance;
mod row;
mod sync;
#[cfg(test)]
pub(crate) mod tests;
mod timers;
mod view;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use caudal_types::mutant;

use crate::model::{JoinRequest, Joined, MemberIdentity, Synced};
use crate::subscription::CONSUMER;
use crate::{CoordinatorConfig, GroupError};

use change::Change;
use member::Member;

/// Milliseconds on a clock that never goes back; only differences mean something.
pub(crate) type Millis = u64;

/// Who waits for a rebalance.
pub(crate) type WaiterId = u64;

/// How long a new member may wait for its first rebalance. It has no session yet, and its client may be gone for good (Kafka's number).
pub(crate) const NEW_MEMBER_JOIN_TIMEOUT_MS: Millis = 5 * 60 * 1000;

/// What every decision needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    pub(crate) config: &'a CoordinatorConfig,
    pub(crate) now: Millis,
}

/// A request to join, with what the group cannot make up by itself.
#[derive(Debug)]
pub(crate) struct Join {
    pub(crate) request: JoinRequest,
    /// The id that the member gets if it has none.
    pub(crate) fresh_id: String,
    pub(crate) waiter: WaiterId,
}

/// Who is to be answered what.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    pub(crate) joins: Vec<(WaiterId, Result<Joined, GroupError>)>,
    pub(crate) syncs: Vec<(WaiterId, Result<Synced, GroupError>)>,
}

impl Answers {
    pub(crate) fn join(&mut self, waiter: WaiterId, answer: Result<Joined, GroupError>) {
        self.joins.push((waiter, answer));
    }

    pub(crate) fn sync(&mut self, waiter: WaiterId, answer: Result<Synced, GroupError>) {
        self.syncs.push((waiter, answer));
    }
}

/// What a group is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It has no members.
    Empty,
    /// It waits for its members to join (again), until the deadline.
    Preparing { deadline: Millis, initial: Option<InitialDelay> },
    /// It waits for its leader's assignments.
    Completing,
    /// Its members have their assignments.
    Stable,
}

/// The first rebalance of a group that was empty waits a while for more members, and longer while members come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct InitialDelay {
    /// How long the current wait is.
    delay_ms: Millis,
    /// How much longer it may become.
    remaining_ms: Millis,
    /// A member has come during the current wait.
    grown: bool,
}

/// A group; see the module.
#[derive(Debug)]
pub(crate) struct ClassicGroup {
    id: Arc<str>,
    phase: Phase,
    generation: i32,
    protocol_type: Option<String>,
    protocol: Option<String>,
    leader: Option<String>,
    members: BTreeMap<String, Member>,
    /// The ids of static members, by their instance ids.
    instances: HashMap<String, String>,
    /// Ids given out that nobody has joined with yet (KIP-394), and when they lapse.
    pending: BTreeMap<String, Millis>,
    /// How many members support each protocol.
    supported: HashMap<String, usize>,
    /// How many members wait for a rebalance.
    joining: usize,
    /// Members of this generation that have not asked for their assignment yet.
    unsynced: BTreeSet<String>,
    /// When the unsynced are removed.
    sync_deadline: Option<Millis>,
    /// The topics that the members subscribe to, if it is a group of consumers and they can be read.
    subscribed: Option<BTreeSet<String>>,
    change: Change,
}

impl ClassicGroup {
    /// A group that no one knows yet.
    pub(crate) fn new(id: Arc<str>) -> Self {
        Self {
            id,
            phase: Phase::Empty,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            instances: HashMap::new(),
            pending: BTreeMap::new(),
            supported: HashMap::new(),
            joining: 0,
            unsynced: BTreeSet::new(),
            sync_deadline: None,
            subscribed: None,
            change: Change::None,
        }
    }

    /// Takes a member's sign of life.
    ///
    /// # Errors
    /// [`GroupError::RebalanceInProgress`] tells the member to join again.
    pub(crate) fn heartbeat(&mut self, ctx: Context<'_>, identity: &MemberIdentity) -> Result<(), GroupError> {
        self.validate_member(&identity.member_id, identity.instance_id.as_deref())?;
        if identity.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        self.refresh(ctx, &identity.member_id);
        match self.phase {
            Phase::Empty => Err(GroupError::UnknownMember),
            Phase::Preparing { .. } => Err(GroupError::RebalanceInProgress),
            Phase::Completing | Phase::Stable => Ok(()),
        }
    }

    /// Whether `identity` may commit offsets. A member's commit is a sign of life.
    ///
    /// # Errors
    /// Why it may not.
    pub(crate) fn check_commit(&mut self, ctx: Context<'_>, identity: &MemberIdentity) -> Result<(), GroupError> {
        let empty = self.phase == Phase::Empty;
        if identity.generation < 0 && empty {
            return Ok(());
        }
        if identity.generation < 0 && identity.member_id.is_empty() && identity.instance_id.is_none() {
            return Err(GroupError::UnknownMember);
        }
        self.validate_member(&identity.member_id, identity.instance_id.as_deref())?;
        if identity.generation != self.generation && !mutant::active("old_generation_commits") {
            return Err(GroupError::IllegalGeneration);
        }
        if self.phase == Phase::Completing {
            // The member has its new generation already, but committing now would credit it with what it has not been assigned yet.
            return Err(GroupError::RebalanceInProgress);
        }
        self.refresh(ctx, &identity.member_id);
        Ok(())
    }

    /// Whether `identity` is a member, of this generation.
    ///
    /// # Errors
    /// Why it is not.
    pub(crate) fn check_generation(&self, identity: &MemberIdentity) -> Result<(), GroupError> {
        self.validate_member(&identity.member_id, identity.instance_id.as_deref())?;
        if identity.generation == self.generation { Ok(()) } else { Err(GroupError::IllegalGeneration) }
    }

    /// Whether committed offsets may be removed at the client's wish.
    ///
    /// # Errors
    /// [`GroupError::NonEmptyGroup`] when it has members whose topics are unknown.
    pub(crate) fn check_offset_delete(&self) -> Result<(), GroupError> {
        if self.phase == Phase::Empty || self.is_consumer() { Ok(()) } else { Err(GroupError::NonEmptyGroup) }
    }

    /// Whether the members are subscribed to `topic`. If they are consumers whose subscriptions cannot be read, they may be.
    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        self.subscribed.as_ref().map_or_else(|| self.is_consumer(), |topics| topics.contains(topic))
    }

    /// Whether it has no members.
    pub(crate) fn is_empty(&self) -> bool {
        self.phase == Phase::Empty
    }

    /// Whether there is nothing in it that its row does not say.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.is_empty() && self.pending.is_empty()
    }

    /// Which offsets expire when (see [`crate::expiry`]); `None` while none does.
    pub(crate) fn expiry_basis(&self) -> Option<ExpiryBasis> {
        match (&self.protocol_type, self.phase) {
            (None, _) => Some(ExpiryBasis::Commit),
            (Some(_), Phase::Empty) => Some(ExpiryBasis::Emptied),
            (Some(_), Phase::Stable) if self.is_consumer() && self.subscribed.is_some() => Some(ExpiryBasis::Commit),
            (Some(_), _) => None,
        }
    }

    fn is_consumer(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER)
    }

    fn validate_member(&self, member_id: &str, instance_id: Option<&str>) -> Result<(), GroupError> {
        if let Some(instance_id) = instance_id {
            match self.instances.get(instance_id) {
                None => return Err(GroupError::UnknownMember),
                Some(current) if current != member_id => return Err(GroupError::FencedInstance),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member_id) { Ok(()) } else { Err(GroupError::UnknownMember) }
    }

    fn refresh(&mut self, ctx: Context<'_>, member_id: &str) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.refresh(ctx.now);
        }
    }
}

/// From when on the retention of committed offsets is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExpiryBasis {
    /// From each offset's commit.
    Commit,
    /// From when the group became empty.
    Emptied,
}
