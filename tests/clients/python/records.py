"""Records as JSON lines, and the bits that both Python drivers share."""

import base64
import json
import sys
import threading
import time

DEADLINE_S = 60


def b64(data):
    return None if data is None else base64.b64encode(data).decode()


def unb64(text):
    return None if text is None else base64.b64decode(text)


def read_records():
    """The records on standard input."""
    for line in sys.stdin:
        record = json.loads(line)
        record["key"] = unb64(record.get("key"))
        record["value"] = unb64(record.get("value"))
        record["headers"] = [(name, unb64(value)) for name, value in record.get("headers", [])]
        yield record


def write_record(partition, offset, key, value, headers, timestamp):
    line = {
        "partition": partition,
        "offset": offset,
        "key": b64(key),
        "value": b64(value),
        "headers": [[name, b64(data)] for name, data in headers or []],
        "timestamp": timestamp,
    }
    print(json.dumps(line), flush=True)


def until(done, step, what):
    """Calls `step` until `done` says so; gives up at the deadline."""
    end = time.monotonic() + DEADLINE_S
    while not done():
        if time.monotonic() > end:
            sys.exit(f"gave up waiting for {what} after {DEADLINE_S} s")
        step()


def rebalance(member, partitions):
    """One member, then two, then one again. `member()` makes one with `poll()`, `assigned()` and `close()`."""
    everything = set(range(partitions))
    first = member()
    until(lambda: first.assigned() == everything, first.poll, "the first member to have all partitions")
    result = {"alone": sorted(first.assigned())}
    second = member()

    def shared():
        return first.assigned() | second.assigned() == everything and not first.assigned() & second.assigned() and bool(second.assigned())

    def both():
        # At the same time, as members in processes of their own would: in turns each waits for what the other only does in its turn, and a client that gives
        # up a join with its poll may never be through.
        other = threading.Thread(target=second.poll)
        other.start()
        first.poll()
        other.join()

    until(shared, both, "two members to share the partitions")
    result["first"], result["second"] = sorted(first.assigned()), sorted(second.assigned())
    first.close()
    until(lambda: second.assigned() == everything, second.poll, "the survivor to have all partitions")
    result["survivor"] = sorted(second.assigned())
    second.close()
    print(json.dumps(result), flush=True)
