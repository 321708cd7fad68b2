//! A leader over its tables, with the log played by hand.

mod migration;
mod pending;
mod property;

use bytes::Bytes;
use caudal_metadata::{ClusterImage, TopicImage};
use caudal_types::{NodeId, TopicId};

use super::*;
use crate::classic::tests::{REBALANCE, SESSION};
use crate::command::Entry;
use crate::model::{OffsetKey, OffsetToCommit};
use crate::subscription::tests::subscription;
use crate::tables::Changes;

/// The command that commits what may be committed of `offsets`, if any, and one result each.
fn commit_command(
    group: &str,
    offsets: Vec<OffsetToCommit>,
    image: &ClusterImage,
    metadata_max: usize,
) -> (Option<Command>, Results) {
    let (topics, results) = topics_to_commit(offsets, image, metadata_max);
    ((!topics.is_empty()).then(|| Command::CommitOffsets { group: group.into(), topics }), results)
}

struct Rig {
    tables: Tables,
    leader: Leader,
    image: ClusterImage,
    now: Now,
}

impl Rig {
    fn new() -> Self {
        let mut config = CoordinatorConfig::new(NodeId(1));
        config.offsets_retention_ms = 1_000_000;
        Self::with(config)
    }

    fn with(config: CoordinatorConfig) -> Self {
        let (tables, now) = (Tables::default(), Now { monotonic: 5, wall: 1_000 });
        let leader = Leader::new(1, Arc::new(config), Arc::default(), &tables, now.monotonic);
        Self { tables, leader, image: image(1, &[("t", 1), ("u", 2)]), now }
    }

    /// Everything that waits is committed.
    fn commit_all(&mut self) {
        while self.replicate() {}
    }

    /// The next entry is committed; whether there was one.
    fn replicate(&mut self) -> bool {
        let Some(batch) = self.leader.take_batch() else { return false };
        let payload = Entry::encode(self.now.wall, self.image.version, &batch.commands);
        self.tables.apply_next(Entry::decode(payload).unwrap(), &mut Changes::default());
        self.leader.committed(batch.last);
        true
    }

    fn advance(&mut self, by: u64) {
        self.now.monotonic += by;
        self.now.wall += i64::try_from(by).unwrap();
        self.leader.fire(&self.tables, &self.image, self.now);
    }

    fn join(&mut self, member_id: &str) -> Pending<Result<Joined, GroupError>> {
        let request = JoinRequest {
            group_id: "g".to_owned(),
            member_id: member_id.to_owned(),
            client_id: "c".to_owned(),
            session_timeout_ms: SESSION,
            rebalance_timeout_ms: REBALANCE,
            protocol_type: "consumer".to_owned(),
            protocols: vec![("range".to_owned(), subscription(&["t"]))],
            ..JoinRequest::default()
        };
        self.leader.join(&self.tables, request, self.now.monotonic)
    }

    /// A stable group of one member, everything committed.
    fn stable(&mut self) -> String {
        let mut join = self.join("");
        self.advance(3_000);
        self.commit_all();
        let member = join.try_recv().unwrap().unwrap().member_id;
        let mut sync = self.leader.sync(&self.tables, sync(&member), self.now.monotonic);
        self.commit_all();
        assert_eq!(sync.try_recv().unwrap().unwrap().assignment, Bytes::from_static(b"x"));
        member
    }

    fn commit(&mut self, topic: &str, member: &MemberIdentity) -> Result<Pending<()>, GroupError> {
        let (command, _) = commit_command("g", vec![offset(topic, 0, 7)], &self.image, 10);
        self.leader.commit(&self.tables, member, &command.unwrap(), self.now.monotonic)
    }

    fn heartbeat(&mut self, member: &str) -> Result<(), GroupError> {
        let member =
            MemberIdentity { member_id: member.to_owned(), instance_id: None, generation: 1, before_epochs: false };
        self.leader.heartbeat(&self.tables, "g", &member, self.now.monotonic)
    }

    fn committed(&self, topic: &str) -> Option<i64> {
        self.tables.offset("g", topic, 0).map(|row| row.offset)
    }
}

fn image(version: u64, topics: &[(&str, u128)]) -> ClusterImage {
    let topic = |(name, id): &(&str, u128)| {
        let (name, id): (Arc<str>, _) = ((*name).into(), TopicId(Uuid::from_u128(*id)));
        (name.clone(), Arc::new(TopicImage { id, name, configs: Default::default(), partitions: Vec::new() }))
    };
    ClusterImage { version, topics: topics.iter().map(topic).collect(), ..ClusterImage::default() }
}

