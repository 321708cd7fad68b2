//! Serves Raft's messages from other nodes.

use std::sync::Weak;
use std::time::Duration;

use bytes::Bytes;
use caudal_storage::DiskSpace;
use caudal_types::{NodeId, RaftGroupId};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use openraft::errors::RaftError;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderError, TransferLeaderRequest, VoteRequest,
};
use tokio::time::{Instant, timeout_at};

use crate::RaftGroup;
use crate::manage::recovery::Knows;
use crate::manage::{Shared, campaign, confirmation, forgotten, recovery};
use crate::net::convert::{append_in, id_in, id_out, vote_in, vote_out};
use crate::net::incoming::Incoming;
use crate::transport::RaftService;
use crate::transport::socket::Answer;
use crate::types::{TypeConfig, node_id};
use crate::wire::{
    Append, AppendAnswer, Heartbeat, Request, Response, SnapshotPart, TransferAnswer, WireLogId, WireVote,
};

/// How long answers to heartbeats wait for each other.
const TOGETHER: Duration = Duration::from_millis(10);
/// How long one heartbeat's answer is waited for at all.
const HEARTBEAT_WITHIN: Duration = Duration::from_secs(5);

/// The other side of [`Client`](crate::net::client::Client).
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) groups: Weak<Shared>,
    pub(crate) incoming: std::sync::Arc<Incoming>,
}

impl RaftService for Service {
    fn serve(&self, from: NodeId, request: Request, payload: Bytes, answer: Answer) -> BoxFuture<'static, ()> {
        let Some(groups) = self.groups.upgrade() else {
            return Box::pin(async move { answer.send(&Response::NotServed, Vec::new()).await });
        };
        let incoming = self.incoming.clone();
        match request {
            Request::Heartbeats(heartbeats) => {
                Box::pin(async move { serve_heartbeats(&groups, heartbeats, answer).await })
            }
            // What comes later on the connection must not overtake this on its way to openraft's core, as it might if tokio made this
            // task yield.
            Request::Append(append) => Box::pin(tokio::task::unconstrained(async move {
                let response = Response::Append(serve_append(&groups, append, payload).await);
                answer.send(&response, Vec::new()).await;
            })),
            Request::Snapshot(part) => Box::pin(async move {
                let response = serve_snapshot(&groups, &incoming, from, part, payload).await;
                answer.send(&response, Vec::new()).await;
            }),
            other => Box::pin(async move {
                let response = serve_control(&groups, from, other).await.unwrap_or(Response::NotServed);
                answer.send(&response, Vec::new()).await;
            }),
        }
    }
}

fn group(groups: &Shared, id: u64) -> Option<std::sync::Arc<RaftGroup>> {
    groups.get(RaftGroupId(id))
}

async fn serve_control(groups: &std::sync::Arc<Shared>, from: NodeId, request: Request) -> Option<Response> {
    match request {
        Request::Vote { group: id, vote, last, transfer } => {
            let group = group(groups, id)?;
            if !group.trust.may_vote_for(id_in(last)) || (!transfer && campaign::has_leader(groups, &group, from).await)
            {
                let (vote, last) = (vote_out(&group.vote()), id_out(group.log.last()));
                return Some(Response::Vote { vote, granted: false, last });
            }
            // To openraft this is a transfer in any case: its own lease would run on though the leader is lost.
            let request = VoteRequest { vote: vote_in(vote), last_log_id: id_in(last), leadership_transfer: true };
            let answer = group.raft.vote(request).await.ok()?;
            let (granted, last) = (answer.vote_granted, id_out(answer.last_log_id));
            Some(Response::Vote { vote: vote_out(&answer.vote), granted, last })
        }
        Request::Canvass { group: id, last } => {
            let group = group(groups, id)?;
            Some(Response::Canvass { granted: campaign::would_vote(groups, &group, from, id_in(last)).await })
        }
        Request::Confirm(led) => Some(Response::Denied(confirmation::denied(groups, &led).await)),
        Request::Recall { group: id } => {
            let recalled = recovery::recall(group(groups, id)?.as_ref(), from).await?;
            let (vote, last) = (recalled.vote.as_ref().map(vote_out), id_out(recalled.last));
            Some(match recalled.knows {
                Knows::All => Response::Recall { vote, last },
                Knows::AllButUnsynced => Response::RecallDoubtful { vote, last, lost: false },
                Knows::SinceTheLoss => Response::RecallDoubtful { vote, last, lost: true },
            })
        }
        Request::IsNew { group: id } => forgotten::is_new_here(groups, RaftGroupId(id)).await.map(Response::IsNew),
        Request::TransferLeader { group: id, from, to, last } => {
            Some(Response::TransferLeader(serve_transfer(groups, id, from, to, last).await?))
        }
        _ => None,
    }
}

