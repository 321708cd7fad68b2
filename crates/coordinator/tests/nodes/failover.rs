//! What groups and their members notice when their coordinator goes.

use std::collections::BTreeSet;

use bytes::Bytes;
use caudal_coordinator::model::consumer::{self, Heartbeat, HeartbeatAnswer};
use caudal_coordinator::model::{FetchingMember, JoinRequest, Joined, MemberIdentity, OffsetToCommit, SyncRequest};
use caudal_coordinator::{Coordinator, GroupError, OffsetsQuestion};
use caudal_types::NodeId;
use tokio::time::{Instant, sleep, timeout};

use crate::harness::{Cluster, DEADLINE, GROUP, POLL, TOPIC};

fn join_request(member_id: &str) -> JoinRequest {
    JoinRequest {
        group_id: GROUP.to_owned(),
        member_id: member_id.to_owned(),
        client_id: "test".to_owned(),
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![("range".to_owned(), Bytes::from_static(b"\0\0\0\0\0\x01\0\x07compras\xff\xff\xff\xff"))],
        require_known_member_id: true,
        ..JoinRequest::default()
    }
}

/// Joins as clients do: once for the id, once with it.
async fn join(coordinator: &Coordinator) -> Joined {
    let Err(GroupError::MemberIdRequired { member_id }) = coordinator.join(join_request("")).await else {
        panic!("an id is required")
    };
    timeout(DEADLINE, coordinator.join(join_request(&member_id))).await.unwrap().unwrap()
}

/// A member that is alone in its group and has its assignment.
async fn stable_member(coordinator: &Coordinator) -> MemberIdentity {
    let joined = join(coordinator).await;
    let sync = SyncRequest {
        group_id: GROUP.to_owned(),
        generation: joined.generation,
        member_id: joined.member_id.clone(),
        assignments: vec![(joined.member_id.clone(), Bytes::from_static(b"all"))],
        ..SyncRequest::default()
    };
    assert_eq!(coordinator.sync(sync).await.unwrap().assignment, Bytes::from_static(b"all"));
    MemberIdentity {
        member_id: joined.member_id,
        instance_id: None,
        generation: joined.generation,
        before_epochs: false,
    }
}

fn offset(offset: i64) -> OffsetToCommit {
    OffsetToCommit { key: (TOPIC.into(), 0), offset, leader_epoch: 1, metadata: "m".to_owned(), retention_ms: None }
}

fn question(stable: bool, member: Option<(&str, i32)>) -> OffsetsQuestion {
    let member = member.map(|(id, epoch)| FetchingMember { id: Some(id.to_owned()), epoch });
    OffsetsQuestion { group_id: GROUP.to_owned(), member, keys: Some(vec![(TOPIC.into(), 0)]), stable }
}

