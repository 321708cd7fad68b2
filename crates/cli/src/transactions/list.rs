//! `caudal transactions list`.

use std::collections::HashMap;
use std::io::{self, Write};

use caudal_client::{Client, ListedTransaction, OpenTransaction};
use caudal_types::{Clock, SystemClock};
use clap::Args;
use serde::Serialize;

use super::{age, age_ms};
use crate::Connect;
use crate::output::{Form, NotAnswered, Shown, not_answered, or_dash};
use crate::table::Table;
use crate::time::seconds;

/// `caudal transactions list`.
#[derive(Args, Clone, Debug)]
pub struct List {
    /// Only open transactions, with the partitions in which readers of committed records wait for their end
    #[arg(long)]
    pub blocking: bool,
    /// How to show it
    #[command(flatten)]
    pub form: Form,
    /// Where the cluster is
    #[command(flatten)]
    pub connect: Connect,
}

#[derive(Serialize)]
struct Transactions {
    transactions: Vec<Row>,
    not_answered: Vec<NotAnswered>,
}

#[derive(Serialize)]
struct Row {
    transactional_id: String,
    producer_id: i64,
    producer_epoch: i16,
    coordinator: i32,
    state: String,
    age_ms: Option<i64>,
    timeout_ms: i32,
}

impl Shown for Transactions {
    fn print(&self, out: &mut (dyn Write + Send)) -> io::Result<()> {
        let mut table = Table::new(&["TRANSACTIONAL ID", "PRODUCER", "COORDINATOR", "STATE", "AGE", "TIME-OUT"]);
        for row in &self.transactions {
            table.row([
                row.transactional_id.clone(),
                row.producer_id.to_string(),
                row.coordinator.to_string(),
                row.state.clone(),
                age(row.age_ms),
                seconds(i64::from(row.timeout_ms)),
            ]);
        }
        table.print(out)
    }
}

/// A transaction that is open in a partition.
#[derive(Debug, Serialize)]
pub(super) struct Open {
    topic: String,
    partition: i32,
    first_offset: i64,
    producer_id: i64,
    producer_epoch: i16,
    transactional_id: Option<String>,
    state: Option<String>,
    age_ms: Option<i64>,
    last_write_ms_ago: i64,
}

impl Open {
    pub(super) fn new(open: OpenTransaction, known: Option<&ListedTransaction>, now: i64) -> Self {
        Self {
            topic: open.topic,
            partition: open.partition,
            first_offset: open.first_offset,
            producer_id: open.producer_id,
            producer_epoch: open.producer_epoch,
            transactional_id: known.map(|known| known.transactional_id.clone()),
            state: known.map(|known| known.state.clone()),
            age_ms: known.and_then(|known| age_ms(known, now)),
            last_write_ms_ago: (now - open.last_time).max(0),
        }
    }
}

/// Transactions that are open in partitions.
#[derive(Serialize)]
pub(super) struct Blocking {
    pub(super) open: Vec<Open>,
    pub(super) not_answered: Vec<NotAnswered>,
    /// What to say when there is none.
    #[serde(skip)]
    pub(super) none: &'static str,
}

impl Shown for Blocking {
    fn print(&self, out: &mut (dyn Write + Send)) -> io::Result<()> {
        if self.open.is_empty() {
            return writeln!(out, "{}", self.none);
        }
        let mut table = Table::new(&[
            "TOPIC",
            "PARTITION",
            "FIRST OFFSET",
            "PRODUCER",
            "TRANSACTIONAL ID",
            "STATE",
            "AGE",
            "LAST WRITE",
        ]);
        for open in &self.open {
            table.row([
                open.topic.clone(),
                open.partition.to_string(),
                open.first_offset.to_string(),
                open.producer_id.to_string(),
                open.transactional_id.clone().unwrap_or_else(|| "unknown".to_owned()),
                or_dash(open.state.as_ref()),
                age(open.age_ms),
                format!("{} ago", seconds(open.last_write_ms_ago)),
            ]);
        }
        table.print(out)
    }
}

pub(super) async fn run(command: List, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let client = command.connect.client()?;
    if command.blocking {
        return blocking(&client, command.form, out).await;
    }
    let now = SystemClock.now_ms();
    let answers = client.list_transactions().await?;
    let row = |transaction: ListedTransaction| Row {
        age_ms: age_ms(&transaction, now),
        transactional_id: transaction.transactional_id,
        producer_id: transaction.producer_id,
        producer_epoch: transaction.producer_epoch,
        coordinator: transaction.coordinator,
        state: transaction.state,
        timeout_ms: transaction.timeout_ms,
    };
    let transactions = answers.found.into_iter().map(row).collect();
    command.form.show(&Transactions { transactions, not_answered: not_answered(&answers.silent) }, out)
}

async fn blocking(client: &Client, form: Form, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let (open, now) = (client.open_transactions().await?, SystemClock.now_ms());
    let mut silent = not_answered(&open.silent);
    let mut ids = HashMap::new();
    if !open.found.is_empty() {
        let answers = client.list_transactions().await?;
        // A node that told neither is named once.
        let news = answers.silent.into_iter().filter(|other| open.silent.iter().all(|known| known.node != other.node));
        silent.extend(not_answered(&news.collect::<Vec<_>>()));
        ids.extend(answers.found.into_iter().map(|transaction| (transaction.producer_id, transaction)));
    }
    let open = open.found.into_iter().map(|open| {
        let known = ids.get(&open.producer_id);
        Open::new(open, known, now)
    });
    form.show(&Blocking { open: open.collect(), not_answered: silent, none: "No transaction is open." }, out)
}
