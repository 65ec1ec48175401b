"""The plan is the same for the same seed, and no two faults of one thing overlap."""

import unittest

import faults
import plan


class Plan(unittest.TestCase):
    def test_a_seed_replays_its_plan(self):
        shape = plan.Shape(instances=3)
        first = plan.make(7, 600, 2, shape)
        self.assertEqual(first, plan.make(7, 600, 2, shape))
        self.assertNotEqual(first, plan.make(8, 600, 2, shape))
        self.assertGreater(len(first), 150)

    def test_a_plans_fingerprint_tells_it_from_others(self):
        shape = plan.Shape(instances=3)
        first = plan.fingerprint(plan.make(7, 600, 2, shape))
        self.assertEqual(first, plan.fingerprint(plan.make(7, 600, 2, shape)))
        others = [plan.make(8, 600, 2, shape), plan.make(7, 600, 3, shape),
                  plan.make(7, 600, 2, plan.Shape(instances=2))]
        self.assertNotIn(first, map(plan.fingerprint, others))

    def test_a_full_spool_is_in_each_plan_but_a_brief_one(self):
        for seed in range(20):
            made = plan.make(seed, 300, 3, plan.Shape(instances=2))
            self.assertIn("spool_full", [fault.kind for fault in made])
        self.assertNotIn("spool_full", [fault.kind for fault in plan.make(
            1, 2000, 3, plan.Shape(brief=True))])

    def test_every_kind_comes_and_can_be_carried_out(self):
        long = plan.make(1, 20_000, 2, plan.Shape(instances=3))
        self.assertEqual({fault.kind for fault in long}, set(plan.KINDS))
        for kind in plan.KINDS:
            self.assertTrue(callable(faults.act(kind)), kind)

    def test_what_a_machine_can_not_do_is_left_out(self):
        shape = plan.Shape(small_disks=False, clock=False, brief=True)
        kinds = {fault.kind for fault in plan.make(1, 20_000, 2, shape)}
        slow = {name for name, kind in plan.KINDS.items() if kind.slow}
        self.assertEqual(kinds, set(plan.KINDS) - {"disk_full", "clock"} - slow)

    def test_faults_of_one_thing_do_not_overlap(self):
        shape = plan.Shape(instances=3)
        until = {}
        for fault in plan.make(3, 5000, 1, shape):
            for claim in plan.claims(plan.KINDS[fault.kind], fault.args.get("instance"), shape):
                self.assertLessEqual(until.get(claim, 0), fault.at, fault)
                until[claim] = fault.at + fault.seconds


if __name__ == "__main__":
    unittest.main()
