"""Creates a topic with replication factor 3, and waits until all of its partitions have leaders: create.py BOOTSTRAP TOPIC PARTITIONS"""

import json
import sys
import time

from confluent_kafka.admin import AdminClient, NewTopic


def leaders(admin, topic):
    known = admin.list_topics(topic, timeout=30).topics[topic].partitions.values()
    return sum(partition.leader >= 0 for partition in known)


def main():
    bootstrap, topic, partitions = sys.argv[1], sys.argv[2], int(sys.argv[3])
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.list_topics(timeout=30)
    start = time.monotonic()
    admin.create_topics([NewTopic(topic, partitions, 3)], operation_timeout=60, request_timeout=60)[topic].result()
    answered = time.monotonic() - start
    while leaders(admin, topic) < partitions:
        if time.monotonic() - start > 120:
            raise SystemExit("the partitions have no leaders after two minutes")
        time.sleep(0.01)
    print(json.dumps({"s until answered": answered, "s until all have leaders": time.monotonic() - start}))


if __name__ == "__main__":
    main()