fn sync(member: &str) -> SyncRequest {
    SyncRequest {
        group_id: "g".to_owned(),
        generation: 1,
        member_id: member.to_owned(),
        assignments: vec![(member.to_owned(), Bytes::from_static(b"x"))],
        ..SyncRequest::default()
    }
}

fn offset(topic: &str, partition: i32, offset: i64) -> OffsetToCommit {
    let key: OffsetKey = (topic.into(), partition);
    OffsetToCommit { key, offset, leader_epoch: 3, metadata: "m".to_owned(), retention_ms: None }
}

fn nobody() -> MemberIdentity {
    MemberIdentity { generation: -1, ..MemberIdentity::default() }
}

fn member(id: &str) -> MemberIdentity {
    MemberIdentity { member_id: id.to_owned(), instance_id: None, generation: 1, before_epochs: false }
}

#[test]
fn answers_come_when_what_they_say_is_committed() {
    let mut rig = Rig::new();
    let mut join = rig.join("");
    rig.advance(3_000);
    assert!(join.try_recv().is_err(), "the generation is not committed yet");
    rig.commit_all();
    let member = join.try_recv().unwrap().unwrap().member_id;
    let mut first = rig.leader.sync(&rig.tables, sync(&member), rig.now.monotonic);
    let mut second = rig.leader.sync(&rig.tables, sync(&member), rig.now.monotonic);
    assert!(first.try_recv().is_err() && second.try_recv().is_err());
    rig.commit_all();
    assert!(first.try_recv().unwrap().is_ok() && second.try_recv().unwrap().is_ok());
}

#[test]
fn whoever_waits_learns_when_the_leader_is_gone() {
    let mut rig = Rig::new();
    let mut join = rig.join("");
    let (command, _) = commit_command("h", vec![offset("t", 0, 1)], &rig.image, 10);
    let mut commit = rig.leader.commit(&rig.tables, &nobody(), &command.unwrap(), 5).unwrap();
    drop(rig.leader);
    assert_eq!(join.try_recv().unwrap_err(), oneshot::error::TryRecvError::Closed);
    assert_eq!(commit.try_recv().unwrap_err(), oneshot::error::TryRecvError::Closed);
}

#[test]
fn a_client_that_is_gone_is_no_concern() {
    let mut rig = Rig::new();
    drop(rig.join(""));
    rig.advance(3_000);
    rig.commit_all();
    assert!(rig.leader.joins.is_empty());
    assert_eq!(rig.leader.list(&rig.tables)[0].state, "CompletingRebalance");
    rig.advance(SESSION as u64);
    rig.commit_all();
    assert_eq!(rig.leader.list(&rig.tables)[0].state, "Empty");
    assert!(rig.leader.groups.is_empty(), "its row says it all");
}

#[test]
fn another_leader_goes_on_from_the_tables() {
    let mut rig = Rig::new();
    let id = rig.stable();
    rig.commit("t", &member(&id)).unwrap();
    rig.commit_all();
    rig.leader = Leader::new(2, rig.leader.config.clone(), Arc::default(), &rig.tables, rig.now.monotonic);
    assert_eq!(rig.heartbeat(&id), Ok(()));
    assert_eq!(rig.committed("t"), Some(7));
    assert!(!rig.leader.has_commands(), "there is nothing to repair");
    rig.advance(SESSION as u64 - 1);
    assert_eq!(rig.heartbeat(&id), Ok(()));
    rig.advance(SESSION as u64 - 1);
    assert_eq!(rig.leader.describe(&rig.tables, "g").unwrap().state, "Stable");
    rig.advance(1);
    assert_eq!(rig.heartbeat(&id), Err(GroupError::UnknownMember));
}

#[test]
fn commits_are_answered_when_they_are_committed() {
    let mut rig = Rig::new();
    let mut pending = rig.commit("t", &nobody()).unwrap();
    assert!(pending.try_recv().is_err());
    assert_eq!(rig.committed("t"), None);
    rig.commit_all();
    assert!(pending.try_recv().is_ok());
    let row = rig.tables.offset("g", "t", 0).unwrap();
    assert_eq!((row.committed_at, &*row.metadata, row.topic_id), (1_000, "m", TopicId(Uuid::from_u128(1))));
    let listed = rig.leader.list(&rig.tables);
    assert_eq!((listed[0].state, listed[0].protocol_type.as_str()), ("Empty", ""));
}

