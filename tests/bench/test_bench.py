"""Tests of the harness's own arithmetic and judgement: python -m unittest discover tests/bench"""

import contextlib
import io
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import bench
import kept
import life
import measure
import report
import rows
import scaling
import sizes
import systems
import targets
import watch


class Slope(unittest.TestCase):
    def test_a_line_has_its_own_slope(self):
        self.assertAlmostEqual(scaling.slope([(100, 7.0), (1000, 25.0), (5000, 105.0)]), 0.02)

    def test_what_does_not_grow_has_none(self):
        self.assertEqual(scaling.slope([(100, 3.0), (1000, 3.0)]), 0.0)
        self.assertEqual(scaling.slope([(100, 3.0)]), 0.0, "one point has no slope")

    def test_least_squares_weighs_all_points(self):
        self.assertAlmostEqual(scaling.slope([(0, 0.0), (1, 3.0), (2, 3.0)]), 1.5)

    def test_the_table_tells_what_is_missing(self):
        row = dict.fromkeys(scaling.FIGURES, 1.0)
        table = scaling.table({"Caudal": {100: row, 1000: row}, "Kafka K0": {100: row}})
        self.assertIn("| idle cores | Caudal | 1 | 1 | +0 |", table)
        self.assertIn("| idle cores | Kafka K0 | 1 | - | - |", table)


def entry(figures, rounds=1, **more):
    return {"commit": "abc", "date": "2026-01-02", "conditions": "2 cores", "rounds": rounds, "sizes": {}, "figures": figures, **more}


class Page(unittest.TestCase):
    def test_ratios_are_of_medians(self):
        figures = {"MB/s": {"Caudal": [9.0, 10.0, 30.0], "Kafka K0": [5.0], "Durable ceiling": [1234.5]}, "p50 ms": {"Caudal": [1.0], "Kafka K0": [0.0]}}
        lines = report.table(entry(figures)).splitlines()
        self.assertEqual(lines[0], "| Figure | Caudal | Kafka K0 | Durable ceiling | Caudal / Kafka K0 |")
        self.assertEqual(lines[2], "| MB/s | 10 (9-30) | 5 | 1,234 | 2.00 |")
        self.assertEqual(lines[3], "| p50 ms | 1 | 0 |  |  |", "nothing is divided by nothing")

    def test_kafka_with_fsync_is_a_column_where_it_was_measured(self):
        figures = {"MB/s": {"Kafka K1": [2.0], "Kafka K0": [5.0], "Caudal": [10.0]}}
        self.assertEqual(report.table(entry(figures)).splitlines()[2], "| MB/s | 10 | 5 | 2 | 2.00 | 5.00 |")

    def test_each_workload_says_what_it_was_measured_under(self):
        entries = {"T10": entry({}, rounds=3), "T2": entry({}, sizes={"t2_records": 5})}
        page = report.page(entries, [Path("t17.png")])
        self.assertIn("### T2: records of 100 bytes\n\nCommit abc, 2026-01-02, 1 round; not the usual size: `t2_records=5`.", page)
        self.assertIn("### T10: memory when idle\n\nCommit abc, 2026-01-02, 3 rounds.", page)
        self.assertLess(page.index("### T2"), page.index("### T10"))
        self.assertIn("![t17](benchmarks/t17.png)", page)


