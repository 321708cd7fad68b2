"""Kafka's command-line tools as processes whose output is watched, and the cluster that they talk to."""

import json
import os
import signal
import subprocess
import threading
import time

PATIENCE = 180
"""The longest, in seconds, that anything here is waited for."""

JAVA = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx192m", "-cp", os.environ.get("JARS", "") + "/*"]


class Failed(Exception):
    """What the cluster did wrong."""


class Tool:
    """One tool that runs, and the JSON events that it has printed."""

    running = []

    def __init__(self, folder, label, name, *words):
        self.label, self.events, self.changed = label, [], threading.Condition()
        self.errors = open(os.path.join(folder, f"{label}.stderr"), "w", encoding="utf-8")
        self.kept = open(os.path.join(folder, f"{label}.stdout"), "w", encoding="utf-8")
        command = JAVA + [f"org.apache.kafka.tools.{name}"] + [str(word) for word in words]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.errors, stdin=subprocess.DEVNULL, text=True)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        Tool.running.append(self)

    def _read(self):
        for line in self.process.stdout:
            self.kept.write(line)
            try:
                event = json.loads(line)
            except ValueError:
                event = {"name": "line", "value": line.rstrip("\n")}
            with self.changed:
                self.events.append(event if isinstance(event, dict) else {"name": "line", "value": line.rstrip("\n")})
                self.changed.notify_all()
        self.kept.flush()
        with self.changed:
            self.changed.notify_all()

    def named(self, name):
        """The events of one name, so far."""
        with self.changed:
            return [event for event in self.events if event.get("name") == name]

    def wait_for(self, what, look, ended_is_fine=False):
        """Waits until `look(self)` is true of what has been printed."""
        deadline = time.monotonic() + PATIENCE
        while not look(self):
            if self.process.poll() is not None and not self.reader.is_alive():
                if look(self) or ended_is_fine:
                    return
                raise Failed(f"{self.label} ended with {self.process.returncode} before {what}")
            left = deadline - time.monotonic()
            if left <= 0:
                raise Failed(f"{self.label}: no {what} within {PATIENCE} s")
            with self.changed:
                self.changed.wait(min(left, 0.2))

    def finish(self):
        """Waits for its end, which must be a good one."""
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired as error:
            raise Failed(f"{self.label} does not end") from error
        self.reader.join(PATIENCE)
        if code != 0:
            raise Failed(f"{self.label} ended with {code}")

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.process.wait(PATIENCE)
        self.reader.join(PATIENCE)

    def stop(self):
        """Asks it to end, as its user would."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)
        self.reader.join(PATIENCE)


class Cluster:
    """Where the brokers are; the nodes can be killed if they are this suite's own."""

    def __init__(self, bootstrap, folder, test):
        self.bootstrap, self.folder, self.test = bootstrap, folder, test
        self.nodes, self.directory = int(os.environ["NODES"]), os.environ["CLUSTER"]

    def own(self, name):
        """The name of a topic, a group or a transactional id of this run of this test alone."""
        return f"{self.test}-{os.getpid()}-{name}"

    def _script(self, *words):
        if self.directory:
            subprocess.run([os.environ["SCRIPT"], *words, "--dir", self.directory], check=True, stdout=subprocess.DEVNULL, timeout=PATIENCE)

    def kill(self, node):
        """Kills a node, -9. The only one there is comes back at once."""
        self._script("kill", str(min(node, self.nodes)))
        if self.nodes == 1:
            self.start(node)

    def start(self, node):
        """Starts a node that was killed."""
        self._script("start-node", str(min(node, self.nodes)))

    def create(self, topic, partitions):
        """Makes a topic with a replica on every node."""
        words = ["--bootstrap-server", self.bootstrap, "--create", "--topic", topic, "--partitions", partitions]
        self.run(f"create-{topic}", "TopicCommand", *words, "--replication-factor", self.nodes)

    def run(self, label, name, *words):
        """Runs a tool to its end, and gives its events."""
        tool = Tool(self.folder, label, name, *words)
        tool.finish()
        return tool.events

    def values(self, topic):
        """The values of all committed records of a topic, in the order in which a consumer gets them."""
        words = ["--bootstrap-server", self.bootstrap, "--topic", topic, "--from-beginning", "--isolation-level", "read_committed"]
        tool = Tool(self.folder, f"read-{topic}", "consumer.ConsoleConsumer", *words, "--timeout-ms", 15000)
        # It ends with 1 by its own time-out: that is how it tells the end of the topic.
        tool.process.wait(PATIENCE)
        tool.reader.join(PATIENCE)
        with open(os.path.join(self.folder, f"read-{topic}.stdout"), encoding="utf-8") as lines:
            return [line.strip() for line in lines if line.strip()]
