"""T8: 600 records/s on six partitions, kill -9 of the node that leads most of them; prints JSON.

failover.py BOOTSTRAP PID1,PID2,PID3 SECONDS_BEFORE SECONDS_AFTER
"""

import collections
import json
import os
import signal
import sys
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

PARTITIONS, PER_SECOND = 6, 600
TOPIC = "t8"


class Load:
    def __init__(self, bootstrap):
        self.producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
        self.acked = collections.defaultdict(list)
        self.failed = 0
        self.number = 0
        self.start = time.monotonic()

    def run_until(self, moment):
        while time.monotonic() < moment:
            due = int((time.monotonic() - self.start) * PER_SECOND)
            while self.number < due:
                partition, value = self.number % PARTITIONS, str(self.number)
                self.producer.produce(TOPIC, value, partition=partition, on_delivery=self.answered)
                self.number += 1
            self.producer.poll(0.005)

    def answered(self, error, message):
        if error is not None:
            self.failed += 1
            return
        self.acked[message.partition()].append((time.monotonic(), message.offset(), int(message.value())))


def leader_of_most(admin):
    partitions = admin.list_topics(TOPIC, 30).topics[TOPIC].partitions.values()
    return collections.Counter(partition.leader for partition in partitions).most_common(1)[0][0]


def stored(bootstrap, partition):
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "t8-check", "enable.auto.commit": False})
    low, high = consumer.get_watermark_offsets(TopicPartition(TOPIC, partition), 30)
    consumer.assign([TopicPartition(TOPIC, partition, low)])
    values, position = {}, low
    while position < high:
        message = consumer.poll(30)
        if message is None or message.error():
            sys.exit(f"reading back failed: {message and message.error()}")
        values[message.offset()] = int(message.value())
        position = message.offset() + 1
    consumer.close()
    return values


def main(bootstrap, pids, before_s, after_s):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics([NewTopic(TOPIC, PARTITIONS, 3)]).values():
        future.result(30)
    load = Load(bootstrap)
    load.run_until(load.start + before_s)
    os.kill(pids[leader_of_most(admin) - 1], signal.SIGKILL)
    load.run_until(load.start + before_s + after_s)
    load.producer.flush(60)
    lost = duplicated = 0
    gap = 0.0
    for partition, acks in load.acked.items():
        values = stored(bootstrap, partition)
        lost += sum(values.get(offset) != number for _, offset, number in acks)
        duplicated += len(values) - len(set(values.values()))
        gap = max([gap, *(later[0] - earlier[0] for earlier, later in zip(acks, acks[1:]))])
    result = {
        "longest time without an ack s": gap, "acked": sum(map(len, load.acked.values())),
        "failed": load.failed, "lost": lost, "duplicated": duplicated,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1], [int(pid) for pid in sys.argv[2].split(",")], float(sys.argv[3]), float(sys.argv[4]))