#[test]
fn commits_of_strangers_are_refused() {
    let mut rig = Rig::new();
    assert_eq!(rig.commit("t", &member("m")).unwrap_err(), GroupError::GroupNotFound("g".to_owned()));
    rig.commit("t", &nobody()).unwrap();
    rig.commit_all();
    assert_eq!(rig.commit("t", &member("m")).unwrap_err(), GroupError::UnknownMember);
    let id = rig.stable();
    assert_eq!(rig.commit("t", &nobody()).unwrap_err(), GroupError::UnknownMember);
    assert!(rig.commit("t", &member(&id)).is_ok());
}

#[test]
fn metadata_is_bounded_and_each_offset_has_its_result() {
    let mut offsets = vec![offset("t", 0, 1), offset("t", 1, 2), offset("u", 0, 3), offset("x", 0, 4)];
    offsets[1].metadata = "€".repeat(11);
    offsets[2].metadata = "€".repeat(10);
    let (command, results) = commit_command("g", offsets, &image(1, &[("t", 1), ("u", 2)]), 10);
    let too_large = GroupError::MetadataTooLarge { size: 11, max: 10 };
    assert_eq!(results, [Ok(()), Err(too_large), Ok(()), Ok(())]);
    let Some(Command::CommitOffsets { topics, .. }) = command else { panic!("{command:?}") };
    let ids: Vec<_> = topics.iter().map(|topic| (&*topic.topic, topic.id.0.as_u128(), topic.offsets.len())).collect();
    assert_eq!(ids, [("t", 1, 1), ("u", 2, 1), ("x", 0, 1)]);
}

#[test]
fn a_full_queue_refuses() {
    let mut rig = Rig::new();
    let metadata = "m".repeat(1 << 20);
    while rig.leader.refusal().is_none() {
        let offset = OffsetToCommit { metadata: metadata.clone(), ..offset("t", 0, 1) };
        let (command, _) = commit_command("g", vec![offset], &rig.image, usize::MAX);
        rig.leader.commit(&rig.tables, &nobody(), &command.unwrap(), 5).unwrap();
    }
    assert!(matches!(rig.commit("t", &nobody()), Err(GroupError::NotAvailable(_))));
    assert!(matches!(rig.join("").try_recv(), Ok(Err(GroupError::NotAvailable(_)))));
    rig.commit_all();
    assert!(rig.commit("t", &nobody()).is_ok());
}

#[test]
fn only_an_empty_group_is_deleted_and_its_offsets_go_along() {
    let mut rig = Rig::new();
    assert_eq!(rig.leader.delete(&rig.tables, "g").unwrap_err(), GroupError::GroupNotFound("g".to_owned()));
    let id = rig.stable();
    rig.commit("t", &member(&id)).unwrap();
    assert_eq!(rig.leader.delete(&rig.tables, "g").unwrap_err(), GroupError::NonEmptyGroup);
    rig.leader.leave(&rig.tables, "g", &[member(&id)], rig.now.monotonic);
    let mut deleted = rig.leader.delete(&rig.tables, "g").unwrap();
    assert!(rig.leader.describe(&rig.tables, "g").unwrap().members.is_empty(), "the old row is not looked at");
    rig.commit_all();
    assert!(deleted.try_recv().is_ok());
    assert!(!rig.tables.has_group("g") && rig.leader.groups.is_empty());
    assert_eq!(rig.leader.describe(&rig.tables, "g").unwrap_err(), GroupError::GroupNotFound("g".to_owned()));
}

#[test]
fn offsets_of_subscribed_topics_are_not_deleted() {
    let mut rig = Rig::new();
    let keys = || vec![("t".into(), 0), ("u".into(), 0)];
    assert_eq!(
        rig.leader.remove_offsets(&rig.tables, "g", keys()).unwrap_err(),
        GroupError::GroupNotFound("g".to_owned())
    );
    rig.commit("t", &nobody()).unwrap();
    rig.commit("u", &nobody()).unwrap();
    let id = rig.stable();
    let (results, mut pending) = rig.leader.remove_offsets(&rig.tables, "g", keys()).unwrap();
    assert_eq!(results, [Err(GroupError::SubscribedToTopic), Ok(())]);
    rig.commit_all();
    assert!(pending.try_recv().is_ok());
    assert_eq!((rig.committed("t"), rig.committed("u")), (Some(7), None));
    rig.leader.leave(&rig.tables, "g", &[member(&id)], rig.now.monotonic);
    rig.leader.remove_offsets(&rig.tables, "g", keys()).unwrap();
    rig.commit_all();
    assert_eq!(rig.committed("t"), None);
}

