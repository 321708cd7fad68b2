//! openraft's traits for state machines, on [`MachineCore`].

use std::io;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{OptionalSend, RaftSnapshotBuilder};

use crate::ApplyError;
use crate::machine::MachineCore;
use crate::types::{LogId, LoggedMembership, Reply, Snapshot, SnapshotData, SnapshotMeta, TypeConfig};

/// The most entries applied, and stored, in one go.
const APPLY_CHUNK: usize = 256;

/// What openraft holds of a state machine.
#[derive(Clone, Debug)]
pub(crate) struct MachineAdapter(pub(crate) Arc<MachineCore>);

/// Takes one snapshot.
#[derive(Debug)]
pub(crate) struct SnapshotBuilder(Arc<MachineCore>);

fn io_error(error: ApplyError) -> io::Error {
    io::Error::other(error)
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        self.0.clone().build().await.map_err(io_error)
    }
}

impl RaftStateMachine<TypeConfig> for MachineAdapter {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, LoggedMembership), io::Error> {
        Ok(self.0.applied().await)
    }

    async fn apply<Strm>(&mut self, entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        let mut chunks = entries.ready_chunks(APPLY_CHUNK);
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.into_iter().collect::<Result<Vec<_>, _>>()?;
            let (entries, responders): (Vec<_>, Vec<_>) = chunk.into_iter().unzip();
            let replies = self.0.apply(&entries).await.map_err(io_error)?;
            for (responder, reply) in responders.into_iter().zip(replies) {
                if let Some(responder) = responder {
                    responder.send(Reply(reply));
                }
            }
        }
        Ok(())
    }

    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<Self::SnapshotBuilder> {
        if !force && !self.0.has_applied().await {
            self.0.report_built(None);
            return None;
        }
        Some(SnapshotBuilder(self.0.clone()))
    }

    async fn get_snapshot_builder(&mut self) -> Self::SnapshotBuilder {
        SnapshotBuilder(self.0.clone())
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: SnapshotData) -> Result<(), io::Error> {
        self.0.clone().install(meta.clone(), snapshot.0).await.map_err(io_error)
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        self.0.clone().current().await.map_err(io_error)
    }
}
