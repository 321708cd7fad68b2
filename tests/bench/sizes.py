"""How large each workload is: whole, or shrunk to find out within minutes whether everything works."""

import dataclasses


@dataclasses.dataclass
class Sizes:
    """Records, seconds and counts of the workloads. See docs/benchmarks.md."""

    t1_records: int = 1_000_000
    t2_records: int = 3_000_000
    t3_records: int = 75_000
    t4_records: int = 300_000
    t5_records: int = 500_000
    t7_records: int = 5_000
    failover_before_s: int = 5
    failover_after_s: int = 25
    # How long a cluster is left alone before its idle CPU is measured, and for how long that is.
    settle_s: int = 20
    idle_s: int = 60
    many_partitions: int = 1_000
    t13_records: int = 2_000_000
    t14_records: int = 300_000
    # What half of the peak is half of: so long as fast as possible.
    peak_s: int = 10
    # What is produced in T15 beside the drain: about half of what Kafka takes in T1.
    live_mb_s: float = 16.0
    backlog_gb: float = 10.0
    live_s: int = 20
    idle_connections: int = 2_000
    active_connections: int = 100
    connected_s: int = 30
    endure_s: int = 900
    restart_partitions: int = 1_000
    transact_records_s: int = 2_000
    transact_s: int = 20
    held_offsets: int = 1_000_000
    group_members: int = 1_000
    group_partitions: int = 3_000
    # T24: what is kept, how it turns over, and how many segments have to go at least.
    segment_mb: float = 32.0
    # Large enough that what a node keeps for itself, whatever its topics have, does not stand for what they take.
    retained_mb: float = 2048.0
    retained_rate_mb_s: float = 8.0
    retained_s: int = 120
    least_segments: int = 20
    # T25: what is filled, over how many keys, and the load beside.
    compacted_gb: float = 10.0
    compacted_keys: int = 1_000_000
    cleaning_live_mb_s: float = 2.0
    scaling_partitions: tuple = (100, 1_000, 5_000)


QUICK = Sizes(
    t1_records=150_000, t2_records=300_000, t3_records=15_000, t4_records=50_000, t5_records=50_000, t7_records=500,
    failover_before_s=3, failover_after_s=16, settle_s=3, idle_s=5, many_partitions=100, t13_records=200_000, t14_records=30_000,
    peak_s=3, backlog_gb=0.2, live_s=5, idle_connections=500, active_connections=20, connected_s=5, endure_s=30, restart_partitions=50,
    transact_s=5, held_offsets=20_000, group_members=50, group_partitions=150,
    segment_mb=4, retained_mb=64, retained_rate_mb_s=4, retained_s=30, compacted_gb=0.2, compacted_keys=20_000,
    scaling_partitions=(20, 100),
)  # fmt: skip

# What each workload goes by.
OF_WORKLOADS = {
    "T1": ["t1_records"], "T2": ["t2_records"], "T3": ["t3_records"], "T4": ["t4_records"], "T5": ["t5_records"], "T6": ["t1_records"],
    "T7": ["t7_records"], "T8": ["failover_before_s", "failover_after_s"], "T9": ["many_partitions", "settle_s", "idle_s"],
    "T10": ["many_partitions"], "T11": [], "T12": ["many_partitions"], "T13": ["t13_records", "peak_s"], "T14": ["t14_records", "peak_s"],
    "T15": ["backlog_gb", "live_s", "live_mb_s", "peak_s"], "T16": ["idle_connections", "active_connections", "connected_s"],
    "T17": ["endure_s", "peak_s"], "T18": ["restart_partitions"],
    "T19": ["transact_records_s", "transact_s"], "T20": ["transact_records_s", "transact_s"], "T21": [], "T22": ["held_offsets"],
    "T23": ["group_members", "group_partitions"],
    "T24": ["segment_mb", "retained_mb", "retained_rate_mb_s", "retained_s", "least_segments"],
    "T25": ["segment_mb", "compacted_gb", "compacted_keys", "cleaning_live_mb_s", "live_s"],
}  # fmt: skip


def of_workload(sizes, workload):
    return {name: getattr(sizes, name) for name in OF_WORKLOADS[workload]}


# What --quick runs when nothing else is asked for: both systems within five minutes.
QUICK_WORKLOADS = ["T1", "T3", "T5", "T6", "T7", "T11", "T12", "T14"]