#[test]
fn a_simple_group_forgets_each_offset_in_its_time() {
    let mut rig = Rig::new();
    rig.commit("t", &nobody()).unwrap();
    rig.commit_all();
    rig.advance(600_000);
    rig.commit("u", &nobody()).unwrap();
    rig.commit_all();
    rig.advance(600_000);
    rig.commit_all();
    assert_eq!((rig.committed("t"), rig.committed("u")), (None, Some(7)));
    rig.advance(600_000);
    rig.commit_all();
    assert!(!rig.tables.has_group("g"));
}

#[test]
fn a_group_forgets_its_offsets_when_it_has_been_empty_long_enough() {
    let mut rig = Rig::new();
    let id = rig.stable();
    rig.commit("t", &member(&id)).unwrap();
    rig.commit("u", &member(&id)).unwrap();
    rig.commit_all();
    while rig.now.monotonic < 1_300_000 {
        rig.advance(5_000);
        rig.heartbeat(&id).unwrap();
        rig.commit_all();
    }
    assert_eq!((rig.committed("t"), rig.committed("u")), (Some(7), None), "it is subscribed to one of them");
    rig.leader.leave(&rig.tables, "g", &[member(&id)], rig.now.monotonic);
    rig.commit_all();
    rig.advance(600_000);
    rig.commit_all();
    assert_eq!(rig.committed("t"), Some(7), "the group has been empty for too short a time");
    rig.advance(600_000);
    rig.commit_all();
    assert!(!rig.tables.has_group("g"));
}

#[test]
fn what_the_client_says_about_retention_counts() {
    let mut rig = Rig::new();
    let offset = OffsetToCommit { retention_ms: Some(500_000), ..offset("t", 0, 1) };
    let (command, _) = commit_command("g", vec![offset], &rig.image, 10);
    rig.leader.commit(&rig.tables, &nobody(), &command.unwrap(), 5).unwrap();
    rig.commit_all();
    rig.advance(600_000);
    rig.commit_all();
    assert!(!rig.tables.has_group("g"));
}

#[test]
fn deleted_topics_take_their_offsets_along() {
    let mut rig = Rig::new();
    rig.commit("t", &nobody()).unwrap();
    rig.commit("u", &nobody()).unwrap();
    rig.commit_all();
    rig.image = image(2, &[("t", 9)]);
    rig.leader.sweep_topics(&rig.tables, &rig.image);
    rig.commit_all();
    assert_eq!((rig.committed("t"), rig.committed("u")), (None, None), "the topic made again is another one");
    rig.leader.sweep_topics(&rig.tables, &rig.image);
    assert!(!rig.leader.has_commands());
}

#[test]
fn an_old_image_says_nothing_about_newer_topics() {
    let mut rig = Rig::new();
    rig.image = image(5, &[("new", 3)]);
    rig.commit("new", &nobody()).unwrap();
    rig.commit_all();
    rig.leader.sweep_topics(&rig.tables, &image(4, &[]));
    assert!(!rig.leader.has_commands());
    rig.leader.sweep_topics(&rig.tables, &image(5, &[]));
    assert!(rig.leader.has_commands());
}

#[test]
fn an_unknown_member_makes_no_group() {
    let mut rig = Rig::new();
    assert_eq!(rig.join("stranger").try_recv().unwrap().unwrap_err(), GroupError::UnknownMember);
    let answer = rig.leader.sync(&rig.tables, sync("stranger"), 5).try_recv().unwrap();
    assert_eq!(answer.unwrap_err(), GroupError::UnknownMember);
    assert_eq!(rig.heartbeat("stranger"), Err(GroupError::UnknownMember));
    let (results, mut pending) = rig.leader.leave(&rig.tables, "g", &[member("stranger")], 5);
    assert_eq!(results, [Err(GroupError::UnknownMember)]);
    assert!(pending.try_recv().is_ok());
    assert!(rig.leader.list(&rig.tables).is_empty());
}

#[test]
fn heartbeats_leave_the_timers_alone() {
    let mut rig = Rig::new();
    let id = rig.stable();
    let armed = rig.leader.next_deadline();
    rig.advance(1_000);
    rig.heartbeat(&id).unwrap();
    let refreshed = rig.now.monotonic + SESSION as u64;
    assert_eq!(rig.leader.next_deadline(), armed, "the timer finds out by itself");
    rig.advance(armed - rig.now.monotonic);
    assert_eq!(rig.leader.next_deadline(), refreshed);
    assert_eq!(rig.heartbeat(&id), Ok(()));
}

#[test]
fn a_stall_of_the_process_costs_no_member_its_session() {
    let mut rig = Rig::new();
    let id = rig.stable();
    rig.leader.postpone(30_000);
    rig.advance(30_000 + SESSION as u64 - 1);
    assert_eq!(rig.heartbeat(&id), Ok(()));
}
