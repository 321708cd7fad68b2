//! What the commands do: those that run a node do it here, those that talk to a cluster are [`caudal_cli`]'s.

use std::io::Write;
use std::num::NonZero;
use std::process::ExitCode;
use std::thread::available_parallelism;
use std::time::Duration;

use clap::{ArgMatches, FromArgMatches};
use tokio::runtime::Runtime;

use crate::args::{self, DevArgs, StartArgs};
use crate::config::{Config, ConfigError, Layers, env_name};
use crate::node::{Node, StartError};
use crate::signals::StopSignals;
use crate::{logging, process};

/// The most threads for blocking work: cold reads and the like.
const BLOCKING_THREADS: usize = 64;

/// How long threads that are still at work may keep the process once everything has stopped.
const LAST_THREADS: Duration = Duration::from_secs(1);

/// How long the database may take to close then.
const LAST_CLOSE: Duration = Duration::from_secs(5);

/// How much further from `listeners` the admin listener of `caudal dev` is.
const DEV_ADMIN_PORT: u16 = 2000;

/// What ends a command with exit code 1.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the system refuses: {0}")]
    System(#[from] std::io::Error),
    #[error("stopped by a second signal, without waiting for the end")]
    Insisted,
    #[error("a damaged replica was removed, but the database does not close; start the node again, and it is rebuilt")]
    StillOpen,
    #[error(transparent)]
    Arguments(#[from] clap::Error),
    #[error("{0}")]
    Client(String),
}

/// Runs the command that was given.
pub fn run(matches: &ArgMatches) -> ExitCode {
    let outcome = match matches.subcommand() {
        Some(("start", matches)) => start(&StartArgs::read(matches)),
        Some(("dev", matches)) => dev(&DevArgs::read(matches)),
        Some(("completion", matches)) => completion(matches),
        _ => client(matches),
    };
    match outcome {
        Ok(code) => code,
        Err(CommandError::Arguments(error)) => error.exit(),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "caudal: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The commands that talk to a cluster.
fn client(matches: &ArgMatches) -> Result<ExitCode, CommandError> {
    let command = caudal_cli::Command::from_arg_matches(matches)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(caudal_cli::run(command, &mut std::io::stdout()));
    runtime.shutdown_background();
    match outcome {
        Ok(outcome) => Ok(outcome.into()),
        Err(error) if is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(CommandError::Client(format!("{error:#}"))),
    }
}

/// Writes what makes a shell complete commands and flags.
fn completion(matches: &ArgMatches) -> Result<ExitCode, CommandError> {
    let Some(shell) = args::shell(matches) else { return Ok(ExitCode::FAILURE) };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut args::command(), "caudal", &mut script);
    match std::io::stdout().write_all(&script) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Whoever read the output has had enough, as `head` has.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io =
        |cause: &(dyn std::error::Error + 'static)| cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    error.chain().filter_map(io).any(|kind| kind == std::io::ErrorKind::BrokenPipe)
}

fn start(args: &StartArgs) -> Result<ExitCode, CommandError> {
    let layers = Layers::gather(args.config.as_deref(), std::env::vars(), args.flags.iter().cloned())?;
    let config = Config::from_layers(&layers)?;
    run_node(config, |_| {})
}

fn dev(args: &DevArgs) -> Result<ExitCode, CommandError> {
    let environment: Vec<(String, String)> = std::env::vars().collect();
    let set_by_user = |key: &str| environment.iter().any(|(variable, _)| *variable == env_name(key));
    let defaults = dev_defaults(args).into_iter().filter(|(key, _)| !set_by_user(key));
    let flags: Vec<(String, String)> = defaults.chain(args.flags.iter().cloned()).collect();
    let layers = Layers::gather(None, environment.iter().cloned(), flags.into_iter())?;
    run_node(Config::from_layers(&layers)?, announce)
}

/// What differs from `caudal start`: enough to serve on this machine at once.
fn dev_defaults(args: &DevArgs) -> Vec<(String, String)> {
    let listener = format!("PLAINTEXT://127.0.0.1:{}", args.port);
    let admin = format!("127.0.0.1:{}", args.port.saturating_add(DEV_ADMIN_PORT));
    [
        ("node.id", "1"),
        ("cluster.id", "caudal-dev"),
        ("log.dirs", &args.dir),
        ("listeners", &listener),
        ("admin.listener", &admin),
        ("group.initial.rebalance.delay.ms", "0"),
        ("log.level", "warn"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .to_vec()
}

fn announce(node: &Node) {
    let config = node.config();
    let mut lines = format!(
        "Caudal {} is ready after {} ms: one node, its data in {}\n",
        env!("CARGO_PKG_VERSION"),
        node.uptime().as_millis(),
        config.settings.log_dirs.display()
    );
    if let Some(admin) = node.admin_address() {
        lines.push_str(&format!("metrics: http://{admin}/metrics\n"));
    }
    lines.push_str(&format!("bootstrap.servers={}\n", config.advertised));
    let mut out = std::io::stdout();
    let _ = out.write_all(lines.as_bytes()).and_then(|()| out.flush());
}

fn run_node(config: Config, on_ready: fn(&Node)) -> Result<ExitCode, CommandError> {
    logging::start(&config.settings);
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    warn_of_few_fds(config.settings.max_connections);
    let runtime = runtime(config.settings.num_io_threads)?;
    let outcome = runtime.block_on(serve(config, on_ready));
    runtime.shutdown_timeout(LAST_THREADS);
    if !caudal_storage::wait_until_closed(LAST_CLOSE) {
        tracing::warn!("the database is still at work; nothing acknowledged is lost, the next start replays it");
    }
    outcome.map(|()| ExitCode::SUCCESS)
}

/// One thread per core carries requests, but for a core that is left to the threads that write to the disk: each hand-over between threads costs, and
/// more threads than can run at once only hand over more often (measured; see docs/performance.md).
fn runtime(threads: Option<usize>) -> std::io::Result<Runtime> {
    let cores = available_parallelism().map_or(1, NonZero::get);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.unwrap_or(cores - 1).max(1))
        .enable_all()
        .thread_name("caudal")
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
}

/// How a node's run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Stopped,
    /// It has to be started again, and can be in the same process.
    StartAgain,
}

async fn serve(config: Config, on_ready: fn(&Node)) -> Result<(), CommandError> {
    let mut signals = StopSignals::listen()?;
    while serve_once(config.clone(), &mut signals, on_ready).await? == End::StartAgain {
        let closed = tokio::task::spawn_blocking(|| caudal_storage::wait_until_closed(LAST_CLOSE)).await;
        if !closed.unwrap_or_default() {
            return Err(CommandError::StillOpen);
        }
    }
    Ok(())
}

async fn serve_once(config: Config, signals: &mut StopSignals, on_ready: fn(&Node)) -> Result<End, CommandError> {
    let mut node = tokio::select! {
        started = Node::start(config) => started?,
        signal = signals.next() => {
            tracing::info!(signal, "stopped before the start was complete");
            return Ok(End::Stopped);
        }
    };
    let rebuilt = node.rebuilt();
    let end = tokio::select! {
        failed = run_until_failure(&mut node, on_ready) => Err(failed),
        signal = signals.next() => {
            tracing::info!(signal, "stopping");
            Ok(End::Stopped)
        }
        group = rebuilt => {
            tracing::warn!(%group, "stopping, to start again without the damaged replica");
            Ok(End::StartAgain)
        }
    };
    tokio::select! {
        () = node.shutdown() => {}
        _ = signals.next() => return Err(CommandError::Insisted),
    }
    tracing::info!("stopped");
    Ok(end?)
}

/// Ends only when the node cannot open to clients.
async fn run_until_failure(node: &mut Node, on_ready: fn(&Node)) -> StartError {
    if let Err(error) = node.open_to_clients().await {
        return error;
    }
    let config = node.config();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        node = %config.node_id,
        cluster = config.settings.cluster_id,
        bootstrap = %config.advertised,
        admin = ?node.admin_address(),
        after_ms = u64::try_from(node.uptime().as_millis()).unwrap_or(u64::MAX),
        "ready"
    );
    on_ready(node);
    let reason = node.store_failure().await;
    tracing::error!(reason, "the disk failed: this node takes no more writes; mend the disk and restart the node");
    std::future::pending().await
}

fn warn_of_few_fds(max_connections: usize) {
    /// What the node itself needs beside the connections of clients: the database's files, the other nodes.
    const OWN_FDS: u64 = 2048;
    let wanted = (max_connections as u64).saturating_add(OWN_FDS);
    if let Some(limit) = process::max_fds().filter(|limit| *limit < wanted) {
        tracing::warn!(
            limit,
            wanted,
            "few file descriptors for max.connections = {max_connections}; raise the limit (ulimit -n, LimitNOFILE=)"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dev_serves_on_this_machine_at_once() {
        let args = DevArgs { dir: "d".to_owned(), port: 19_092, flags: Vec::new() };
        let layers = Layers::gather(None, std::iter::empty(), dev_defaults(&args).into_iter()).unwrap();
        let config = Config::from_layers(&layers).unwrap();
        assert_eq!(config.advertised.to_string(), "127.0.0.1:19092");
        assert_eq!(config.settings.admin_listener.map(|listener| listener.port), Some(21_092));
        assert_eq!(config.settings.group_initial_rebalance_delay_ms, 0);
    }
}
