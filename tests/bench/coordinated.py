"""T19 to T23: transactions, and consumer groups whose coordinator dies or which have very many members."""

import json
import time

from measure import Background, Costs, check_copied, check_produced, create, generator

# Partitions of the topics that transactions read and write, and workers.
WORKERS = 8
# How long the load runs before its first measured second, and groups commit before their coordinator dies.
BEFORE_S = 3
# Of the topic whose offsets are committed where a coordinator dies.
PARTITIONS = 1000


def transactions(system, sizes, name, every_ms):
    """Eight workers, each of which reads a partition and writes what it read to another topic, in transactions that gather records for a while."""
    create(system, name, WORKERS)
    create(system, name + "-out", WORKERS)
    costs = Costs(system)
    with Background("transact", system, topic=name, to=name + "-out", every_ms=every_ms, workers=WORKERS) as workers:
        # Each partition has a producer of its own: librdkafka fills one partition for a while, then another one at random, and every third transaction would be empty.
        even = {"producers": WORKERS, "spread": WORKERS, "stay": True}
        load = generator("produce", system, topic=name, rate=sizes.transact_records_s, seconds=sizes.transact_s, size=256, **even)
        result = workers.end()
    acked = check_produced(load)
    spent = costs.figures(2 * acked * 256)
    check_copied(generator("read", system, topic=name), result, acked, f"{system.name}, {name}")
    return {
        "transactions/s": result["transactions/s"], "p50 ms": result["p50 ms"], "p99 ms": result["p99 ms"],
        "records of a transaction": acked / result["transactions"], "broker CPU-s": spent["broker CPU-s"],
    }  # fmt: skip


def t19(system, sizes):
    return transactions(system, sizes, "t19", 10)


def t20(system, sizes):
    return transactions(system, sizes, "t20", 100)


def failover(system, topic, **options):
    """kill -9 of the node that coordinates 200 groups, each of which commits every 50 ms."""
    with Background("commits", system, topic=topic, partitions=PARTITIONS, groups=200, **options) as groups:
        memory = system.memory_mb()
        time.sleep(BEFORE_S)
        system.kill(json.loads(groups.first)["coordinator"])
        time.sleep(5 * BEFORE_S)
        result = groups.end()
    return result | {"MB of a node": memory}


def t21(system, sizes):
    """A coordinator dies; ends the system."""
    # As many partitions as T22 needs, which choose leaders at the same time: what T22 differs by is what its offsets cost.
    create(system, "t21", PARTITIONS)
    result = failover(system, "t21")
    return {name: result[name] for name in ("longest time without a commit s", "median of the groups s", "p50 ms", "p99 ms", "MB of a node")}


def t22(system, sizes):
    """The same where a million offsets of other groups are committed; ends the system."""
    create(system, "t22", PARTITIONS)
    before = system.memory_mb()
    result = failover(system, "t22", held_groups=sizes.held_offsets // PARTITIONS)
    return {
        "longest time without a commit s": result["longest time without a commit s"], "median of the groups s": result["median of the groups s"],
        "MB of a node": result["MB of a node"], "MB more than before the offsets": result["MB of a node"] - before,
    }  # fmt: skip


def t23(system, sizes):
    """One group of 1,000 members over 3,000 partitions by the consumer protocol (KIP-848): one more arrives, and dies."""
    create(system, "t23", sizes.group_partitions)
    return generator("members", system, topic="t23", members=sizes.group_members, partitions=sizes.group_partitions)
