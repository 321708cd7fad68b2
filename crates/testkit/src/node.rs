//! A node: a machine with its disk and clock, and the process on it, made of the real components.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use caudal_broker::{Broker, BrokerConfig, BrokerParts, ConnectionLimits, LogLevels};
use caudal_coordinator::{Coordinator, CoordinatorConfig, CoordinatorParts};
use caudal_metadata::quotas::QuotaWindows;
use caudal_metadata::{Controller, ControllerConfig, NodeRegistration};
use caudal_partition::{CompactionConfig, Partitions, PartitionsConfig};
use caudal_raft::{PeerAddress, RaftGroups, RaftGroupsConfig, Transport, TransportConfig};
use caudal_storage::{Engine, LogWriter, WriteBehind};
use caudal_types::{Clock, Network, NodeId, Tasks};
use parking_lot::Mutex;

use crate::clock::SimClock;
use crate::disk::Disk;
use crate::net::{self, Host, Net, Silence};
use crate::workload::member;

/// The port for the other nodes.
const PEER_PORT: u16 = 9093;
/// The port for clients.
pub const CLIENT_PORT: u16 = 9092;
/// How many coordinator shards the cluster has.
const SHARDS: usize = 2;

/// A machine: what is left when its process is not there.
pub struct Machine {
    /// Which node runs on it.
    pub id: NodeId,
    /// Its disk.
    pub disk: Arc<Disk>,
    /// Its wall clock.
    pub clock: SimClock,
    net: Net,
    nodes: Vec<NodeId>,
    process: Mutex<Option<Process>>,
}

/// A process, starting or started.
struct Process {
    /// The start and the log writer.
    tasks: Tasks,
    started: Arc<Mutex<Started>>,
}

/// As much of a node as has been started.
#[derive(Default)]
struct Started {
    transport: Option<Transport>,
    groups: Option<RaftGroups>,
    running: Option<Running>,
    broker: Option<Broker>,
}

/// The components of a node that runs.
#[derive(Clone)]
pub struct Running {
    /// The components.
    pub parts: BrokerParts,
    /// The store under them.
    pub engine: Arc<dyn Engine>,
    /// Counts the starts, over all nodes.
    pub start: u64,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").field("id", &self.id).finish_non_exhaustive()
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("start", &self.start).finish_non_exhaustive()
    }
}

impl Machine {
    /// A machine without a process.
    pub fn new(id: NodeId, disk: Arc<Disk>, clock: SimClock, net: Net, nodes: Vec<NodeId>) -> Self {
        Self { id, disk, clock, net, nodes, process: Mutex::new(None) }
    }

    /// Starts the node, unless it is there.
    pub fn start(&self, number: u64) {
        let mut process = self.process.lock();
        if process.is_some() {
            return;
        }
        self.net.bring_up(host(self.id));
        let (tasks, started) = (Tasks::new(), Arc::<Mutex<Started>>::default());
        let start = Start {
            me: self.id,
            nodes: self.nodes.clone(),
            network: Network::Simulated(self.net.attach(host(self.id))),
            disk: Arc::clone(&self.disk),
            clock: Arc::new(self.clock.clone()),
            tasks: tasks.clone(),
            number,
        };
        let into = Arc::clone(&started);
        tasks.spawn("node", async move {
            if let Err(error) = start.run(&into).await {
                tracing::warn!(node = %start.me, %error, "a simulated node did not start");
            }
        });
        *process = Some(Process { tasks, started });
    }

    /// Ends the process without warning. Of what was not synced, the first `kept` of a thousandth each reached the disk.
    pub fn crash(&self, silence: Silence, kept: usize) {
        let Some(process) = self.process.lock().take() else { return };
        self.net.take_down(host(self.id), silence);
        self.disk.crash(kept);
        // From here on it can reach nothing; what is left of it only has to end.
        let tasks = Tasks::new();
        tasks.spawn_to_end("a process's end", process.end());
    }

    /// The components, if the node runs.
    pub fn running(&self) -> Option<Running> {
        self.process.lock().as_ref()?.started.lock().running.clone()
    }

    /// Whether clients can reach it.
    pub fn is_open(&self) -> bool {
        self.process.lock().as_ref().is_some_and(|process| process.started.lock().broker.is_some())
    }

    /// Whether a process is there, though it may still be starting.
    pub fn is_up(&self) -> bool {
        self.process.lock().is_some()
    }
}

impl Process {
    async fn end(self) {
        let Started { transport, groups, running, broker } = std::mem::take(&mut *self.started.lock());
        if let Some(broker) = broker {
            broker.shutdown(Duration::ZERO).await;
        }
        self.tasks.shutdown().await;
        if let Some(Running { parts, .. }) = running {
            parts.coordinator.shutdown().await;
            parts.partitions.shutdown().await;
            parts.controller.shutdown().await;
        }
        if let Some(groups) = groups {
            groups.shutdown().await;
        }
        if let Some(transport) = transport {
            transport.shutdown().await;
        }
    }
}

/// What a start needs.
struct Start {
    me: NodeId,
    nodes: Vec<NodeId>,
    network: Network,
    disk: Arc<Disk>,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    number: u64,
}

