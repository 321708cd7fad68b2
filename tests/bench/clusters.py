"""T8 to T12 and T18: nodes that die, rest, start, and come back."""

import json
import os
import subprocess
import sys
import time

from measure import IDEMPOTENT, Background, Lost, check_produced, check_topic, create
from systems import ROOT

# How long a load runs before and after what happens to it.
AROUND_S = 3


def client_program(name, *args):
    """Runs one of our small programs on librdkafka, whose last line is its result."""
    output = subprocess.run([sys.executable, ROOT / "tests" / "bench" / name, *args], stdout=subprocess.PIPE, text=True, env={**os.environ})
    if output.returncode:
        raise RuntimeError(f"{name} failed: {output.stdout}")
    return json.loads(output.stdout.strip().splitlines()[-1])


def t8(system, sizes):
    """kill -9 of one node of three under 600 records/s; ends the system."""
    pids = ",".join(str(system.pid(node)) for node in system.NODES)
    result = client_program("failover.py", system.bootstrap, pids, str(sizes.failover_before_s), str(sizes.failover_after_s))
    if result["failed"] or result["lost"] or result["duplicated"]:
        raise Lost(f"{system.name}, T8: {result}")
    return result


def t9(system, sizes):
    """The CPU that idle partitions take, all nodes together; T12 has made most of them."""
    create(system, "t9", 130)
    time.sleep(sizes.settle_s)
    before = system.cpu_seconds()
    time.sleep(sizes.idle_s)
    return {"cores": (system.cpu_seconds() - before) / sizes.idle_s}


def t10(system, _):
    """The memory of a node with these partitions."""
    return {"MB of a node": system.memory_mb()}


def t11(system, _):
    """The start of the cluster until all nodes answer and a topic with one partition has a leader, the client's own start included."""
    start = time.monotonic()
    create(system, "t11", 1)
    return {"s": system.started_in + time.monotonic() - start, "s until all nodes answer": system.started_in}


def t12(system, sizes):
    """A topic with 1,000 partitions, until all have leaders."""
    return create(system, "t12", sizes.many_partitions)


def t18(system, sizes):
    """A node comes back while the others need it: with another one stopped, no partition can acknowledge until it serves again.

    The time is the clients' own: from the start of its process until every partition has acknowledged a record.
    """
    partitions = sizes.restart_partitions
    create(system, "t18", partitions)
    with Background("produce", system, topic="t18", rate=max(partitions, 100), spread=partitions, until_told=True, linger_ms=0, ahead=IDEMPOTENT) as load:
        time.sleep(2 * AROUND_S)
        system.stop_node(1)
        time.sleep(AROUND_S)
        system.stop_node(2)
        time.sleep(AROUND_S)
        load.say("mark")
        start = time.monotonic()
        system.launch_node(1)
        system.await_node(1, start + 120)
        answered = time.monotonic() - start
        recovered = json.loads(load.line())["recovered s"]
        system.launch_node(2)
        time.sleep(AROUND_S)
        result = load.end()
    check_topic(system, "t18", check_produced(result))
    return {"s until all partitions acknowledge": recovered, "s until the node answers": answered, "acked": result["acked"]}