class Aims(unittest.TestCase):
    def test_a_row_per_target(self):
        entries = {
            "T1": entry({"MB/s": {"Caudal": [30.0], "Kafka K0": [10.0]}, "MB/s (librdkafka)": {"Caudal": [29.0], "Kafka K0": [10.0], "Durable ceiling": [40.0], "RocksDB ceiling": [31.0], "Replicated ceiling": [29.5]}}),
            "T8": entry({"longest time without an ack s": {"Caudal": [1.4], "Kafka K0": [0.1]}}),
        }
        lines = targets.summary(entries).splitlines()
        self.assertEqual(len(lines), 2 + len(targets.TARGETS) + len(targets.GROWTHS))
        self.assertEqual(lines[2], "| T1: records of 1 KiB, 6 partitions | MB/s | 30 | 10 | 3.00 | at least 3x | yes | 2.90 | **no** (ceilings 4.00, 3.10, 2.95) |")
        self.assertIn("| T8: kill -9 of a leading node | longest time without an ack s | 1.4 | 0.1 | 14.00 | at most 1.5 | yes |  |  |", lines)
        self.assertIn("| T9: CPU when idle | cores | not measured yet |  |  | at most 0.06 |  |  |  |", lines)

    def test_reading_has_ceilings_of_its_own(self):
        read = {"Caudal": [28.0], "Kafka K0": [20.0], "Client ceiling": [33.0], "File reading ceiling": [30.0], "RocksDB reading ceiling": [29.0]}
        lean = {"Caudal": [20.0], "Kafka K0": [20.0], "RocksDB reading ceiling": [27.0], "File reading ceiling": [28.0]}

        def row(figures):
            return next(line for line in targets.summary({"T6": entry(figures)}).splitlines() if line.startswith("| T6"))

        both = "| T6: reading | MB/s | 28 | 20 | 1.40 | at least 1.5x | **no** (ceilings 1.65, 1.50, 1.45) | 1.00 | **no** (ceilings 1.40, 1.35) |"
        self.assertEqual(row({"MB/s": read, "MB/s (librdkafka)": lean}), both)
        self.assertIn("| **no** (ceilings 1.65) |", row({"MB/s": {name: read[name] for name in [*read][:3]}}))
        keepers = dict.fromkeys(["Durable ceiling", "RocksDB ceiling", "Replicated ceiling"], [99.0])
        self.assertEqual(row({"MB/s": read | keepers, "MB/s (librdkafka)": lean | keepers}), both, "what three copies take is nothing to readers")

    def test_a_ceiling_of_what_is_not_compared_with_kafka_is_told_as_it_is(self):
        drained = {"Caudal": [930.0], "Kafka K0": [1000.0], "File reading ceiling": [980.0], "RocksDB reading ceiling": [900.0]}
        slower = {"Caudal": [2.5], "Kafka K0": [7.0], "File reading ceiling": [4.0], "RocksDB reading ceiling": [3.0]}
        entries = {"T15": entry({"MB/s drained": drained, "live p99 meanwhile / before": slower})}
        rows = [line for line in targets.summary(entries).splitlines() if line.startswith("| T15")]
        self.assertIn("| 0.93 | at least 1x | **no** (ceilings 0.98, 0.90) |", rows[0])
        self.assertIn("| at most 2 | **no** (ceilings 4.00, 3.00) |", rows[1])

    def test_a_shrunken_run_does_not_pass_for_a_whole_one(self):
        self.assertIn("| T2: records of 100 bytes (not the usual size) |", targets.summary({"T2": entry({}, sizes={"t2_records": 5})}))

    def test_bounds_are_within_reach(self):
        most = targets.Target("T1", "x", most=1 / 3)
        self.assertTrue(most.is_reached(1.0, 3.0))
        self.assertFalse(most.is_reached(1.01, 3.0))
        self.assertIsNone(most.is_reached(1.0, None))

    def test_what_the_others_feel_of_a_member_can_fail(self):
        fine = {"arrival: partitions that moved": 3, "arrival: members fenced": 0, "death: members fenced": 0}
        pauses = {f"{change}: longest pause of who keeps its partitions s": 0.3 for change in ("arrival", "death")}
        stable = {f"{change}: s until stable": 5 for change in ("arrival", "death")}

        def reached(figures):
            lines = targets.summary({"T23": entry({name: {"Caudal": [value]} for name, value in figures.items()})}).splitlines()
            cells = [line.split(" | ") for line in lines if line.startswith("| T23")]
            return {cell[1]: cell[6] for cell in cells}

        all_fine = fine | pauses | stable
        self.assertEqual(reached(all_fine), dict.fromkeys(all_fine, "yes"))
        for name, value in [("arrival: partitions that moved", 4), ("death: members fenced", 1), *((name, 1.1) for name in pauses)]:
            self.assertEqual(reached(all_fine | {name: value})[name], "**no**", name)

    def test_the_generator_tells_what_is_aimed_for(self):
        source = (systems.ROOT / "crates" / "bench" / "src" / "members" / "mod.rs").read_text()
        for target in targets.TARGETS:
            if target.workload == "T23":
                change, _, figure = target.figure.partition(": ")
                self.assertIn(f'put("{figure}"', source)
                self.assertIn(f'tell("{change}"', source)

    def test_commits_of_transactions_are_judged_beside_kafkas(self):
        for workload in ("T19", "T20"):
            entries = {workload: entry({"p99 ms": {"Caudal": [21.0], "Kafka K0": [20.0]}})}
            row = next(line for line in targets.summary(entries).splitlines() if line.startswith(f"| {workload}") and "| p99 ms |" in line)
            self.assertIn("| at most 1x | **no** |", row)

    def test_a_failover_that_grows_with_the_offsets_is_told(self):
        def row(before, after):
            figure = "longest time without a commit s"
            values = {"T21": before, "T22": after}
            entries = {name: entry({figure: {"Caudal": [value], "Kafka K0": [9.0]}}) for name, value in values.items() if value is not None}
            return targets.summary(entries).splitlines()[-1]

        start = "| T22: the same with a million committed offsets | longest time without a commit s, against T21 |"
        self.assertEqual(row(0.4, 0.6), start + " 1.50 | 1.00 |  | at most 1.5x of T21, or 0.3 | yes |  |  |")
        self.assertIn(" 1.52 | 1.00 |  | at most 1.5x of T21, or 0.3 | **no** |", row(0.4, 0.61))
        self.assertIn(" 2.90 |", row(0.1, 0.29))
        self.assertIn("| yes |", row(0.1, 0.29), "too short to be noticed")
        self.assertIn("| not measured yet |  |  | at most 1.5x of T21, or 0.3 |  |", row(None, 0.5))

    def test_everything_has_a_title_and_sizes(self):
        self.assertEqual(targets.TITLES.keys(), sizes.OF_WORKLOADS.keys())
        self.assertLessEqual({target.workload for target in targets.TARGETS}, targets.TITLES.keys())


