"""The two systems that are compared: three nodes each, on loopback, never at the same time."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "caudal"
LIBS = CACHE / "apache-kafka" / "libs"
TICKS = os.sysconf("SC_CLK_TCK")
SECTOR_BYTES = 512
# ApiVersions, version 0, with its length before it.
API_VERSIONS = bytes([0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 255, 255])


def kafka_tool(java_class, *args, **options):
    """Runs one of Kafka's own tools."""
    # The tools' own scripts give them 512 MB, and so do we.
    return subprocess.run(
        ["java", "-Xmx512m", "-cp", f"{LIBS}/*", java_class, *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def fetch_kafka():
    """Apache Kafka's jars, once."""
    if not (LIBS / "complete").exists():
        LIBS.mkdir(parents=True, exist_ok=True)
        pom = ROOT / "tests" / "bench" / "pom.xml"
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={LIBS}", "-DincludeScope=runtime"]
        subprocess.run(["mvn", "-q", "-B", "-f", pom, *goal], check=True)
        (LIBS / "complete").touch()


def answers(address):
    """Whether a node answers a client's first question."""
    try:
        with socket.create_connection(address, 1) as connection:
            connection.sendall(API_VERSIONS)
            return len(connection.recv(8)) == 8
    except OSError:
        return False


class System:
    """A three-node cluster with the processes of its nodes."""

    name = ""
    bootstrap = ""
    folder = None
    # Whether what it was sent can be read back.
    gives_back = True
    # Whether what its processes spend is worth a figure.
    has_costs = True
    # Whether it says how near the others could come, instead of being compared with them: a load that goes by its own peak says nothing then.
    is_ceiling = False
    # How long the last start took.
    started_in = None
    # Of T17's last round: latency second by second.
    timeline = None
    # Of the nodes, beside those that it always has; for the next start.
    settings = {}
    NODES = (1, 2, 3)

    def prepare(self):
        """Everything before the processes run: removes the data of earlier clusters, and writes what the nodes need."""
        raise NotImplementedError

    def launch(self):
        """Starts all nodes at the same time."""
        raise NotImplementedError

    def start(self):
        """A fresh cluster, all of whose nodes answer clients. What was before does not count in `started_in`, nor what the disk still has to do for it."""
        self.prepare()
        os.sync()
        start = time.monotonic()
        self.launch()
        for node in self.NODES:
            self.await_node(node, start + 120)
        self.started_in = time.monotonic() - start

    def await_node(self, node, deadline):
        """Waits until a node answers clients."""
        while not answers(self.address(node)):
            if time.monotonic() > deadline:
                said = self.log(node).read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{self.name}: node {node} does not answer two minutes after its start; its last words: {said}")
            time.sleep(0.01)

    def pid(self, node):
        raise NotImplementedError

    def log(self, node):
        """The file with what a node says."""
        raise NotImplementedError

    def address(self, node):
        """Where a node listens for clients."""
        host, port = self.bootstrap.split(",")[node - 1].split(":")
        return host, int(port)

    def data_folders(self):
        """Where the nodes keep their logs, node by node."""
        raise NotImplementedError

    def cpu_seconds(self):
        """User and system time of all nodes since their start."""
        total = 0
        for node in self.NODES:
            fields = Path(f"/proc/{self.pid(node)}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICKS

    def written_bytes(self):
        """What the disk under the data has written since it was plugged in; all that was to be written is, then.

        What processes are charged with in /proc/PID/io says more: a whole folio each time that a byte of it changes.
        """
        os.sync()
        device = os.stat(self.folder).st_dev
        statistics = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat").read_text().split()
        return int(statistics[6]) * SECTOR_BYTES

    def memory_mb(self, field="VmRSS"):
        """The largest node's resident memory: now (VmRSS), or at its peak (VmHWM)."""
        sizes = []
        for node in self.NODES:
            lines = Path(f"/proc/{self.pid(node)}/status").read_text().splitlines()
            sizes += [int(line.split()[1]) / 1024 for line in lines if line.startswith(field)]
        return max(sizes)

    def reset_peaks(self):
        """Peak memory (VmHWM) counts from now on."""
        for node in self.NODES:
            Path(f"/proc/{self.pid(node)}/clear_refs").write_text("5")

    def kill(self, node):
        """kill -9."""
        os.kill(self.pid(node), signal.SIGKILL)

    def discard(self):
        """Gives the disk and the page cache to the next system."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def stop_node(self, node):
        """Stops a node as an operator would, and waits until it is gone."""
        raise NotImplementedError

    def stop_all(self):
        """Stops all nodes at the same time as an operator would, and keeps their data."""
        raise NotImplementedError

    def launch_node(self, node):
        """Starts a node again, and does not wait for it."""
        raise NotImplementedError


class Caudal(System):
    """Caudal as it ships: acknowledged means fsynced on a majority."""

    name = "Caudal"
    # In one session with the clients, as Kafka's nodes are: the kernel shares a busy machine out by sessions first, and only then by threads.
    ATTACHED = ("--attached",)

    def __init__(self, folder):
        self.folder = Path(folder) / "caudal"
        self.launching = []

    def _script(self, *args):
        return subprocess.run(
            [ROOT / "scripts" / "cluster", *args, "--dir", self.folder], check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    def prepare(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def launch(self):
        """Writes the nodes' files, too: that counts in the start."""
        # Like Kafka's below: the tools have one consumer, and need not wait for more.
        settings = {"group.initial.rebalance.delay.ms": 0, **self.settings}
        words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
        output = self._script("start", *self.ATTACHED, "--nodes", "3", "--port", "29092", *words)
        self.bootstrap = output.strip().splitlines()[-1].split("=", 1)[1]

    def data_folders(self):
        return [self.folder / f"node-{node}" / "data" for node in self.NODES]

    def pid(self, node):
        return int((self.folder / f"node-{node}" / "pid").read_text())

    def log(self, node):
        return self.folder / f"node-{node}" / "log"

    def stop_node(self, node):
        self._script("kill", str(node), "TERM")

    def stop_all(self):
        self._script("stop")

    def launch_node(self, node):
        command = [ROOT / "scripts" / "cluster", "start-node", str(node), *self.ATTACHED, "--dir", self.folder]
        self.launching.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))

    def stop(self):
        for script in self.launching:
            script.wait()
        self.launching.clear()
        self._script("stop")


class Kafka(System):
    """Apache Kafka in KRaft mode, 1 GB of heap each. `flush=True` makes it fsync each append (K1); as it ships it does not (K0)."""

    NAMES = {False: "Kafka K0", True: "Kafka K1"}
    # Below those that the system gives to outgoing connections, as all ports here: any of the clients' could have it otherwise.
    PORTS = {1: (23092, 23093), 2: (23094, 23095), 3: (23096, 23097)}
    CLUSTER_ID = "Q2F1ZGFsQmVuY2htYXJrMQ"

    def __init__(self, folder, flush=False):
        self.folder = Path(folder) / "kafka"
        self.flush = flush
        self.name = self.NAMES[flush]
        self.bootstrap = ",".join(f"127.0.0.1:{client}" for client, _ in self.PORTS.values())
        self.processes = {}

    def _properties(self, node):
        client, controller = self.PORTS[node]
        voters = ",".join(f"{one}@127.0.0.1:{ports[1]}" for one, ports in self.PORTS.items())
        lines = {
            "process.roles": "broker,controller",
            "node.id": node,
            "controller.quorum.voters": voters,
            "listeners": f"PLAINTEXT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{client}",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "log.dirs": self.folder / str(node),
            "default.replication.factor": 3,
            "min.insync.replicas": 2,
            "offsets.topic.replication.factor": 3,
            "transaction.state.log.replication.factor": 3,
            "transaction.state.log.min.isr": 2,
            "group.initial.rebalance.delay.ms": 0,
            **self.settings,
        }
        if self.flush:
            lines["log.flush.interval.messages"] = 1
        return "".join(f"{key}={value}\n" for key, value in lines.items())

    def prepare(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        for node in self.PORTS:
            config = self.folder / f"{node}.properties"
            config.write_text(self._properties(node))
            formatted = kafka_tool("kafka.tools.StorageTool", "format", "-t", self.CLUSTER_ID, "-c", config)
            if formatted.returncode:
                raise RuntimeError(formatted.stdout)

    def launch(self):
        for node in self.PORTS:
            self.launch_node(node)

    def data_folders(self):
        return [self.folder / str(node) for node in self.NODES]

    def pid(self, node):
        return self.processes[node].pid

    def log(self, node):
        return self.folder / f"{node}.log"

    def launch_node(self, node):
        heap = ["-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35"]
        command = ["java", *heap, "-cp", f"{LIBS}/*", "kafka.Kafka", str(self.folder / f"{node}.properties")]
        with open(self.log(node), "a") as log:
            self.processes[node] = subprocess.Popen(command, stdout=log, stderr=log)

    def stop_node(self, node):
        self.processes[node].terminate()
        self.processes[node].wait(120)

    def stop_all(self):
        for process in self.processes.values():
            process.terminate()
        end = time.monotonic() + 60
        for process in self.processes.values():
            try:
                process.wait(max(0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                # Without a majority of its peers it may wait for them in vain.
                process.kill()
                process.wait()

    def stop(self):
        for process in self.processes.values():
            process.kill()
            process.wait()


class Ceiling(System):
    """A broker of ours that acknowledges at once and throws everything away: what the clients reach on this machine at best."""

    name = "Client ceiling"
    gives_back = False
    has_costs = False
    is_ceiling = True
    PORT = 24092
    # One process pretends to be all three.
    NODES = (1,)
    process = None

    def __init__(self, folder, generator):
        self.folder = Path(folder) / "floor"
        self.generator = generator
        self.bootstrap = ",".join(f"127.0.0.1:{self.PORT + node}" for node in range(3))

    def prepare(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)

    def launch(self, *options):
        command = [self.generator, "floor", "--port", str(self.PORT), *options]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline().strip() != "ready":
            raise RuntimeError("the floor did not start")

    def pid(self, node):
        return self.process.pid

    def log(self, node):
        # It speaks on the benchmark's own standard error.
        return Path(os.devnull)

    def stop(self):
        if self.process:
            self.process.stdin.close()
            self.process.wait()
            self.process.stdout.close()


class DurableCeiling(Ceiling):
    """The same, but it acknowledges once two of three copies on the disk are synced: what any system can reach here that promises that, and what it spends at least."""

    name = "Durable ceiling"
    has_costs = True
    KEPT_IN = "--copies"
    OPTIONS = ()

    def launch(self):
        super().launch(self.KEPT_IN, self.folder, *self.OPTIONS)

    def stop(self):
        super().stop()
        # Its files are full from the start; the next system needs neither them nor what the disk has to do for their removal.
        shutil.rmtree(self.folder)


class StoreCeiling(DurableCeiling):
    """The same with the copies in RocksDB: what a system can reach here that keeps its log there, and what it spends at least."""

    name = "RocksDB ceiling"
    KEPT_IN = "--stores"


class ReplicatedCeiling(DurableCeiling):
    """The same on three nodes that replicate over TCP and do nothing else: the least that a system spends here whose leaders send what they store to followers."""

    name = "Replicated ceiling"
    KEPT_IN = "--replicas"


class FileReadingCeiling(DurableCeiling):
    """A broker of ours that only keeps what it is sent, once, and gives it back: what any system can reach here that reads plain files to memory, and what it spends at least."""

    name = "File reading ceiling"
    gives_back = True
    OPTIONS = ("--readable",)


class StoreReadingCeiling(FileReadingCeiling):
    """The same from RocksDB."""

    name = "RocksDB reading ceiling"
    KEPT_IN = StoreCeiling.KEPT_IN


CEILINGS = (Ceiling, DurableCeiling, StoreCeiling, ReplicatedCeiling, FileReadingCeiling, StoreReadingCeiling)
