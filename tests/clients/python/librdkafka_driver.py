"""librdkafka, through confluent-kafka, driven as README.md says."""

import os
import sys

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from records import rebalance, read_records, until, write_record


def create(bootstrap, topic, partitions, replication_factor):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics([NewTopic(topic, int(partitions), int(replication_factor))]).values():
        future.result(30)


def produce(bootstrap, topic, codec):
    producer = Producer(
        {"bootstrap.servers": bootstrap, "enable.idempotence": True, "compression.type": codec, "message.max.bytes": 4 << 20}
    )
    failures = []

    def answered(error, _message):
        if error is not None:
            failures.append(str(error))

    for record in read_records():
        producer.produce(
            topic,
            record["value"],
            record["key"],
            record["partition"],
            on_delivery=answered,
            timestamp=record.get("timestamp") or 0,
            headers=record["headers"],
        )
        producer.poll(0)
    if producer.flush(60) or failures:
        sys.exit(f"not all records were delivered: {failures[:3]}")


def consumer(bootstrap, group):
    config = {
        "bootstrap.servers": bootstrap,
        "group.id": group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "fetch.message.max.bytes": 4 << 20,
    }
    if "CLIENT_RACK" in os.environ:
        config["client.rack"] = os.environ["CLIENT_RACK"]
    if os.environ.get("GROUP_PROTOCOL") == "consumer":
        config["group.protocol"] = "consumer"
    else:
        config["partition.assignment.strategy"] = "cooperative-sticky"
    return Consumer(config)


def drain(reader, count):
    seen = 0

    def step():
        nonlocal seen
        message = reader.poll(0.5)
        if message is None:
            return
        if message.error():
            sys.exit(str(message.error()))
        write_record(
            message.partition(), message.offset(), message.key(), message.value(), message.headers(), message.timestamp()[1]
        )
        seen += 1

    until(lambda: seen >= count, step, f"{count} records")


def consume(bootstrap, topic, group, count):
    reader = consumer(bootstrap, group)
    reader.subscribe([topic])
    drain(reader, int(count))
    reader.commit(asynchronous=False)
    reader.close()


def seek(bootstrap, topic, partition, offset, count):
    reader = consumer(bootstrap, "seek-only")
    reader.assign([TopicPartition(topic, int(partition), int(offset))])
    drain(reader, int(count))
    reader.close()


class Member:
    def __init__(self, bootstrap, topic, group):
        self.reader = consumer(bootstrap, group)
        self.reader.subscribe([topic])

    def poll(self):
        self.reader.poll(0.1)

    def assigned(self):
        return {place.partition for place in self.reader.assignment()}

    def close(self):
        self.reader.close()


def share(bootstrap, topic, group):
    metadata = AdminClient({"bootstrap.servers": bootstrap}).list_topics(topic, 30)
    rebalance(lambda: Member(bootstrap, topic, group), len(metadata.topics[topic].partitions))


COMMANDS = {"create": create, "produce": produce, "consume": consume, "seek": seek, "rebalance": share}

if __name__ == "__main__":
    COMMANDS[sys.argv[2]](sys.argv[1], *sys.argv[3:])
