//! Groups on a clock that is turned by hand, over topics that come and go by hand.

mod classics;
mod fencing;
mod mixed;
mod offsets;
mod property;
mod racks;
mod reconciling;
mod regexes;
mod statics;

use std::collections::BTreeSet;
use std::sync::Arc;

use caudal_metadata::{ClusterImage, RaftGroupImage, TopicImage};
use caudal_types::{NodeId, RaftGroupId, TopicId};
use uuid::Uuid;

use super::*;
use crate::GroupError;
use crate::command::Entry;
use crate::model::consumer::{Heartbeat, HeartbeatAnswer};
use crate::tables::{Changes, Tables};

/// How long a test member may take to give partitions up, in milliseconds.
const REBALANCE: i32 = 30_000;
/// How long it may be silent.
const SESSION: Millis = 45_000;

type Answer = Result<HeartbeatAnswer, GroupError>;

/// A group, its clock, its topics and its rows.
struct Rig {
    config: CoordinatorConfig,
    image: ClusterImage,
    group: ConsumerGroup,
    tables: Tables,
    now: Millis,
}

/// A topic's id, made of its name's first letter.
pub(crate) fn topic_id(name: &str) -> TopicId {
    TopicId(Uuid::from_u128(u128::from(name.as_bytes()[0])))
}

/// An image with a topic.
pub(crate) fn put_topic(image: &mut ClusterImage, name: &str, partitions: usize) {
    let group = |_| RaftGroupImage { group: RaftGroupId(1), replicas: Vec::new() };
    let topic = TopicImage {
        id: topic_id(name),
        name: name.into(),
        configs: Default::default(),
        partitions: (0..partitions).map(group).collect(),
    };
    image.version += 1;
    image.topic_names.insert(topic.id, topic.name.clone());
    image.topics.insert(topic.name.clone(), Arc::new(topic));
}

fn partitions(of: &[(&str, &[i32])]) -> Partitions {
    of.iter().map(|(name, numbers)| (topic_id(name), numbers.iter().copied().collect())).collect()
}

/// What a member says as it joins.
fn joining(member: &str) -> Heartbeat {
    Heartbeat {
        rebalance_timeout_ms: Some(REBALANCE),
        topic_names: Some(vec!["t".to_owned()]),
        owned: Some(Partitions::new()),
        ..alive(member, 0)
    }
}

/// What a member says when nothing has changed.
fn alive(member: &str, epoch: i32) -> Heartbeat {
    Heartbeat {
        group_id: "g".to_owned(),
        member_id: member.to_owned(),
        member_epoch: epoch,
        client_id: "c".to_owned(),
        client_host: "/h".to_owned(),
        ..Heartbeat::default()
    }
}

/// What a member says when it has given up or taken partitions.
fn owning(member: &str, epoch: i32, owned: &[(&str, &[i32])]) -> Heartbeat {
    Heartbeat { owned: Some(partitions(owned)), ..alive(member, epoch) }
}

impl Rig {
    /// A topic `t` of six partitions.
    fn new() -> Self {
        let mut image = ClusterImage::default();
        put_topic(&mut image, "t", 6);
        Self {
            config: CoordinatorConfig::new(NodeId(1)),
            image,
            group: ConsumerGroup::new("g".into()),
            tables: Tables::default(),
            now: 1_000_000,
        }
    }

    fn ctx(&self) -> Context<'_> {
        Context { config: &self.config, now: self.now, image: &self.image }
    }

    /// A heartbeat whose command is committed at once.
    fn beat(&mut self, beat: &Heartbeat) -> Answer {
        let ctx = Context { config: &self.config, now: self.now, image: &self.image };
        let answer = self.group.heartbeat(ctx, beat);
        if answer.is_err() {
            assert!(self.group.take_change().is_none(), "a refusal changes nothing");
        }
        self.commit();
        answer
    }

    fn commit(&mut self) {
        let Some(command) = self.group.take_change() else { return };
        let entry = Entry { time: 0, image_version: 0, commands: vec![command] };
        self.tables.apply_next(entry, &mut Changes::default());
    }

    /// Another coordinator takes over.
    fn fail_over(&mut self) {
        let rows = self.tables.consumer_group("g").cloned().unwrap_or_default();
        self.group = ConsumerGroup::from_rows("g".into(), &rows, self.ctx());
    }

    fn advance(&mut self, by: Millis) {
        self.now += by;
        if self.group.next_deadline().is_some_and(|deadline| deadline <= self.now) {
            let ctx = Context { config: &self.config, now: self.now, image: &self.image };
            self.group.expire(ctx);
            self.commit();
        }
    }

    /// A member joins; its epoch and assignment.
    fn join(&mut self, member: &str) -> (i32, Partitions) {
        let answer = self.beat(&joining(member)).unwrap();
        assert_eq!(answer.member_id, member);
        (answer.member_epoch, answer.assignment.unwrap())
    }

    /// Two members that share `t`: `a` with the first half, `b` with the second, both in this epoch.
    fn pair(&mut self) -> i32 {
        self.join("a");
        self.join("b");
        self.beat(&alive("a", 1)).unwrap();
        let epoch = self.beat(&owning("a", 1, &[("t", &[0, 1, 2])])).unwrap().member_epoch;
        let answer = self.beat(&alive("b", epoch)).unwrap();
        assert_eq!(answer.assignment, Some(partitions(&[("t", &[3, 4, 5])])));
        assert_eq!(self.group.state(), "Stable");
        epoch
    }

    fn state_of(&self, member: &str) -> crate::rows::MemberState {
        self.group.members[member].row.progress.state
    }
}
