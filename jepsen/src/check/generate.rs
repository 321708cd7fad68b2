//! Histories of a simulated log that does nothing wrong: to measure the checker, and to test that it finds nothing, and finds what is
//! then broken on purpose.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::history::{Event, Kind, Micro, NEMESIS, Offset, Op, Value};

use super::simulated::{Cluster, GROUP, key_name, topic_name};

/// What a history is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// Sends and polls, with assignments.
    Queue,
    /// The same in transactions.
    Transactions,
    /// A consumer group through rebalances, and commits.
    Group,
    /// Topics and settings.
    Admin,
}

/// What to make.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The same seed makes the same history.
    pub seed: u64,
    /// About how many operations.
    pub operations: u64,
    /// How many processes at a time.
    pub processes: u32,
    /// How many partitions.
    pub partitions: usize,
    /// Of what.
    pub mix: Mix,
}

/// Makes a history, event by event.
///
/// # Errors
/// Those of `put`.
pub fn generate(shape: &Shape, put: impl FnMut(&Event) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut rng = StdRng::seed_from_u64(shape.seed);
    let cluster = Cluster::new(shape.partitions);
    let processes = (0..shape.processes).map(|number| Process { number, ..Process::default() }).collect();
    let mut simulation = Simulation {
        shape,
        cluster,
        processes,
        next: shape.processes,
        time: rng.random_range(0..1000),
        rng,
        put,
        value: 0,
        late: vec![],
    };
    simulation.run()?;
    simulation.drain()
}

#[derive(Debug, Default)]
struct Process {
    number: u32,
    reads: bool,
    /// Where it is, by partition: a place in its log.
    positions: BTreeMap<usize, usize>,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Idle,
    Invoked(Op),
    Done(Op, Kind),
}

struct Simulation<'a, P> {
    shape: &'a Shape,
    cluster: Cluster,
    processes: Vec<Process>,
    next: u32,
    time: u64,
    rng: StdRng,
    put: P,
    value: Value,
    /// What was asked for, is in doubt, and may happen yet.
    late: Vec<Op>,
}

