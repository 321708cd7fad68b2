//! `caudal transactions`.
//!
//! # Layout
//! - [`list`]: the transactional ids, and what holds readers back
//! - [`describe`]: one id
//! - [`hanging`]: open transactions that nobody will end, and ending one by force

pub mod describe;
pub mod hanging;
pub mod list;

use std::io::Write;

use caudal_client::ListedTransaction;
use clap::Subcommand;

use crate::Outcome;
use crate::time::seconds;

/// `caudal transactions ...`.
#[derive(Clone, Debug, Subcommand)]
pub enum TransactionsCommand {
    /// List the transactional ids, or what holds readers of committed records back
    List(list::List),
    /// Show a transactional id, and the partitions that take part in its transaction
    Describe(describe::Describe),
    /// Find transactions that are open in partitions without their coordinator knowing of it
    FindHanging(hanging::FindHanging),
    /// End an open transaction in a partition by force
    Abort(hanging::Abort),
}

/// Runs `caudal transactions ...`.
///
/// # Errors
/// With a text for the user.
pub async fn run(command: TransactionsCommand, out: &mut (dyn Write + Send)) -> anyhow::Result<Outcome> {
    match command {
        TransactionsCommand::List(command) => list::run(command, out).await?,
        TransactionsCommand::Describe(command) => describe::run(command, out).await?,
        TransactionsCommand::FindHanging(command) => hanging::find(command, out).await?,
        TransactionsCommand::Abort(command) => hanging::abort(command, out).await?,
    }
    Ok(Outcome::Success)
}

/// For how long a transaction has gone on, in milliseconds; none if there is none.
fn age_ms(transaction: &ListedTransaction, now: i64) -> Option<i64> {
    transaction.started_at.map(|began| (now - began).max(0))
}

fn age(ms: Option<i64>) -> String {
    ms.map_or_else(|| "-".to_owned(), seconds)
}
