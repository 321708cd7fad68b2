//! A coordinator shard on this node: its replica, and, while this node leads, its [`Leader`].

use std::sync::Arc;

use bytes::Bytes;
use caudal_metadata::ClusterImage;
use caudal_raft::{Leadership, ProposeError, RaftGroup};
use caudal_types::panics::{self, Panicked};
use caudal_types::{Clock, NodeId, TimestampMs};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::CoordinatorConfig;
use crate::classic::Millis;
use crate::command::{Command, Entry};
use crate::leader::{Leader, Now};
use crate::outbox::{Batch, Seq};
use crate::tables::Tables;

/// The name under which decisions that panic are counted.
const DECISION: &str = "coordinator-decide";

/// What the shards of a node share.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    pub(crate) config: Arc<CoordinatorConfig>,
    pub(crate) images: watch::Receiver<Arc<ClusterImage>>,
    pub(crate) clock: Arc<dyn Clock>,
    /// There may be transactions whose participants are to be told.
    pub(crate) transactions: Arc<Notify>,
}

/// A shard.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) raft: Arc<RaftGroup>,
    around: Surroundings,
    tables: Arc<RwLock<Tables>>,
    leader: Mutex<Leading>,
    /// Whether there is a leader here.
    serving: watch::Sender<bool>,
    started: Instant,
    /// There are commands to propose.
    pub(crate) outbox_filled: Notify,
    /// The next deadline may have become an earlier one.
    pub(crate) timers_changed: Notify,
    /// A proposal has failed, and the leader is gone with it.
    pub(crate) failed: Notify,
    /// A decision has panicked, and the leader is gone with it.
    pub(crate) spoilt: Notify,
}

/// Whether this node leads.
#[derive(Debug, Default)]
struct Leading {
    leader: Option<Leader>,
    /// The term that it leads or led.
    term: u64,
    /// The node has stopped leading within this term: before it leads again in it, it must know what has become of what it had proposed.
    in_doubt: bool,
    reigns: u64,
}

impl Shard {
    pub(crate) fn new(raft: Arc<RaftGroup>, tables: Arc<RwLock<Tables>>, around: Surroundings) -> Self {
        Self {
            raft,
            around,
            tables,
            leader: Mutex::default(),
            serving: watch::Sender::new(false),
            started: Instant::now(),
            outbox_filled: Notify::new(),
            timers_changed: Notify::new(),
            failed: Notify::new(),
            spoilt: Notify::new(),
        }
    }

    /// Lets the leader decide; `None` when this node does not lead, or the decision panics.
    pub(crate) fn lead<T>(&self, decide: impl FnOnce(&mut Leader, &Tables, Millis) -> T) -> Option<T> {
        let mut leading = self.leader.lock();
        let leader = leading.leader.as_mut()?;
        leader.image = self.image();
        let before = leader.next_deadline();
        let result = match panics::catch(DECISION, || decide(leader, &self.tables.read(), self.now())) {
            Ok(result) => result,
            Err(panic) => {
                self.spoil(&mut leading, &panic);
                return None;
            }
        };
        if leader.has_commands() {
            self.outbox_filled.notify_one();
        }
        if leader.next_deadline() < before {
            self.timers_changed.notify_one();
        }
        Some(result)
    }

