//! openraft's network: one client per Raft group and target, all of them on the connections between the two nodes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout};
use openraft::network::{Backoff, RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendError, TransferLeaderError,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, RPCTypes};

use crate::codec;
use crate::net::append::{Appender, Outcome, unreachable, useless};
use crate::net::convert::{id_in, id_out, vote_in, vote_out};
use crate::net::heartbeats::Coalescer;
use crate::net::spares::Spares;
use crate::transport::lane::LaneError;
use crate::transport::peer::Peer;
use crate::types::{Rank, Snapshot, SnapshotData, TypeConfig, Vote};
use crate::wire::{AppendAnswer, Heartbeat, Lane, Request, Response, SnapshotPart, TransferAnswer};

/// The bytes of a snapshot in one frame.
const SNAPSHOT_PART_BYTES: usize = 1 << 20;
/// The parts of a snapshot in flight.
const SNAPSHOT_PARTS_AHEAD: usize = 4;

/// How long an answer on the control connection is waited for: some flushes of a slow disk.
const ASK_WITHIN: Duration = Duration::from_secs(2);

/// The way to one other node.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) peer: Arc<Peer>,
    pub(crate) heartbeats: Arc<Coalescer>,
}

/// Finds the way to a node.
pub(crate) type Routes = Arc<std::collections::BTreeMap<u64, Route>>;

/// Makes one group's clients.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    pub(crate) group: u64,
    pub(crate) me: u64,
    pub(crate) routes: Routes,
    /// See [`crate::GroupOptions`].
    pub(crate) commit_within: Duration,
    pub(crate) spares: Arc<Spares>,
    /// How many reads wait for a confirmation by heartbeat.
    pub(crate) reads_waiting: Arc<AtomicUsize>,
}

/// Talks to one node for one group.
#[derive(Debug)]
pub(crate) struct Client {
    network: Network,
    target: u64,
    route: Option<Route>,
    heartbeat: bool,
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Client;

    async fn new_client(&mut self, target: u64, _node: &Rank) -> Client {
        self.client(target, false)
    }

    async fn new_heartbeat_client(&mut self, target: u64, _node: &Rank) -> Client {
        self.client(target, true)
    }
}

impl Network {
    fn client(&self, target: u64, heartbeat: bool) -> Client {
        Client { network: self.clone(), target, route: self.routes.get(&target).cloned(), heartbeat }
    }
}

impl Client {
    fn timeout(&self, action: RPCTypes, timeout: Duration) -> Timeout<TypeConfig> {
        Timeout { action, id: self.network.me, target: self.target, timeout }
    }

    fn route(&self) -> Result<&Route, RPCError<TypeConfig>> {
        self.route.as_ref().ok_or_else(|| unreachable(LaneError::Unreachable))
    }

    /// Asks the node on the control connection.
    async fn ask(
        &self,
        request: Request,
        action: RPCTypes,
        option: &RPCOption,
    ) -> Result<Response, RPCError<TypeConfig>> {
        let lane = self.route()?.peer.lane(Lane::Control);
        let asking = async {
            let answer = lane.request(&request, Vec::new()).await.map_err(unreachable)?;
            answer.await.map_err(|_| unreachable(LaneError::Broken))
        };
        let within = option.hard_ttl().min(ASK_WITHIN);
        let answered = tokio::time::timeout(within, asking).await;
        Ok(answered.map_err(|_| RPCError::Timeout(self.timeout(action, within)))??.0)
    }

    /// Sends one heartbeat in the company of other groups'.
    async fn beat(route: Option<Route>, request: AppendEntriesRequest<TypeConfig>, network: Network) -> Outcome {
        let route = route.ok_or_else(|| unreachable(LaneError::Unreachable))?;
        let heartbeat = Heartbeat {
            group: network.group,
            vote: vote_out(&request.vote),
            matching: id_out(request.prev_log_id),
            commit: id_out(request.leader_commit),
        };
        let urgent = network.reads_waiting.load(Ordering::Relaxed) > 0;
        let answer = route.heartbeats.send(heartbeat, urgent).await;
        match (answer.map_err(|_| unreachable(LaneError::Broken))?, request.prev_log_id) {
            (AppendAnswer::Done, matching) => Ok(Ok(matching)),
            (AppendAnswer::HigherVote(vote), _) => Ok(Err(StreamAppendError::HigherVote(vote_in(vote)))),
            (AppendAnswer::Conflict, Some(matching)) => Ok(Err(StreamAppendError::Conflict(matching))),
            (other, _) => Err(useless(&Response::Append(other))),
        }
    }

    fn appender(&self) -> Appender {
        let peer = self.route.as_ref().map(|route| route.peer.clone());
        let Network { group, me, commit_within, .. } = self.network;
        let spares = self.network.spares.clone();
        Appender { group, me, target: self.target, commit_within, spares, peer }
    }

