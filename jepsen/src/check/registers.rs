//! nonlinearizable-config, nonlinearizable-topics: the metadata group answers as if there were one node.

use std::collections::{BTreeMap, HashSet};

use crate::history::{Kind, Op, Value};

use super::anomaly::Anomaly;
use super::faults::{faults, with_hindered};
use super::findings::{Context, Example, Findings};
use super::linear::{self, Call, Model, Outcome};
use super::table::Operation;

/// For so long after a fault a node may list what it last knew, in nanoseconds.
const STALE_AFTER: u64 = 5_000_000_000;

/// Looks at each topic for itself.
pub(super) fn check(context: &Context<'_>, findings: &mut Findings) {
    let mut settings: BTreeMap<&str, Calls<SettingAction>> = BTreeMap::new();
    let mut topics: BTreeMap<&str, Calls<TopicAction>> = BTreeMap::new();
    let mut lists = Vec::new();
    for (at, operation, op) in context.table.all_others().filter(|(_, operation, _)| operation.kind != Kind::Fail) {
        if let Op::ListTopics { topics } = op {
            lists.push((at, operation, topics));
        }
        if let Some((topic, action)) = topic_action(op) {
            topics.entry(topic).or_default().add(at, operation, action);
        }
        if let Some((topic, action)) = setting_action(op) {
            settings.entry(topic).or_default().add(at, operation, action);
        }
    }
    // A node that is cut off lists what it last knew, as in Kafka: clients need that more than they need the newest.
    let hindered = with_hindered(&faults(context.table));
    let is_fresh = |operation: &Operation| {
        let overlaps = |(from, to): &(u64, u64)| operation.invoked < to + STALE_AFTER && operation.completed > *from;
        operation.kind == Kind::Ok && !hindered.iter().any(overlaps)
    };
    lists.retain(|(_, operation, _)| is_fresh(operation));
    for (topic, calls) in &mut topics {
        for (at, operation, listed) in &lists {
            calls.add(*at, operation, TopicAction::List(listed.get(*topic).copied()));
        }
        calls.judge::<Topic>(context, topic, Anomaly::NonlinearizableTopics, TopicState::Unknown, findings);
    }
    for (topic, mut calls) in settings {
        if calls.calls.iter().any(|call| matches!(call.action, SettingAction::Write(_) | SettingAction::Read(_))) {
            calls.find_defaults();
            calls.forget_unread();
            calls.judge::<Setting>(context, topic, Anomaly::NonlinearizableConfig, SettingState::Unknown, findings);
        }
    }
}

fn topic_action(op: &Op) -> Option<(&str, TopicAction)> {
    match op {
        Op::CreateTopic { topic, partitions } => Some((topic, TopicAction::Create(*partitions))),
        Op::DeleteTopic { topic } => Some((topic, TopicAction::Delete)),
        Op::GrowTopic { topic, partitions } => Some((topic, TopicAction::Grow(*partitions))),
        _ => None,
    }
}

fn setting_action(op: &Op) -> Option<(&str, SettingAction)> {
    match op {
        Op::CreateTopic { topic, .. } => Some((topic, SettingAction::Create)),
        Op::DeleteTopic { topic } => Some((topic, SettingAction::Delete)),
        Op::WriteConfig { topic, value } => Some((topic, SettingAction::Write(*value))),
        Op::ReadConfig { topic, value } => Some((topic, SettingAction::Read(*value))),
        _ => None,
    }
}

#[derive(Debug)]
struct Calls<A> {
    calls: Vec<Call<A>>,
    operations: Vec<usize>,
}

impl<A> Default for Calls<A> {
    fn default() -> Self {
        Self { calls: Vec::new(), operations: Vec::new() }
    }
}

impl<A: Eq + std::fmt::Debug> Calls<A> {
    fn add(&mut self, at: usize, operation: &Operation, action: A) {
        let returned = (operation.kind == Kind::Ok).then_some(operation.line);
        self.calls.push(Call { action, invoked: operation.invoked_line, returned });
        self.operations.push(at);
    }

    fn judge<M: Model<Action = A>>(
        &self,
        context: &Context<'_>,
        topic: &str,
        anomaly: Anomaly,
        initial: M::State,
        findings: &mut Findings,
    ) {
        match linear::check::<M>(initial, &self.calls) {
            Outcome::Linearizable => {}
            Outcome::TooHard(call) => {
                let line = context.table.operations[self.operations[call]].line;
                findings.unknown(format!(
                    "{topic}: too many calls in doubt at line {line} to tell whether an order explains them"
                ));
            }
            Outcome::Not(call, states) => findings.add(anomaly, || {
                let action = &self.calls[call].action;
                let example =
                    Example::new(format!("{topic}: {action:?} cannot be; before it there was one of {states:?}"));
                let example = example.with(context.table, &format!("{action:?}"), self.operations[call]);
                self.around(call).fold(example, |example, other| {
                    let role = format!("{:?}", self.calls[other].action);
                    example.with(context.table, &role, self.operations[other])
                })
            }),
        }
    }