async fn serve_transfer(
    groups: &Shared,
    id: u64,
    from: WireVote,
    to: u64,
    last: Option<WireLogId>,
) -> Option<TransferAnswer> {
    let request = TransferLeaderRequest::new(vote_in(from), to, id_in(last));
    let group = group(groups, id).filter(|group| group.trust.may_vote())?;
    Some(match group.raft.handle_transfer_leader(request).await.ok()? {
        Ok(()) => TransferAnswer::Done,
        Err(TransferLeaderError::VoteChanged { expected, actual }) => {
            TransferAnswer::VoteChanged { expected: vote_out(&expected), actual: vote_out(&actual) }
        }
        Err(TransferLeaderError::LogNotFlushed { expected, actual }) => {
            TransferAnswer::NotFlushed { expected: id_out(expected), actual: id_out(actual) }
        }
    })
}

async fn serve_append(groups: &Shared, append: Append, payload: Bytes) -> AppendAnswer {
    let Some(group) = group(groups, append.group) else { return AppendAnswer::NotServed };
    let within = Duration::from_millis(u64::from(append.sync_within_ms));
    match append_in(append, payload) {
        Ok(request) => {
            if let Some(last) = request.entries.last() {
                group.log.patience.note(last.log_id, within);
            }
            append_to(groups, &group, request).await
        }
        Err(error) => {
            tracing::error!(group = %group.id(), %error, "an append from another node cannot be read");
            AppendAnswer::NotServed
        }
    }
}

async fn append_to(groups: &Shared, group: &RaftGroup, request: AppendEntriesRequest<TypeConfig>) -> AppendAnswer {
    let is_too_much =
        group.holds_records && !request.entries.is_empty() && groups.writer.space() == DiskSpace::Exhausted;
    if !group.trust.may_follow() || is_too_much {
        return AppendAnswer::NotServed;
    }
    let leader = request.vote.leader_id;
    group.state.trust(leader.term, || groups.is_alive(node_id(leader.voted_for)));
    match group.raft.append_entries(request).await {
        Ok(AppendEntriesResponse::Success | AppendEntriesResponse::PartialSuccess(_)) => AppendAnswer::Done,
        Ok(AppendEntriesResponse::Conflict) => AppendAnswer::Conflict,
        Ok(AppendEntriesResponse::HigherVote(vote)) => AppendAnswer::HigherVote(vote_out(&vote)),
        Err(RaftError::Fatal(_) | RaftError::APIError(_)) => AppendAnswer::NotServed,
    }
}

/// Hands each heartbeat to its group, and sends the answers back together, without letting a slow group hold up the others for long.
async fn serve_heartbeats(groups: &Shared, heartbeats: Vec<Heartbeat>, answer: Answer) {
    let beats = (0u32..).zip(heartbeats).map(|(place, heartbeat)| {
        let group = group(groups, heartbeat.group);
        async move {
            let Some(group) = group else { return (place, AppendAnswer::NotServed) };
            let (prev_log_id, leader_commit) = (id_in(heartbeat.matching), id_in(heartbeat.commit));
            let vote = vote_in(heartbeat.vote);
            let request = AppendEntriesRequest { vote, prev_log_id, entries: Vec::new(), leader_commit };
            (place, append_to(groups, &group, request).await)
        }
    });
    let mut pending: FuturesUnordered<_> = beats.collect();
    let give_up = Instant::now() + HEARTBEAT_WITHIN;
    while Instant::now() < give_up {
        let mut done = Vec::new();
        let depart = Instant::now() + TOGETHER;
        while let Ok(Some(next)) = timeout_at(depart, pending.next()).await {
            done.push(next);
        }
        if pending.is_empty() {
            return answer.send(&Response::Heartbeats(done), Vec::new()).await;
        }
        if !done.is_empty() {
            answer.send_part(&Response::Heartbeats(done)).await;
        }
    }
    answer.send(&Response::Heartbeats(Vec::new()), Vec::new()).await;
}

async fn serve_snapshot(
    groups: &Shared,
    incoming: &Incoming,
    from: NodeId,
    part: SnapshotPart,
    data: Bytes,
) -> Response {
    let group = group(groups, part.group).filter(|group| group.trust.may_follow());
    let Some(group) = group else { return Response::NotServed };
    match incoming.add(from, &part, &data) {
        Ok(None) => Response::SnapshotPart,
        Ok(Some((vote, snapshot))) => match group.raft.install_full_snapshot(vote, snapshot).await {
            Ok(installed) => Response::Snapshot { vote: vote_out(&installed.vote) },
            Err(error) => Response::Failed { reason: error.to_string() },
        },
        Err(reason) => Response::Failed { reason },
    }
}
