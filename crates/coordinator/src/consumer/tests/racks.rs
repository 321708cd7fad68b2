//! Members and nodes that say where they are.

use caudal_metadata::NodeImage;

use super::*;

fn put_node(rig: &mut Rig, id: u32, rack: &str) {
    let node = NodeImage { id: NodeId(id), host: "h".to_owned(), port: 1, rack: Some(rack.to_owned()) };
    rig.image.nodes.insert(node.id, Arc::new(node));
    rig.image.version += 1;
}

/// Node 1 in rack `a` has the partitions with even numbers of `t`, node 2 in rack `b` the others.
fn rig() -> Rig {
    let mut rig = Rig::new();
    put_node(&mut rig, 1, "a");
    put_node(&mut rig, 2, "b");
    let topic = Arc::make_mut(rig.image.topics.get_mut("t").unwrap());
    for (id, partition) in [1, 2].into_iter().cycle().zip(&mut topic.partitions) {
        partition.replicas = vec![NodeId(id)];
    }
    rig
}

fn join(rig: &mut Rig, member: &str, rack: &str) {
    rig.beat(&Heartbeat { rack_id: Some(rack.to_owned()), ..joining(member) }).unwrap();
}

#[test]
fn members_get_what_lies_in_their_racks() {
    let mut rig = rig();
    join(&mut rig, "x", "b");
    join(&mut rig, "y", "a");
    assert_eq!(rig.group.targets["x"], partitions(&[("t", &[1, 3, 5])]));
    assert_eq!(rig.group.targets["y"], partitions(&[("t", &[0, 2, 4])]));
}

#[test]
fn members_that_are_nowhere_are_given_anything() {
    let mut rig = rig();
    rig.join("x");
    rig.join("y");
    assert_eq!(rig.group.targets["x"], partitions(&[("t", &[0, 1, 2])]));
}

#[test]
fn another_rack_of_a_node_is_a_reason_to_assign_anew() {
    let mut rig = rig();
    join(&mut rig, "x", "b");
    let epoch = rig.group.row.epoch;
    put_node(&mut rig, 3, "c");
    rig.beat(&alive("x", 1)).unwrap();
    assert_eq!(rig.group.row.epoch, epoch, "it has no replica");
    put_node(&mut rig, 2, "c");
    rig.beat(&alive("x", 1)).unwrap();
    assert_eq!(rig.group.row.epoch, epoch + 1);
}
