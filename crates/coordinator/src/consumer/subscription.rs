//! From topic names and regular expressions to topics.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use caudal_metadata::{ClusterImage, RaftGroupImage, TopicImage};
use caudal_types::TopicId;
use caudal_types::limits::TOPIC_REGEX_MAX_BYTES;
use regex::{Regex, RegexBuilder};

use super::assignor::Racks;
use super::{ConsumerGroup, Context};
use crate::GroupError;
use crate::classic::Millis;
use crate::rows::ConsumerMemberRow;

/// How often regular expressions are matched with all topics, at most: topics may come by the hundred.
const MATCH_EVERY_MS: Millis = 1000;

/// The most memory that a compiled regular expression may take.
const COMPILED_MAX_BYTES: usize = 1 << 20;

/// A regular expression that members subscribe to.
#[derive(Debug)]
pub(super) struct Pattern {
    /// How many.
    pub(super) members: usize,
    /// Nothing if it cannot be compiled (any more).
    regex: Option<Regex>,
    /// The topics that it matches.
    topics: BTreeSet<Arc<str>>,
}

impl Pattern {
    pub(super) fn new(regex: &str) -> Self {
        Self { members: 1, regex: compile(regex).ok(), topics: BTreeSet::new() }
    }

    pub(super) fn matches(&self, topic: &str) -> bool {
        self.regex.as_ref().is_some_and(|regex| regex.is_match(topic))
    }
}

/// Compiles a regular expression that must match a topic's whole name. As RE2 does, the crate knows neither back references nor looking around, so
/// that matching takes linear time.
///
/// # Errors
/// Why it is none.
pub(super) fn compile(regex: &str) -> Result<Regex, GroupError> {
    if regex.len() > TOPIC_REGEX_MAX_BYTES {
        return Err(GroupError::InvalidRegex(format!(
            "SubscribedTopicRegex has {} bytes; the most is {TOPIC_REGEX_MAX_BYTES}",
            regex.len()
        )));
    }
    // Compiled alone first: what is only whole between the parentheses is none, such as `a)|(b`.
    let compile = |regex: &str| RegexBuilder::new(regex).size_limit(COMPILED_MAX_BYTES).build();
    compile(regex).and_then(|_| compile(&format!("^(?:{regex})$"))).map_err(|error| {
        GroupError::InvalidRegex(format!("SubscribedTopicRegex '{regex}' is not a valid regular expression: {error}"))
    })
}

impl ConsumerGroup {
    /// Looks at the topics that members subscribe to; if they have changed, the group's epoch rises.
    pub(super) fn refresh_topics(&mut self, ctx: Context<'_>) {
        if self.seen == Some(ctx.image.version) {
            return;
        }
        if !self.patterns.is_empty() {
            if self.matched_at.is_some_and(|at| ctx.now < at + MATCH_EVERY_MS) {
                return;
            }
            self.matched_at = Some(ctx.now);
            for pattern in self.patterns.values_mut() {
                let matching = ctx.image.topics.keys().filter(|name| pattern.matches(name));
                pattern.topics = matching.cloned().collect();
            }
        }
        self.seen = Some(ctx.image.version);
        let fingerprint = fingerprint(ctx.image, self.subscribed(ctx.image));
        if fingerprint != self.row.topics {
            self.row.topics = fingerprint;
            self.next_epoch("topics have changed");
        }
    }

    /// Subscriptions have changed: the next look at the topics cannot be spared.
    pub(super) fn forget_topics(&mut self) {
        self.seen = None;
    }

