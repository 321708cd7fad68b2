//! Which replica a consumer should read from (KIP-392).

use caudal_metadata::ClusterImage;
use caudal_types::NodeId;

use crate::config::ReplicaSelector;

/// Where a client is, when it says so and the node looks at it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientRack<'a>(&'a str);

impl<'a> ClientRack<'a> {
    /// `rack` is what the client says; an empty text means that it says nothing.
    pub(crate) fn of(selector: Option<ReplicaSelector>, rack: &'a str) -> Option<Self> {
        match selector {
            Some(ReplicaSelector::RackAware) if !rack.is_empty() => Some(Self(rack)),
            Some(ReplicaSelector::RackAware) | None => None,
        }
    }

    /// Whether a client at the leader `me` has no nearer place to go: it is where the leader is, or where no other of the `replicas` is.
    pub(crate) fn is_near(self, image: &ClusterImage, me: NodeId, replicas: &[NodeId]) -> bool {
        self.has(image, me) || !replicas.iter().any(|node| self.has(image, *node))
    }

    /// The follower that is in the client's rack; the most advanced one of several. `followers` are those that may be read from, with how far each is.
    pub(crate) fn nearest(self, image: &ClusterImage, followers: &[(NodeId, u64)]) -> Option<NodeId> {
        let near = followers.iter().filter(|(node, _)| self.has(image, *node));
        near.max_by_key(|(node, index)| (*index, *node)).map(|(node, _)| *node)
    }

    fn has(self, image: &ClusterImage, node: NodeId) -> bool {
        image.nodes.get(&node).and_then(|node| node.rack.as_deref()) == Some(self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use caudal_metadata::NodeImage;

    use super::*;

    const ME: NodeId = NodeId(1);

    /// Nodes 1 to 5 in these racks.
    fn image() -> ClusterImage {
        let node = |(id, rack): (u32, Option<&str>)| {
            let id = NodeId(id);
            let rack = rack.map(ToOwned::to_owned);
            (id, Arc::new(NodeImage { id, host: "localhost".to_owned(), port: 1, rack }))
        };
        let racks = [Some("a"), Some("b"), Some("b"), Some("c"), None];
        ClusterImage { nodes: (1..).zip(racks).map(node).collect(), ..ClusterImage::default() }
    }

    fn nearest(rack: &str, followers: &[(u32, u64)]) -> Option<u32> {
        let rack = ClientRack::of(Some(ReplicaSelector::RackAware), rack)?;
        let followers: Vec<_> = followers.iter().map(|&(node, index)| (NodeId(node), index)).collect();
        let all = [ME, NodeId(2), NodeId(3), NodeId(4), NodeId(5)];
        if rack.is_near(&image(), ME, &all) {
            return None;
        }
        rack.nearest(&image(), &followers).map(|node| node.0)
    }

    #[test]
    fn a_client_is_sent_to_its_rack() {
        assert_eq!(nearest("b", &[(2, 10), (4, 20)]), Some(2));
        assert_eq!(nearest("b", &[(2, 10), (3, 11), (4, 20)]), Some(3), "the most advanced one");
        assert_eq!(nearest("b", &[(4, 20)]), None, "none there may be read from");
        assert_eq!(nearest("a", &[(2, 10), (4, 20)]), None, "it is where the leader is");
        assert_eq!(nearest("d", &[(2, 10), (4, 20)]), None);
        assert_eq!(nearest("", &[(2, 10), (5, 20)]), None, "no rack is none to be near to");
    }

    #[test]
    fn without_a_selector_leaders_serve_everybody() {
        assert!(ClientRack::of(None, "b").is_none());
    }
}
