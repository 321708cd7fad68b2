"""What was measured so far, workload by workload: docs/benchmarks/figures.json. A run replaces the workloads that it measured."""

import datetime
import json
import platform
import re
import subprocess

from sizes import Sizes, of_workload
from systems import ROOT

FILE = ROOT / "docs" / "benchmarks" / "figures.json"
# What the plot of T17 needs of each second.
TIMELINE = ("s", "p99 ms", "max ms")


def measured(figures, timelines, rounds, sizes):
    """What a run measured, {workload: {figure: {system: [one value per round]}}}, each workload with what it was measured under."""
    entries = {}
    for workload, by_figure in figures.items():
        entries[workload] = {
            "commit": commit(), "date": f"{datetime.date.today()}", "conditions": conditions(), "rounds": rounds, "sizes": of_workload(sizes, workload),
            "figures": rounded(by_figure),
        }  # fmt: skip
    if "T17" in entries:
        entries["T17"]["timelines"] = {system: {name: rounded([second[name] for second in line]) for name in TIMELINE} for system, line in timelines.items()}
    return entries


def rounded(values):
    """More digits than are shown, and fewer than a measurement could mean."""
    if isinstance(values, dict):
        return {name: rounded(value) for name, value in values.items()}
    if isinstance(values, list):
        return [rounded(value) for value in values]
    return float(f"{values:.5g}") if isinstance(values, float) else values


def unusual(entry, workload):
    """The sizes that are not the ones that everything is measured with."""
    usual = of_workload(Sizes(), workload)
    return {name: value for name, value in entry["sizes"].items() if usual.get(name) != value}


def load(path=FILE):
    return json.loads(path.read_text()) if path.exists() else {}


def save(entries, path=FILE):
    """One list a line, so that a new run's difference can be read."""
    ordered = dict(sorted(entries.items(), key=lambda entry: int(entry[0][1:])))
    text = json.dumps(ordered, indent=1)
    flat = re.sub(r"\[[^][{}]*\]", lambda found: re.sub(r"\s+", "", found[0]).replace(",", ", "), text)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(flat + "\n")


def merge(entries, path=FILE, add=False):
    """Replaces what was measured again, or adds its rounds; keeps the rest; all of it."""
    before = load(path)
    if add:
        entries = {workload: added(before.get(workload), entry) for workload, entry in entries.items()}
    together = {**before, **entries}
    save(together, path)
    return together


def added(old, new):
    """The rounds of both, or only the new ones where the others were measured under something else."""
    if old is None or any(old[name] != new[name] for name in ("conditions", "sizes")):
        return new
    figures = {
        figure: {system: old["figures"].get(figure, {}).get(system, []) + values for system, values in by_system.items()}
        for figure, by_system in new["figures"].items()
    }
    told = {name: ", ".join(dict.fromkeys([*old[name].split(", "), new[name]])) for name in ("commit", "date")}
    return {**new, **told, "rounds": old["rounds"] + new["rounds"], "figures": figures}


def commit():
    return subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], stdout=subprocess.PIPE, text=True).stdout.strip()


def conditions():
    """The machine, and what Caudal was compared with."""
    kafka = re.search(r"<kafka.version>([^<]+)", (ROOT / "tests" / "bench" / "pom.xml").read_text())
    with open("/proc/cpuinfo") as file:
        lines = file.read().splitlines()
    cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    cores = sum(line.startswith("processor") for line in lines)
    with open("/proc/meminfo") as file:
        memory = int(re.search(r"MemTotal:\s+(\d+)", file.read())[1]) / 1048576
    return f"{cores} cores ({cpu}), {memory:.0f} GiB; Apache Kafka {kafka[1]}"
