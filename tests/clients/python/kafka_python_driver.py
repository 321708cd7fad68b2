"""kafka-python, driven as README.md says."""

import sys

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic

from records import rebalance, read_records, until, write_record


def create(bootstrap, topic, partitions, replication_factor):
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics([NewTopic(topic, int(partitions), int(replication_factor))])
    admin.close()


def produce(bootstrap, topic, codec):
    producer = KafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        compression_type=None if codec == "none" else codec,
        max_request_size=4 << 20,
        linger_ms=5,
    )
    sent = [
        producer.send(topic, record["value"], record["key"], record["headers"], record["partition"], record.get("timestamp"))
        for record in read_records()
    ]
    for future in sent:
        future.get(60)
    producer.close()


def consumer(bootstrap, *topics, group=None):
    return KafkaConsumer(
        *topics,
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=4 << 20,
    )


def drain(reader, count):
    seen = 0

    def step():
        nonlocal seen
        for batch in reader.poll(timeout_ms=500).values():
            for record in batch:
                write_record(record.partition, record.offset, record.key, record.value, record.headers, record.timestamp)
                seen += 1

    until(lambda: seen >= count, step, f"{count} records")


def consume(bootstrap, topic, group, count):
    reader = consumer(bootstrap, topic, group=group)
    drain(reader, int(count))
    reader.commit()
    reader.close()


def seek(bootstrap, topic, partition, offset, count):
    reader = consumer(bootstrap)
    place = TopicPartition(topic, int(partition))
    reader.assign([place])
    reader.seek(place, int(offset))
    drain(reader, int(count))
    reader.close()


class Member:
    def __init__(self, bootstrap, topic, group):
        self.reader = consumer(bootstrap, topic, group=group)

    def poll(self):
        self.reader.poll(timeout_ms=100)

    def assigned(self):
        return {place.partition for place in self.reader.assignment()}

    def close(self):
        self.reader.close()


def share(bootstrap, topic, group):
    partitions = len(consumer(bootstrap).partitions_for_topic(topic))
    rebalance(lambda: Member(bootstrap, topic, group), partitions)


COMMANDS = {"create": create, "produce": produce, "consume": consume, "seek": seek, "rebalance": share}

if __name__ == "__main__":
    COMMANDS[sys.argv[2]](sys.argv[1], *sys.argv[3:])
