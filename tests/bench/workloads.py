"""T1 to T7: Kafka's own tools, and beside them the lean generator on a topic of its own. Each returns its figures."""

import re

from measure import LEAN, Costs, Lost, check_count, check_produced, check_topic, client_cpu, create, generator
from systems import kafka_tool

PERF = "org.apache.kafka.tools"
# An idempotent producer needs a number from a broker. librdkafka looks for one that is connected when it starts, and then not for half a second, in which
# it sends nothing: that is its own start, against any broker.
WARM_UP_S = 2


def produce(system, topic, partitions, records, record_size=1024, rate=0, linger_ms=5):
    """As fast as possible, or at a rate: first Kafka's tool, then ours."""
    figures = produce_kafka(system, topic, partitions, records, record_size, rate, linger_ms)
    ours = produce_lean(system, topic + "-lean", partitions, records=records, size=record_size, rate=rate, linger_ms=linger_ms)
    return figures | {name + LEAN: value for name, value in ours.items()}


def produce_kafka(system, topic, partitions, records, record_size, rate, linger_ms):
    """kafka-producer-perf-test with acks=all: rate, latencies in ms, and what the brokers spent."""
    create(system, topic, partitions)
    costs = Costs(system)
    properties = [f"bootstrap.servers={system.bootstrap}", "acks=all", "batch.size=65536", f"linger.ms={linger_ms}"]
    output = kafka_tool(
        f"{PERF}.ProducerPerformance", "--topic", topic, "--num-records", records, "--record-size", record_size,
        "--throughput", rate or -1, "--command-property", *properties,
    ).stdout  # fmt: skip
    spent = costs.figures(records * record_size)
    match = re.search(
        r"(\d+) records sent, ([\d.]+) records/sec \(([\d.]+) MB/sec\), ([\d.]+) ms avg latency, ([\d.]+) ms max latency, "
        r"(\d+) ms 50th, (\d+) ms 95th, (\d+) ms 99th",
        output.strip().splitlines()[-1],
    )
    if not match:
        raise RuntimeError(f"the producer failed: {output[-2000:]}")
    if int(match[1]) != records:
        raise Lost(f"{system.name}: of {records} records, {match[1]} were acknowledged: {output[-4000:]}")
    check_count(system, topic, records)
    rates = {"k records/s": float(match[2]) / 1000, "MB/s": float(match[3])}
    return {**rates, "p50 ms": float(match[6]), "p99 ms": float(match[8]), **spent}


def produce_lean(system, topic, partitions, **options):
    """The same with ours. At a rate, latency counts from when each record was due."""
    if options.get("rate"):
        options["warm_up"] = WARM_UP_S
    create(system, topic, partitions)
    costs = Costs(system)
    result = generator("produce", system, topic=topic, **options)
    spent = costs.figures(result["acked"] * options.get("size", 1024))
    check_topic(system, topic, check_produced(result))
    shown = ["k records/s", "MB/s", "p50 ms", "p99 ms"] + (["p99.9 ms", "max ms", "generator late by ms"] if options.get("rate") else [])
    disk = [name for name in spent if name.startswith("fdatasync")]
    return {name: result[name] for name in shown} | {name: value for name, value in spent.items() if name not in disk}


def t1(system, sizes):
    return produce(system, "t1", 6, sizes.t1_records)


def t2(system, sizes):
    return produce(system, "t2", 6, sizes.t2_records, record_size=100)


def t3(system, sizes):
    return produce(system, "t3", 6, sizes.t3_records, rate=5000, linger_ms=0)


def t4(system, sizes):
    return produce(system, "t4", 1, sizes.t4_records)


def t5(system, sizes):
    return produce(system, "t5", 100, sizes.t5_records)


def t6(system, sizes):
    """kafka-consumer-perf-test over what T1 wrote, and our reader over what T1's other half wrote."""
    before, client_before = system.cpu_seconds(), client_cpu()
    output = kafka_tool(
        f"{PERF}.ConsumerPerformance", "--bootstrap-server", system.bootstrap, "--topic", "t1", "--num-records", sizes.t1_records,
        "--timeout", 60_000,
    ).stdout  # fmt: skip
    cpu, client = system.cpu_seconds() - before, client_cpu() - client_before
    header, values = [line.split(", ") for line in output.strip().splitlines() if ", " in line][-2:]
    row = dict(zip(header, values))
    # Where nothing is given back, partitions have no end.
    if int(row["data.consumed.in.nMsg"]) != sizes.t1_records and system.gives_back:
        raise Lost(f"{system.name}, T6: {row['data.consumed.in.nMsg']} of {sizes.t1_records} records were read")
    megabytes = float(row["data.consumed.in.MB"])
    rates = {"MB/s": float(row["MB.sec"]), "MB/s of fetching": float(row["fetch.MB.sec"]), "client CPU-s": client}
    if not system.gives_back:
        # It has the same batch everywhere, which our reader would refuse.
        return rates
    before, client_before = system.cpu_seconds(), client_cpu()
    ours = check_topic(system, "t1-lean", sizes.t1_records)
    ours_cpu, ours_client = system.cpu_seconds() - before, client_cpu() - client_before
    return {
        **rates, "broker CPU-s/GB": cpu / (megabytes * 1048576 / 1e9),
        "MB/s" + LEAN: ours["MB/s"], "client CPU-s" + LEAN: ours_client, "broker CPU-s/GB" + LEAN: ours_cpu / (sizes.t1_records * 1024 / 1e9),
    }  # fmt: skip


def t7(system, sizes):
    """kafka-e2e-latency: one record at a time, from the send to its reading."""
    create(system, "t7", 1)
    output = kafka_tool(
        f"{PERF}.EndToEndLatency", "--bootstrap-server", system.bootstrap, "--topic", "t7", "--num-records", sizes.t7_records,
        "--producer-acks", "all", "--record-size", 1024,
    ).stdout  # fmt: skip
    average = re.search(r"Avg latency: ([\d.]+) ms", output)
    percentiles = re.search(r"50th = (\d+), 99th = (\d+), 99.9th = (\d+)", output)
    if not (average and percentiles):
        raise RuntimeError(f"the latency test failed: {output[-2000:]}")
    check_count(system, "t7", sizes.t7_records)
    return {"mean ms": float(average[1]), "p50 ms": float(percentiles[1]), "p99 ms": float(percentiles[2])}
