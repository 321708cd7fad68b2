//! What operators want of the node that leads a Raft group, brought there from whichever node they asked.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use caudal_types::{NodeId, RaftGroupId};
use futures::{StreamExt, stream};

use crate::manage::{Shared, balance};
use crate::transport::{CallError, CallHandler, Service};
use crate::wire::{self, Described, DescribedMember, Errand, ErrandAnswer, HandedBack};
use crate::{ProposeError, RaftGroup};

/// How many groups are handed back at a time.
const AT_A_TIME: usize = 64;

/// Why a leadership did not go back to the preferred leader.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandBackError {
    /// The node that was asked does not lead the group.
    #[error("the node that was asked does not lead it any more; try again")]
    NotLeader,
    /// The preferred leader is not fit to lead.
    #[error("{0}")]
    Unfit(String),
    /// It was tried and came to nothing, or nobody knows what came of it.
    #[error("{0}")]
    Failed(String),
}

/// What the leader of a Raft group knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The term.
    pub term: u64,
    /// The last index in the leader's log.
    pub last_index: u64,
    /// The last index that the leader has applied; all before it is committed.
    pub applied_index: u64,
    /// Everyone who takes part, the leader included; the preferred leader first.
    pub members: Vec<MemberStanding>,
}

/// What the leader of a Raft group knows of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberStanding {
    /// Which node.
    pub node: NodeId,
    /// Whether it votes, or only follows.
    pub votes: bool,
    /// The last index known to be durable there, if the leader knows it.
    pub matched: Option<u64>,
    /// How long ago the node answered the leader last; nothing for the leader itself, and if it never has.
    pub heard_ago: Option<Duration>,
}

/// Serves other nodes' errands, and this one's own.
#[derive(Debug)]
pub(crate) struct Clerk(pub(crate) Weak<Shared>);

impl CallHandler for Clerk {
    fn call(&self, from: NodeId, body: Bytes) -> Pin<Box<dyn Future<Output = Bytes> + Send + '_>> {
        Box::pin(async move {
            let Some(shared) = self.0.upgrade() else { return Bytes::new() };
            let answer = match wire::decode::<Errand>(&body) {
                Ok(errand) => serve(&shared, errand).await,
                Err(error) => {
                    tracing::warn!(%from, %error, "what another node asks cannot be read");
                    return Bytes::new();
                }
            };
            // What is empty is no answer.
            wire::encode(&answer).map(Bytes::from).unwrap_or_default()
        })
    }
}

async fn serve(shared: &Shared, errand: Errand) -> ErrandAnswer {
    match errand {
        Errand::HandBack(groups) => {
            let each = stream::iter(groups).map(|group| hand_back(shared, RaftGroupId(group)));
            ErrandAnswer::HandedBack(each.buffered(AT_A_TIME).collect().await)
        }
        Errand::Describe(group) => {
            let led =
                shared.get(RaftGroupId(group)).filter(|group| group.state.leader_now().leader == Some(shared.me()));
            ErrandAnswer::Described(led.map(|group| describe(shared, &group)))
        }
    }
}

async fn hand_back(shared: &Shared, group: RaftGroupId) -> HandedBack {
    let Some(group) = shared.get(group).filter(|group| group.state.leader_now().serving) else {
        return HandedBack::NotLeader;
    };
    let Some(first) = group.members().voters.first().copied() else { return HandedBack::NotLeader };
    if first == shared.me() {
        return HandedBack::Done;
    }
    if let Err(reason) = balance::is_fit(shared, &group, first) {
        return HandedBack::Unfit(reason);
    }
    match group.transfer_leadership(first).await {
        Ok(()) => {}
        Err(ProposeError::NotLeader { .. }) => return HandedBack::NotLeader,
        Err(error) => return HandedBack::Failed(error.to_string()),
    }
    match group.state.leader_now().leader {
        Some(leader) if leader != first => HandedBack::Failed(format!(
            "node {leader} took over, since the preferred leader, node {first}, did not in time"
        )),
        _ => HandedBack::Done,
    }
}

fn describe(shared: &Shared, group: &RaftGroup) -> Described {
    let status = group.status();
    let liveness = shared.transport.liveness_table();
    let member = |node: &NodeId, votes| {
        let is_me = *node == shared.me();
        let matched = status.matched.iter().find(|(id, _)| id == node).map(|(_, at)| *at);
        let heard = liveness.heard_ago(*node).filter(|_| !is_me);
        DescribedMember {
            node: node.0,
            votes,
            matched: if is_me { Some(status.last_log_index) } else { matched },
            heard_ms_ago: heard.map(|ago| u64::try_from(ago.as_millis()).unwrap_or(u64::MAX)),
        }
    };
    let voters = status.members.voters.iter().map(|node| member(node, true));
    let learners = status.members.learners.iter().map(|node| member(node, false));
    Described {
        term: status.leadership.term,
        last: status.last_log_index,
        applied: status.applied_index,
        members: voters.chain(learners).collect(),
    }
}

async fn ask(shared: &Shared, node: NodeId, errand: &Errand, within: Duration) -> Result<ErrandAnswer, CallError> {
    let unreadable = |_| CallError::NotServed(node);
    let body = wire::encode(errand).map_err(unreadable)?;
    let answer = shared.transport.call(node, Service::Groups, body.into(), within).await?;
    wire::decode(&answer).map_err(unreadable)
}

/// Has `leader` give groups that it leads to their preferred leaders; the answers are in the order of `groups`.
pub(crate) async fn have_handed_back(
    shared: &Shared,
    leader: NodeId,
    groups: &[RaftGroupId],
    within: Duration,
) -> Vec<Result<(), HandBackError>> {
    let errand = Errand::HandBack(groups.iter().map(|group| group.0).collect());
    let answers = match ask(shared, leader, &errand, within).await {
        Ok(ErrandAnswer::HandedBack(answers)) if answers.len() == groups.len() => answers,
        Ok(_) => vec![HandedBack::Failed(format!("what node {leader} answers cannot be read")); groups.len()],
        Err(error) => vec![HandedBack::Failed(error.to_string()); groups.len()],
    };
    answers.into_iter().map(Result::from).collect()
}

impl From<HandedBack> for Result<(), HandBackError> {
    fn from(answer: HandedBack) -> Self {
        match answer {
            HandedBack::Done => Ok(()),
            HandedBack::NotLeader => Err(HandBackError::NotLeader),
            HandedBack::Unfit(reason) => Err(HandBackError::Unfit(reason)),
            HandedBack::Failed(reason) => Err(HandBackError::Failed(reason)),
        }
    }
}

/// Asks `leader` how the members of a group that it leads are doing; nothing when it does not lead it.
pub(crate) async fn standing(
    shared: &Arc<Shared>,
    leader: NodeId,
    group: RaftGroupId,
    within: Duration,
) -> Result<Option<Standing>, CallError> {
    match ask(shared, leader, &Errand::Describe(group.0), within).await? {
        ErrandAnswer::Described(described) => Ok(described.map(Standing::from)),
        ErrandAnswer::HandedBack(_) => Err(CallError::NotServed(leader)),
    }
}

impl From<Described> for Standing {
    fn from(described: Described) -> Self {
        let member = |member: DescribedMember| MemberStanding {
            node: NodeId(member.node),
            votes: member.votes,
            matched: member.matched,
            heard_ago: member.heard_ms_ago.map(Duration::from_millis),
        };
        Self {
            term: described.term,
            last_index: described.last,
            applied_index: described.applied,
            members: described.members.into_iter().map(member).collect(),
        }
    }
}
