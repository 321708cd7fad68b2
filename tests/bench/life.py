"""T24 and T25, the life of a log: what retention and log compaction take while clients go on."""

import array
import functools
import json
import re
import time
import urllib.request
from pathlib import Path

from measure import Background, Lost, check_produced, create, generator
from systems import Kafka, kafka_tool
from watch import Sampler, disk_bytes, median, rises, split

SIZE = 1024
MIB = 1 << 20
# An hour's worth of turnover in a minute or two: what looks every five minutes otherwise looks once a second, and Kafka's removed files go after one second
# instead of sixty.
SETTINGS = {
    "T24": {"log.retention.check.interval.ms": 1000},
    "T25": {"log.cleaner.backoff.ms": 1000},
}
KAFKA_SETTINGS = {"log.segment.delete.delay.ms": 1000, "log.initial.task.delay.ms": 1000}
PARTITIONS = 6
# Seconds after the removal of a segment that count as near it.
AFTER_S = 1
# What the generator's first seconds tell is its own start.
WARM_UP_S = 3
CLEAN_WITHIN_S = 600
GATHERED_WITHIN_S = 60
WRITTEN_WITHIN_S = 120
# Where a record of our generator tells its place in the sequence (crates/bench/src/payload.rs).
SEQUENCE = slice(8, 16)
# `_PARTITION_EOF` of librdkafka.
END_OF_PARTITION = -191


def settings_of(workloads, system):
    """The nodes' settings that a row of these workloads asks for."""
    settings = {key: value for workload in workloads for key, value in SETTINGS.get(workload, {}).items()}
    return settings | KAFKA_SETTINGS if settings and isinstance(system, Kafka) else settings


def consumer_of(system):
    # Not at the top: the tests of the judgement do without it.
    from confluent_kafka import Consumer

    return Consumer({
        "bootstrap.servers": system.bootstrap, "group.id": "bench-life", "enable.auto.commit": False, "enable.partition.eof": True,
        "auto.offset.reset": "earliest", "fetch.queue.backoff.ms": 1,
    })  # fmt: skip


