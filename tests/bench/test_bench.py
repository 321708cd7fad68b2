"""Tests of the harness's own arithmetic and judgement: python -m unittest discover tests/bench"""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import measure
import report
import scaling


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


class Table(unittest.TestCase):
    def test_ratios_are_of_medians(self):
        figures = {"T10": {"MB": {"Caudal": [1.0], "K": [2.0]}}, "T2": {"MB/s": {"Caudal": [9.0, 10.0, 30.0], "K": [5.0], "Ceiling": [99.0]}}}
        lines = report.table(figures, "Caudal", ["K"], ["Ceiling"]).splitlines()
        self.assertEqual(lines[0], "| Workload | Figure | Caudal | K | Ceiling | Caudal / K |")
        self.assertEqual(lines[2], "| T2 | MB/s | 10 (9-30) | 5 | 99 | 2.00 |", "T2 comes before T10")
        self.assertEqual(lines[3], "| T10 | MB | 1 | 2 |  | 0.50 |")

    def test_nothing_is_divided_by_nothing(self):
        self.assertEqual(report.ratio([1.0], [0.0]), "-")
        self.assertEqual(report.ratio([1.0], None), "-")


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


if __name__ == "__main__":
    unittest.main()
