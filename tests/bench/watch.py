"""What happens beside a load: the disk of each node over time, where a log begins, and what latency has to do with either."""

import os
import statistics
import threading
import time

SAMPLE_S = 0.25
BLOCK_BYTES = 512


def disk_bytes(folder):
    """What the files of a folder take on the disk; those that go meanwhile count or not."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_blocks * BLOCK_BYTES
            except FileNotFoundError:
                pass
    return total


class Sampler:
    """Asks again and again in a thread of its own until `with` ends: `samples` has (seconds since `began`, answer). What fails is raised at the end."""

    def __init__(self, ask, every_s=SAMPLE_S):
        self.ask, self.every_s = ask, every_s
        self.samples, self.error = [], None
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        try:
            while not self.ended.wait(self.every_s):
                self.samples.append((time.monotonic() - self.began, self.ask()))
        except Exception as error:
            self.error = error

    def __enter__(self):
        self.began = time.monotonic()
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        self.ended.set()
        self.thread.join()
        if self.error and kind is None:
            raise self.error


def rises(samples):
    """When a number that is asked for again and again had become larger."""
    return [at for (_, before), (at, now) in zip(samples, samples[1:]) if now > before]


def split(timeline, moments, first_s, after_s):
    """The p99 of each second from `first_s` on: of those up to `after_s` after one of the moments, and of the others."""
    near, far = [], []
    for line in timeline:
        if line["s"] >= first_s:
            is_near = any(moment - 1 < line["s"] <= moment + after_s for moment in moments)
            (near if is_near else far).append(line["p99 ms"])
    return near, far


def median(values):
    return statistics.median(values) if values else None
