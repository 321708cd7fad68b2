"""What every workload uses: the lean generator, what the brokers spend, and whether a record was lost or duplicated."""

import contextlib
import json
import os
import resource
import subprocess

from systems import ROOT

TARGET = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
GENERATOR = f"{TARGET}/release/caudal-bench"
LEAN = " (librdkafka)"
OWN_HALF = " (beside half of its own peak)"
# As many requests ahead as an idempotent producer may have: where nodes die, what is sent again must not be there twice.
IDEMPOTENT = 5


# What a reader counts, by which it is judged.
SEEN = ("records", "holes", "duplicated", "out of order", "foreign")


class Lost(Exception):
    """A record was lost, duplicated or refused: the run's figures do not count."""


def _command(name, options):
    command = [GENERATOR, name]
    for key, value in options.items():
        flag = "--" + key.replace("_", "-")
        command += [flag] if value is True else [flag, str(value)]
    return command


def generator(name, system, **options):
    """Runs a command of caudal-bench to its end; its last line."""
    if system is not None:
        options["bootstrap"] = system.bootstrap
    command = _command(name, options)
    output = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    if output.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {output.stdout}")
    return json.loads(output.stdout.strip().splitlines()[-1])


class Background:
    """A command of caudal-bench that runs beside others; `with` ends it. `first` is what it says when it is ready."""

    def __init__(self, name, system, **options):
        self.command = _command(name, {**options, "bootstrap": system.bootstrap})

    def __enter__(self):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(self.command, stdin=pipe, stdout=pipe, text=True)
        self.first = self.line()
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def line(self):
        """The next line that it says; the first one tells that it is ready."""
        line = self.process.stdout.readline().strip()
        if not line:
            raise RuntimeError(f"{' '.join(self.command)} ended")
        return line

    def say(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def end(self):
        """Lets it end; its last line."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        output = self.process.stdout.read().strip()
        if self.process.wait():
            raise RuntimeError(f"{' '.join(self.command)} failed: {output}")
        return json.loads(output.splitlines()[-1])


def client_cpu():
    """User and system time of all clients that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Costs:
    """What the brokers spend from now on, and what the disk does just before."""

    def __init__(self, system):
        self.system = system
        self.disk = generator("disk", None, folder=system.folder, seconds=1)
        system.reset_peaks()
        self.client_cpu = client_cpu()
        self.cpu, self.written = system.cpu_seconds(), system.written_bytes()

    def figures(self, total_bytes, suffix=""):
        """For `total_bytes` of records, written once by each of three nodes."""
        cpu, written = self.system.cpu_seconds() - self.cpu, self.system.written_bytes() - self.written
        figures = {"client CPU-s": client_cpu() - self.client_cpu}
        if self.system.has_costs:
            figures |= {
                "broker CPU-s": cpu, "broker CPU-s/GB": cpu / (total_bytes / 1e9),
                "peak MB of a node": self.system.memory_mb("VmHWM"), "bytes written per replicated byte": written / (3 * total_bytes),
                **self.disk,
            }  # fmt: skip
        return {name + suffix: value for name, value in figures.items()}


def create(system, topic, partitions, **settings):
    """A topic of three replicas, all of whose partitions have leaders."""
    command = [GENERATOR, "topic", "--bootstrap", system.bootstrap, "--topic", topic, "--partitions", str(partitions)]
    for key, value in settings.items():
        command += ["--set", f"{key.replace('_', '.')}={value}"]
    output = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    return json.loads(output.strip().splitlines()[-1])


def check_count(system, topic, records, what="records"):
    """By the topic's offsets, there are exactly as many records as were sent: none lost, none twice."""
    held = generator("offsets", system, topic=topic)[what]
    if held != records:
        raise Lost(f"{system.name}: {topic} has {held} records, and {records} were acknowledged")


def check_produced(result):
    """Everything that was sent was acknowledged."""
    if result["failed"] or result["acked"] != result["sent"]:
        raise Lost(f"of {result['sent']} records sent, {result['acked']} were acknowledged")
    return result["acked"]


def check_read(result, records, what):
    """A reader saw exactly the records that were acknowledged, each producer's in order."""
    wrong = {name: result[name] for name in SEEN if name != "records" and result[name]}
    if wrong or result["records"] != records:
        raise Lost(f"{what}: {result['records']} records were read back, {records} were acknowledged; {wrong}")


def check_copied(source, copy, records, what):
    """What was copied is there exactly as often as in the source, which has all that was acknowledged: a producer that is not idempotent may have sent some of it twice."""
    of_source = {**source, "records": source["records"] - source["duplicated"], "duplicated": 0, "out of order": 0}
    check_read(of_source, records, f"{what}, what was to be copied")
    differ = {name: (source[name], copy[name]) for name in SEEN if source[name] != copy[name]}
    if differ:
        raise Lost(f"{what}: copied other than it was: {differ}")


def check_topic(system, topic, records):
    """Reads a topic back, every record of it."""
    if not system.gives_back:
        check_count(system, topic, records)
        return {}
    result = generator("read", system, topic=topic)
    check_read(result, records, f"{system.name}, {topic}")
    return result
