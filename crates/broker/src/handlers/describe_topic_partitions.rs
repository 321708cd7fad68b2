//! DescribeTopicPartitions: topics with their partitions, page by page (KIP-966).

use std::collections::BTreeSet;

use caudal_metadata::{ClusterImage, TopicImage};
use caudal_protocol::ErrorCode;
use caudal_protocol::messages::describe_topic_partitions_request::{Cursor, DescribeTopicPartitionsRequest};
use caudal_protocol::messages::describe_topic_partitions_response::{
    Cursor as NextCursor, DescribeTopicPartitionsResponse, DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
};
use caudal_types::limits::DESCRIBED_PARTITIONS_MAX;
use caudal_types::topic_name::validate_topic_name;

use crate::access;
use crate::cluster::Cluster;
use crate::table::{Handler, Outcome, RequestContext};
use crate::text::topic_name;

pub(crate) struct DescribeTopicPartitions {
    cluster: Cluster,
}

/// A part of a topic that goes onto the page.
#[derive(Debug, PartialEq, Eq)]
struct Span {
    name: String,
    from: usize,
    to: usize,
}

/// What goes onto the page, and where the next page begins.
#[derive(Debug, PartialEq, Eq)]
struct Page {
    spans: Vec<Span>,
    next: Option<(String, usize)>,
}

impl DescribeTopicPartitions {
    pub(crate) fn new(cluster: Cluster) -> Self {
        Self { cluster }
    }

    fn topic(&self, image: &ClusterImage, topic: &TopicImage, span: &Span) -> DescribeTopicPartitionsResponseTopic {
        let described = topic.partitions.iter().zip(0..).skip(span.from).take(span.to - span.from);
        let partitions = described.map(|(group, index)| {
            let state = self.cluster.partition_state(image, group);
            DescribeTopicPartitionsResponsePartition::default()
                .with_error_code(state.error.code())
                .with_partition_index(index)
                .with_leader_id(state.leader)
                .with_leader_epoch(state.leader_epoch)
                .with_replica_nodes(state.replicas)
                .with_isr_nodes(state.in_sync)
                .with_eligible_leader_replicas(Some(Vec::new()))
                .with_last_known_elr(Some(Vec::new()))
                .with_offline_replicas(state.offline)
        });
        DescribeTopicPartitionsResponseTopic::default()
            .with_name(Some(topic_name(&topic.name)))
            .with_topic_id(topic.id.0)
            .with_partitions(partitions.collect())
            .with_topic_authorized_operations(access::TOPIC)
    }
}

impl Page {
    /// Fills a page with at most `limit` partitions. `partitions_of` tells how many a topic has; one that does not exist takes no room.
    fn fill(
        names: BTreeSet<String>,
        start: (&str, usize),
        limit: usize,
        partitions_of: impl Fn(&str) -> usize,
    ) -> Self {
        let (mut spans, mut room) = (Vec::new(), limit);
        for name in names.into_iter().filter(|name| name.as_str() >= start.0) {
            let from = if name == start.0 { start.1 } else { 0 };
            if room == 0 {
                return Self { spans, next: Some((name, from)) };
            }
            let end = partitions_of(&name);
            let to = end.min(from.saturating_add(room)).max(from);
            room -= to - from;
            spans.push(Span { name: name.clone(), from, to });
            if to < end {
                return Self { spans, next: Some((name, to)) };
            }
        }
        Self { spans, next: None }
    }
}

impl Handler for DescribeTopicPartitions {
    type Request = DescribeTopicPartitionsRequest;
    type Response = DescribeTopicPartitionsResponse;