async fn committed(coordinator: &Coordinator) -> Option<i64> {
    let offsets = coordinator.fetch_offsets(&question(false, None)).await.unwrap();
    offsets[0].1.as_ref().unwrap().as_ref().map(|committed| committed.offset)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_goes_on_when_its_coordinator_is_killed() {
    let mut cluster = Cluster::start().await;
    let (leader, coordinator) = cluster.coordinator().await;
    let member = stable_member(coordinator).await;
    assert_eq!(coordinator.commit_offsets(GROUP, &member, vec![offset(42)]).await, Ok(vec![Ok(())]));
    assert_eq!(committed(coordinator).await, Some(42));
    cluster.0.remove(&leader).unwrap().kill().await;

    let (next, coordinator) = cluster.coordinator().await;
    assert_ne!(next, leader);
    assert_eq!(coordinator.heartbeat(GROUP, &member), Ok(()), "no rebalance, no loading");
    assert_eq!(committed(coordinator).await, Some(42));
    let described = coordinator.describe_group(GROUP).unwrap();
    assert_eq!((described.state, described.members.len()), ("Stable", 1));
    assert_eq!(described.members[0].assignment, Bytes::from_static(b"all"));
    assert_eq!(coordinator.commit_offsets(GROUP, &member, vec![offset(43)]).await, Ok(vec![Ok(())]));
    assert_eq!(committed(coordinator).await, Some(43));
    cluster.until("all know the coordinator", |node| node.coordinator.coordinator_of(GROUP) == Some(next)).await;
    for (id, node) in &cluster.0 {
        if *id != next {
            let refused = Err(GroupError::NotCoordinator { coordinator: Some(next) });
            assert_eq!(node.coordinator.heartbeat(GROUP, &member), refused);
            assert!(node.coordinator.list_groups().iter().all(|group| group.group_id != GROUP));
            assert_eq!(committed(&node.coordinator).await, Some(43), "offsets are told by every node");
        }
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_is_told_when_leadership_is_handed_over() {
    let cluster = Cluster::start().await;
    let (leader, coordinator) = cluster.coordinator().await;
    let member = stable_member(coordinator).await;
    let old_client = JoinRequest { require_known_member_id: false, ..join_request("") };
    let waiting = timeout(DEADLINE, coordinator.join(old_client));
    let hand_over = async {
        let begun = Instant::now();
        while coordinator.heartbeat(GROUP, &member) != Err(GroupError::RebalanceInProgress) {
            assert!(begun.elapsed() < DEADLINE, "the group waits for its members");
            sleep(POLL).await;
        }
        cluster.0[&leader].groups.transfer_all(DEADLINE).await;
    };
    let (answer, ()) = tokio::join!(waiting, hand_over);
    let answer = answer.unwrap();
    assert!(matches!(answer, Err(GroupError::NotCoordinator { .. })), "{answer:?}");

    let (_, coordinator) = cluster.coordinator().await;
    assert_eq!(coordinator.heartbeat(GROUP, &member), Ok(()));
    assert_eq!(coordinator.leave(GROUP, vec![member.clone()]).await, Ok(vec![Ok(())]));
    assert_eq!(coordinator.heartbeat(GROUP, &member), Err(GroupError::UnknownMember));
    assert_eq!(coordinator.delete_group(GROUP).await, Ok(()));
    assert_eq!(coordinator.describe_group(GROUP).unwrap_err(), GroupError::GroupNotFound(GROUP.to_owned()));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_topic_takes_its_offsets_along() {
    let cluster = Cluster::start().await;
    let (_, coordinator) = cluster.coordinator().await;
    let nobody = MemberIdentity { generation: -1, ..MemberIdentity::default() };
    assert_eq!(coordinator.commit_offsets(GROUP, &nobody, vec![offset(7)]).await, Ok(vec![Ok(())]));
    let controller = &cluster.0[&NodeId(2)].controller;
    let id = controller.image().topic(TOPIC).unwrap().id;
    assert_eq!(controller.delete_topics(vec![id], DEADLINE).await, [Ok(())]);
    let begun = Instant::now();
    while committed(coordinator).await.is_some() {
        assert!(begun.elapsed() < DEADLINE);
        sleep(POLL).await;
    }
    cluster.stop().await;
}

/// Commits ever larger offsets, wherever the coordinator is, and reads each back; a heartbeat goes with each.
async fn commit_and_read(cluster: &Cluster, member: &MemberIdentity, until: i64) {
    for next in 1..=until {
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < DEADLINE, "a commit is acknowledged at last");
            let (_, coordinator) = cluster.coordinator().await;
            match coordinator.commit_offsets(GROUP, member, vec![offset(next)]).await {
                Ok(results) => break assert_eq!(results, [Ok(())]),
                Err(GroupError::NotCoordinator { .. } | GroupError::NotAvailable(_)) => sleep(POLL).await,
                Err(other) => panic!("{other}"),
            }
        }
        let (_, coordinator) = cluster.coordinator().await;
        match coordinator.fetch_offsets(&question(true, None)).await {
            Ok(offsets) => {
                assert_eq!(offsets[0].1.as_ref().unwrap().as_ref().map(|committed| committed.offset), Some(next))
            }
            Err(error) => assert!(matches!(error, GroupError::NotCoordinator { .. } | GroupError::NotAvailable(_))),
        }
        match coordinator.heartbeat(GROUP, member) {
            Ok(()) | Err(GroupError::NotCoordinator { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_commits_outlive_many_handovers() {
    let cluster = Cluster::start().await;
    let (_, coordinator) = cluster.coordinator().await;
    let member = stable_member(coordinator).await;
    let commits = commit_and_read(&cluster, &member, 300);
    let hand_over = async {
        for _ in 0..10 {
            let (leader, _) = cluster.coordinator().await;
            cluster.0[&leader].groups.transfer_all(DEADLINE).await;
            sleep(POLL).await;
        }
    };
    tokio::join!(commits, hand_over);
    let (_, coordinator) = cluster.coordinator().await;
    assert_eq!(committed(coordinator).await, Some(300));
    assert_eq!(coordinator.describe_group(GROUP).unwrap().state, "Stable");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_tells_offsets_while_the_coordinator_moves() {
    let cluster = Cluster::start().await;
    let (_, coordinator) = cluster.coordinator().await;
    let nobody = MemberIdentity { generation: -1, ..MemberIdentity::default() };
    assert_eq!(coordinator.commit_offsets(GROUP, &nobody, vec![offset(7)]).await, Ok(vec![Ok(())]));
    for _ in 0..10 {
        let (leader, _) = cluster.coordinator().await;
        let handing_over = cluster.0[&leader].groups.transfer_all(DEADLINE);
        let asking = async {
            for node in cluster.0.values() {
                assert_eq!(committed(&node.coordinator).await, Some(7));
            }
        };
        tokio::join!(handing_over, asking);
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_whose_disk_fails_acknowledges_nothing_and_is_replaced() {
    let cluster = Cluster::start().await;
    let (leader, coordinator) = cluster.coordinator().await;
    let member = stable_member(coordinator).await;
    assert_eq!(coordinator.commit_offsets(GROUP, &member, vec![offset(1)]).await, Ok(vec![Ok(())]));
    cluster.0[&leader].engine.fail_writes(Some("the disk is gone".to_owned()));
    let answer = coordinator.commit_offsets(GROUP, &member, vec![offset(2)]).await;
    assert!(matches!(answer, Err(GroupError::NotCoordinator { .. } | GroupError::NotAvailable(_))), "{answer:?}");
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < DEADLINE, "another node takes over");
        let (next, coordinator) = cluster.coordinator().await;
        if next != leader {
            assert_eq!(coordinator.heartbeat(GROUP, &member), Ok(()));
            assert_eq!(coordinator.commit_offsets(GROUP, &member, vec![offset(3)]).await, Ok(vec![Ok(())]));
            assert_eq!(committed(coordinator).await, Some(3));
            break;
        }
        sleep(POLL).await;
    }
    cluster.stop().await;
}

/// Sends a heartbeat of the consumer protocol, wherever the coordinator is, until it is taken: a node that takes over may not know the newest topics yet.
async fn beat(cluster: &Cluster, beat: Heartbeat) -> HeartbeatAnswer {
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < DEADLINE, "a heartbeat is answered at last");
        let (_, coordinator) = cluster.coordinator().await;
        match coordinator.consumer_heartbeat(beat.clone()).await {
            Ok(answer) => return answer,
            Err(GroupError::NotCoordinator { .. } | GroupError::NotAvailable(_)) => sleep(POLL).await,
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_the_consumer_protocol_go_on_in_their_epochs_when_their_coordinator_is_killed() {
    let mut cluster = Cluster::start().await;
    let topic = cluster.0[&NodeId(1)].controller.image().topic(TOPIC).unwrap().id;
    let alive = |member: &str, epoch| Heartbeat {
        group_id: GROUP.to_owned(),
        member_id: member.to_owned(),
        member_epoch: epoch,
        ..Heartbeat::default()
    };
    let joining = |member: &str| Heartbeat {
        rebalance_timeout_ms: Some(60_000),
        topic_names: Some(vec![TOPIC.to_owned()]),
        owned: Some(consumer::Partitions::new()),
        ..alive(member, 0)
    };
    let all = consumer::Partitions::from([(topic, BTreeSet::from([0]))]);
    let first = beat(&cluster, joining("a")).await;
    assert_eq!((first.member_epoch, first.assignment), (1, Some(all.clone())));
    assert_eq!(beat(&cluster, joining("b")).await.assignment, Some(consumer::Partitions::new()));
    assert_eq!(beat(&cluster, alive("a", 1)).await.member_epoch, 2);
    let (leader, coordinator) = cluster.coordinator().await;
    let member = |epoch| MemberIdentity {
        member_id: "a".to_owned(),
        instance_id: None,
        generation: epoch,
        before_epochs: false,
    };
    assert_eq!(coordinator.commit_offsets(GROUP, &member(2), vec![offset(42)]).await, Ok(vec![Ok(())]));
    cluster.0.remove(&leader).unwrap().kill().await;

    for (id, epoch) in [("a", 2), ("b", 2)] {
        let answer = beat(&cluster, alive(id, epoch)).await;
        assert_eq!((answer.member_epoch, answer.assignment), (epoch, None), "{id} notices nothing");
    }
    let (next, coordinator) = cluster.coordinator().await;
    assert_ne!(next, leader);
    let described = coordinator.describe_consumer_group(GROUP).unwrap();
    assert_eq!((described.state, described.epoch, described.members.len()), ("Stable", 2, 2));
    assert_eq!(described.members[0].assignment, all);
    assert!(matches!(coordinator.describe_group(GROUP), Err(GroupError::OtherProtocol(_))));
    // What it has had since its first epoch, it may commit in it.
    assert_eq!(coordinator.commit_offsets(GROUP, &member(1), vec![offset(43)]).await, Ok(vec![Ok(())]));
    let stranger = MemberIdentity { member_id: "b".to_owned(), ..member(1) };
    let refused = Ok(vec![Err(GroupError::StaleMemberEpoch)]);
    assert_eq!(coordinator.commit_offsets(GROUP, &stranger, vec![offset(99)]).await, refused);
    assert_eq!(committed(coordinator).await, Some(43));
    for node in cluster.0.values() {
        let fetch = async |member| node.coordinator.fetch_offsets(&question(true, Some(member))).await.map(|_| ());
        assert_eq!(fetch(("a", 2)).await, Ok(()));
        assert_eq!(fetch(("a", 1)).await, Err(GroupError::StaleMemberEpoch));
        assert_eq!(fetch(("c", 1)).await, Err(GroupError::UnknownMember));
    }

    beat(&cluster, alive("a", -1)).await;
    assert_eq!(beat(&cluster, alive("b", 2)).await.assignment, Some(all));
    beat(&cluster, alive("b", -1)).await;
    let (_, coordinator) = cluster.coordinator().await;
    assert_eq!(coordinator.describe_consumer_group(GROUP).unwrap().state, "Empty");
    assert_eq!(coordinator.delete_group(GROUP).await, Ok(()));
    assert!(coordinator.list_groups().is_empty());
    cluster.stop().await;
}
