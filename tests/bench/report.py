"""The page: what is aimed for, and every figure, workload by workload."""

import statistics

import kept
from systems import CEILINGS, ROOT, Caudal, Kafka
from targets import TITLES, ratio, short, summary

DOC = ROOT / "docs" / "benchmarks.md"
PLOTS = ROOT / "docs" / "benchmarks"
OTHERS = [*Kafka.NAMES.values()]
ALL = [Caudal.name, *OTHERS, *(ceiling.name for ceiling in CEILINGS)]


def names_in(entries):
    """The systems that something was measured of, in the order of the columns."""
    there = {name for entry in entries.values() for by_system in entry["figures"].values() for name in by_system}
    return [name for name in ALL if name in there]


def cell(values):
    if not values:
        return ""
    spread = "" if len(values) == 1 else f" ({short(min(values))}-{short(max(values))})"
    return short(statistics.median(values)) + spread


def table(entry):
    """A workload's figures as Markdown."""
    names = names_in({"": entry})
    others = [name for name in OTHERS if name in names and Caudal.name in names]
    head = ["Figure", *names, *(f"{Caudal.name} / {other}" for other in others)]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for figure, by_system in entry["figures"].items():
        medians = {name: statistics.median(values) for name, values in by_system.items()}
        ratios = [ratio(medians.get(Caudal.name), medians.get(other)) for other in others]
        lines.append("| " + " | ".join([figure, *(cell(by_system.get(name)) for name in names), *ratios]) + " |")
    return "\n".join(lines)


def section(workload, entry):
    rounds = f"{entry['rounds']} round{'s' if entry['rounds'] > 1 else ''}"
    sizes = ", ".join(f"`{name}={value}`" for name, value in kept.unusual(entry, workload).items())
    measured = f"Commit {entry['commit']}, {entry['date']}, {rounds}" + (f"; not the usual size: {sizes}" if sizes else "") + "."
    return f"### {workload}: {TITLES[workload]}\n\n{measured}\n\n{table(entry)}"


def page(entries, plots):
    """All that was measured as Markdown: {workload: what kept.measured makes of it}."""
    conditions = " or ".join(sorted({entry["conditions"] for entry in entries.values()}))
    parts = [f"{conditions}; all three nodes and the client on one machine and one disk.", summary(entries), images(plots)]
    workloads = sorted(entries, key=lambda name: int(name[1:]))
    return "\n\n".join(part for part in [*parts, *(section(name, entries[name]) for name in workloads)] if part)


def images(plots):
    return "\n".join(f"![{path.stem}](benchmarks/{path.name})" for path in plots)


def write(text, name):
    """Puts a text between the section's markers in docs/benchmarks.md."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    document = DOC.read_text()
    head, rest = document.split(begin, 1)
    DOC.write_text(head + begin + "\n" + text + "\n" + end + rest.split(end, 1)[1])