    async fn handle(
        &self,
        _context: &RequestContext,
        request: DescribeTopicPartitionsRequest,
    ) -> DescribeTopicPartitionsResponse {
        let image = self.cluster.image();
        let all = request.topics.is_empty();
        let names: BTreeSet<String> = if all {
            image.topics.keys().map(ToString::to_string).collect()
        } else {
            request.topics.iter().map(|topic| topic.name.to_string()).collect()
        };
        let start = match start(request.cursor.as_ref(), &names, all) {
            Ok(start) => start,
            Err(code) => {
                let topics = names.iter().map(|name| refusal(name, code)).collect();
                return DescribeTopicPartitionsResponse::default().with_topics(topics);
            }
        };
        let asked = usize::try_from(request.response_partition_limit).unwrap_or(0);
        let limit = asked.clamp(1, DESCRIBED_PARTITIONS_MAX);
        let page =
            Page::fill(names, (&start.0, start.1), limit, |name| image.topic(name).map_or(0, |t| t.partitions.len()));
        let topics = page.spans.iter().map(|span| match image.topic(&span.name) {
            Some(topic) => self.topic(&image, topic, span),
            None if validate_topic_name(&span.name).is_err() => refusal(&span.name, ErrorCode::INVALID_TOPIC_EXCEPTION),
            None => refusal(&span.name, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        });
        let cursor = page.next.as_ref().map(|(name, index)| {
            let index = i32::try_from(*index).unwrap_or(i32::MAX);
            NextCursor::default().with_topic_name(topic_name(name)).with_partition_index(index)
        });
        DescribeTopicPartitionsResponse::default().with_topics(topics.collect()).with_next_cursor(cursor)
    }
}

/// Where the page begins.
fn start(cursor: Option<&Cursor>, names: &BTreeSet<String>, all: bool) -> Result<(String, usize), ErrorCode> {
    let Some(cursor) = cursor else { return Ok((String::new(), 0)) };
    let index = usize::try_from(cursor.partition_index).map_err(|_| ErrorCode::INVALID_REQUEST)?;
    if !all && !names.contains(cursor.topic_name.as_str()) {
        return Err(ErrorCode::INVALID_REQUEST);
    }
    Ok((cursor.topic_name.to_string(), index))
}

fn refusal(name: &str, code: ErrorCode) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic::default()
        .with_error_code(code.code())
        .with_name(Some(topic_name(name)))
        .with_topic_authorized_operations(access::TOPIC)
}

impl Outcome for DescribeTopicPartitionsResponse {
    fn failed(&self) -> bool {
        self.topics.iter().any(|topic| topic.error_code != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> BTreeSet<String> {
        ["a", "b", "missing", "z"].map(str::to_owned).into()
    }

    fn partitions_of(name: &str) -> usize {
        match name {
            "missing" => 0,
            "b" => 5,
            _ => 2,
        }
    }

    #[test]
    fn pages_cover_every_partition_once() {
        for limit in 1..12 {
            let (mut start, mut seen) = ((String::new(), 0), Vec::new());
            loop {
                let page = Page::fill(names(), (&start.0, start.1), limit, partitions_of);
                assert!(page.spans.iter().map(|span| span.to - span.from).sum::<usize>() <= limit);
                seen.extend(page.spans.into_iter().flat_map(|s| (s.from..s.to).map(move |i| (s.name.clone(), i))));
                let Some(next) = page.next else { break };
                start = next;
            }
            let all = ["a", "b", "z"].into_iter().flat_map(|n| (0..partitions_of(n)).map(move |i| (n.to_owned(), i)));
            assert_eq!(seen, all.collect::<Vec<_>>(), "limit {limit}");
        }
    }

    #[test]
    fn a_cursor_beyond_the_topic_goes_on_with_the_next() {
        let page = Page::fill(names(), ("b", 9), 3, partitions_of);
        assert_eq!(page.spans[0], Span { name: "b".to_owned(), from: 9, to: 9 });
        assert_eq!(page.spans[2], Span { name: "z".to_owned(), from: 0, to: 2 });
        assert_eq!(page.next, None);
    }

    #[test]
    fn the_cursor_must_be_among_the_topics() {
        let cursor =
            |name: &'static str, index| Cursor::default().with_topic_name(topic_name(name)).with_partition_index(index);
        assert_eq!(start(None, &names(), false), Ok((String::new(), 0)));
        assert_eq!(start(Some(&cursor("b", 3)), &names(), false), Ok(("b".to_owned(), 3)));
        assert_eq!(start(Some(&cursor("q", 3)), &names(), false), Err(ErrorCode::INVALID_REQUEST));
        assert_eq!(start(Some(&cursor("q", 3)), &names(), true), Ok(("q".to_owned(), 3)));
        assert_eq!(start(Some(&cursor("b", -1)), &names(), true), Err(ErrorCode::INVALID_REQUEST));
    }
}
