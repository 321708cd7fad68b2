//! What must hold at any time, one file each, looked for on the real nodes' state and in what clients were told.
//!
//! | Rule | What it says |
//! |---|---|
//! | [`acked_is_durable`] | an acknowledged batch is on the synced disks of a majority |
//! | [`acked_is_readable`] | an acknowledged batch is readable at its offset for ever |
//! | [`high_watermark`] | the high watermark never falls |
//! | [`log_start`] | a log's start never falls, and nothing goes that is to be kept |
//! | [`last_stable`] | the last stable offset is not beyond the high watermark |
//! | [`no_duplicates`] | no two batches have the same producer, epoch and sequence |
//! | [`no_panics`] | nothing panics |
//! | [`one_leader`] | no two leaders in an epoch |
//! | [`replicas_agree`] | replicas agree on every offset's batch |
//! | [`relaxed_agree`] | replicas of a topic that is synced later have lost the same records, if any |
//! | [`shown_is_durable`] | what a replica shows is on the synced disks of a majority |
//! | [`tables_agree`] | tables are equal on all replicas at the same applied index |
//! | [`told_truth`] | what clients are told fits together: offsets, ends, committed offsets, topics |
//! | [`alive`] | after the faults everything is live within a bound |

pub mod acked_is_durable;
pub mod acked_is_readable;
pub mod alive;
pub mod high_watermark;
pub mod last_stable;
pub mod log_start;
pub mod no_duplicates;
pub mod no_panics;
pub mod one_leader;
pub mod relaxed_agree;
pub mod replicas_agree;
pub mod shown_is_durable;
pub mod tables_agree;
pub mod told_truth;
pub mod view;

use caudal_types::NodeId;

pub use self::view::{Replica, View};
use crate::cluster::Cluster;
use crate::workload::History;
use crate::workload::history::Anomaly;

/// Something that must hold.
pub trait Invariant {
    /// Its name: that of its file.
    fn name(&self) -> &'static str;

    /// Looks at the cluster.
    ///
    /// # Errors
    /// What is not as it must be.
    fn check(&mut self, world: &World<'_>) -> Result<(), String>;
}

/// What there is to look at.
#[derive(Debug)]
pub struct World<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// What clients did.
    pub history: &'a History,
    /// The nodes that run, as they are at this moment.
    pub views: &'a [View],
    /// All has come to rest: what is at one replica must be at the others.
    pub at_rest: bool,
}

impl World<'_> {
    /// The view of a node, if it runs.
    pub fn view(&self, node: NodeId) -> Option<&View> {
        self.views.iter().find(|view| view.node == node)
    }

    /// All replicas of the workload's partitions, with the views that they are in.
    pub fn replicas(&self) -> impl Iterator<Item = (&View, &Replica)> {
        self.views.iter().flat_map(|view| view.replicas.iter().map(move |replica| (view, replica)))
    }

    fn note_starts(&self) {
        for (_, replica) in self.replicas() {
            self.history.begins_at(replica.number, replica.offsets.log_start);
        }
    }
}

/// All invariants, with what they remember of the past.
pub struct Invariants {
    acked_is_durable: acked_is_durable::AckedIsDurable,
    others: Vec<Box<dyn Invariant>>,
}

impl std::fmt::Debug for Invariants {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.others.iter().map(|invariant| invariant.name())).finish()
    }
}

impl Default for Invariants {
    fn default() -> Self {
        let others: Vec<Box<dyn Invariant>> = vec![
            Box::new(no_panics::NoPanics),
            Box::new(told_truth::ToldTruth),
            Box::<one_leader::OneLeader>::default(),
            Box::<high_watermark::HighWatermark>::default(),
            Box::new(last_stable::LastStable),
            Box::<log_start::LogStart>::default(),
            Box::new(relaxed_agree::RelaxedAgree),
            Box::<replicas_agree::ReplicasAgree>::default(),
            Box::<no_duplicates::NoDuplicates>::default(),
            Box::<shown_is_durable::ShownIsDurable>::default(),
            Box::<acked_is_readable::AckedIsReadable>::default(),
            Box::<tables_agree::TablesAgree>::default(),
        ];
        Self { acked_is_durable: acked_is_durable::AckedIsDurable::default(), others }
    }
}

impl Invariants {
    /// Looks, right after an acknowledgement, whether it was one too many.
    ///
    /// # Errors
    /// When it was.
    pub fn check_acks(&mut self, cluster: &Cluster, history: &History) -> Result<(), Anomaly> {
        let views: Vec<_> = cluster.running().into_iter().map(|(node, running)| View::new(node, &running)).collect();
        let world = World { cluster, history, views: &views, at_rest: false };
        world.note_starts();
        self.acked_is_durable.check(&world).map_err(|text| Anomaly { rule: self.acked_is_durable.name(), text })
    }

    /// Looks for all of them.
    ///
    /// # Errors
    /// The first that does not hold.
    pub fn check(&mut self, cluster: &Cluster, history: &History, at_rest: bool) -> Result<(), Anomaly> {
        let views: Vec<_> = cluster.running().into_iter().map(|(node, running)| View::new(node, &running)).collect();
        let world = World { cluster, history, views: &views, at_rest };
        self.check_acks(cluster, history)?;
        for invariant in &mut self.others {
            invariant.check(&world).map_err(|text| Anomaly { rule: invariant.name(), text })?;
        }
        Ok(())
    }
}
