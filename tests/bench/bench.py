"""Runs the workloads against both systems in turns, prints the ratios, and writes them to docs/benchmarks.md."""

import argparse
import itertools
import json
import platform
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from systems import ROOT, Caudal, Kafka, fetch_kafka
from workloads import ROWS

DOC = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"


def run(systems, names, repeat):
    """{workload: {figure: {system: [one value per round]}}}"""
    figures = {}
    for round_number in range(1, repeat + 1):
        for row, system in itertools.product(ROWS, systems):
            wanted = {name: workload for name, workload in row.items() if name in names}
            if not wanted:
                continue
            start = time.monotonic()
            system.start()
            system.started_in = time.monotonic() - start
            try:
                for name, workload in wanted.items():
                    result = workload(system)
                    print(f"round {round_number}, {system.name}, {name}: {json.dumps(result)}", flush=True)
                    for figure, value in result.items():
                        figures.setdefault(name, {}).setdefault(figure, {}).setdefault(system.name, []).append(value)
            finally:
                system.stop()
    return figures


def cell(values):
    spread = "" if len(values) == 1 else f" ({min(values):.3g}-{max(values):.3g})"
    return f"{statistics.median(values):.3g}{spread}"


def table(figures, systems):
    ours, *others = [system.name for system in reversed(systems)]
    lines = [
        "| Workload | Figure | " + " | ".join([ours, *others]) + " | " + " | ".join(f"{ours} / {other}" for other in others) + " |",
        "|---" * (3 + 2 * len(others)) + "|",
    ]
    for name, rows in sorted(figures.items(), key=lambda item: int(item[0][1:])):
        for figure, by_system in rows.items():
            mine = statistics.median(by_system[ours])
            theirs = [statistics.median(by_system[other]) for other in others]
            ratios = [f"{mine / other:.2f}" if other else "-" for other in theirs]
            cells = [cell(by_system[one]) for one in [ours, *others]]
            lines.append(f"| {name} | {figure} | " + " | ".join([*cells, *ratios]) + " |")
    return "\n".join(lines)


def conditions(repeat):
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    cores = sum(line.startswith("processor") for line in open("/proc/cpuinfo"))
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], stdout=subprocess.PIPE, text=True).stdout.strip()
    return (
        f"Commit {commit}; {cores} cores ({cpu}), all three nodes and the client on one machine and one disk; Apache Kafka 4.3.1; "
        f"{repeat} round(s) in turns, median with the spread in parentheses."
    )


def write(text):
    page = DOC.read_text()
    head, rest = page.split(BEGIN, 1)
    DOC.write_text(head + BEGIN + "\n" + text + "\n" + END + rest.split(END, 1)[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="workloads, with commas between", default=",".join(name for row in ROWS for name in row))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--k1", action="store_true", help="also against Kafka with an fsync per append")
    parser.add_argument("--caudal-only", action="store_true", help="no comparison, for profiling")
    parser.add_argument("--write", action="store_true", help="write the table to docs/benchmarks.md")
    arguments = parser.parse_args()
    names = arguments.only.split(",")
    with tempfile.TemporaryDirectory(prefix="caudal-bench-") as folder:
        systems = [Caudal(Path(folder))]
        fetch_kafka()
        if not arguments.caudal_only:
            systems = [Kafka(folder)] + ([Kafka(folder, flush=True)] if arguments.k1 else []) + systems
        figures = run(systems, names, arguments.repeat)
    text = conditions(arguments.repeat) + "\n\n" + table(figures, systems)
    print("\n" + text)
    if arguments.write:
        write(text)


if __name__ == "__main__":
    main()
