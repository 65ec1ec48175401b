"""The ledger of the long run is what its document says, and enough."""

import json
import pathlib
import unittest

import chaos

PROOF = pathlib.Path(__file__).resolve().parents[2] / "docs/proof"


class Ledger(unittest.TestCase):
    def setUp(self):
        self.text = (PROOF / "chaos-ledger.jsonl").read_text()
        self.runs = [json.loads(line) for line in self.text.splitlines()]

    def test_the_document_has_its_sum(self):
        lines = [line.strip() for line in (PROOF / "README.md").read_text().splitlines()]
        self.assertIn(chaos.sum_up(self.text), lines)

    def test_it_is_long_and_right(self):
        self.assertGreaterEqual(sum(run["faults"] for run in self.runs), 1000)
        self.assertGreaterEqual(sum(run["produced"] for run in self.runs), 100_000_000)
        self.assertEqual({run["verdict"] for run in self.runs}, {"right"})
        self.assertEqual(len({run["seed"] for run in self.runs}), len(self.runs))

    def test_each_kind_of_fault_came(self):
        came = {kind for run in self.runs for kind in run["by_kind"]}
        self.assertEqual(came, set(chaos.plan.KINDS))


class Sums(unittest.TestCase):
    def test_a_wrong_run_is_named(self):
        run = {"seed": 3, "faults": 2, "produced": 10, "records": 9, "gaps": 1, "verdict": "right"}
        ledger = "\n".join(json.dumps({**run, **more}) for more in [{}, {"seed": 4, "verdict": "wrong"}])
        self.assertEqual(chaos.sum_up(ledger), "ledger: 2 runs, 4 faults, 20 records acknowledged, "
                         "18 archived, 2 gaps; wrong: seeds [4]")


if __name__ == "__main__":
    unittest.main()
