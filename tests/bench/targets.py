"""What Caudal aims for in each workload, and whether it is reached."""

import dataclasses
import statistics

from kept import unusual
from measure import LEAN, OWN_HALF
from systems import Caudal, Ceiling, DurableCeiling, FileReadingCeiling, Kafka, ReplicatedCeiling, StoreCeiling, StoreReadingCeiling


# The ceilings that say what a system can reach at best that has three synced copies: plain files, RocksDB, and RocksDB on nodes that replicate.
KEPT_PROMISES = (DurableCeiling.name, StoreCeiling.name, ReplicatedCeiling.name)
# Those of reading: the same batch from memory again and again, plain files, and RocksDB.
READ = (Ceiling.name, FileReadingCeiling.name, StoreReadingCeiling.name)
DRAINED = READ[1:]


@dataclasses.dataclass(frozen=True)
class Target:
    """A bound of a figure: of its ratio to Kafka's as it ships, or of Caudal's own (`own_most`)."""

    workload: str
    figure: str
    least: float | None = None
    most: float | None = None
    own_most: float | None = None
    # What says how near any system could come.
    ceilings: tuple = KEPT_PROMISES

    def aim(self):
        if self.own_most is not None:
            return f"at most {self.own_most:g}"
        return f"at least {self.least:.2g}x" if self.least is not None else f"at most {self.most:.2g}x"

    def is_reached(self, ours, theirs):
        """Of medians; nothing when there is nothing to judge."""
        if self.own_most is not None:
            return None if ours is None else ours <= self.own_most
        if ours is None or not theirs:
            return None
        return ours / theirs >= self.least if self.least is not None else ours / theirs <= self.most


@dataclasses.dataclass(frozen=True)
class Growth:
    """What must not grow from one workload to another that has more to carry: a figure of Caudal's, by a factor, unless it stays below what nobody notices."""

    workload: str
    base: str
    figure: str
    most: float
    floor: float

    def aim(self):
        return f"at most {self.most:.2g}x of {self.base}, or {self.floor:g}"

    def is_reached(self, value, base):
        """Of medians; nothing unless both were measured."""
        if value is None or base is None:
            return None
        return value <= max(self.floor, self.most * base)


TARGETS = [
    Target("T1", "MB/s", least=3),
    Target("T1", "broker CPU-s/GB", most=1 / 3),
    Target("T2", "k records/s", least=2),
    Target("T2", "broker CPU-s/GB", most=1 / 3),
    Target("T3", "p50 ms", most=1),
    Target("T3", "p99 ms", most=0.1),
    Target("T3", "broker CPU-s/GB", most=0.5),
    Target("T4", "MB/s", least=3),
    Target("T5", "MB/s", least=4),
    Target("T5", "p99 ms", most=0.1),
    Target("T6", "MB/s", least=1.5, ceilings=READ),
    Target("T7", "p50 ms", own_most=1),
    Target("T7", "p99 ms", own_most=5),
    Target("T8", "longest time without an ack s", own_most=1.5),
    Target("T9", "cores", own_most=0.06),
    Target("T10", "MB of a node", own_most=150),
    Target("T11", "s", own_most=1),
    Target("T12", "s until all have leaders", own_most=1),
    Target("T13", "MB/s", least=2),
    Target("T14", "MB/s read", least=1),
    Target("T15", "MB/s drained", least=1, ceilings=DRAINED),
    Target("T15", "live p99 meanwhile / before", own_most=2, ceilings=DRAINED),
    Target("T15", "MB/s drained" + OWN_HALF, least=1),
    Target("T15", "live p99 meanwhile / before" + OWN_HALF, own_most=2),
    Target("T16", "MB of a node", most=1 / 3),
    Target("T17", "p99 last / first third", own_most=1.2),
    Target("T17", "longest pause ms", own_most=250),
    Target("T18", "s until all partitions acknowledge", most=0.5),
    Target("T19", "transactions/s", least=1.5),
    Target("T19", "p99 ms", most=1),
    Target("T20", "transactions/s", least=1.5),
    Target("T20", "p99 ms", most=1),
    Target("T21", "longest time without a commit s", own_most=1.5),
    Target("T22", "longest time without a commit s", own_most=1.5),
    Target("T23", "arrival: s until stable", own_most=10),
    Target("T23", "death: s until stable", own_most=10),
    # The others notice nothing: nobody is fenced, little moves, and whoever keeps its partitions works on.
    Target("T23", "arrival: partitions that moved", own_most=3),
    Target("T23", "arrival: members fenced", own_most=0),
    Target("T23", "death: members fenced", own_most=0),
    Target("T23", "arrival: longest pause of who keeps its partitions s", own_most=1),
    Target("T23", "death: longest pause of who keeps its partitions s", own_most=1),
    Target("T24", "largest disk / limit", own_most=1.3),
    Target("T24", "p99 where a segment goes / elsewhere", own_most=1.5),
    Target("T25", "MB/s cleaned", least=1),
    Target("T25", "bytes written per byte cleaned", most=2),
    Target("T25", "live p99 meanwhile / before", own_most=2),
]
GROWTHS = [
    # A coordinator has its state already: a million offsets are no reason to take longer.
    Growth("T22", "T21", "longest time without a commit s", most=1.5, floor=0.3),
]
TITLES = {
    "T1": "records of 1 KiB, 6 partitions",
    "T2": "records of 100 bytes",
    "T3": "latency at 5,000 records/s",
    "T4": "one partition",
    "T5": "100 partitions",
    "T6": "reading",
    "T7": "end to end, one at a time",
    "T8": "kill -9 of a leading node",
    "T9": "CPU when idle",
    "T10": "memory when idle",
    "T11": "start",
    "T12": "creating 1,000 partitions",
    "T13": "50 producers, small batches",
    "T14": "20 groups read what one producer writes",
    "T15": "draining a backlog under load",
    "T16": "many connections",
    "T17": "a quarter of an hour at half of the peak",
    "T18": "a node comes back",
    "T19": "transactions of 10 ms",
    "T20": "transactions of 100 ms",
    "T21": "kill -9 of the coordinator of 200 groups",
    "T22": "the same with a million committed offsets",
    "T23": "a group of 1,000 members over 3,000 partitions",
    "T24": "a log at its retention's limit",
    "T25": "log compaction of 10 GB with a million keys",
}


