"""The oracle is seen to fail: each kind of damage that it is there to find is made here."""

import contextlib
import io
import json
import pathlib
import tempfile
import unittest

import oracle


def record(seq, offset, life=0, topic="t"):
    key, value = oracle.content(oracle.salt(topic, life, 0), seq)
    return (offset, "create", oracle.EPOCH + seq, key, value, [])


class Archive(unittest.TestCase):
    """One partition; the files' contents are given, so no reader is needed."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = pathlib.Path(directory.name)
        self.contents = {}
        self.journal = ["A t 0 0 0 10 0"]
        self.log = {"low": 0, "high": 10, "runs": [[0, 0, 10]]}
        self.deleted, self.truncated = 0, False

    def put(self, start, following, records, generation="", begins=0, **header):
        chain = self.root / f"t{generation}" / "000000"
        chain.mkdir(parents=True, exist_ok=True)
        identity = {"layout": 1, "topic": "t", "partition": 0, "first": begins,
                    "suffix": ".mak"}
        (chain / "chain.json").write_text(json.dumps(identity))
        path = chain / f"{start:020}.mak"
        path.touch()
        self.contents[path] = ({"startoffset": start, **header}, records,
                               lambda: (following, len(records)))

    def partitions(self):
        lives = oracle.read_journal(self.journal)["t", 0]
        truth = oracle.Truth(lives, self.log, self.deleted, self.truncated)
        found = oracle.find_chains(self.root, {("t", 0): truth}, self.contents.get)
        for partition in found.values():
            partition.check()
        return found

    def complaints(self):
        with contextlib.redirect_stdout(io.StringIO()):
            return self.partitions()["t", 0].complaints

    def assert_wrong(self, words):
        found = self.complaints()
        self.assertTrue(any(words in complaint for complaint in found), found)

    def put_whole(self):
        self.put(0, 6, [record(n, n) for n in range(6)])
        self.put(6, 10, [record(n, n) for n in range(6, 10)])

    def test_whole(self):
        self.put_whole()
        self.assertEqual(self.complaints(), [])

    def test_nothing_archived(self):
        self.assert_wrong("no chain")

    def test_a_lost_record(self):
        self.put(0, 10, [record(n, n) for n in range(10) if n != 4])
        self.assert_wrong("no records at [4, 5)")
        self.assert_wrong("number 4 of life 0, acknowledged at 4, is missing")

    def test_lost_records_at_the_end(self):
        self.put(0, 10, [record(n, n) for n in range(9)])
        self.assert_wrong("no records at [9, 10)")
        self.put(0, 9, [record(n, n) for n in range(9)])
        self.assert_wrong("the chain ends at 9, but the log at 10")
        self.assert_wrong("number 9 is in the log at 9")

    def test_a_lost_file(self):
        self.put(0, 4, [record(n, n) for n in range(4)])
        self.put(6, 10, [record(n, n) for n in range(6, 10)])
        self.assert_wrong("the tip is 4")

    def test_a_doubled_record(self):
        records = [record(n, n) for n in range(10)]
        self.put(0, 10, [*records[:5], records[4], *records[5:]])
        self.assert_wrong("comes again")

    def test_a_doubled_record_at_another_offset(self):
        self.journal = ["A t 0 0 0 9 0", "M t 0 0 9 1"]
        self.put(0, 10, [*[record(n, n) for n in range(9)], record(8, 9)])
        self.assert_wrong("number 8 comes again at 9")

    def test_a_record_that_kafka_itself_holds_twice(self):
        # The copies of 6 and 7 at 8 and 9 are those that were acknowledged.
        self.journal = ["A t 0 0 0 6 0", "A t 0 0 6 4 8"]
        self.log = {"low": 0, "high": 12, "runs": [[0, 0, 8], [8, 6, 4]]}
        records = [*[record(n, n) for n in range(8)], *[record(n, n + 2) for n in range(6, 10)]]
        self.put(0, 12, records)
        self.assertEqual(self.complaints(), [])
        self.assertEqual(self.partitions()["t", 0].chains[0].doubled, 2)
        # Or the first ones.
        self.journal = ["A t 0 0 0 8 0", "A t 0 0 8 2 10"]
        self.assertEqual(self.complaints(), [])
        # The same archive, but Kafka has them once.
        self.log = {"low": 0, "high": 12, "runs": [[0, 0, 8], [10, 8, 2]]}
        self.assert_wrong("number 6 comes again at 8")
        self.journal = ["A t 0 0 0 6 0", "A t 0 0 6 4 8"]
        self.log = {"low": 0, "high": 12, "runs": [[0, 0, 6], [8, 6, 4]]}
        self.assert_wrong("number 6 at 6: was acknowledged at 8")

    def test_a_record_at_the_wrong_offset(self):
        swapped = [record(n, n) for n in range(10)]
        swapped[3], swapped[4] = record(4, 3), record(3, 4)
        self.put(0, 10, swapped)
        self.assert_wrong("was acknowledged at 4")

    def test_damaged_records(self):
        for index, other in [(1, "logappend"), (2, 7), (3, b"x"), (4, b"123456789012"),
                             (5, [(b"h", b"")])]:
            damaged = list(record(4, 4))
            damaged[index] = other
            records = [record(n, n) for n in range(10)]
            records[4] = tuple(damaged)
            self.put(0, 10, records)
            self.assertTrue(self.complaints(), index)

    def test_records_of_another_life(self):
        self.journal.append("A t 1 0 0 10 0")
        self.put(0, 10, [*[record(n, n) for n in range(9)], record(9, 9, life=1)])
        self.assert_wrong("number 9 of life 0, acknowledged at 9, is missing")
        self.assert_wrong("number 0 of life 1, acknowledged at 0, is missing")

    def test_lives_that_share_a_topic(self):
        self.journal = ["A t 0 0 0 6 0", "A t 1 0 0 2 6", "A t 0 0 6 1 8", "A t 1 0 2 3 9"]
        self.log = {"low": 0, "high": 12, "runs": [[0, 0, 6], [6, 0, 2], [8, 6, 1], [9, 2, 3]]}
        records = [*[record(n, n) for n in range(6)], record(0, 6, 1), record(1, 7, 1),
                   record(6, 8), *[record(n, n + 7, 1) for n in range(2, 5)]]
        self.put(0, 12, records)
        self.assertEqual(self.complaints(), [])
        for lost, words in [(3, "number 3 of life 0, acknowledged at 3, is missing"),
                            (8, "number 6 of life 0, acknowledged at 8, is missing"),
                            (7, "number 1 of life 1, acknowledged at 7, is missing"),
                            (9, "number 2 is in the log at 9, but not in the chain")]:
            self.put(0, 12, [one for one in records if one[0] != lost])
            self.assert_wrong(words)
        self.put(0, 12, [*records[:6], record(0, 6), *records[7:]])
        self.assert_wrong("number 0 of life 1, acknowledged at 6, is missing")

    def test_a_number_that_was_never_produced(self):
        self.log["high"] = 11
        self.put(0, 11, [record(n, n) for n in range(11)])
        self.assert_wrong("the journal does not know it")

    def test_an_unknown_fate_may_be_there_or_not(self):
        self.journal = ["A t 0 0 0 10 0", "M t 0 0 10 5"]
        self.put_whole()
        self.assertEqual(self.complaints(), [])
        self.log = {"low": 0, "high": 11, "runs": [[0, 0, 10], [10, 12, 1]]}
        self.put(10, 11, [record(12, 10)])
        self.assertEqual(self.complaints(), [])

    def test_a_right_gap(self):
        self.deleted = 4
        self.log = {"low": 4, "high": 10, "runs": [[4, 4, 6]]}
        gap = {"gapfrom": 2, "gapto": 4, "gapreason": "retention"}
        self.put(0, 2, [record(n, n) for n in range(2)])
        self.put(2, 10, [record(n, n) for n in range(4, 10)], **gap)
        self.assertEqual(self.complaints(), [])

    def test_deleted_records_may_come_back_with_another_leader(self):
        self.deleted = 4
        self.log = {"low": 2, "high": 10, "runs": [[2, 2, 8]]}
        gap = {"gapfrom": 2, "gapto": 4, "gapreason": "retention"}
        self.put(0, 2, [record(n, n) for n in range(2)])
        self.put(2, 10, [record(n, n) for n in range(4, 10)], **gap)
        self.assertEqual(self.complaints(), [])

    def test_a_log_that_begins_before_every_chain(self):
        self.truncated = True
        self.put(4, 10, [record(n, n) for n in range(4, 10)], begins=4)
        self.assert_wrong("number 0 is in the log at 0, but not in the chain")

    def test_wrong_gaps(self):
        gap = {"gapfrom": 2, "gapto": 4, "gapreason": "retention"}
        self.put(0, 2, [record(n, n) for n in range(2)])
        self.put(2, 10, [record(n, n) for n in range(4, 10)], **gap)
        self.deleted = 3
        self.assert_wrong("Kafka deleted only what is below 3")
        self.deleted = 4
        self.put(2, 10, [record(n, n) for n in range(3, 10)], **gap)
        self.assert_wrong("lies in a gap")
        self.put(2, 10, [record(n, n) for n in range(5, 10)], **gap)
        self.assert_wrong("no records at [4, 5)")
        self.put(2, 10, [record(n, n) for n in range(4, 10)], **{**gap, "gapreason": "genesis"})
        self.assert_wrong("the chain begins at 0")
        self.put(2, 10, [record(n, n) for n in range(4, 10)], **{**gap, "gapfrom": 3})
        self.assert_wrong("in the file at 2")

    def test_a_deleted_topics_chain_may_be_short_but_not_torn(self):
        self.journal = ["A t 0 0 0 5 0", "A t 1 0 0 10 0"]
        self.put(0, 10, [record(n, n, 1) for n in range(10)], "@2")
        self.put(0, 3, [record(n, n) for n in range(3)])
        self.assertEqual(self.complaints(), [])
        self.put(0, 3, [record(n, n) for n in (0, 2)])
        self.assert_wrong("life 0, acknowledged at 1, is missing")

    def test_a_truncated_log_is_in_the_last_chain(self):
        self.truncated = True
        self.journal = ["A t 0 0 0 6 0", "A t 0 0 6 6 4"]
        self.log = {"low": 0, "high": 10, "runs": [[0, 0, 4], [4, 6, 6]]}
        after = [record(n, n) for n in range(4)] + [record(n + 2, n) for n in range(4, 10)]
        self.put(0, 6, [record(n, n) for n in range(6)])
        self.put(0, 10, after, "@2")
        self.assertEqual(self.complaints(), [])
        self.put(0, 10, [*after[:4], record(4, 4), *after[5:]], "@2")
        self.assert_wrong("number 6 is in the log at 4, but not in the chain")

    def test_a_chain_may_begin_where_a_log_was_truncated(self):
        self.truncated = True
        self.journal = ["A t 0 0 0 6 0", "A t 0 0 6 6 4"]
        self.log = {"low": 0, "high": 10, "runs": [[0, 0, 4], [4, 6, 6]]}
        after = [record(n + 2, n) for n in range(4, 10)]
        self.put(0, 6, [record(n, n) for n in range(6)])
        self.put(4, 10, after, "@2", begins=4)
        self.assertEqual(self.complaints(), [])
        self.put(4, 10, [record(4, 4), *after[1:]], "@2", begins=4)
        self.assert_wrong("number 6 is in the log at 4, but not in the chain")
        self.put(0, 6, [record(n, n) for n in (0, 1, 2, 4, 5)])
        self.assert_wrong("number 3 is in the log at 3, but not in the chain")

    def test_a_cluster_that_lost_records_is_not_taken_for_right(self):
        self.log = {"low": 0, "high": 10, "runs": [[0, 0, 4], [4, 5, 6]]}
        self.put_whole()
        self.assert_wrong("the cluster itself")

    def test_a_strange_archive(self):
        self.put_whole()
        (self.root / "u" / "000000").mkdir(parents=True)
        self.assertIn("never produced", self.partitions()["u", 0].complaints[0])

    def test_committed_at_the_end(self):
        self.put_whole()
        found = self.partitions()
        self.assertEqual(list(oracle.check_committed(found, {("t", 0): 10})), [])
        for committed in [{("t", 0): 6}, {("t", 0): 11}, {}, {("t", 0): 10, ("u", 0): 1}]:
            self.assertEqual(len(list(oracle.check_committed(found, committed))), 1, committed)

    def test_committed_on_the_way(self):
        self.put_whole()
        found = self.partitions()

        def wrong(*sample):
            return list(oracle.check_samples(found, [sample], lambda _: 100))

        self.assertEqual(wrong(50, "t", 0, 0), [])
        self.assertEqual(wrong(101, "t", 0, 6), [])
        self.assertIn("was committed", wrong(99, "t", 0, 6)[0])
        self.assertIn("was committed", wrong(101, "t", 0, 7)[0])
        self.assertIn("was committed", wrong(101, "t", 0, 11)[0])
        self.assertIn("was committed", wrong(101, "u", 0, 1)[0])


class Sets(unittest.TestCase):
    def test_missing(self):
        seen = oracle.Seen()
        for number in range(100_000):
            if number not in (3, 64, 77_777):
                self.assertTrue(seen.add(number))
        self.assertFalse(seen.add(5))
        self.assertEqual(list(seen.missing(0, 100_001)), [3, 64, 77_777, 100_000])
        self.assertEqual(list(seen.missing(65, 1000)), [])
        self.assertEqual(list(oracle.Seen().missing(9, 2)), [9, 10])


if __name__ == "__main__":
    unittest.main()
