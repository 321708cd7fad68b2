"""The workloads: each runs against one system and returns its figures."""

import json
import os
import re
import subprocess

from systems import CACHE, ROOT, kafka_tool

PERF = "org.apache.kafka.tools"


def create(system, topic, partitions):
    output = kafka_tool(
        f"{PERF}.TopicCommand", "--bootstrap-server", system.bootstrap,
        "--create", "--topic", topic, "--partitions", partitions, "--replication-factor", 3,
    )
    if output.returncode:
        raise RuntimeError(output.stdout)


def produce(system, topic, partitions, records, throughput=-1, linger_ms=5):
    """kafka-producer-perf-test with acks=all: MB/s, latencies in ms, and the brokers' CPU-seconds (in all, and per GB)."""
    create(system, topic, partitions)
    before = system.cpu_seconds()
    properties = [f"bootstrap.servers={system.bootstrap}", "acks=all", "batch.size=65536", f"linger.ms={linger_ms}"]
    output = kafka_tool(
        f"{PERF}.ProducerPerformance", "--topic", topic, "--num-records", records, "--record-size", 1024,
        "--throughput", throughput, "--command-property", *properties,
    ).stdout
    cpu = system.cpu_seconds() - before
    summary = output.strip().splitlines()[-1]
    match = re.search(
        r"\(([\d.]+) MB/sec\), ([\d.]+) ms avg latency, ([\d.]+) ms max latency, (\d+) ms 50th, (\d+) ms 95th, (\d+) ms 99th", summary
    )
    if not match:
        raise RuntimeError(f"the producer failed: {output[-2000:]}")
    gigabytes = records * 1024 / 1e9
    return {
        "MB/s": float(match[1]), "p50 ms": float(match[4]), "p99 ms": float(match[6]),
        "broker CPU-s": cpu, "broker CPU-s/GB": cpu / gigabytes,
    }


def t1(system):
    return produce(system, "t1", 6, 1_000_000)


def t3(system):
    return produce(system, "t3", 6, 75_000, throughput=5000, linger_ms=0)


def t4(system):
    return produce(system, "t4", 1, 300_000)


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


def t8(system):
    """kill -9 of one node of three under 600 records/s; ends the system."""
    pids = ",".join(str(system.pid(node)) for node in (1, 2, 3))
    python = CACHE / "clients" / "python" / "bin" / "python"
    command = [python, ROOT / "tests" / "bench" / "failover.py", system.bootstrap, pids]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, env={**os.environ})
    if output.returncode:
        raise RuntimeError(f"the failover test failed: {output.stdout}")
    return json.loads(output.stdout.strip().splitlines()[-1])


WORKLOADS = {"T1": t1, "T3": t3, "T4": t4, "T6": t6, "T7": t7, "T8": t8}