impl<P: FnMut(&Event) -> anyhow::Result<()>> Simulation<'_, P> {
    fn run(&mut self) -> anyhow::Result<()> {
        let mut invoked = 0;
        while invoked < self.shape.operations {
            let at = self.rng.random_range(0..self.processes.len());
            invoked += u64::from(matches!(self.processes[at].state, State::Idle));
            self.step(at)?;
            if self.rng.random_ratio(1, 500) {
                self.disturb()?;
            }
        }
        for at in 0..self.processes.len() {
            while !matches!(self.processes[at].state, State::Idle) {
                self.step(at)?;
            }
        }
        while !self.late.is_empty() {
            self.happen_late();
        }
        Ok(())
    }

    /// An operation is invoked, takes effect, and completes, each at its own time.
    fn step(&mut self, at: usize) -> anyhow::Result<()> {
        match std::mem::take(&mut self.processes[at].state) {
            State::Idle => {
                let op = self.choose(at);
                self.event(self.processes[at].number, Kind::Invoke, &op)?;
                self.processes[at].state = State::Invoked(op);
            }
            State::Invoked(op) => {
                let (answer, kind) = self.happen(at, op);
                self.processes[at].state = State::Done(answer, kind);
            }
            State::Done(op, kind) => {
                self.event(self.processes[at].number, kind, &op)?;
                if kind == Kind::Info {
                    self.processes[at] = Process { number: self.next, ..Process::default() };
                    self.next += 1;
                    self.cluster.leave(at);
                }
            }
        }
        Ok(())
    }

    fn event(&mut self, process: u32, kind: Kind, op: &Op) -> anyhow::Result<()> {
        self.time += self.rng.random_range(1_000..200_000);
        let error = matches!(kind, Kind::Fail | Kind::Info).then(|| "simulated".to_owned());
        (self.put)(&Event { time: self.time, process, kind, op: op.clone(), error })
    }

    fn choose(&mut self, at: usize) -> Op {
        match self.shape.mix {
            Mix::Admin => self.choose_admin(),
            Mix::Group if !self.processes[at].reads => {
                let topics = self.cluster.topics();
                Op::Subscribe { topics }
            }
            Mix::Group if self.rng.random_ratio(1, 4) => {
                let positions = self.processes[at].positions.iter();
                let owned = positions.filter(|(key, _)| self.cluster.owners[**key] == Some(at));
                let offsets = owned.map(|(key, place)| (key_name(*key), self.cluster.offset(*key, *place))).collect();
                if self.rng.random_ratio(3, 4) {
                    Op::Commit { group: GROUP.to_owned(), offsets }
                } else {
                    Op::Committed { group: GROUP.to_owned(), offsets: BTreeMap::new() }
                }
            }
            Mix::Queue | Mix::Transactions if !self.processes[at].reads || self.rng.random_ratio(1, 200) => {
                let count = self.shape.partitions;
                let keys = (0..count).filter(|_| self.rng.random_ratio(1, 3)).map(key_name).collect();
                Op::Assign { keys }
            }
            Mix::Transactions => {
                let micros = (0..self.rng.random_range(1..5)).map(|_| self.micro()).collect();
                Op::Work { micros, transactional: true }
            }
            _ => Op::Work { micros: vec![self.micro()], transactional: false },
        }
    }

    fn micro(&mut self) -> Micro {
        if self.rng.random_bool(0.5) {
            return Micro::Poll { records: BTreeMap::new() };
        }
        self.value += 1;
        Micro::Send { key: key_name(self.rng.random_range(0..self.shape.partitions)), value: self.value, offset: None }
    }

    fn choose_admin(&mut self) -> Op {
        let topic = topic_name(self.rng.random_range(0..4));
        self.value += 1;
        match self.rng.random_range(0..9) {
            0 | 1 => Op::CreateTopic { topic, partitions: self.rng.random_range(1..4) },
            2 => Op::DeleteTopic { topic },
            3 => Op::GrowTopic { topic, partitions: self.rng.random_range(2..9) },
            4 => Op::WriteConfig { topic, value: self.value },
            5 | 6 => Op::ReadConfig { topic, value: None },
            _ => Op::ListTopics { topics: BTreeMap::new() },
        }
    }

    /// What becomes of it: mostly it happens; else it fails, or nobody knows, and it happens at once, later, or never.
    fn happen(&mut self, at: usize, op: Op) -> (Op, Kind) {
        // Each call in doubt doubles the ways in which a register's history can be explained.
        let rarely = if self.shape.mix == Mix::Admin { 400 } else { 100 };
        match self.rng.random_range(0..rarely) {
            0 | 1 => (op, Kind::Fail),
            2 => {
                self.late.push(op.clone());
                (op, Kind::Info)
            }
            3 => {
                self.apply(at, op.clone());
                (op, Kind::Info)
            }
            _ => self.apply(at, op),
        }
    }

    fn apply(&mut self, at: usize, op: Op) -> (Op, Kind) {
        let process = &mut self.processes[at];
        match op {
            Op::Work { micros, transactional } => {
                let micros =
                    self.cluster.work(at, micros, transactional, self.shape.mix == Mix::Group, &mut process.positions);
                (Op::Work { micros, transactional }, Kind::Ok)
            }
            Op::Assign { keys } => {
                process.reads = true;
                self.cluster.assign(&keys, &mut process.positions);
                (Op::Assign { keys }, Kind::Ok)
            }
            Op::Subscribe { topics } => {
                process.reads = true;
                (Op::Subscribe { topics }, Kind::Ok)
            }
            Op::Commit { group, offsets } if self.cluster.owns(at, &offsets) => {
                self.cluster.committed.extend(offsets.clone());
                (Op::Commit { group, offsets }, Kind::Ok)
            }
            Op::Commit { .. } => (op, Kind::Fail),
            Op::Committed { group, .. } => (Op::Committed { group, offsets: self.cluster.committed.clone() }, Kind::Ok),
            op => self.cluster.administer(op),
        }
    }

    /// Something in doubt happens after all, or never will.
    fn happen_late(&mut self) {
        if self.late.is_empty() {
            return;
        }
        let op = self.late.swap_remove(self.rng.random_range(0..self.late.len()));
        if self.rng.random_bool(0.5) {
            match op {
                Op::Work { micros, transactional } => {
                    let sends = micros.into_iter().filter(|micro| matches!(micro, Micro::Send { .. })).collect();
                    self.cluster.work(usize::MAX, sends, transactional, false, &mut BTreeMap::new());
                }
                // The group fences who has left it.
                Op::Commit { .. } => {}
                op => _ = self.cluster.administer(op),
            }
        }
    }

    /// A rebalance, something late, a fault, a new leader.
    fn disturb(&mut self) -> anyhow::Result<()> {
        self.happen_late();
        if self.shape.mix == Mix::Group {
            let key = self.rng.random_range(0..self.shape.partitions);
            let at = self.rng.random_range(0..self.processes.len());
            let from = self.cluster.owners[key].replace(at);
            self.processes[at].positions.insert(key, self.cluster.committed_place(key));
            let op = Op::Rebalance { keys: vec![key_name(key)] };
            for at in from.into_iter().chain([at]) {
                self.event(self.processes[at].number, Kind::Ok, &op)?;
            }
        }
        let node = self.rng.random_range(1..4);
        if self.rng.random_bool(0.2) {
            for begins in [true, false] {
                self.event(NEMESIS, Kind::Info, &Op::Fault { name: "pause".to_owned(), nodes: vec![node], begins })?;
            }
            let key = key_name(self.rng.random_range(0..self.shape.partitions));
            let epoch = i32::try_from(self.time % 1000)?;
            self.event(NEMESIS, Kind::Info, &Op::Leader { key, node: Some(node), epoch })?;
        }
        Ok(())
    }

    /// A fresh process reads everything.
    fn drain(&mut self) -> anyhow::Result<()> {
        if self.shape.mix == Mix::Admin {
            return Ok(());
        }
        let process = self.next;
        let keys: Vec<_> = (0..self.shape.partitions).map(key_name).collect();
        let assign = Op::Assign { keys };
        self.event(process, Kind::Invoke, &assign)?;
        self.event(process, Kind::Ok, &assign)?;
        let mut positions: BTreeMap<usize, usize> = (0..self.shape.partitions).map(|key| (key, 0)).collect();
        let poll = || vec![Micro::Poll { records: BTreeMap::new() }];
        loop {
            self.event(process, Kind::Invoke, &Op::Work { micros: poll(), transactional: false })?;
            let micros = self.cluster.work(usize::MAX, poll(), false, false, &mut positions);
            let done = matches!(&micros[..], [Micro::Poll { records }] if records.is_empty());
            self.event(process, Kind::Ok, &Op::Work { micros, transactional: false })?;
            if done {
                break;
            }
        }
        let ends: BTreeMap<String, Offset> =
            (0..self.shape.partitions).map(|key| (key_name(key), self.cluster.end(key))).collect();
        self.event(process, Kind::Invoke, &Op::Drain { ends: BTreeMap::new() })?;
        self.event(process, Kind::Ok, &Op::Drain { ends })
    }
}
