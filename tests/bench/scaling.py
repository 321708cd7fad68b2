"""How idle CPU, memory, throughput, start and failover grow with the number of partitions."""

import collections
import time

from measure import IDEMPOTENT, Background, check_produced, check_topic, create, generator

TOPIC = "many"
FIGURES = ["idle cores", "MB of a node", "s until created", "MB/s over all", "peak MB of a node", "s to open", "s of failover"]


def partitions_of(system):
    """The topic's partitions, from any node that answers."""
    # Here, so that the arithmetic can be tested without a client.
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({"bootstrap.servers": system.bootstrap, "log_level": 0})
    return admin.list_topics(TOPIC, timeout=30).topics[TOPIC].partitions.values()


def led_again(system, partitions, within_s=180):
    """Waits until every partition has a leader again."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            if sum(one.leader >= 0 for one in partitions_of(system)) == partitions:
                return
        except Exception as error:  # noqa: BLE001: whatever a client gets from a cluster that is not there yet
            last = error
        else:
            last = "not all have leaders"
        if time.monotonic() > deadline:
            raise RuntimeError(f"{system.name} does not lead {partitions} partitions after {within_s} s: {last}")
        time.sleep(0.02)


def measure(system, sizes, partitions):
    """One fresh cluster with so many partitions; ends it."""
    created = create(system, TOPIC, partitions)["s until all have leaders"]
    time.sleep(sizes.settle_s)
    before = system.cpu_seconds()
    time.sleep(sizes.idle_s)
    idle = (system.cpu_seconds() - before) / sizes.idle_s
    memory = system.memory_mb()
    system.reset_peaks()
    produced = generator("produce", system, topic=TOPIC, seconds=sizes.peak_s, spread=partitions)
    peak = system.memory_mb("VmHWM")
    system.stop_all()
    start = time.monotonic()
    for node in system.NODES:
        system.launch_node(node)
    led_again(system, partitions)
    opened = time.monotonic() - start
    return {
        "idle cores": idle, "MB of a node": memory, "s until created": created, "MB/s over all": produced["MB/s"],
        "peak MB of a node": peak, "s to open": opened, "s of failover": failover(system, sizes, partitions, check_produced(produced)),
    }  # fmt: skip


def failover(system, sizes, partitions, held):
    """kill -9 of the node that leads most, under 600 records/s: the longest time that a partition goes without an acknowledgement.

    The topic has `held` records before.
    """
    time.sleep(sizes.failover_before_s)
    load = Background("produce", system, topic=TOPIC, rate=600, spread=min(partitions, 60), until_told=True, linger_ms=0, first_producer=1, ahead=IDEMPOTENT)
    with load:
        time.sleep(sizes.failover_before_s)
        leaders = collections.Counter(one.leader for one in partitions_of(system))
        system.kill(leaders.most_common(1)[0][0])
        time.sleep(sizes.failover_after_s)
        result = load.end()
    check_topic(system, TOPIC, held + check_produced(result))
    return result["longest time without an ack s"]


def slope(points):
    """By least squares: how much y grows per x."""
    n = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def table(results):
    """{system: {partitions: figures}} as Markdown, with the growth per 1,000 partitions."""
    counts = sorted({count for rows in results.values() for count in rows})
    lines = [
        "| Figure | System | " + " | ".join(f"{count:,} partitions" for count in counts) + " | per 1,000 more |",
        "|---" * (3 + len(counts)) + "|",
    ]
    for figure in FIGURES:
        for system, rows in results.items():
            cells = [f"{rows[count][figure]:.3g}" if count in rows else "-" for count in counts]
            points = [(count, row[figure]) for count, row in rows.items()]
            growth = f"{1000 * slope(points):+.3g}" if len(points) > 1 else "-"
            lines.append(f"| {figure} | {system} | " + " | ".join(cells) + f" | {growth} |")
    return "\n".join(lines)
