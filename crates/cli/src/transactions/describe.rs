//! `caudal transactions describe`.

use std::io::{self, Write};

use caudal_types::{Clock, SystemClock};
use clap::Args;
use serde::Serialize;

use super::{age, age_ms};
use crate::Connect;
use crate::output::{Form, Shown};
use crate::table::Table;
use crate::time::seconds;

/// `caudal transactions describe`.
#[derive(Args, Clone, Debug)]
pub struct Describe {
    /// The transactional id
    pub transactional_id: String,
    /// How to show it
    #[command(flatten)]
    pub form: Form,
    /// Where the cluster is
    #[command(flatten)]
    pub connect: Connect,
}

#[derive(Serialize)]
struct Facts {
    transactional_id: String,
    producer_id: i64,
    producer_epoch: i16,
    coordinator: i32,
    state: String,
    age_ms: Option<i64>,
    timeout_ms: i32,
    partitions: Vec<Participant>,
}

#[derive(Serialize)]
struct Participant {
    topic: String,
    partition: i32,
}

impl Shown for Facts {
    fn print(&self, out: &mut (dyn Write + Send)) -> io::Result<()> {
        writeln!(out, "Transactional id: {}\nState: {}", self.transactional_id, self.state)?;
        writeln!(out, "Producer: {}, epoch {}", self.producer_id, self.producer_epoch)?;
        writeln!(out, "Coordinator: {}", self.coordinator)?;
        writeln!(out, "Age: {}, time-out: {}", age(self.age_ms), seconds(i64::from(self.timeout_ms)))?;
        if self.partitions.is_empty() {
            return writeln!(out, "\nNo partition takes part.");
        }
        let mut table = Table::new(&["TOPIC", "PARTITION"]);
        for participant in &self.partitions {
            table.row([participant.topic.clone(), participant.partition.to_string()]);
        }
        writeln!(out)?;
        table.print(out)
    }
}

pub(super) async fn run(command: Describe, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let transaction = command.connect.client()?.describe_transaction(&command.transactional_id).await?;
    let partitions = transaction.partitions.iter().cloned();
    let facts = Facts {
        age_ms: age_ms(&transaction, SystemClock.now_ms()),
        partitions: partitions.map(|(topic, partition)| Participant { topic, partition }).collect(),
        transactional_id: transaction.transactional_id,
        producer_id: transaction.producer_id,
        producer_epoch: transaction.producer_epoch,
        coordinator: transaction.coordinator,
        state: transaction.state,
        timeout_ms: transaction.timeout_ms,
    };
    command.form.show(&facts, out)
}
