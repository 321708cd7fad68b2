//! Elections. Which node is alive is known between nodes, not between groups, so that no group needs heartbeats: a voter holds to the leader
//! that it knows for as long as that leader's node lives and does not say otherwise. A candidate first asks the others whether they would vote
//! for it, since a campaign in vain would raise the term and so unseat a leader that lives.

use std::sync::Arc;
use std::time::Duration;

use caudal_types::NodeId;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::timeout;

use crate::RaftGroup;
use crate::manage::Shared;
use crate::net::convert::id_out;
use crate::types::LogId;
use crate::wire::{Lane, Request, Response};

/// How long the answers to a canvass are waited for.
const CANVASS_WITHIN: Duration = Duration::from_millis(250);
/// How long a voter waits for a sign of life of a leader against whom somebody campaigns.
const PROBE_WITHIN: Duration = Duration::from_millis(50);

/// Stands for election, if a majority says that it would vote for this node.
pub(crate) async fn stand(shared: &Shared, group: &RaftGroup) {
    if group.trust.may_vote() && canvass(shared, group).await {
        // A group that is stopping has no need of a leader.
        let _ = group.raft.trigger().elect(false).await;
    }
}

async fn canvass(shared: &Shared, group: &RaftGroup) -> bool {
    let voters = group.members().voters;
    let others = voters.iter().filter(|node| **node != shared.me());
    let mut needed = voters.len() / 2;
    if needed == 0 {
        return true;
    }
    let request = Request::Canvass { group: group.id().0, last: id_out(group.log.last()) };
    let mut answers: FuturesUnordered<_> = others.map(|node| ask(shared, *node, &request)).collect();
    let counting = async {
        while let Some(granted) = answers.next().await {
            needed -= usize::from(granted);
            if needed == 0 {
                return true;
            }
        }
        false
    };
    timeout(CANVASS_WITHIN, counting).await.unwrap_or(false)
}

async fn ask(shared: &Shared, node: NodeId, request: &Request) -> bool {
    let Some(peer) = shared.transport.peer(node) else { return false };
    let Ok(answer) = peer.lane(Lane::Control).request(request, Vec::new()).await else { return false };
    matches!(answer.await, Ok((Response::Canvass { granted: true }, _)))
}

/// Whether this node would vote for `from`, whose log ends with `last`.
pub(crate) async fn would_vote(
    shared: &Arc<Shared>,
    group: &Arc<RaftGroup>,
    from: NodeId,
    last: Option<LogId>,
) -> bool {
    if !group.trust.may_vote_for(last) || has_leader(shared, group, from).await {
        return false;
    }
    let complete = last >= group.log.last();
    if !complete {
        shared.contend(group);
    }
    complete
}

/// Whether the group has a leader against whom `from` has no reason to campaign. Should this node be that leader, it shows itself.
pub(crate) async fn has_leader(shared: &Shared, group: &RaftGroup, from: NodeId) -> bool {
    if let Some((_, term)) = group.state.named_leader().filter(|(leader, _)| *leader == from) {
        // Who campaigns does not lead.
        group.state.doubt(term);
    }
    let Some(leader) = group.state.leader_now().leader else { return false };
    if leader == shared.me() {
        let fit = shared.transport.is_fit();
        if fit {
            // A group that is stopping has no need of a leader.
            let _ = group.raft.trigger().heartbeat().await;
        }
        return fit;
    }
    shared.transport.probe([leader], PROBE_WITHIN).await;
    group.state.leader_now().leader == Some(leader) && shared.is_alive(leader)
}