class Shares(unittest.TestCase):
    ROW = rows.ROWS[0]

    def share(self, system, *names, row=ROW):
        workloads, wanted = rows.share(row, system, names)
        return [*workloads], sorted(wanted)

    def test_a_backlog_is_drained_from_what_keeps_it(self):
        row = next(row for row in rows.ROWS if "T15" in row)
        for ceiling in systems.CEILINGS:
            system = ceiling("x", "y")
            self.assertEqual(self.share(system, "T15", row=row), (["T15"], ["T15"]) if system.gives_back else ([], []))

    def test_reading_ceilings_are_only_filled_by_what_they_read(self):
        for ceiling in (systems.FileReadingCeiling("x", "y"), systems.StoreReadingCeiling("x", "y")):
            self.assertEqual(self.share(ceiling, "T1", "T5", "T6"), (["T1", "T6"], ["T6"]))
            self.assertEqual(self.share(ceiling, "T1", "T5"), ([], []))

    def test_the_others_are_measured_in_all_that_they_run(self):
        self.assertEqual(self.share(systems.Kafka("x"), "T1", "T6", "T7", "T8"), (["T1", "T6", "T7"],) * 2)
        self.assertEqual(self.share(systems.Ceiling("x", "y"), "T1", "T6", "T7"), (["T1", "T6"],) * 2)
        for ceiling in (systems.DurableCeiling("x", "y"), systems.StoreCeiling("x", "y"), systems.ReplicatedCeiling("x", "y")):
            self.assertEqual(self.share(ceiling, "T1", "T6", "T7"), (["T1"],) * 2)

    def test_each_ceiling_keeps_what_it_is_about(self):
        kept = {
            "Client ceiling": [], "Durable ceiling": ["--copies"], "RocksDB ceiling": ["--stores"], "Replicated ceiling": ["--replicas"],
            "File reading ceiling": ["--copies", "--readable"], "RocksDB reading ceiling": ["--stores", "--readable"],
        }  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            generator, said = Path(folder) / "generator", Path(folder) / "said"
            # It tells what it was started with, and ends with its standard input.
            generator.write_text(f'#!/bin/sh\necho "$@" > {said}\necho ready\ncat\n')
            generator.chmod(0o755)
            for ceiling in systems.CEILINGS:
                system = ceiling(folder, generator)
                system.prepare()
                system.launch()
                system.stop()
                command, *options = said.read_text().split()
                self.assertEqual(command, "floor")
                self.assertEqual([word for word in options[2:] if word != str(system.folder)], kept[system.name])
                self.assertEqual(system.gives_back, "--readable" in options)


