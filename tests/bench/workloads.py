"""The workloads: each runs against one system and returns its figures."""

import json
import os
import re
import subprocess
import time

from systems import CACHE, ROOT, kafka_tool

PERF = "org.apache.kafka.tools"
# How long a cluster is left alone before its idle CPU is measured, and for how long that is.
SETTLE_S, IDLE_S = 20, 60


def create(system, topic, partitions):
    output = kafka_tool(
        f"{PERF}.TopicCommand", "--bootstrap-server", system.bootstrap,
        "--create", "--topic", topic, "--partitions", partitions, "--replication-factor", 3,
    )
    if output.returncode:
        raise RuntimeError(output.stdout)


def produce(system, topic, partitions, records, record_size=1024, throughput=-1, linger_ms=5):
    """kafka-producer-perf-test with acks=all: rate, latencies in ms, the brokers' CPU-seconds, peak memory, and bytes written per replicated byte."""
    create(system, topic, partitions)
    cpu, written = system.cpu_seconds(), system.written_bytes()
    properties = [f"bootstrap.servers={system.bootstrap}", "acks=all", "batch.size=65536", f"linger.ms={linger_ms}"]
    output = kafka_tool(
        f"{PERF}.ProducerPerformance", "--topic", topic, "--num-records", records, "--record-size", record_size,
        "--throughput", throughput, "--command-property", *properties,
    ).stdout
    cpu, written = system.cpu_seconds() - cpu, system.written_bytes() - written
    summary = output.strip().splitlines()[-1]
    match = re.search(
        r"([\d.]+) records/sec \(([\d.]+) MB/sec\), ([\d.]+) ms avg latency, ([\d.]+) ms max latency, "
        r"(\d+) ms 50th, (\d+) ms 95th, (\d+) ms 99th",
        summary,
    )
    if not match:
        raise RuntimeError(f"the producer failed: {output[-2000:]}")
    total = records * record_size
    return {
        "k records/s": float(match[1]) / 1000, "MB/s": float(match[2]), "p50 ms": float(match[5]), "p99 ms": float(match[7]),
        "broker CPU-s": cpu, "broker CPU-s/GB": cpu / (total / 1e9),
        "peak MB of a node": system.memory_mb("VmHWM"), "bytes written per replicated byte": written / (3 * total),
    }


def t1(system):
    return produce(system, "t1", 6, 1_000_000)


def t2(system):
    return produce(system, "t2", 6, 3_000_000, record_size=100)


def t3(system):
    return produce(system, "t3", 6, 75_000, throughput=5000, linger_ms=0)


def t4(system):
    return produce(system, "t4", 1, 300_000)


def t5(system):
    return produce(system, "t5", 100, 500_000)


def t6(system):
    """kafka-consumer-perf-test over what T1 wrote."""
    before = system.cpu_seconds()
    output = kafka_tool(
        f"{PERF}.ConsumerPerformance", "--bootstrap-server", system.bootstrap, "--topic", "t1", "--num-records", 1_000_000, "--timeout", 60_000,
    ).stdout
    cpu = system.cpu_seconds() - before
    header, values = [line.split(", ") for line in output.strip().splitlines() if ", " in line][-2:]
    row = dict(zip(header, values))
    megabytes = float(row["data.consumed.in.MB"])
    return {
        "MB/s": float(row["MB.sec"]), "MB/s of fetching": float(row["fetch.MB.sec"]),
        "broker CPU-s/GB": cpu / (megabytes * 1048576 / 1e9),
    }


def t7(system, records=5000):
    """kafka-e2e-latency: one record at a time, from the send to its reading."""
    create(system, "t7", 1)
    output = kafka_tool(
        f"{PERF}.EndToEndLatency", "--bootstrap-server", system.bootstrap, "--topic", "t7", "--num-records", records,
        "--producer-acks", "all", "--record-size", 1024,
    ).stdout
    average = re.search(r"Avg latency: ([\d.]+) ms", output)
    percentiles = re.search(r"50th = (\d+), 99th = (\d+), 99.9th = (\d+)", output)
    if not (average and percentiles):
        raise RuntimeError(f"the latency test failed: {output[-2000:]}")
    return {"mean ms": float(average[1]), "p50 ms": float(percentiles[1]), "p99 ms": float(percentiles[2])}


def client_program(name, *args):
    """Runs one of our small programs on librdkafka, whose last line is its result."""
    python = CACHE / "clients" / "python" / "bin" / "python"
    command = [python, ROOT / "tests" / "bench" / name, *args]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, env={**os.environ})
    if output.returncode:
        raise RuntimeError(f"{name} failed: {output.stdout}")
    return json.loads(output.stdout.strip().splitlines()[-1])


def t8(system):
    """kill -9 of one node of three under 600 records/s; ends the system."""
    return client_program("failover.py", system.bootstrap, ",".join(str(system.pid(node)) for node in (1, 2, 3)))


def t9(system):
    """The CPU that 1,130 idle partitions take, all nodes together; T12 has made 1,000 of them."""
    create(system, "t9", 130)
    time.sleep(SETTLE_S)
    before = system.cpu_seconds()
    time.sleep(IDLE_S)
    return {"cores": (system.cpu_seconds() - before) / IDLE_S}


def t10(system):
    """The memory of a node with these partitions."""
    return {"MB of a node": system.memory_mb()}


def t11(system):
    """The start of the cluster until it serves."""
    return {"s": system.started_in}


def t12(system):
    """A topic with 1,000 partitions, until all have leaders."""
    return client_program("create.py", system.bootstrap, "t12", "1000")


# Each row has a cluster of its own.
ROWS = [
    {"T1": t1, "T2": t2, "T3": t3, "T4": t4, "T5": t5, "T6": t6, "T7": t7},
    {"T8": t8},
    {"T11": t11, "T12": t12, "T9": t9, "T10": t10},
]
