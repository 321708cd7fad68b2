"""Kafka's verifiable tools against a cluster: `run.py list`, or `run.py BOOTSTRAP FOLDER TEST`. The exit code is the verdict."""

import os
import sys
from collections import Counter

from tools import Cluster, Failed, Tool

MESSAGES = int(os.environ.get("MESSAGES", "20000"))
PARTITIONS = 3


def settings_file(cluster, name, line):
    """A file of client settings, for --command-config."""
    path = os.path.join(cluster.folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(line + "\n")
    return path


def produce(cluster, label, topic, count=MESSAGES, throughput=-1):
    """A verifiable producer, which numbers its records from 0 on. It does not retry of its own accord (retries=0): a node's death would lose records."""
    words = ["--bootstrap-server", cluster.bootstrap, "--topic", topic, "--max-messages", count, "--throughput", throughput]
    words += ["--command-config", settings_file(cluster, "producer.properties", "retries=2147483647")]
    return Tool(cluster.folder, label, "VerifiableProducer", *words)


def consume(cluster, label, topic, group, protocol):
    """A verifiable consumer of committed records that commits what it has processed, and tells of each record."""
    group, settings = cluster.own(group), settings_file(cluster, "consumer.properties", "isolation.level=read_committed")
    words = ["--bootstrap-server", cluster.bootstrap, "--topic", topic, "--group-id", group, "--group-protocol", protocol, "--verbose"]
    words += ["--command-config", settings]
    if protocol == "classic":
        words += ["--session-timeout", 10000]
    return Tool(cluster.folder, label, "VerifiableConsumer", *words)


def copy(cluster, label, partition, *more):
    """A copier, which has a transactional id of its own."""
    name, group = cluster.own(label.rsplit("-", 1)[0]), cluster.own("copiers")
    words = ["--broker-list", cluster.bootstrap, "--input-topic", cluster.own("in"), "--output-topic", cluster.own("out")]
    words += ["--input-partition", partition, "--transactional-id", name, "--consumer-group", group, "--transaction-size", 100]
    words += ["--transaction-timeout", 30000]
    return Tool(cluster.folder, label, "TransactionalMessageCopier", *words, *more)


def acked(producer):
    return [event["value"] for event in producer.named("producer_send_success")]


def seen(*consumers):
    return [event["value"] for consumer in consumers for event in consumer.named("record_data")]


def copied(tool):
    """How many records a copier has copied by its own account."""
    with tool.changed:
        return max((event.get("totalProcessed", 0) for event in tool.events), default=0)


def expect_each_once(values, expected, what):
    counts = Counter(values)
    twice = [value for value, count in counts.items() if count > 1]
    lost, strange = set(expected) - set(counts), set(counts) - set(expected)
    if twice or lost or strange:
        raise Failed(f"{what}: {len(lost)} lost, {len(twice)} more than once, {len(strange)} that nobody wrote; such as {sorted(lost | set(twice) | strange)[:5]}")


def everything():
    return [str(number) for number in range(MESSAGES)]


def produce_and_consume(cluster, protocol):
    cluster.create(cluster.own("in"), PARTITIONS)
    producer = produce(cluster, "producer", cluster.own("in"))
    consumer = consume(cluster, "consumer", cluster.own("in"), "readers", protocol)
    producer.finish()
    expect_each_once(acked(producer), everything(), "acknowledged")
    consumer.wait_for("all records", lambda tool: len(seen(tool)) >= MESSAGES)
    consumer.stop()
    expect_each_once(seen(consumer), everything(), "consumed")
    failures = [event for event in consumer.named("offsets_committed") if not event["success"]]
    if failures:
        raise Failed(f"a commit failed: {failures[0]}")
    # Its successor has nothing to do: all is committed.
    successor = consume(cluster, "successor", cluster.own("in"), "readers", protocol)
    successor.wait_for("assignment", lambda tool: tool.named("partitions_assigned"))
    later = produce(cluster, "later", cluster.own("in"), 10)
    later.finish()
    successor.wait_for("later records", lambda tool: len(seen(tool)) >= 10)
    successor.stop()
    expect_each_once(seen(successor), [str(number) for number in range(10)], "consumed after all was committed")


def members_and_nodes_die(cluster, protocol):
    """Three members, of which one is killed, while a node is: everything arrives, and what arrives twice was not committed."""
    cluster.create(cluster.own("in"), PARTITIONS)
    members = [consume(cluster, f"member-{number}", cluster.own("in"), "readers", protocol) for number in range(3)]
    for member in members:
        member.wait_for("assignment", lambda tool: tool.named("partitions_assigned"))
    producer = produce(cluster, "producer", cluster.own("in"), throughput=max(MESSAGES // 20, 1))
    producer.wait_for("a quarter", lambda tool: len(acked(tool)) >= MESSAGES // 4)
    members[0].kill()
    cluster.kill(2)
    producer.wait_for("half", lambda tool: len(acked(tool)) >= MESSAGES // 2)
    if cluster.nodes > 1:
        cluster.start(2)
    producer.finish()
    expect_each_once(acked(producer), everything(), "acknowledged")
    missing = lambda: set(everything()) - set(seen(*members))
    members[1].wait_for("all records", lambda _: not missing())
    for member in members[1:]:
        member.stop()
    expect_each_once(cluster.values(cluster.own("in")), everything(), "in the topic")
    for member in members[1:]:
        expect_each_once(seen(member), set(seen(member)), f"consumed by {member.label}, which lived")


def copiers_die(cluster, *more, group_mode=False):
    """Copiers are killed and replaced, and so is a node: the copy has each record exactly once."""
    cluster.create(cluster.own("in"), PARTITIONS)
    cluster.create(cluster.own("out"), PARTITIONS)
    source = produce(cluster, "producer", cluster.own("in"))
    source.finish()
    words = [*more, "--group-mode", "--use-group-metadata"] if group_mode else more
    each = MESSAGES // PARTITIONS
    copiers = {number: copy(cluster, f"copier{number}-1", number, *words) for number in range(PARTITIONS)}
    is_under_way = lambda share: lambda tool: copied(tool) >= each // share
    copiers[0].wait_for("a quarter", is_under_way(4), ended_is_fine=True)
    copiers[0].kill()
    copiers[0] = copy(cluster, "copier0-2", 0, *words)
    copiers[1].wait_for("a quarter", is_under_way(4), ended_is_fine=True)
    cluster.kill(1)
    copiers[1].kill()
    copiers[1] = copy(cluster, "copier1-2", 1, *words)
    copiers[1].wait_for("another tenth", is_under_way(10), ended_is_fine=True)
    if cluster.nodes > 1:
        cluster.start(1)
    for tool in copiers.values():
        tool.finish()
    if group_mode:
        # Who came when all was shared out may have left before another was killed: one more takes what is left.
        copy(cluster, "copier9-1", 0, *words).finish()
    expect_each_once(cluster.values(cluster.own("out")), everything(), "committed copies")
    for protocol in ["classic", "consumer"]:
        reader = consume(cluster, f"reader-{protocol}", cluster.own("out"), f"readers-{protocol}", protocol)
        reader.wait_for("all copies", lambda tool: len(seen(tool)) >= MESSAGES)
        reader.stop()
        expect_each_once(seen(reader), everything(), f"copies consumed with the {protocol} protocol")


TESTS = {
    "produce-consume-classic": lambda cluster: produce_and_consume(cluster, "classic"),
    "produce-consume-consumer": lambda cluster: produce_and_consume(cluster, "consumer"),
    "members-and-nodes-die-classic": lambda cluster: members_and_nodes_die(cluster, "classic"),
    "members-and-nodes-die-consumer": lambda cluster: members_and_nodes_die(cluster, "consumer"),
    "copiers-die": copiers_die,
    "copiers-die-and-abort": lambda cluster: copiers_die(cluster, "--enable-random-aborts"),
    "copiers-die-in-a-group": lambda cluster: copiers_die(cluster, group_mode=True),
}


def main():
    if sys.argv[1:] == ["list"]:
        print("\n".join(TESTS))
        return
    bootstrap, folder, name = sys.argv[1:]
    os.makedirs(folder, exist_ok=True)
    try:
        TESTS[name](Cluster(bootstrap, folder, name))
    except Failed as error:
        print(f"failed: {error}")
        sys.exit(1)
    finally:
        for tool in Tool.running:
            if tool.process.poll() is None:
                tool.process.kill()


if __name__ == "__main__":
    main()
