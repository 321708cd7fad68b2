//! Requests to certain nodes: to every one, or to the one that coordinates a group or a transactional id.

use std::collections::BTreeMap;
use std::future::Future;

use caudal_protocol::messages::{FindCoordinatorRequest, Request};
use futures::future::join_all;

use crate::admin::text;
use crate::{Broker, Client, ClientError, ClusterMetadata};

/// A node that gave no answer.
#[derive(Debug)]
pub struct Silent {
    /// Who.
    pub node: i32,
    /// Why.
    pub error: ClientError,
}

/// What the nodes that answer know between them.
#[derive(Debug)]
pub struct Answers<T> {
    /// What they know.
    pub found: Vec<T>,
    /// The nodes that did not answer: what only they know is missing.
    pub silent: Vec<Silent>,
}

/// What a node coordinates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coordinated<'a> {
    Group(&'a str),
    TransactionalId(&'a str),
}

impl Coordinated<'_> {
    /// Kafka's number for the kind, and the key.
    fn as_kafka(&self) -> (i8, &str) {
        match self {
            Self::Group(group) => (0, group),
            Self::TransactionalId(id) => (1, id),
        }
    }
}

impl Client {
    /// The nodes of the cluster.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn nodes(&self) -> Result<Vec<Broker>, ClientError> {
        let mut nodes = self.metadata(Some(&[])).await?.brokers;
        nodes.sort_by_key(|node| node.id);
        Ok(nodes)
    }

    /// Asks every node at the same time, once.
    ///
    /// # Errors
    /// When the nodes cannot be found out, and when none of them answers.
    pub(crate) async fn ask_all<T, F>(&self, ask: impl Fn(Broker) -> F) -> Result<Answers<T>, ClientError>
    where
        F: Future<Output = Result<Vec<T>, ClientError>>,
    {
        let nodes = self.nodes().await?;
        let ids: Vec<_> = nodes.iter().map(|node| node.id).collect();
        let answers = join_all(nodes.into_iter().map(ask)).await;
        gather(ids.into_iter().zip(answers))
    }

    /// Sends a request to the node that coordinates a group or a transactional id; tries again while that moves.
    ///
    /// # Errors
    /// See [`ClientError`], and those of `read`.
    pub(crate) async fn at_coordinator<R: Request, T>(
        &self,
        of: Coordinated<'_>,
        request: &R,
        read: impl Fn(&Broker, R::Response) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let mut retry = self.retry();
        loop {
            let answer = async {
                let coordinator = self.coordinator(of).await?;
                let response = self.call_at(&coordinator.address(), request).await?;
                read(&coordinator, response)
            };
            match answer.await {
                Ok(read) => return Ok(read),
                Err(error) => retry.after(error).await?,
            }
        }
    }

    async fn coordinator(&self, of: Coordinated<'_>) -> Result<Broker, ClientError> {
        let (kind, key) = of.as_kafka();
        let request = FindCoordinatorRequest::default().with_key_type(kind).with_coordinator_keys(vec![text(key)]);
        let response = self.call_any(&request).await?;
        let what = || format!("the coordinator of '{key}'");
        let found = response.coordinators.first().ok_or_else(|| ClientError::Missing(what()))?;
        ClientError::check(found.error_code, found.error_message.as_deref(), || format!("asking for {}", what()))?;
        let port = u16::try_from(found.port).unwrap_or(0);
        Ok(Broker { id: found.node_id.0, host: found.host.to_string(), port, rack: None })
    }
}

/// Puts together what each node answered; an error only when none did.
pub(crate) fn gather<T>(
    answers: impl Iterator<Item = (i32, Result<Vec<T>, ClientError>)>,
) -> Result<Answers<T>, ClientError> {
    let (mut found, mut silent, mut answered) = (Vec::new(), Vec::new(), 0);
    for (node, answer) in answers {
        match answer {
            Ok(part) => {
                answered += 1;
                found.extend(part);
            }
            Err(error) => silent.push(Silent { node, error }),
        }
    }
    match silent.pop() {
        Some(last) if answered == 0 => Err(last.error),
        last => {
            silent.extend(last);
            Ok(Answers { found, silent })
        }
    }
}

/// The partitions of each topic by the node that leads them; those without a leader are left out.
pub(crate) fn by_leader(cluster: &ClusterMetadata) -> BTreeMap<i32, BTreeMap<String, Vec<i32>>> {
    let mut by_leader: BTreeMap<i32, BTreeMap<String, Vec<i32>>> = BTreeMap::new();
    for topic in &cluster.topics {
        for partition in &topic.partitions {
            if let Some(leader) = partition.leader {
                by_leader.entry(leader).or_default().entry(topic.name.clone()).or_default().push(partition.index);
            }
        }
    }
    by_leader
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure() -> ClientError {
        ClientError::Missing("anything".to_owned())
    }

    #[test]
    fn those_that_answer_are_enough() {
        let answers = [(1, Ok(vec!["a"])), (2, Err(failure())), (3, Ok(vec!["b", "c"]))];
        let answers = gather(answers.into_iter()).expect("two have answered");
        assert_eq!(answers.found, ["a", "b", "c"]);
        assert_eq!(answers.silent.iter().map(|silent| silent.node).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn an_answer_may_be_that_there_is_nothing() {
        let answers = [(1, Ok(Vec::<i32>::new())), (2, Err(failure()))];
        assert!(gather(answers.into_iter()).expect("one has answered").found.is_empty());
        assert!(gather([(1, Err::<Vec<i32>, _>(failure()))].into_iter()).is_err());
    }
}