    /// The calls that returned last before one did, or were open then.
    fn around(&self, call: usize) -> impl Iterator<Item = usize> {
        let line = self.calls[call].returned;
        let mut others: Vec<_> = (0..self.calls.len()).filter(|other| *other != call).collect();
        others.retain(|other| Some(self.calls[*other].invoked) < line);
        others.sort_by_key(|other| std::cmp::Reverse(self.calls[*other].returned.unwrap_or(u32::MAX)));
        others.into_iter().take(8)
    }
}

impl Calls<SettingAction> {
    /// What was read and nobody wrote can only be what the setting is by default: the first such value is.
    fn find_defaults(&mut self) {
        let written: HashSet<Value> = self
            .calls
            .iter()
            .filter_map(|call| match call.action {
                SettingAction::Write(value) => Some(value),
                _ => None,
            })
            .collect();
        let mut default = None;
        for call in &mut self.calls {
            if let SettingAction::Read(Some(value)) = call.action
                && !written.contains(&value)
                && *default.get_or_insert(value) == value
            {
                call.action = SettingAction::ReadDefault;
            }
        }
    }

    /// A write in doubt that nobody read need not have happened: leaving it out changes no answer.
    fn forget_unread(&mut self) {
        let read: HashSet<Value> = self
            .calls
            .iter()
            .filter_map(|call| match call.action {
                SettingAction::Read(value) => value,
                _ => None,
            })
            .collect();
        let kept = |call: &Call<SettingAction>| match call.action {
            SettingAction::Write(value) => call.returned.is_some() || read.contains(&value),
            // A read in doubt says nothing.
            SettingAction::Read(_) | SettingAction::ReadDefault => call.returned.is_some(),
            _ => true,
        };
        let mut keep = self.calls.iter().map(kept).collect::<Vec<_>>().into_iter();
        self.operations.retain(|_| keep.next().unwrap_or(true));
        self.calls.retain(kept);
    }
}

/// Whether a topic is there, and how many partitions it has.
#[derive(Debug)]
struct Topic;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum TopicState {
    /// Nothing was told of it yet.
    Unknown,
    Absent,
    Has(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TopicAction {
    Create(u32),
    Delete,
    Grow(u32),
    List(Option<u32>),
}

impl Model for Topic {
    type State = TopicState;
    type Action = TopicAction;

    fn apply(state: &TopicState, action: &TopicAction) -> Option<TopicState> {
        use TopicState::{Absent, Has, Unknown};
        match (*action, *state) {
            (TopicAction::Create(count), Unknown | Absent) => Some(Has(count)),
            (TopicAction::Delete, Unknown | Has(_)) => Some(Absent),
            (TopicAction::Grow(count), Unknown) => Some(Has(count)),
            (TopicAction::Grow(count), Has(before)) if before < count => Some(Has(count)),
            (TopicAction::List(Some(count)), Unknown) => Some(Has(count)),
            (TopicAction::List(Some(count)), Has(before)) if before == count => Some(Has(count)),
            (TopicAction::List(None), Unknown | Absent) => Some(Absent),
            _ => None,
        }
    }
}

/// A setting of a topic.
#[derive(Debug)]
struct Setting;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum SettingState {
    /// Nothing was told of it yet.
    Unknown,
    /// There is no topic.
    Absent,
    /// There is a topic, and the setting is what it is by default.
    Default,
    Holds(Value),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SettingAction {
    Create,
    Delete,
    Write(Value),
    Read(Option<Value>),
    ReadDefault,
}

impl Model for Setting {
    type State = SettingState;
    type Action = SettingAction;

    fn apply(state: &SettingState, action: &SettingAction) -> Option<SettingState> {
        use SettingState::{Absent, Default, Holds, Unknown};
        match (*action, *state) {
            (SettingAction::Create, Unknown | Absent) => Some(Default),
            (SettingAction::Delete, Unknown | Default | Holds(_)) => Some(Absent),
            (SettingAction::Write(value), Unknown | Default | Holds(_)) => Some(Holds(value)),
            (SettingAction::ReadDefault, Unknown | Default) => Some(Default),
            (SettingAction::Read(Some(value)), Holds(held)) if held == value => Some(*state),
            // A default may be that there is no value.
            (SettingAction::Read(None), Unknown | Absent) => Some(Absent),
            (SettingAction::Read(None), Default) => Some(Default),
            _ => None,
        }
    }
}