    async fn send_snapshot(
        &self,
        vote: Vote,
        snapshot: Snapshot,
        within: Duration,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        static TRANSFERS: AtomicU64 = AtomicU64::new(0);
        let transfer = TRANSFERS.fetch_add(1, Ordering::Relaxed);
        let data = snapshot.snapshot.0;
        let meta = codec::encode_snapshot_meta(&snapshot.meta).to_vec();
        let part = |offset: usize| {
            let end = (offset + SNAPSHOT_PART_BYTES).min(data.len());
            let meta = if offset == 0 { meta.clone() } else { Vec::new() };
            let (group, vote) = (self.network.group, vote_out(&vote));
            let (offset_out, total) = (offset as u64, data.len() as u64);
            (SnapshotPart { group, transfer, vote, meta, offset: offset_out, total }, data.slice(offset..end))
        };
        // An empty snapshot has one part, too.
        let offsets = (0..data.len().max(1)).step_by(SNAPSHOT_PART_BYTES);
        let sending = stream::iter(offsets).map(|offset| self.send_part(part(offset), within));
        let mut answers = std::pin::pin!(sending.buffered(SNAPSHOT_PARTS_AHEAD));
        while let Some(answer) = answers.next().await {
            match answer? {
                Response::SnapshotPart => {}
                Response::Snapshot { vote } => return Ok(SnapshotResponse::new(vote_in(vote))),
                other => return Err(useless(&other).into()),
            }
        }
        Err(NetworkError::from_string("the node did not say that the snapshot is installed").into())
    }

    async fn send_part(
        &self,
        (part, data): (SnapshotPart, Bytes),
        within: Duration,
    ) -> Result<Response, StreamingError<TypeConfig>> {
        let lane = self.route()?.peer.lane(Lane::Bulk);
        let sending = async {
            let sent = lane.request(&Request::Snapshot(part), vec![data]).await.map_err(unreachable)?;
            sent.await.map_err(|_| unreachable(LaneError::Broken))
        };
        let answered = tokio::time::timeout(within, sending).await;
        Ok(answered.map_err(|_| self.timeout(RPCTypes::InstallSnapshot, within))??.0)
    }
}

type Outcomes<'s> = Pin<Box<dyn Stream<Item = Outcome> + Send + 's>>;

impl RaftNetworkV2<TypeConfig> for Client {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let input = stream::iter([rpc]);
        let answer = self.appender().stream(input, option.hard_ttl()).next().await;
        answer.unwrap_or_else(|| Err(unreachable(LaneError::Broken))).map(AppendEntriesResponse::from)
    }

    fn stream_append<'s, S>(
        &'s mut self,
        mut input: S,
        option: RPCOption,
    ) -> Pin<Box<dyn Future<Output = Result<Outcomes<'s>, RPCError<TypeConfig>>> + Send + 's>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        if !self.heartbeat {
            let outcomes: Outcomes<'s> = self.appender().stream(input, option.hard_ttl());
            return Box::pin(async move { Ok(outcomes) });
        }
        let (route, network) = (self.route.clone(), self.network.clone());
        Box::pin(async move {
            // A heartbeat is a stream of one request without entries.
            let Some(request) = input.next().await else { return Ok(stream::empty().boxed()) };
            let outcomes: Outcomes<'s> = stream::once(Self::beat(route, request, network)).boxed();
            Ok(outcomes)
        })
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let (group, vote, last) = (self.network.group, vote_out(&rpc.vote), id_out(rpc.last_log_id));
        let request = Request::Vote { group, vote, last, transfer: rpc.leadership_transfer };
        match self.ask(request, RPCTypes::Vote, &option).await? {
            Response::Vote { vote, granted, last } => Ok(VoteResponse::new(vote_in(vote), id_in(last), granted)),
            other => Err(useless(&other)),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        tokio::select! {
            sent = self.send_snapshot(vote, snapshot, option.hard_ttl()) => sent,
            closed = cancel => Err(closed.into()),
        }
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let (group, from, to) = (self.network.group, vote_out(req.from_leader()), *req.to_node_id());
        let request = Request::TransferLeader { group, from, to, last: id_out(req.last_log_id().copied()) };
        match self.ask(request, RPCTypes::TransferLeader, &option).await? {
            Response::TransferLeader(TransferAnswer::Done) => Ok(Ok(())),
            Response::TransferLeader(TransferAnswer::VoteChanged { expected, actual }) => {
                let (expected, actual) = (vote_in(expected), vote_in(actual));
                Ok(Err(TransferLeaderError::VoteChanged { expected, actual }))
            }
            Response::TransferLeader(TransferAnswer::NotFlushed { expected, actual }) => {
                let (expected, actual) = (id_in(expected), id_in(actual));
                Ok(Err(TransferLeaderError::LogNotFlushed { expected, actual }))
            }
            other => Err(useless(&other)),
        }
    }

    fn backoff(&self) -> Option<Backoff> {
        None
    }
}
