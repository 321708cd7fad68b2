//! `caudal transactions find-hanging` and `caudal transactions abort`.

use std::collections::HashMap;
use std::io::{self, Write};
use std::time::Duration;

use anyhow::bail;
use caudal_client::{Client, ListedTransaction, OpenTransaction};
use caudal_types::{Clock, SystemClock};
use clap::Args;
use serde::Serialize;

use super::list::{Blocking, Open};
use crate::Connect;
use crate::output::{Form, Shown, not_answered};
use crate::time::parse_duration;

/// `caudal transactions find-hanging`.
#[derive(Args, Clone, Debug)]
pub struct FindHanging {
    /// Only this topic
    #[arg(long, value_name = "TOPIC")]
    pub topic: Option<String>,
    /// Only transactions in which nothing was written for longer than this
    #[arg(long, default_value = "15m", value_name = "DURATION", value_parser = parse_duration)]
    pub idle: Duration,
    /// How to show it
    #[command(flatten)]
    pub form: Form,
    /// Where the cluster is
    #[command(flatten)]
    pub connect: Connect,
}

/// `caudal transactions abort`.
#[derive(Args, Clone, Debug)]
pub struct Abort {
    /// The topic's name
    pub topic: String,
    /// The partition
    #[arg(long, value_name = "N")]
    pub partition: i32,
    /// Which one: the offset of its first record, as find-hanging and list --blocking show it
    #[arg(long, value_name = "OFFSET")]
    pub first_offset: i64,
    /// Even if its coordinator knows of it: the transaction is torn apart if that commits it in other partitions
    #[arg(long)]
    pub force: bool,
    /// How to show it
    #[command(flatten)]
    pub form: Form,
    /// Where the cluster is
    #[command(flatten)]
    pub connect: Connect,
}

/// The coordinators' view, by producer; nodes that did not answer are an error, since what they know would look like nothing.
async fn known(client: &Client) -> anyhow::Result<HashMap<i64, ListedTransaction>> {
    let answers = client.list_transactions().await?;
    if let Some(silent) = answers.silent.first() {
        bail!(
            "node {} did not answer, and may coordinate the transaction: {}; try again when 'caudal cluster status' shows no trouble",
            silent.node,
            silent.error
        );
    }
    Ok(answers.found.into_iter().map(|transaction| (transaction.producer_id, transaction)).collect())
}

/// Whether the coordinator will end the transaction in this partition: it is under way, and the partition takes part.
fn is_known(open: &OpenTransaction, known: Option<&ListedTransaction>) -> bool {
    let place = (open.topic.clone(), open.partition);
    known.is_some_and(|known| known.producer_epoch >= open.producer_epoch && known.partitions.contains(&place))
}

pub(super) async fn find(command: FindHanging, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let client = command.connect.client()?;
    let open = client.open_transactions().await?;
    let (silent, now) = (not_answered(&open.silent), SystemClock.now_ms());
    let idle = i64::try_from(command.idle.as_millis()).unwrap_or(i64::MAX);
    let wanted = |open: &OpenTransaction| {
        command.topic.as_ref().is_none_or(|topic| *topic == open.topic) && now - open.last_time > idle
    };
    let candidates: Vec<_> = open.found.into_iter().filter(wanted).collect();
    let known = if candidates.is_empty() { HashMap::new() } else { known(&client).await? };
    let hanging = candidates.into_iter().filter(|open| !is_known(open, known.get(&open.producer_id)));
    let open = hanging.map(|open| {
        let known = known.get(&open.producer_id);
        Open::new(open, known, now)
    });
    let none = "No transaction hangs: the coordinators know of all that are open for so long.";
    command.form.show(&Blocking { open: open.collect(), not_answered: silent, none }, out)
}

#[derive(Serialize)]
struct Aborted {
    topic: String,
    partition: i32,
    first_offset: i64,
    producer_id: i64,
    producer_epoch: i16,
}

impl Shown for Aborted {
    fn print(&self, out: &mut (dyn Write + Send)) -> io::Result<()> {
        let Self { topic, partition, first_offset, producer_id, .. } = self;
        writeln!(
            out,
            "Aborted the transaction of producer {producer_id} in {topic}-{partition} from offset {first_offset}."
        )
    }
}

pub(super) async fn abort(command: Abort, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let client = command.connect.client()?;
    let Abort { topic, partition, first_offset, .. } = &command;
    client.topic(topic, false).await?.partition(*partition)?;
    let answers = client.open_transactions().await?;
    let is_it = |open: &&OpenTransaction| {
        open.topic == *topic && open.partition == *partition && open.first_offset == *first_offset
    };
    let Some(open) = answers.found.iter().find(is_it) else {
        not_answered(&answers.silent);
        bail!(
            "no transaction is open in {topic}-{partition} from offset {first_offset}; 'caudal transactions list --blocking' shows those that are"
        );
    };
    if !command.force {
        let known = known(&client).await?;
        if let Some(known) = known.get(&open.producer_id).filter(|known| is_known(open, Some(known))) {
            bail!(
                "the coordinator knows the transaction (of '{}', {}) and ends it by itself after its time-out of {} ms; --force aborts it in {topic}-{partition} all the same, whatever becomes of it elsewhere",
                known.transactional_id,
                known.state,
                known.timeout_ms
            );
        }
    }
    client.abort_in_partition(open).await?;
    let aborted = Aborted {
        topic: open.topic.clone(),
        partition: open.partition,
        first_offset: open.first_offset,
        producer_id: open.producer_id,
        producer_epoch: open.producer_epoch,
    };
    command.form.show(&aborted, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> OpenTransaction {
        OpenTransaction {
            topic: "t".to_owned(),
            partition: 1,
            producer_id: 7,
            producer_epoch: 3,
            coordinator_epoch: None,
            first_offset: 10,
            last_time: 0,
        }
    }

    fn listed(producer_epoch: i16, partitions: &[i32]) -> ListedTransaction {
        ListedTransaction {
            transactional_id: "id".to_owned(),
            producer_id: 7,
            producer_epoch,
            coordinator: 1,
            state: "Ongoing".to_owned(),
            started_at: Some(0),
            timeout_ms: 1000,
            partitions: partitions.iter().map(|partition| ("t".to_owned(), *partition)).collect(),
        }
    }

    #[test]
    fn a_transaction_hangs_when_nobody_will_end_it() {
        assert!(!is_known(&open(), None));
        assert!(is_known(&open(), Some(&listed(3, &[0, 1]))));
        assert!(is_known(&open(), Some(&listed(4, &[1]))), "it is being fenced");
        assert!(!is_known(&open(), Some(&listed(3, &[0]))), "another transaction of the same producer");
        assert!(!is_known(&open(), Some(&listed(2, &[1]))), "an older epoch");
        assert!(!is_known(&open(), Some(&listed(3, &[]))), "none is under way");
    }
}