    /// The topics that exist and that some member subscribes to, by name.
    fn subscribed<'a>(&'a self, image: &'a ClusterImage) -> BTreeMap<&'a str, &'a TopicImage> {
        let names = self.names.keys().map(String::as_str);
        let matched = self.patterns.values().flat_map(|pattern| &pattern.topics).map(|name| &**name);
        names.chain(matched).filter_map(|name| Some((name, &**image.topic(name)?))).collect()
    }

    /// How many partitions each topic has that exists and that some member subscribes to.
    pub(super) fn partition_counts(&self, image: &ClusterImage) -> BTreeMap<TopicId, i32> {
        let count = |topic: &TopicImage| i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        self.subscribed(image).into_values().map(|topic| (topic.id, count(topic))).collect()
    }

    /// The racks of the replicas of these partitions, if some member says where it is.
    pub(super) fn partition_racks<'a>(&'a self, image: &'a ClusterImage) -> Racks<'a> {
        if self.members.values().all(|member| member.row.rack_id.is_none()) {
            return Racks::new();
        }
        let racks = |topic: &'a TopicImage| topic.partitions.iter().map(|partition| racks(image, partition)).collect();
        self.subscribed(image).into_values().map(|topic| (topic.id, racks(topic))).collect()
    }

    /// Whether the member subscribes to a topic that exists.
    pub(super) fn subscribes(&self, image: &ClusterImage, row: &ConsumerMemberRow, topic: TopicId) -> bool {
        let Some(name) = image.topic_names.get(&topic) else { return false };
        row.topic_names.contains(&**name) || self.pattern(row).is_some_and(|pattern| pattern.topics.contains(name))
    }

    /// The topics of every member, in the order of the members. Members that subscribe alike share a set: there may be a thousand of them.
    pub(super) fn topics_of_members(&self, image: &ClusterImage) -> Vec<Arc<BTreeSet<TopicId>>> {
        type Subscription<'a> = (&'a BTreeSet<String>, Option<&'a str>);
        let mut sets: HashMap<Subscription<'_>, Arc<BTreeSet<TopicId>>> = HashMap::new();
        let topics = |row: &ConsumerMemberRow| {
            let names = row.topic_names.iter().map(String::as_str);
            let matched = self.pattern(row).into_iter().flat_map(|pattern| &pattern.topics).map(|name| &**name);
            Arc::new(names.chain(matched).filter_map(|name| Some(image.topic(name)?.id)).collect())
        };
        let mut of_member = |row| {
            let row: &ConsumerMemberRow = row;
            sets.entry((&row.topic_names, row.topic_regex.as_deref())).or_insert_with(|| topics(row)).clone()
        };
        self.members.values().map(|member| of_member(&member.row)).collect()
    }

    fn pattern(&self, row: &ConsumerMemberRow) -> Option<&Pattern> {
        row.topic_regex.as_ref().and_then(|regex| self.patterns.get(regex))
    }
}

/// The racks in which a partition has replicas.
fn racks<'a>(image: &'a ClusterImage, partition: &RaftGroupImage) -> BTreeSet<&'a str> {
    partition.replicas.iter().filter_map(|node| image.nodes.get(node)?.rack.as_deref()).collect()
}

/// A number that is another one when topics come, go or grow, or are in other racks (KIP-1101): FNV-1a of names, ids, numbers of partitions, and racks where nodes
/// have any. It is stored, so it must be the same on every node and in every version.
fn fingerprint(image: &ClusterImage, topics: BTreeMap<&str, &TopicImage>) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut add = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    let has_racks = image.nodes.values().any(|node| node.rack.is_some());
    for (name, topic) in &topics {
        add(name.as_bytes());
        add(&[0]);
        add(topic.id.0.as_bytes());
        add(&u64::try_from(topic.partitions.len()).unwrap_or(u64::MAX).to_be_bytes());
        for partition in topic.partitions.iter().filter(|_| has_racks) {
            for rack in racks(image, partition) {
                add(rack.as_bytes());
                add(&[0]);
            }
            add(&[1]);
        }
    }
    if topics.is_empty() { 0 } else { hash }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_match_whole_names_in_linear_time() {
        let matches = |regex: &str, name: &str| compile(regex).unwrap().is_match(name);
        assert!(matches("foo.*", "foobar") && !matches("foo", "foobar"));
        assert!(matches("a|b", "b") && !matches("a|b", "ab"));
        for wrong in ["[", "(a", "a)|(b", r"(a)\1", "(?=a)a", "a{1000}{1000}{1000}"] {
            assert!(matches!(compile(wrong), Err(GroupError::InvalidRegex(_))), "{wrong}");
        }
        assert!(compile(&"a".repeat(TOPIC_REGEX_MAX_BYTES + 1)).is_err());
    }
}
