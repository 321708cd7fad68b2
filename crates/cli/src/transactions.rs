//! `caudal transactions`.

use std::collections::HashMap;
use std::io::Write;

use caudal_client::{Client, ListedTransaction};
use caudal_types::{Clock, SystemClock};
use clap::{Args, Subcommand};

use crate::table::Table;
use crate::{Connect, Outcome};

/// `caudal transactions ...`.
#[derive(Clone, Debug, Subcommand)]
pub enum TransactionsCommand {
    /// List the transactional ids, or what holds readers of committed records back
    List(List),
}

/// `caudal transactions list`.
#[derive(Args, Clone, Debug)]
pub struct List {
    /// Only open transactions, with the partitions in which readers of committed records wait for their end
    #[arg(long)]
    pub blocking: bool,
    /// Where the cluster is
    #[command(flatten)]
    pub connect: Connect,
}

/// Runs `caudal transactions ...`.
///
/// # Errors
/// With a text for the user.
pub async fn run(command: TransactionsCommand, out: &mut (dyn Write + Send)) -> anyhow::Result<Outcome> {
    let TransactionsCommand::List(command) = command;
    let client = command.connect.client()?;
    if command.blocking {
        print_blocking(&client, out).await?
    } else {
        print_all(&client, out).await?
    }
    Ok(Outcome::Success)
}

async fn print_all(client: &Client, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let now = SystemClock.now_ms();
    let mut table = Table::new(&["TRANSACTIONAL ID", "PRODUCER", "COORDINATOR", "STATE", "AGE", "TIME-OUT"]);
    for transaction in client.list_transactions().await? {
        table.row([
            transaction.transactional_id.clone(),
            transaction.producer_id.to_string(),
            transaction.coordinator.to_string(),
            transaction.state.clone(),
            age(&transaction, now),
            seconds(i64::from(transaction.timeout_ms)),
        ]);
    }
    Ok(table.print(out)?)
}

async fn print_blocking(client: &Client, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let (open, now) = (client.open_transactions().await?, SystemClock.now_ms());
    if open.is_empty() {
        writeln!(out, "No transaction is open.")?;
        return Ok(());
    }
    let ids = client.list_transactions().await?;
    let ids: HashMap<_, _> = ids.iter().map(|transaction| (transaction.producer_id, transaction)).collect();
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
    for blocking in open {
        let transaction = ids.get(&blocking.producer_id);
        table.row([
            blocking.topic,
            blocking.partition.to_string(),
            blocking.first_offset.to_string(),
            blocking.producer_id.to_string(),
            transaction.map_or_else(|| "unknown".to_owned(), |transaction| transaction.transactional_id.clone()),
            transaction.map_or_else(|| "-".to_owned(), |transaction| transaction.state.clone()),
            transaction.map_or_else(|| "-".to_owned(), |transaction| age(transaction, now)),
            format!("{} ago", seconds(now - blocking.last_time)),
        ]);
    }
    Ok(table.print(out)?)
}

fn age(transaction: &ListedTransaction, now: i64) -> String {
    if transaction.started_at < 0 { "-".to_owned() } else { seconds(now - transaction.started_at) }
}

fn seconds(ms: i64) -> String {
    format!("{} s", ms.max(0) / 1000)
}