class Kept(unittest.TestCase):
    def test_a_run_replaces_only_what_it_measured(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "figures.json"
            kept.merge({"T10": entry({"a": {"Caudal": [1.0, 2.0]}}), "T9": entry({"b": {"Caudal": [1.0]}})}, path)
            both = kept.merge({"T9": entry({"c": {"Caudal": [3.0]}})}, path)
            self.assertEqual(both, kept.load(path))
            self.assertEqual([*both["T10"]["figures"], *both["T9"]["figures"]], ["a", "c"])
            self.assertIn('"Caudal": [1.0, 2.0]', path.read_text(), "a list is one line")
            self.assertLess(path.read_text().index("T9"), path.read_text().index("T10"))

    def test_rounds_are_added_where_all_else_is_the_same(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "figures.json"
            kept.merge({"T9": entry({"a": {"Caudal": [1.0], "Kafka K0": [2.0]}})}, path)
            new = entry({"a": {"Caudal": [3.0], "Kafka K0": [4.0]}, "b": {"Caudal": [5.0]}}, rounds=2) | {"commit": "def"}
            both = kept.merge({"T9": new}, path, add=True)["T9"]
            self.assertEqual(both["figures"], {"a": {"Caudal": [1.0, 3.0], "Kafka K0": [2.0, 4.0]}, "b": {"Caudal": [5.0]}})
            self.assertEqual([both["rounds"], both["commit"], both["date"]], [3, "abc, def", "2026-01-02"])
            other = new | {"sizes": {"idle_s": 5}}
            self.assertEqual(kept.merge({"T9": other, "T10": new}, path, add=True), {"T9": other, "T10": new})

    def test_what_it_was_measured_under_is_kept(self):
        lines = [{"s": 0, "records": 5, "p50 ms": 1.0, "p99 ms": 1.23456789, "max ms": 3.0}]
        entries = kept.measured({"T17": {"MB/s": {"Caudal": [12.3456789]}}}, {"Caudal": lines}, 3, sizes.QUICK)
        self.assertEqual(entries["T17"]["figures"], {"MB/s": {"Caudal": [12.346]}})
        self.assertEqual(entries["T17"]["timelines"], {"Caudal": {"s": [0], "p99 ms": [1.2346], "max ms": [3.0]}})
        self.assertEqual(kept.unusual(entries["T17"], "T17"), {"endure_s": 30, "peak_s": 3})
        self.assertIn("Apache Kafka 4", entries["T17"]["conditions"])


class Judgement(unittest.TestCase):
    READ = {"records": 10, "holes": 0, "duplicated": 0, "out of order": 0, "foreign": 0}

    def test_a_whole_topic_passes(self):
        measure.check_read(self.READ, 10, "t")
        self.assertEqual(measure.check_produced({"sent": 10, "acked": 10, "failed": 0}), 10)

    def test_any_loss_or_duplicate_fails(self):
        for wrong in ["holes", "duplicated", "out of order", "foreign"]:
            with self.assertRaises(measure.Lost, msg=wrong):
                measure.check_read({**self.READ, wrong: 1}, 10, "t")
        with self.assertRaises(measure.Lost):
            measure.check_read(self.READ, 11, "t")
        with self.assertRaises(measure.Lost):
            measure.check_produced({"sent": 10, "acked": 9, "failed": 1})


    def test_a_copy_is_what_its_source_is(self):
        source = {**self.READ, "records": 12, "duplicated": 2, "out of order": 1}
        measure.check_copied(source, {**source, "p50 ms": 1}, 10, "t")
        for wrong in measure.SEEN:
            with self.assertRaises(measure.Lost, msg=wrong):
                measure.check_copied(source, {**source, wrong: source[wrong] + 1}, 10, "t")
        for bad in [{"records": 11}, {"holes": 1}, {"foreign": 1}, {"duplicated": 1}]:
            with self.assertRaises(measure.Lost, msg=bad):
                measure.check_copied({**source, **bad}, {**source, **bad}, 10, "t")


class Rounds(unittest.TestCase):
    @staticmethod
    def system(kind):
        system = kind.__new__(kind)
        system.start = system.stop = system.discard = lambda: None
        return system

    def run_losing(self, kind, times):
        """A row whose first `times` tries lose a record, and how often it was tried."""
        tries = []

        def workload(*_):
            tries.append(None)
            if len(tries) <= times:
                raise measure.Lost("a record")
            return {"MB/s": len(tries)}

        with contextlib.redirect_stdout(io.StringIO()):
            return bench.run_checked(self.system(kind), {"T13": workload}, {"T13"}, 1, bench.Sizes())

    def test_kafka_has_a_second_try_and_only_that_counts(self):
        self.assertEqual(self.run_losing(systems.Kafka, 0), {"T13": {"MB/s": 1}})
        self.assertEqual(self.run_losing(systems.Kafka, 1), {"T13": {"MB/s": 2}})
        with self.assertRaises(measure.Lost):
            self.run_losing(systems.Kafka, 2)

    def test_caudal_has_none(self):
        with self.assertRaises(measure.Lost):
            self.run_losing(systems.Caudal, 1)


class Life(unittest.TestCase):
    def test_seconds_near_a_removal_are_told_from_the_others(self):
        samples = [(0.5, 0), (1.0, 0), (4.2, 100), (4.6, 100), (9.9, 250)]
        self.assertEqual(watch.rises(samples), [4.2, 9.9])
        line = [{"s": second, "p99 ms": float(second)} for second in range(12)]
        near, far = watch.split(line, watch.rises(samples), first_s=3, after_s=1)
        self.assertEqual(near, [4.0, 5.0, 9.0, 10.0])
        self.assertEqual(far, [3.0, 6.0, 7.0, 8.0, 11.0])

    def test_a_step_is_a_ratio_of_medians_and_nothing_without_both(self):
        self.assertEqual(life.compared([2.0, 4.0, 90.0], [2.0])["p99 where a segment goes / elsewhere"], 2.0)
        self.assertEqual(life.compared([], [2.0]), {"p99 ms elsewhere": 2.0})

    def test_the_disk_of_a_folder_is_what_its_files_take(self):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "deep").mkdir()
            (Path(folder) / "deep" / "file").write_bytes(b"x" * 100_000)
            with open(Path(folder) / "hole", "wb") as hole:
                hole.truncate(50_000_000)
            self.assertTrue(100_000 <= watch.disk_bytes(folder) < 1_000_000, "a hole takes nothing")

    def test_what_the_sampler_cannot_ask_fails_the_run(self):
        with self.assertRaises(ZeroDivisionError):
            with watch.Sampler(lambda: 1 // 0, 0.001) as sampler:
                sampler.thread.join(10)

    def test_how_far_kafka_has_cleaned_is_read_from_its_files(self):
        with tempfile.TemporaryDirectory() as folder:
            checkpoint, partition = Path(folder) / "cleaner-offset-checkpoint", Path(folder) / "t25-0"
            self.assertEqual(life.clean_upto(checkpoint), {})
            checkpoint.write_text("0\n2\nt25 0 900\nt25 1 20\n")
            self.assertEqual(life.clean_upto(checkpoint), {("t25", 0): 900, ("t25", 1): 20})
            partition.mkdir()
            for start in (0, 900):
                (partition / f"{start:020}.log").touch()
            self.assertEqual(life.open_segment(partition), 900)

    def test_the_newest_record_of_every_key_is_wanted(self):
        sent = life.newest_of(1000, 50)
        self.assertEqual(len(sent), 50)
        self.assertTrue(all(life.key_of(sequence, 0, 50) == key for key, sequence in enumerate(sent) if sequence >= 0))
        self.assertEqual(max(sent), 999)
        life.judge_newest(sent, sent, "t")
        for wrong in (-1, sent[7] - 1):
            read = sent[:]
            read[7] = wrong
            with self.assertRaises(measure.Lost, msg=wrong):
                life.judge_newest(read, sent, "t")

    def test_metrics_and_log_directories_are_read(self):
        self.assertEqual(life.parse_metrics('# HELP caudal_a b\ncaudal_a 2\ncaudal_b{x="y"} 3\n'), {"caudal_a": 2.0})
        brokers = [{"logDirs": [{"partitions": [{"size": size}, {"size": 1}]}]} for size in (5, 9)]
        self.assertEqual(life.largest_of({"brokers": brokers}), 10)

    def test_only_these_workloads_have_settings_of_their_own(self):
        kafka, caudal = systems.Kafka("x"), systems.Caudal("x")
        self.assertEqual(life.settings_of(["T1"], kafka), {})
        self.assertEqual(life.settings_of(["T24"], caudal), {"log.retention.check.interval.ms": 1000})
        self.assertIn("log.cleaner.backoff.ms", life.settings_of(["T25"], kafka))
        self.assertIn("log.segment.delete.delay.ms", life.settings_of(["T25"], kafka))


if __name__ == "__main__":
    unittest.main()
