//! Does the faults of a schedule, and mends them.

use std::time::Duration;

use caudal_types::{NodeId, Tasks};
use tokio::time::sleep;

use super::{Fault, Schedule, Timed};
use crate::cluster::Cluster;
use crate::net::{Host, Silence};
use crate::node::host;

/// Runs a schedule to its end. What still lasts then, and all else that is broken, is not mended here; see [`heal`].
pub async fn run(cluster: Cluster, schedule: Schedule) {
    let tasks = Tasks::new();
    let began = cluster.trace.elapsed();
    for timed in schedule.0 {
        let wait = (began + Duration::from_millis(timed.at)).saturating_sub(cluster.trace.elapsed());
        sleep(wait).await;
        tasks.spawn_to_end("fault", one(cluster.clone(), timed));
    }
    tasks.shutdown().await;
}

/// Mends everything, and starts the nodes that are down or whose disk was broken.
pub fn heal(cluster: &Cluster) {
    cluster.note(&"everything is mended");
    cluster.net.mend_all();
    for machine in cluster.machines.iter() {
        machine.disk.mend();
        machine.clock.set_skew(0);
    }
    cluster.start_all();
}

async fn one(cluster: Cluster, timed: Timed) {
    cluster.note(&timed);
    let lasts = Duration::from_millis(timed.lasts);
    begin(&cluster, timed.fault).await;
    sleep(lasts).await;
    end(&cluster, timed.fault);
    cluster.note(&format_args!("over: {}", timed.fault));
}

async fn begin(cluster: &Cluster, fault: Fault) {
    match fault {
        Fault::Cut(from, to) => cluster.net.cut(to_host(from), to_host(to)),
        Fault::Isolate(one) => links(cluster, one).for_each(|(from, to)| cluster.net.cut(from, to)),
        Fault::Unplug(one) => all_links(cluster, one).for_each(|(from, to)| cluster.net.cut(from, to)),
        Fault::Delay(from, to, by) => cluster.net.slow_down(to_host(from), to_host(to), Duration::from_millis(by)),
        Fault::Lose(from, to, share) => {
            cluster.net.lose(to_host(from), to_host(to), u32::try_from(share).unwrap_or_default());
        }
        Fault::Reset(one, other) => cluster.net.reset(to_host(one), to_host(other)),
        Fault::Kill(one, kept) => cluster.crash(node(one), Silence::Closed, as_kept(kept)),
        Fault::PowerOff(one, kept) => cluster.crash(node(one), Silence::Gone, as_kept(kept)),
        Fault::PowerOffAll(kept) => {
            cluster.machines.iter().for_each(|machine| machine.crash(Silence::Gone, as_kept(kept)));
        }
        Fault::SlowDisk(one, longest) => cluster.machine(node(one)).disk.slow_down(Duration::from_millis(longest)),
        Fault::BreakDisk(one) => cluster.machine(node(one)).disk.fail(),
        Fault::LoseDisk(one) => {
            cluster.crash(node(one), Silence::Closed, 0);
            cluster.machine(node(one)).disk.lose();
        }
        Fault::Skew(one, ms) => cluster.machine(node(one)).clock.set_skew(i64::try_from(ms).unwrap_or_default() - 5000),
        Fault::Transfer(group, to) => transfer(cluster, group, node(to)).await,
    }
}

fn end(cluster: &Cluster, fault: Fault) {
    match fault {
        Fault::Cut(from, to) | Fault::Delay(from, to, _) | Fault::Lose(from, to, _) => {
            cluster.net.mend(to_host(from), to_host(to));
        }
        Fault::Isolate(one) => links(cluster, one).for_each(|(from, to)| cluster.net.mend(from, to)),
        Fault::Unplug(one) => all_links(cluster, one).for_each(|(from, to)| cluster.net.mend(from, to)),
        Fault::Kill(one, _) | Fault::PowerOff(one, _) | Fault::LoseDisk(one) => cluster.start(node(one)),
        Fault::PowerOffAll(_) => cluster.start_all(),
        Fault::SlowDisk(one, _) => cluster.machine(node(one)).disk.mend(),
        Fault::BreakDisk(one) => {
            cluster.crash(node(one), Silence::Closed, 0);
            // A node that is down for another fault has nothing to crash.
            cluster.machine(node(one)).disk.mend();
            cluster.start(node(one));
        }
        Fault::Skew(one, _) => cluster.machine(node(one)).clock.set_skew(0),
        Fault::Reset(..) | Fault::Transfer(..) => {}
    }
}

/// Asks whoever leads the n-th group to give it to `to`.
async fn transfer(cluster: &Cluster, group: u64, to: NodeId) {
    for (_, running) in cluster.running() {
        let groups = running.parts.groups.all();
        let count = groups.len().max(1);
        let Some(group) = groups.into_iter().nth(usize::try_from(group).unwrap_or_default() % count) else { continue };
        // Whoever does not lead it refuses; whoever does may not find anybody.
        if group.leadership().borrow().serving {
            let _ = tokio::time::timeout(Duration::from_secs(2), group.transfer_leadership(to)).await;
            return;
        }
    }
}

fn node(number: u64) -> NodeId {
    NodeId(u32::try_from(number).unwrap_or_default())
}

fn to_host(number: u64) -> Host {
    host(node(number))
}

fn as_kept(thousandths: u64) -> usize {
    usize::try_from(thousandths).unwrap_or_default()
}

/// Both directions between a node and each of the others.
fn links(cluster: &Cluster, one: u64) -> impl Iterator<Item = (Host, Host)> {
    let others = cluster.machines.iter().map(|machine| host(machine.id)).filter(move |other| *other != to_host(one));
    others.flat_map(move |other| [(to_host(one), other), (other, to_host(one))])
}

/// Both directions between a node and everybody else.
fn all_links(cluster: &Cluster, one: u64) -> impl Iterator<Item = (Host, Host)> {
    let clients = (101..180).flat_map(move |client| [(to_host(one), client), (client, to_host(one))]);
    links(cluster, one).chain(clients)
}