impl Start {
    /// Does what the server's `Node` does.
    async fn run(&self, started: &Mutex<Started>) -> anyhow::Result<()> {
        let access = self.disk.attach();
        let engine: Arc<dyn Engine> = Arc::new(WriteBehind::new(access.clone()));
        let writer = LogWriter::start_paced(Arc::clone(&engine), Arc::new(access), &self.tasks);
        let transport = Transport::start(self.transport()).await?;
        started.lock().transport = Some(transport.clone());
        let groups = RaftGroups::new(self.raft(), Arc::clone(&engine), writer, transport.clone())?;
        started.lock().groups = Some(groups.clone());
        let clock = Arc::clone(&self.clock);
        let (engine_, clock_) = (Arc::clone(&engine), Arc::clone(&clock));
        let controller =
            Controller::start(self.controller(), groups.clone(), transport.clone(), engine_, clock_).await?;
        let partitions = Partitions::start(
            self.partitions(),
            controller.clone(),
            groups.clone(),
            transport.liveness(),
            Arc::clone(&engine),
            Arc::clone(&clock),
        )?;
        let coordinator = Coordinator::start(
            CoordinatorConfig {
                initial_rebalance_delay_ms: 0,
                min_session_timeout_ms: member::SESSION_MS,
                ..CoordinatorConfig::new(self.me)
            },
            CoordinatorParts {
                controller: controller.clone(),
                partitions: partitions.clone(),
                groups: groups.clone(),
                transport: transport.clone(),
                engine: Arc::clone(&engine),
                clock: Arc::clone(&clock),
            },
        );
        let parts = BrokerParts { controller, partitions, coordinator, groups, transport, clock };
        let images = parts.controller.images();
        started.lock().running = Some(Running { parts: parts.clone(), engine, start: self.number });
        let mut images = images;
        images.wait_for(|image| image.nodes.contains_key(&self.me)).await?;
        let broker = Broker::start(self.broker(), parts).await?;
        started.lock().broker = Some(broker);
        Ok(())
    }

    fn transport(&self) -> TransportConfig {
        let peer = |node: &NodeId| PeerAddress { node: *node, address: address(*node, PEER_PORT) };
        TransportConfig {
            node_id: self.me,
            cluster_id: "simulated".to_owned(),
            listen: address(self.me, PEER_PORT),
            peers: self.nodes.iter().filter(|node| **node != self.me).map(peer).collect(),
            ping_interval: Duration::from_millis(100),
            suspect_after: Duration::from_millis(500),
            network: self.network.clone(),
        }
    }

    fn raft(&self) -> RaftGroupsConfig {
        RaftGroupsConfig {
            node_id: self.me,
            election_timeout: Duration::from_millis(500),
            rebalance_after: Duration::from_secs(2),
            disk_stall_after: Duration::from_secs(2),
            // So small that the disk is read, too.
            log_cache_bytes: 32 << 10,
        }
    }

    fn controller(&self) -> ControllerConfig {
        ControllerConfig {
            node_id: self.me,
            nodes: self.nodes.clone(),
            cluster_id: "simulated".to_owned(),
            registration: NodeRegistration {
                host: net::address(host(self.me), CLIENT_PORT).ip().to_string(),
                port: CLIENT_PORT,
                rack: None,
            },
            coordinator_shards: SHARDS,
            num_partitions: 1,
            default_replication_factor: None,
            topic_defaults: self.topic_defaults(),
            mutation_windows: QuotaWindows::default(),
        }
    }

    fn partitions(&self) -> PartitionsConfig {
        PartitionsConfig {
            node_id: self.me,
            topic_defaults: self.topic_defaults(),
            producer_expiration_ms: 86_400_000,
            retention_check_interval: Duration::from_millis(500),
            compaction: CompactionConfig { backoff: Duration::from_millis(500), ..CompactionConfig::default() },
        }
    }

    /// Segments so small that they end within a run.
    fn topic_defaults(&self) -> BTreeMap<String, String> {
        // Records have no real time in a simulation, and go by size alone.
        let defaults = [("log.segment.bytes", "1500"), ("log.retention.ms", "-1")];
        defaults.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
    }

    fn broker(&self) -> BrokerConfig {
        BrokerConfig {
            node_id: self.me,
            listen: address(self.me, CLIENT_PORT),
            folder: "/".into(),
            max_connections: 100,
            request_max_bytes: 4 << 20,
            request_memory_bytes: 64 << 20,
            fetch_memory_bytes: 64 << 20,
            idle_timeout: Duration::from_secs(600),
            auto_create_topics: false,
            fetch_sessions_max: 10,
            telemetry_max_bytes: 1 << 20,
            replica_selector: None,
            fetch_max_bytes: 8 << 20,
            quota_windows: QuotaWindows::default(),
            connections: ConnectionLimits::default(),
            shown: Arc::from([]),
            log_levels: LogLevels::new("off", &[], Box::new(|_| Ok(()))),
            network: self.network.clone(),
        }
    }
}

/// The machine that a node runs on.
pub fn host(node: NodeId) -> Host {
    Host::try_from(node.0).unwrap_or_default()
}

fn address(node: NodeId, port: u16) -> String {
    net::address(host(node), port).to_string()
}
