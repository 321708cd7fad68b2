//! `caudal-bench`: see the library.

use caudal_bench::{client, commits, disk, floor, groups, idle, members, produce, read, transact};
use clap::Parser;

/// The benchmarks' lean half; scripts/bench runs it.
#[derive(Debug, Parser)]
enum Command {
    /// Makes a topic with replication factor 3, and waits until all of its partitions have leaders
    Topic(client::TopicArgs),
    /// How many records a topic holds, by its offsets
    Offsets(client::TopicAt),
    /// Produces at a rate, or as fast as possible
    Produce(produce::Args),
    /// Reads a topic from its start to where it ends now, and checks it
    Read(client::TopicAt),
    /// Reads a topic in many consumer groups at once
    Groups(groups::Args),
    /// Reads a topic and writes what it has to another one, in transactions
    Transact(transact::Args),
    /// Commits offsets in many groups with one coordinator, and tells how long none was committed
    Commits(commits::Args),
    /// Joins a group with very many members, then one more, which dies
    Members(members::Args),
    /// Opens connections that do nothing, until the standard input ends
    Idle(idle::Args),
    /// Appends 16 KiB and waits for fdatasync, over and over
    Disk(disk::Args),
    /// A broker that acknowledges at once and throws records away, the clients' ceiling; or with --copies or --stores once two of three copies are synced; with --readable it gives them back
    Floor(floor::Args),
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Topic(args) => client::make_topic(&args),
        Command::Offsets(args) => client::count(&args),
        Command::Produce(args) => produce::run(&args),
        Command::Read(args) => read::run(&args),
        Command::Groups(args) => groups::run(&args),
        Command::Transact(args) => transact::run(&args),
        Command::Commits(args) => commits::run(&args),
        Command::Members(args) => members::run(&args),
        Command::Idle(args) => idle::run(&args),
        Command::Disk(args) => disk::run(&args),
        Command::Floor(args) => floor::run(&args),
    }
}
