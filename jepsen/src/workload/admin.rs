//! Topics are created, deleted and grown while they are written and read.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IteratorRandom;

use super::client::Outcome;
use super::queue::{self, Habits, Reads, Sends};
use super::{Run, thread};
use crate::history::{Kind, Op};

/// Starts workers of a queue over the topics, and one who changes these.
///
/// # Errors
/// When threads cannot be started.
pub fn start(run: &Arc<Run>) -> Result<Vec<JoinHandle<()>>> {
    let reads = [Reads::Assigned, Reads::Subscribed, Reads::Assigned];
    let start = |(number, reads)| {
        queue::start_worker(run, number, Habits { sends: Sends::with_idempotence(number != 2), reads })
    };
    let mut threads = (0..).zip(reads).map(start).collect::<Result<Vec<_>>>()?;
    let mut administrator =
        Administrator { run: Arc::clone(run), process: run.recorder.new_process(), random: run.random(20), made: 0 };
    threads.push(thread("administrator", move || {
        while !administrator.run.stop.wait(CHANGE_EVERY) {
            administrator.step();
        }
    })?);
    Ok(threads)
}

struct Administrator {
    run: Arc<Run>,
    process: u32,
    random: StdRng,
    made: u32,
}

impl Administrator {
    fn step(&mut self) {
        let topics = self.run.topics();
        let node = self.random.random_range(1..=self.run.requests.nodes());
        let chosen = topics.iter().choose(&mut self.random).map(|(topic, partitions)| (topic.clone(), *partitions));
        match (self.random.random_range(0..4), chosen) {
            (0, _) if topics.len() < TOPICS_MAX => self.create(node),
            (1, Some((topic, _))) if topics.len() > 1 => self.delete(node, topic),
            (2, Some((topic, partitions))) if partitions < PARTITIONS_MAX => self.grow(node, topic, partitions + 1),
            _ => self.list(node),
        }
    }

    fn create(&mut self, node: u32) {
        self.made += 1;
        let (topic, partitions) = (format!("a{}", self.made), self.random.random_range(1..=2));
        let op = Op::CreateTopic { topic: topic.clone(), partitions };
        self.ask(op, |run| {
            let outcome = run.requests.create_topic(node, &topic, partitions);
            if outcome == Outcome::Ok(()) {
                run.has_topic(&topic, partitions);
            }
            outcome
        });
    }

    /// From now on nobody writes to it, whatever becomes of the request.
    fn delete(&mut self, node: u32, topic: String) {
        self.run.has_no_topic(&topic);
        self.ask(Op::DeleteTopic { topic: topic.clone() }, |run| run.requests.delete_topic(node, &topic));
    }

    fn grow(&mut self, node: u32, topic: String, partitions: u32) {
        self.ask(Op::GrowTopic { topic: topic.clone(), partitions }, |run| {
            let outcome = run.requests.grow_topic(node, &topic, partitions);
            if outcome == Outcome::Ok(()) {
                run.has_topic(&topic, partitions);
            }
            outcome
        });
    }

    fn list(&self, node: u32) {
        list(&self.run, self.process, node);
    }

    fn ask(&mut self, op: Op, request: impl FnOnce(&Run) -> Outcome<()>) {
        self.run.recorder.note(self.process, Kind::Invoke, op.clone(), None);
        let (kind, error) = match request(&self.run) {
            Outcome::Ok(()) => (Kind::Ok, None),
            Outcome::Fail(error) => (Kind::Fail, Some(error)),
            Outcome::Info(error) => (Kind::Info, Some(error)),
        };
        self.run.recorder.note(self.process, kind, op, error);
        if kind == Kind::Info {
            self.process = self.run.recorder.new_process();
        }
    }
}

/// Lists the topics as a node knows them.
pub(crate) fn list(run: &Run, process: u32, node: u32) {
    let op = |topics| Op::ListTopics { topics };
    run.recorder.note(process, Kind::Invoke, op(Default::default()), None);
    match run.requests.list_topics(node) {
        Ok(topics) => run.recorder.note(process, Kind::Ok, op(topics), None),
        Err(error) => run.recorder.note(process, Kind::Fail, op(Default::default()), Some(error)),
    }
}

const CHANGE_EVERY: Duration = Duration::from_millis(700);
const TOPICS_MAX: usize = 5;
const PARTITIONS_MAX: u32 = 4;