def short(value):
    """Three digits, and none behind a thousand."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}"


def medians(entries, target, client=""):
    """Of Caudal, of Kafka as it ships, and of each ceiling of the target."""
    by_system = entries.get(target.workload, {}).get("figures", {}).get(target.figure + client, {})
    names = (Caudal.name, Kafka.NAMES[False], *target.ceilings)
    ours, theirs, *ceilings = [statistics.median(by_system[name]) if by_system.get(name) else None for name in names]
    return ours, theirs, ceilings


def title(entries, workload):
    is_usual = workload not in entries or not unusual(entries[workload], workload)
    return f"{workload}: {TITLES[workload]}" + ("" if is_usual else " (not the usual size)")


def verdict(target, ours, theirs, ceilings):
    """Whether it is reached; where not, how near any system could come: that keeps the promise in plain files, in RocksDB, and there on nodes that replicate; of reading, any at all, that reads plain files, and RocksDB."""
    is_reached = target.is_reached(ours, theirs)
    # What is not compared with Kafka is told as it is.
    of = theirs if target.own_most is None else 1
    limits = ", ".join(ratio(ceiling, of) for ceiling in ceilings if ceiling is not None and of)
    return {True: "yes", False: "**no**", None: ""}[is_reached] + (f" (ceilings {limits})" if is_reached is False and limits else "")


def ratio(ours, theirs):
    return f"{ours / theirs:.2f}" if ours is not None and theirs else ""


def summary(entries):
    """One row per target as Markdown."""
    head = ["Workload", "Figure", Caudal.name, Kafka.NAMES[False], "Ratio", "Aim", "Reached", f"Ratio{LEAN}", f"Reached{LEAN}"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for target in TARGETS:
        ours, theirs, ceilings = medians(entries, target)
        lean = medians(entries, target, LEAN)
        cells = [
            title(entries, target.workload), target.figure, short(ours) or "not measured yet", short(theirs), ratio(ours, theirs),
            target.aim(), verdict(target, ours, theirs, ceilings), ratio(*lean[:2]), verdict(target, *lean),
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    lines += [growth_row(entries, growth) for growth in GROWTHS]
    return "\n".join(lines)


def growth_row(entries, growth):
    """How much larger the one workload's figure is than the other's, of both systems; the aim is Caudal's."""
    (ours, theirs, _), (our_base, their_base, _) = [medians(entries, Target(name, growth.figure)) for name in (growth.workload, growth.base)]
    reached = {True: "yes", False: "**no**", None: ""}[growth.is_reached(ours, our_base)]
    cells = [
        title(entries, growth.workload), f"{growth.figure}, against {growth.base}", ratio(ours, our_base) or "not measured yet", ratio(theirs, their_base),
        "", growth.aim(), reached, "", "",
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"
