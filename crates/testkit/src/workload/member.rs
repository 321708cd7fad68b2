//! Members of a consumer group (classic protocol): they join, share slots out, keep their place, commit, leave, and fall asleep.

use bytes::Bytes;
use caudal_protocol::ErrorCode;
use caudal_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use caudal_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use caudal_protocol::messages::{
    GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, StrBytes, SyncGroupRequest,
};
use rand::Rng;
use rand::rngs::StdRng;

use super::membership::{Membership, Place};
use super::{Setting, committer, pause};
use crate::client::Client;
use crate::net::Host;

/// The group.
pub const GROUP: &str = "members";
/// How long a member may be silent.
pub const SESSION_MS: i32 = 1000;
/// For how long one may fall asleep: long enough to be missed.
const ASLEEP_MS: u64 = 3000;
/// How long the others wait for a member in a rebalance: less than the client waits for its answer.
const REBALANCE_MS: i32 = 1500;
/// What there is to share. Who has the first slot commits.
const SLOTS: usize = 3;

struct Member {
    setting: Setting,
    membership: Membership,
    client: Client,
    chance: StdRng,
    id: StrBytes,
    /// Where it was last.
    last: Option<Place>,
}

/// How a member's time in a generation went on.
enum Next {
    Stay,
    /// It must join again.
    Rejoin,
}

/// Is a member again and again until the run ends.
pub async fn run(setting: Setting, membership: Membership, host: Host) {
    let (client, chance) = setting.client(host);
    let mut member = Member { setting, membership, client, chance, id: StrBytes::default(), last: None };
    while member.setting.works() {
        if member.client.target().is_none() && !member.client.find_coordinator(GROUP).await {
            member.client.give_up();
            pause(&mut member.chance, 200).await;
            continue;
        }
        if let Some(place) = member.join().await {
            member.stay(&place).await;
        }
        pause(&mut member.chance, 50).await;
    }
    member.leave().await;
}

impl Member {
    /// Joins and takes its share; nothing when something came in between.
    async fn join(&mut self) -> Option<Place> {
        let answer = self.client.call(5, &join(&self.id)).await.ok()?;
        if answer.error_code == ErrorCode::MEMBER_ID_REQUIRED.0 {
            self.id = answer.member_id;
            return None;
        }
        self.look_at(answer.error_code)?;
        let place = Place {
            generation: answer.generation_id,
            member: answer.member_id.to_string(),
            leader: answer.leader.to_string(),
        };
        self.id = answer.member_id.clone();
        self.membership.joined(&place);
        let shares = shares(&answer);
        if place.member == place.leader {
            self.membership.shares_out(&place, &shares);
        }
        let answer = self.client.call(3, &sync(&place, &shares)).await.ok()?;
        self.look_at(answer.error_code)?;
        self.membership.got(&place, &answer.assignment);
        let before = self.last.replace(place.clone()).filter(|before| before.member == place.member);
        if let Some(before) = before.filter(|_| self.chance.random_bool(0.3)) {
            // As if it had been under way for long.
            self.commit(&before).await;
        }
        Some(place)
    }

    /// Keeps its place for a while.
    async fn stay(&mut self, place: &Place) {
        let rounds = self.chance.random_range(1..20);
        let has_first_slot = self.membership.has_slot(place, 0);
        for _ in 0..rounds {
            if !self.setting.works() || matches!(self.round(place, has_first_slot).await, Next::Rejoin) {
                return;
            }
            pause(&mut self.chance, 200).await;
        }
        match self.chance.random_range(0..3) {
            0 => self.leave().await,
            1 => pause(&mut self.chance, ASLEEP_MS).await,
            _ => {}
        }
    }

    async fn round(&mut self, place: &Place, commits: bool) -> Next {
        let is_old = self.membership.is_old(place);
        let Ok(answer) = self.client.call(3, &heartbeat(place)).await else { return Next::Rejoin };
        if self.look_at(answer.error_code).is_none() {
            return Next::Rejoin;
        }
        self.membership.kept(place, is_old, "heartbeat");
        self.setting.history.progressed("heartbeat");
        if !commits {
            return Next::Stay;
        }
        self.commit(place).await
    }

    async fn commit(&mut self, place: &Place) -> Next {
        let (group, is_old) = (GROUP.into(), self.membership.is_old(place));
        let offset = self.setting.history.next_commit(&group);
        let request = committer::commit_as(GROUP, &place.member, place.generation, offset);
        let Ok(answer) = self.client.call(6, &request).await else { return Next::Rejoin };
        let mut codes = answer.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code);
        let code = codes.next().unwrap_or_default();
        if code == 0 {
            self.membership.kept(place, is_old, "commit");
            self.setting.history.committed(&group, offset);
            return Next::Stay;
        }
        self.look_at(code);
        Next::Rejoin
    }

    /// What an error asks for is done; nothing when there is one.
    fn look_at(&mut self, code: i16) -> Option<()> {
        match ErrorCode(code) {
            ErrorCode::NONE => return Some(()),
            ErrorCode::UNKNOWN_MEMBER_ID => self.id = StrBytes::default(),
            ErrorCode::REBALANCE_IN_PROGRESS | ErrorCode::ILLEGAL_GENERATION => {}
            _ => self.client.give_up(),
        }
        None
    }

    async fn leave(&mut self) {
        let request = LeaveGroupRequest::default().with_group_id(group()).with_member_id(std::mem::take(&mut self.id));
        // Whoever cannot say goodbye is missed soon enough.
        let _ = self.client.call(1, &request).await;
    }
}

fn group() -> GroupId {
    GroupId(GROUP.into())
}

fn join(member: &StrBytes) -> JoinGroupRequest {
    let protocol =
        JoinGroupRequestProtocol::default().with_name("slots".into()).with_metadata(Bytes::from_static(b"x"));
    JoinGroupRequest::default()
        .with_group_id(group())
        .with_session_timeout_ms(SESSION_MS)
        .with_rebalance_timeout_ms(REBALANCE_MS)
        .with_member_id(member.clone())
        .with_protocol_type("consumer".into())
        .with_protocols(vec![protocol])
}

/// What each member is to get, as the leader shares it out; nothing for the others, who know no members.
fn shares(answer: &JoinGroupResponse) -> Vec<(String, Bytes)> {
    let count = answer.members.len().max(1);
    let members = answer.members.iter().enumerate().map(|(at, member)| {
        let slots: Vec<u8> =
            (0..SLOTS).filter(|slot| slot % count == at).filter_map(|slot| u8::try_from(slot).ok()).collect();
        (member.member_id.to_string(), [&answer.generation_id.to_be_bytes()[..], &slots].concat().into())
    });
    members.collect()
}

fn sync(place: &Place, shares: &[(String, Bytes)]) -> SyncGroupRequest {
    let assignments = shares.iter().map(|(member, share)| {
        SyncGroupRequestAssignment::default().with_member_id(member.clone().into()).with_assignment(share.clone())
    });
    SyncGroupRequest::default()
        .with_group_id(group())
        .with_generation_id(place.generation)
        .with_member_id(place.member.clone().into())
        .with_assignments(assignments.collect())
}

fn heartbeat(place: &Place) -> HeartbeatRequest {
    HeartbeatRequest::default()
        .with_group_id(group())
        .with_generation_id(place.generation)
        .with_member_id(place.member.clone().into())
}
