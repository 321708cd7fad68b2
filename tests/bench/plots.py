"""Plots of what was measured, as PNG."""

import statistics

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402: the backend is chosen first

THROUGHPUT = [("T1", "MB/s"), ("T2", "MB/s"), ("T4", "MB/s"), ("T5", "MB/s"), ("T6", "MB/s"), ("T13", "MB/s"), ("T14", "MB/s read"), ("T15", "MB/s drained")]
LATENCY = [("T1", "p99 ms"), ("T3", "p50 ms (librdkafka)"), ("T3", "p99 ms (librdkafka)"), ("T5", "p99 ms"), ("T7", "p99 ms"), ("T16", "p99 ms")]
CPU = [("T1", "broker CPU-s/GB"), ("T2", "broker CPU-s/GB"), ("T4", "broker CPU-s/GB"), ("T5", "broker CPU-s/GB"), ("T6", "broker CPU-s/GB")]


def bars(figures, names, wanted, title, path, log=False):
    """Medians beside each other, with the spread as a line."""
    wanted = [one for one in wanted if one[1] in figures.get(one[0], {})]
    if not wanted:
        return None
    _, axes = pyplot.subplots(figsize=(10, 4.5))
    width = 0.8 / len(names)
    for at, name in enumerate(names):
        rows = [(x, figures[workload][figure][name]) for x, (workload, figure) in enumerate(wanted) if name in figures[workload][figure]]
        medians = [statistics.median(values) for _, values in rows]
        below = [middle - min(values) for middle, (_, values) in zip(medians, rows)]
        above = [max(values) - middle for middle, (_, values) in zip(medians, rows)]
        axes.bar([x + at * width for x, _ in rows], medians, width, yerr=[below, above], capsize=2, label=name)
    axes.set_xticks([x + 0.4 - width / 2 for x in range(len(wanted))], [f"{workload}\n{figure}" for workload, figure in wanted], fontsize=8)
    if log:
        axes.set_yscale("log")
    return save(axes, title, path)


def save(axes, title, path):
    axes.set_title(title)
    axes.grid(axis="y", alpha=0.3)
    axes.legend()
    axes.figure.tight_layout()
    axes.figure.savefig(path, dpi=110)
    pyplot.close(axes.figure)
    return path


def timelines(by_system, path):
    """T17: the 99th percentile and the longest latency of each second, of each system's last round."""
    if not by_system:
        return None
    _, axes = pyplot.subplots(figsize=(10, 4.5))
    for name, columns in by_system.items():
        line = axes.plot(columns["s"], columns["p99 ms"], label=f"{name}, p99")[0]
        axes.plot(columns["s"], columns["max ms"], ":", color=line.get_color(), label=f"{name}, longest")
    axes.set_yscale("log")
    axes.set_xlabel("seconds")
    axes.set_ylabel("ms")
    return save(axes, "T17: latency over time, at the same rate throughout", path)


def scaling(results, figures, path):
    """{system: {partitions: figures}}, a small plot per figure."""
    figure, grid = pyplot.subplots(1, len(figures), figsize=(3.2 * len(figures), 3.4))
    for axes, name in zip(grid, figures):
        for system, rows in results.items():
            points = sorted((count, row[name]) for count, row in rows.items())
            axes.plot([x for x, _ in points], [y for _, y in points], "o-", label=system)
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("partitions", fontsize=8)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    grid[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return path


def overview(entries, names, ceilings, folder):
    """The plots of all that was measured; their paths."""
    figures = {workload: entry["figures"] for workload, entry in entries.items()}
    made = [
        bars(figures, names + ceilings, THROUGHPUT, "Throughput (more is better)", folder / "throughput.png"),
        bars(figures, names, LATENCY, "Latency in ms (less is better)", folder / "latency.png", log=True),
        bars(figures, names, CPU, "CPU-seconds of all brokers per GB (less is better)", folder / "cpu.png"),
        timelines(entries.get("T17", {}).get("timelines"), folder / "t17.png"),
    ]
    return [path for path in made if path]