    /// Reads the rows.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Tables) -> T) -> T {
        look(&self.tables.read())
    }

    /// Whether `node`, this one, leads the shard, although it may not serve it yet.
    pub(crate) fn is_taking_over(&self, node: NodeId) -> bool {
        self.raft.leadership().borrow().leader == Some(node)
    }

    /// The time of day.
    pub(crate) fn wall_now(&self) -> TimestampMs {
        self.around.clock.now_ms()
    }

    /// Whether this node serves the shard, as it changes.
    pub(crate) fn serving(&self) -> watch::Receiver<bool> {
        self.serving.subscribe()
    }

    /// Begins or ends to lead, as Raft says. Where that was in doubt within a term, [`resume`](Self::resume) is what begins again.
    pub(crate) fn follow(&self, leadership: Leadership) {
        let mut leading = self.leader.lock();
        if !leadership.serving {
            self.end(&mut leading);
        } else if leadership.term != leading.term {
            self.end(&mut leading);
            leading.term = leadership.term;
            leading.in_doubt = false;
            self.begin(&mut leading);
        } else if leading.leader.is_none() {
            // It had only lost sight of the other voters. What it had proposed may still be applied, behind a new leader's back.
            leading.in_doubt = true;
        }
    }

    /// Leads again in the same term: everything proposed before is decided.
    pub(crate) fn resume(&self, term: u64) {
        let mut leading = self.leader.lock();
        if leading.in_doubt && leading.term == term && self.leads_in(term) {
            leading.in_doubt = false;
            self.begin(&mut leading);
        }
    }

    /// The term in which the node stopped leading, and may lead again once its proposals are decided.
    pub(crate) fn term_in_doubt(&self) -> Option<u64> {
        let leading = self.leader.lock();
        leading.in_doubt.then_some(leading.term)
    }

    /// Whether Raft says that this node leads in `term`.
    pub(crate) fn leads_in(&self, term: u64) -> bool {
        let leadership = *self.raft.leadership().borrow();
        leadership.serving && leadership.term == term
    }

    /// Ends to lead: everyone who waits is told.
    pub(crate) fn stop(&self) {
        self.end(&mut self.leader.lock());
    }

    /// Commands for the next entry, and of which reign they are.
    pub(crate) fn take_batch(&self) -> Option<(u64, Batch)> {
        let mut leading = self.leader.lock();
        let leader = leading.leader.as_mut()?;
        let batch = leader.take_batch()?;
        Some((leader.reign, batch))
    }

    /// The entry for commands, stamped with the time and with what is known of the cluster.
    pub(crate) fn entry(&self, commands: &[Bytes]) -> Bytes {
        Entry::encode(self.around.clock.now_ms(), self.image().version, commands)
    }

    /// An entry that changes nothing.
    pub(crate) fn empty_entry(&self) -> Bytes {
        self.entry(&[Command::Nothing.encode()])
    }

    /// Commands are committed and applied.
    pub(crate) fn committed(&self, reign: u64, last: Seq) {
        let mut leading = self.leader.lock();
        if let Some(leader) = leading.leader.as_mut().filter(|leader| leader.reign == reign) {
            leader.committed(last);
        }
    }

    /// Commands may be lost: what was decided since cannot be known to be true. The rows can.
    pub(crate) fn proposal_failed(&self, reign: u64, error: &ProposeError) {
        let mut leading = self.leader.lock();
        if leading.leader.as_ref().is_some_and(|leader| leader.reign == reign) {
            tracing::info!(group = %self.raft.id(), %error, "a coordinator shard's proposal has failed; it begins anew from its rows");
            self.end(&mut leading);
            leading.in_doubt = true;
            self.failed.notify_one();
        }
    }

    /// When [`fire`](Self::fire) is next due, and whether sessions depend on it; `None` while this node does not lead.
    pub(crate) fn next_deadline(&self) -> Option<(Millis, bool)> {
        let leading = self.leader.lock();
        leading.leader.as_ref().map(|leader| (leader.next_deadline(), leader.has_timers()))
    }

    /// Does what is due.
    pub(crate) fn fire(&self) {
        let (image, wall) = (self.image(), self.around.clock.now_ms());
        self.lead(|leader, tables, monotonic| leader.fire(tables, &image, Now { monotonic, wall }));
    }

    /// Removes the offsets of deleted topics.
    pub(crate) fn sweep_topics(&self) {
        let image = self.image();
        self.lead(|leader, tables, _| leader.sweep_topics(tables, &image));
    }

    /// Puts all deadlines off.
    pub(crate) fn postpone(&self, by: Millis) {
        self.lead(|leader, _, _| leader.postpone(by));
    }

    /// The cluster's truth now.
    pub(crate) fn image(&self) -> Arc<ClusterImage> {
        self.around.images.borrow().clone()
    }

    /// The cluster's truth, as it changes.
    pub(crate) fn images(&self) -> watch::Receiver<Arc<ClusterImage>> {
        self.around.images.clone()
    }

    /// Milliseconds since the shard was opened.
    pub(crate) fn now(&self) -> Millis {
        Millis::try_from(self.started.elapsed().as_millis()).unwrap_or(Millis::MAX)
    }

    fn begin(&self, leading: &mut Leading) {
        leading.reigns += 1;
        let leader =
            Leader::new(leading.reigns, self.around.config.clone(), self.image(), &self.tables.read(), self.now());
        tracing::info!(group = %self.raft.id(), term = leading.term, "this node coordinates the shard");
        if leader.has_commands() {
            self.outbox_filled.notify_one();
        }
        leading.leader = Some(leader);
        self.timers_changed.notify_one();
        self.serving.send_replace(true);
        self.around.transactions.notify_one();
    }

    /// A decision that panicked may have left the leader half changed. The rows are whole.
    fn spoil(&self, leading: &mut Leading, panic: &Panicked) {
        tracing::error!(group = %self.raft.id(), %panic, "a coordinator's decision was not made; the shard begins anew from its rows");
        self.end(leading);
        leading.in_doubt = true;
        self.spoilt.notify_one();
    }

    fn end(&self, leading: &mut Leading) {
        if leading.leader.take().is_some() {
            tracing::info!(group = %self.raft.id(), term = leading.term, "this node coordinates the shard no longer");
            self.serving.send_replace(false);
        }
    }
}
