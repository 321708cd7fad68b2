//! Topics, and one setting of each as a register, read and written through alternating nodes: is the cluster's metadata linearizable?

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;
use rand::Rng;
use rand::rngs::StdRng;

use super::client::Outcome;
use super::{Run, admin, thread};
use crate::history::{Kind, Op};

/// Starts the workers.
///
/// # Errors
/// When threads cannot be started.
pub fn start(run: &Arc<Run>) -> Result<Vec<JoinHandle<()>>> {
    let start = |number| {
        let (run, random) = (Arc::clone(run), run.random(30 + number));
        let mut worker = Worker { process: run.recorder.new_process(), run, random };
        thread("register", move || {
            while !worker.run.stop.wait(Duration::from_millis(worker.random.random_range(0..60))) {
                worker.step();
            }
        })
    };
    (0..WORKERS).map(start).collect()
}

struct Worker {
    run: Arc<Run>,
    process: u32,
    random: StdRng,
}

impl Worker {
    fn step(&mut self) {
        let node = self.random.random_range(1..=self.run.requests.nodes());
        let topic = format!("r{}", self.random.random_range(0..TOPICS));
        match self.random.random_range(0..20) {
            0 => admin::list(&self.run, self.process, node),
            1..=2 => {
                let op = Op::CreateTopic { topic: topic.clone(), partitions: 1 };
                self.ask(op, |run| run.requests.create_topic(node, &topic, 1), |op, ()| op);
            }
            3..=9 => {
                let value = self.run.recorder.new_value();
                let op = Op::WriteConfig { topic: topic.clone(), value };
                self.ask(op, |run| run.requests.write_config(node, &topic, value), |op, ()| op);
            }
            _ => {
                let op = Op::ReadConfig { topic: topic.clone(), value: None };
                let answer = |_, value| Op::ReadConfig { topic: topic.clone(), value };
                self.ask(op, |run| run.requests.read_config(node, &topic), answer);
            }
        }
    }

    fn ask<T>(&mut self, op: Op, request: impl FnOnce(&Run) -> Outcome<T>, answer: impl FnOnce(Op, T) -> Op) {
        self.run.recorder.note(self.process, Kind::Invoke, op.clone(), None);
        let (kind, op, error) = match request(&self.run) {
            Outcome::Ok(value) => (Kind::Ok, answer(op, value), None),
            Outcome::Fail(error) => (Kind::Fail, op, Some(error)),
            Outcome::Info(error) => (Kind::Info, op, Some(error)),
        };
        self.run.recorder.note(self.process, kind, op, error);
        if kind == Kind::Info {
            self.process = self.run.recorder.new_process();
        }
    }
}

const WORKERS: u64 = 4;
const TOPICS: u32 = 3;
