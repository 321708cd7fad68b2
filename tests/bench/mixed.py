"""T13 to T17: many producers, many groups, a backlog, many connections, and a long time."""

import itertools
import json
import shutil
import time

from measure import OWN_HALF, Background, Costs, Lost, check_count, check_produced, check_read, check_topic, create, generator
from workloads import produce_lean

SIZE = 1024
# Numbers of producers that were not used yet: each one's records are told apart.
PRODUCERS = itertools.count(1)
# What a long run may fill of the disk's free space, with three replicas and what is written beside them.
FILL = 0.6 / (3 * 1.3)


def half_of_peak(system, sizes):
    """Half of the records per second that one producer of ours reaches on this cluster, which is warm then. What it wrote is checked."""
    create(system, "peak", 6)
    result = generator("produce", system, topic="peak", seconds=sizes.peak_s)
    check_topic(system, "peak", check_produced(result))
    return result["k records/s"] * 1000 / 2


def t13(system, sizes):
    """50 producers, keyed records of 256 bytes, 288 partitions: small batches."""
    half_of_peak(system, sizes)
    return produce_lean(
        system, "t13", 288, producers=50, records=sizes.t13_records, size=256, keys=100_000, batch_size=16384, queue_kb=1024
    )


def t14(system, sizes):
    """One producer as fast as it can, and 20 groups that each read everything."""
    half_of_peak(system, sizes)
    create(system, "t14", 6)
    costs = Costs(system)
    with Background("groups", system, topic="t14", groups=20, records=sizes.t14_records) as groups:
        produced = generator("produce", system, topic="t14", records=sizes.t14_records)
        read = groups.end()
    total = sizes.t14_records * SIZE
    spent = costs.figures(total)
    check_read(read, 20 * check_produced(produced), f"{system.name}, T14")
    check_count(system, "t14", sizes.t14_records)
    cpu = spent["broker CPU-s"] / (20 * total / 1e9)
    return {"MB/s read": read["MB/s"], "MB/s produced": produced["MB/s"], "broker CPU-s per GB read": cpu}


def t15(system, sizes):
    """A new consumer drains a backlog while a producer runs; the producer's latency before and meanwhile.

    Once beside the same load for both systems, and once beside half of each one's own peak.
    """
    half = None if system.is_ceiling else half_of_peak(system, sizes)
    create(system, "t15", 6)
    held = check_produced(generator("produce", system, topic="t15", records=int(sizes.backlog_gb * 1e9 / SIZE)))
    figures, held = drain(system, sizes, sizes.live_mb_s * 1048576 / SIZE, held)
    if half:
        own, held = drain(system, sizes, half, held)
        figures |= {name + OWN_HALF: value for name, value in own.items()}
    check_topic(system, "t15", held)
    return figures


def drain(system, sizes, rate, held):
    """Reads T15's topic, of `held` records, from its start beside `rate` records/s: the figures, and how many records it has then."""
    live = {"topic": "t15", "rate": rate, "warm_up": 2}
    before = generator("produce", system, seconds=sizes.live_s, first_producer=next(PRODUCERS), **live)
    held += check_produced(before)
    with Background("produce", system, until_told=True, first_producer=next(PRODUCERS), **live) as load:
        time.sleep(2)
        drained = generator("read", system, topic="t15")
        meanwhile = load.end()
    if drained["duplicated"] or drained["foreign"] or drained["records"] < held:
        raise Lost(f"{system.name}, T15: the drain read {drained}, at least {held} records were acknowledged before")
    figures = {
        "MB/s drained": drained["MB/s"], "GB drained": drained["records"] * SIZE / 1e9, "live MB/s": meanwhile["MB/s"],
        "live p99 ms before": before["p99 ms"], "live p99 ms meanwhile": meanwhile["p99 ms"],
        "live p99 meanwhile / before": meanwhile["p99 ms"] / before["p99 ms"],
    }  # fmt: skip
    return figures, held + check_produced(meanwhile)


def t16(system, sizes):
    """Idle connections, spread over the nodes, and active producers that send to one partition each."""
    create(system, "t16", sizes.active_connections)
    with Background("idle", system, connections=sizes.idle_connections) as idle:
        costs = Costs(system)
        active = generator(
            "produce", system, topic="t16", producers=sizes.active_connections, spread=sizes.active_connections, stay=True, rate=1000,
            seconds=sizes.connected_s, queue_kb=1024, warm_up=2,
        )  # fmt: skip
        memory = system.memory_mb()
        spent = costs.figures(active["acked"] * SIZE)
        left = idle.end()["connections"]
    if left != sizes.idle_connections:
        raise Lost(f"{system.name}: of {sizes.idle_connections} idle connections, {left} are left")
    check_topic(system, "t16", check_produced(active))
    cores = spent["broker CPU-s"] / sizes.connected_s
    return {"MB of a node": memory, "peak MB of a node": spent["peak MB of a node"], "cores": cores, "p50 ms": active["p50 ms"], "p99 ms": active["p99 ms"]}


def t17(system, sizes):
    """Half of the peak for a quarter of an hour, across flushes and compactions; less where the disk would not hold it."""
    rate = min(half_of_peak(system, sizes), shutil.disk_usage(system.folder).free * FILL / (SIZE * sizes.endure_s))
    create(system, "t17", 6)
    costs = Costs(system)
    timeline = system.folder / "t17.json"
    result = generator("produce", system, topic="t17", rate=rate, seconds=sizes.endure_s, warm_up=5, timeline=timeline)
    spent = costs.figures(result["acked"] * SIZE)
    check_count(system, "t17", check_produced(result))
    first, last = result["p99 ms of the first third"], result["p99 ms of the last third"]
    system.timeline = json.loads(timeline.read_text())
    return {
        "MB/s": result["MB/s"], "p50 ms": result["p50 ms"], "p99 ms": result["p99 ms"], "p99.9 ms": result["p99.9 ms"],
        "p99 ms of the first third": first, "p99 ms of the last third": last, "p99 last / first third": last / first,
        "longest pause ms": result["max ms"], "generator late by ms": result["generator late by ms"], **spent,
    }  # fmt: skip