def t24(system, sizes):
    """One partition at its `retention.bytes` under a steady load, until many segments are gone: the disk, and latency where one goes."""
    from confluent_kafka import TopicPartition

    segment, limit = int(sizes.segment_mb * MIB), int(sizes.retained_mb * MIB)
    create(system, "t24", 1, segment_bytes=segment, retention_bytes=limit, retention_ms=-1)
    empty = [disk_bytes(folder) for folder in system.data_folders()]
    filled = check_produced(generator("produce", system, topic="t24", records=(limit + segment) // SIZE))
    timeline = system.folder / "t24.json"
    consumer = consumer_of(system)
    load = Background(
        "produce", system, topic="t24", first_producer=1, rate=sizes.retained_rate_mb_s * 1e6 / SIZE, seconds=sizes.retained_s,
        warm_up=WARM_UP_S, timeline=timeline,
    )  # fmt: skip
    with load, Sampler(lambda: consumer.get_watermark_offsets(TopicPartition("t24", 0), 30)[0]) as starts:
        with Sampler(lambda: [disk_bytes(folder) for folder in system.data_folders()]) as disks:
            result = load.end()
    start, end = consumer.get_watermark_offsets(TopicPartition("t24", 0), 30)
    consumer.close()
    if end != filled + check_produced(result):
        raise Lost(f"{system.name}, T24: the log ends at {end}, {filled + result['acked']} records were acknowledged")
    removals = rises(starts.samples)
    removed = (starts.samples[-1][1] - starts.samples[0][1]) * SIZE / segment
    if removed < sizes.least_segments:
        raise RuntimeError(f"{system.name}, T24: {removed:.1f} segments went, and {sizes.least_segments} are wanted: a longer retained_s?")
    near, far = split(json.loads(timeline.read_text()), removals, WARM_UP_S, AFTER_S)
    most = max(max(sample) for _, sample in disks.samples)
    beside = max(size - nothing for _, sample in disks.samples for size, nothing in zip(sample, empty))
    return {
        "largest disk / limit": beside / limit, "largest disk MB": most / 1e6, "last disk / limit": max(disks.samples[-1][1]) / limit,
        "DescribeLogDirs / limit": log_dirs_bytes(system, "t24") / limit, "records kept / limit": (end - start) * SIZE / limit,
        "segments removed": removed, "removals seen": len(removals), "MB/s": result["MB/s"], "p99 ms": result["p99 ms"], "max ms": result["max ms"],
        **compared(near, far),
    }  # fmt: skip


def compared(near, far):
    """Latency where segments go beside all other seconds; no ratio where one of them never was."""
    figures = {"p99 ms where a segment goes": median(near), "p99 ms elsewhere": median(far)}
    ratio = {"p99 where a segment goes / elsewhere": median(near) / median(far)} if near and far else {}
    return {name: value for name, value in figures.items() if value is not None} | ratio


def log_dirs_bytes(system, topic):
    """The topic's bytes on the node that has most of them, as DescribeLogDirs tells it."""
    output = kafka_tool("org.apache.kafka.tools.LogDirsCommand", "--bootstrap-server", system.bootstrap, "--describe", "--topic-list", topic).stdout
    return largest_of(json.loads(next(line for line in output.splitlines() if line.startswith("{"))))


def largest_of(described):
    return max(sum(partition["size"] for folder in broker["logDirs"] for partition in folder["partitions"]) for broker in described["brokers"])


def t25(system, sizes):
    """Cleans a topic in which each of a million keys was written ten times, beside a steady load on another topic."""
    records = int(sizes.compacted_gb * 1e9 / SIZE)
    # It is cleaned once it is full.
    create(system, "t25", PARTITIONS, segment_bytes=int(sizes.segment_mb * MIB), retention_ms=-1, cleanup_policy="delete")
    create(system, "t25-live", PARTITIONS)
    filled = generator("produce", system, topic="t25", records=records, keys=sizes.compacted_keys)
    check_produced(filled)
    await_written(system)
    live = {"topic": "t25-live", "rate": sizes.cleaning_live_mb_s * 1e6 / SIZE, "warm_up": WARM_UP_S}
    before = generator("produce", system, seconds=sizes.live_s, **live)
    check_produced(before)
    full = [disk_bytes(folder) for folder in system.data_folders()]
    with Background("produce", system, until_told=True, first_producer=1, **live) as load:
        time.sleep(WARM_UP_S)
        written, start = system.written_bytes(), time.monotonic()
        set_policy(system, "t25", "compact")
        cleaned = await_clean(system, "t25", start + CLEAN_WITHIN_S)
        took = time.monotonic() - start
        after = await_gathered(system)
        written = system.written_bytes() - written
        meanwhile = load.end()
    check_produced(meanwhile)
    left = check_newest(system, "t25", records, sizes.compacted_keys)
    # The generator's keys are not all hit alike.
    keys = sum(sequence >= 0 for sequence in newest_of(records, sizes.compacted_keys))
    grown = meanwhile["acked"] * SIZE
    total = records * SIZE
    return {
        "MB/s cleaned": total / 1e6 / took, "s until clean": took, "GB filled": total / 1e9, "records left / keys": left / keys,
        "bytes written per byte cleaned": written / (3 * total), "bytes written per byte kept": written / (3 * left * SIZE),
        "disk before / filled": max(full) / total, "disk after / kept": (max(after) - grown) / (left * SIZE),
        "live MB/s": meanwhile["MB/s"], "live p99 ms before": before["p99 ms"], "live p99 ms meanwhile": meanwhile["p99 ms"],
        "live p99 meanwhile / before": meanwhile["p99 ms"] / before["p99 ms"], **cleaned,
    }  # fmt: skip


def await_written(system):
    """Waits until the nodes have written all that an earlier load left them with: it is no part of the next one's."""
    before, deadline = system.written_bytes(), time.monotonic() + WRITTEN_WITHIN_S
    while time.monotonic() < deadline:
        time.sleep(2)
        now = system.written_bytes()
        if now - before < MIB:
            return
        before = now
    raise RuntimeError(f"{system.name} still writes, {WRITTEN_WITHIN_S} s after the load has ended")


def set_policy(system, topic, policy):
    from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

    entry = ConfigEntry("cleanup.policy", policy, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
    # Kept: what it was asked breaks off when it goes.
    admin = AdminClient({"bootstrap.servers": system.bootstrap})
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(30)


def await_clean(system, topic, deadline):
    """Waits until every replica has cleaned all that can be; more figures, where the system has any."""
    is_clean = kafka_is_clean if isinstance(system, Kafka) else caudal_is_clean
    while not is_clean(system, topic):
        if time.monotonic() > deadline:
            raise RuntimeError(f"{system.name}: {topic} is not clean after {CLEAN_WITHIN_S} s")
        time.sleep(0.5)
    if isinstance(system, Kafka):
        return {}
    metrics = [metrics_of(system, node) for node in system.NODES]
    busy = sum(each["caudal_compaction_seconds_total"] for each in metrics)
    read = sum(each["caudal_compaction_read_bytes_total"] for each in metrics)
    return {"cleaner's own s of a node": busy / len(metrics), "cleaner's own MB/s read": read / 1e6 / busy}


def kafka_is_clean(system, topic):
    """By the cleaner's own file: the first offset that is not clean is where the open segment begins, on every node."""
    return all(
        clean_upto(folder / "cleaner-offset-checkpoint").get((topic, partition), 0) >= open_segment(folder / f"{topic}-{partition}")
        for folder in system.data_folders()
        for partition in range(PARTITIONS)
    )


def clean_upto(checkpoint):
    """{(topic, partition): offset} of such a file: a version, a count, and a line for each partition."""
    if not checkpoint.exists():
        return {}
    lines = [line.split() for line in checkpoint.read_text().splitlines()[2:]]
    return {(topic, int(partition)): int(offset) for topic, partition, offset in lines}


def open_segment(folder):
    """Where a partition's last segment begins; it is named after that."""
    return max(int(path.stem) for path in folder.glob("*.log"))


def caudal_is_clean(system, _):
    """Nothing is ordered that is not done, nothing is dirty enough to be ordered, and every partition had a pass."""
    metrics = [metrics_of(system, node) for node in system.NODES]
    return all(
        each["caudal_compaction_waiting_bytes"] == 0
        and each["caudal_compaction_dirtiest_ratio"] <= 0.5
        and each["caudal_compaction_passes_total"] >= PARTITIONS
        for each in metrics
    )


def metrics_of(system, node):
    text = (system.folder / f"node-{node}" / "caudal.toml").read_text()
    listener = re.search(r'^admin\.listener = "([^"]+)"', text, re.MULTILINE)[1]
    with urllib.request.urlopen(f"http://{listener}/metrics", timeout=30) as answer:
        return parse_metrics(answer.read().decode())


def parse_metrics(text):
    """Those without labels."""
    lines = [line.split() for line in text.splitlines() if line.startswith("caudal_") and "{" not in line]
    return {name: float(value) for name, value in lines}


def await_gathered(system):
    """Waits until the disks of the nodes become no smaller any more; what they take then."""
    smallest, since, deadline = None, time.monotonic(), time.monotonic() + GATHERED_WITHIN_S
    while True:
        now = [disk_bytes(folder) for folder in system.data_folders()]
        if smallest is None or sum(now) < 0.99 * sum(smallest):
            smallest, since = now, time.monotonic()
        if time.monotonic() > min(deadline, since + 10):
            return now
        time.sleep(0.5)


def key_of(sequence, producer, keys):
    """The key of a record of our generator (crates/bench/src/produce/driver.rs)."""
    mixed = (sequence ^ (producer << 40)) * 0x9E37_79B9_7F4A_7C15 & 0xFFFF_FFFF_FFFF_FFFF
    return (mixed >> 20) % keys


@functools.cache
def newest_of(records, keys):
    """The last record of each key that producer 0 sends, by its place in the sequence; -1 where there is none."""
    newest = array.array("q", [-1]) * keys
    for sequence in range(records):
        newest[key_of(sequence, 0, keys)] = sequence
    return newest


def check_newest(system, topic, records, keys):
    """Reads the topic back: the last record of each key is the last that was sent, and none is missing. How many records there are."""
    from confluent_kafka import TopicPartition

    consumer = consumer_of(system)
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    table, left, open_ends = array.array("q", [-1]) * keys, 0, PARTITIONS
    while open_ends:
        messages = consumer.consume(10_000, 60)
        if not messages:
            raise RuntimeError(f"{system.name}: nothing came for a minute from {topic}")
        for message in messages:
            if message.error():
                # The end of a partition, after which nothing is written.
                open_ends -= message.error().code() == END_OF_PARTITION
                continue
            left += 1
            table[int.from_bytes(message.key(), "big")] = int.from_bytes(message.value()[SEQUENCE], "big")
    consumer.close()
    judge_newest(table, newest_of(records, keys), f"{system.name}, {topic}")
    return left


def judge_newest(read, sent, what):
    wrong = [key for key, (one, other) in enumerate(zip(read, sent)) if one != other]
    if wrong:
        key = wrong[0]
        raise Lost(f"{what}: {len(wrong)} keys have not their newest record: key {key} has number {read[key]}, and {sent[key]} was the last sent")
