"""Runs the workloads against both systems in turns, prints the figures, and writes them to docs/benchmarks.md."""

import argparse
import dataclasses
import itertools
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import kept
import life
import plots
import report
import scaling
from measure import GENERATOR, TARGET, Lost
from rows import NEEDS, ROWS, WORKLOADS, share
from sizes import QUICK, QUICK_WORKLOADS, Sizes
from systems import CEILINGS, ROOT, Caudal, Kafka, fetch_kafka


def run(systems, names, rounds, sizes):
    """{workload: {figure: {system: [one value per round]}}}"""
    figures = {}
    for round_number in range(1, rounds + 1):
        for row, system in itertools.product(ROWS, systems):
            workloads, wanted = share(row, system, names)
            if wanted:
                results = run_checked(system, workloads, wanted, round_number, sizes)
                keep(results, system, figures)
    return figures


def keep(results, system, figures):
    for name, result in results.items():
        for figure, value in result.items():
            figures.setdefault(name, {}).setdefault(figure, {}).setdefault(system.name, []).append(value)


def run_checked(system, workloads, wanted, round_number, sizes):
    """{workload: figures}. Where Kafka loses, repeats or turns records or offsets, the row's figures do not count, and it has a second try; Caudal has none."""
    try:
        return run_row(system, workloads, wanted, round_number, sizes)
    # Our generators check too, and end with an error.
    except (Lost, RuntimeError) as error:
        if not isinstance(system, Kafka):
            raise
        print(f"round {round_number}, {error}: once more", flush=True)
    system.discard()
    return run_row(system, workloads, wanted, round_number, sizes)


def run_row(system, workloads, wanted, round_number, sizes):
    results = {}
    try:
        system.settings = life.settings_of(workloads, system)
        system.start()
        for name, workload in workloads.items():
            result = workload(system, sizes)
            if name not in wanted:
                continue
            print(f"round {round_number}, {system.name}, {name}: {json.dumps(result)}", flush=True)
            results[name] = result
    finally:
        system.stop()
    # Where the row failed, the data and the logs stay.
    system.discard()
    return results


def run_scaling(systems, sizes):
    """{system: {partitions: figures}}"""
    results = {}
    for partitions, system in itertools.product(sizes.scaling_partitions, systems):
        system.settings = {}
        try:
            system.start()
            result = scaling.measure(system, sizes, partitions)
        finally:
            system.stop()
        system.discard()
        print(f"scaling, {system.name}, {partitions} partitions: {json.dumps(result)}", flush=True)
        results.setdefault(system.name, {})[partitions] = result
    return results


def parse():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__, allow_abbrev=False)
    parser.add_argument("workloads", nargs="*", metavar="T1", help=f"{', '.join(WORKLOADS)}, or scaling; all but scaling unless given")
    parser.add_argument("--rounds", "--repeat", type=int, help="how often each is measured (3; with --quick 1)")
    parser.add_argument("--fsync", action="store_true", help="also against Kafka with an fsync per append (K1)")
    parser.add_argument("--caudal-only", action="store_true", help="no comparison, for profiling")
    parser.add_argument("--quick", action="store_true", help=f"shrunken workloads, one round; {' '.join(QUICK_WORKLOADS)} unless others are given")
    parser.add_argument("--size", action="append", default=[], metavar="NAME=VALUE", help="another size, of those in tests/bench/sizes.py")
    parser.add_argument("--write", action="store_true", help="replace these workloads' figures in docs/, and make the page and the plots anew")
    parser.add_argument("--add", action="store_true", help="with --write: add these rounds to those of before, where sizes and machine are the same")
    parser.add_argument("--out", type=Path, default=ROOT / ".caudal" / "bench", help="the folder for plots and figures.json")
    arguments = parser.parse_args()
    names = [name.upper() if name.lower() != "scaling" else "scaling" for text in arguments.workloads for name in text.split(",")]
    unknown = set(names) - {*WORKLOADS, "scaling"}
    if unknown:
        parser.error(f"there is no workload {', '.join(sorted(unknown))}")
    arguments.workloads = names or (QUICK_WORKLOADS if arguments.quick else WORKLOADS)
    arguments.workloads += [NEEDS[name] for name in names if name in NEEDS and NEEDS[name] not in names]
    if arguments.write and arguments.caudal_only:
        parser.error("--write replaces a workload's figures, and needs those of both systems")
    arguments.rounds = arguments.rounds or (1 if arguments.quick else 3)
    return arguments


def sized(arguments):
    changes = {}
    for change in arguments.size:
        name, _, value = change.partition("=")
        default = getattr(Sizes(), name)
        changes[name] = tuple(int(one) for one in value.split(",")) if isinstance(default, tuple) else type(default)(float(value))
    return dataclasses.replace(QUICK if arguments.quick else Sizes(), **changes)


def systems_of(arguments, folder):
    # Asked for by scripts/cluster, which would otherwise look whether the program is up to date each time.
    os.environ.setdefault("CAUDAL_BINARY", f"{TARGET}/release/caudal")
    fetch_kafka()
    if arguments.caudal_only:
        return [Caudal(folder)]
    return [Kafka(folder), *([Kafka(folder, flush=True)] if arguments.fsync else []), Caudal(folder)]


def publish(figures, systems, arguments, sizes):
    """The figures of this run, and with --write the page and its plots from all that was measured so far."""
    timelines = {system.name: system.timeline for system in reversed(systems) if system.timeline}
    entries = kept.measured(figures, timelines, arguments.rounds, sizes)
    kept.save(entries, arguments.out / "figures.json")
    if arguments.write:
        entries = kept.merge(entries, add=arguments.add)
    ceilings = [ceiling.name for ceiling in CEILINGS]
    names = report.names_in(entries)
    made = plots.overview(
        entries, [name for name in names if name not in ceilings], [name for name in ceilings if name in names], arguments.out
    )
    show(report.page(entries, made), made, "bench", arguments)


def publish_scaling(results, arguments):
    made = [plots.scaling(results, scaling.FIGURES, arguments.out / "scaling.png")]
    (arguments.out / "scaling.json").write_text(json.dumps(results, indent=1))
    measured = f"Commit {kept.commit()}; {kept.conditions()}; all three nodes and the client on one machine and one disk; one round."
    show("\n\n".join([measured, scaling.table(results), report.images(made)]), made, "scaling", arguments)


def show(text, made, section, arguments):
    print("\n" + text + "\n\n" + "\n".join(f"plot: {path}" for path in made))
    if arguments.write:
        report.PLOTS.mkdir(exist_ok=True)
        for path in made:
            shutil.copy(path, report.PLOTS)
        report.write(text, section)


def main():
    # Whoever ends it ends the nodes too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    arguments = parse()
    sizes = sized(arguments)
    arguments.out.mkdir(parents=True, exist_ok=True)
    # The brokers inherit it, all of them alike.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="caudal-bench-") as folder:
        systems = systems_of(arguments, folder)
        names = [name for name in arguments.workloads if name != "scaling"]
        if names:
            extra = [] if arguments.caudal_only else [ceiling(folder, GENERATOR) for ceiling in CEILINGS]
            publish(run(systems + extra, names, arguments.rounds, sizes), systems, arguments, sizes)
        if "scaling" in arguments.workloads:
            publish_scaling(run_scaling(systems, sizes), arguments)


if __name__ == "__main__":
    main()
