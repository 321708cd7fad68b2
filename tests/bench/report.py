"""The table, and what it was measured under."""

import platform
import re
import statistics
import subprocess

from systems import ROOT

DOC = ROOT / "docs" / "benchmarks.md"
PLOTS = ROOT / "docs" / "benchmarks"


def cell(values):
    if not values:
        return ""
    spread = "" if len(values) == 1 else f" ({min(values):.3g}-{max(values):.3g})"
    return f"{statistics.median(values):.3g}{spread}"


def ratio(ours, theirs):
    if not (ours and theirs and statistics.median(theirs)):
        return "-"
    return f"{statistics.median(ours) / statistics.median(theirs):.2f}"


def number(name):
    return int(name[1:])


def table(figures, ours, others, ceilings):
    """{workload: {figure: {system: [one value per round]}}} as Markdown."""
    names = [ours, *others, *ceilings]
    ratios = [f"{ours} / {other}" for other in others]
    lines = ["| " + " | ".join(["Workload", "Figure", *names, *ratios]) + " |", "|---" * (2 + len(names) + len(ratios)) + "|"]
    for workload in sorted(figures, key=number):
        for figure, by_system in figures[workload].items():
            cells = [cell(by_system.get(name)) for name in names]
            cells += [ratio(by_system.get(ours), by_system.get(other)) for other in others]
            lines.append("| " + " | ".join([workload, figure, *cells]) + " |")
    return "\n".join(lines)


def conditions(rounds, sizes, is_quick):
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    cores = sum(line.startswith("processor") for line in open("/proc/cpuinfo"))
    memory = int(re.search(r"MemTotal:\s+(\d+)", open("/proc/meminfo").read())[1]) / 1048576
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], stdout=subprocess.PIPE, text=True).stdout.strip()
    scale = "Shrunken workloads (`--quick`): these figures only show that everything works. " if is_quick else ""
    return (
        f"{scale}Commit {commit}; {cores} cores ({cpu}), {memory:.0f} GiB, all three nodes and the client on one machine and one disk; "
        f"Apache Kafka 4.3.1; {rounds} round(s) in turns, median with the spread in parentheses; T15 drains {sizes.backlog_gb:g} GB, "
        f"T17 runs {sizes.endure_s} s."
    )


def write(text, section):
    """Puts a text between the section's markers in docs/benchmarks.md."""
    begin, end = f"<!-- {section}: begin -->", f"<!-- {section}: end -->"
    page = DOC.read_text()
    head, rest = page.split(begin, 1)
    DOC.write_text(head + begin + "\n" + text + "\n" + end + rest.split(end, 1)[1])
