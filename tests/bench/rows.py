"""Which workloads there are, which share a cluster, and who is asked for which."""

import clusters
import coordinated
import life
import mixed
import workloads
from systems import Ceiling, DurableCeiling, FileReadingCeiling, ReplicatedCeiling, StoreCeiling, StoreReadingCeiling

# Each row has a fresh cluster; T1 to T7 share one, whose JVMs are warm by then.
ROWS = [
    {"T1": workloads.t1, "T2": workloads.t2, "T3": workloads.t3, "T4": workloads.t4, "T5": workloads.t5, "T6": workloads.t6, "T7": workloads.t7},
    {"T8": clusters.t8},
    {"T11": clusters.t11, "T12": clusters.t12, "T9": clusters.t9, "T10": clusters.t10},
    {"T13": mixed.t13},
    {"T14": mixed.t14},
    {"T15": mixed.t15},
    {"T16": mixed.t16},
    {"T17": mixed.t17},
    {"T18": clusters.t18},
    {"T19": coordinated.t19, "T20": coordinated.t20},
    {"T21": coordinated.t21},
    {"T22": coordinated.t22},
    {"T23": coordinated.t23},
    {"T24": life.t24},
    {"T25": life.t25},
]
WORKLOADS = [name for row in ROWS for name in row]
# What a broker that only answers can be asked; reading is no matter of what keeps three copies, and a backlog none of what keeps nothing.
OF_KEEPERS = {"T1", "T2", "T3", "T4", "T5", "T13"}
OF_READERS = {"T6", "T15"}
OF_CEILINGS = {
    Ceiling.name: OF_KEEPERS | {"T6"}, DurableCeiling.name: OF_KEEPERS, StoreCeiling.name: OF_KEEPERS, ReplicatedCeiling.name: OF_KEEPERS,
    FileReadingCeiling.name: OF_READERS, StoreReadingCeiling.name: OF_READERS,
}  # fmt: skip
# What another workload must have left behind.
NEEDS = {"T6": "T1", "T10": "T12", "T9": "T12"}


def share(row, system, names):
    """What of a row is run against a system, and the names of those whose figures are wanted: the others only leave behind what these need."""
    wanted = {name for name in row if name in names and name in OF_CEILINGS.get(system.name, WORKLOADS)}
    needed = {NEEDS[name] for name in wanted if name in NEEDS}
    return {name: workload for name, workload in row.items() if name in wanted | needed}, wanted
