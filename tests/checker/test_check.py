"""The checker finds what it is there to find."""

import contextlib
import gzip
import io
import json
import pathlib
import struct
import tempfile
import unittest
import zlib

import check

RECORDS = [
    (0, "create", 1000, b"k", b"v", []),
    (1, "logappend", 1001, None, b"", [(b"\xff", None), (b"h", b""), (b"h", b"x")]),
    (5, None, None, b"", None, []),
]


class Archive(unittest.TestCase):
    """An archive of one chain; the files are JSON here, so no reader is needed."""

    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)
        root = pathlib.Path(self.dir.name)
        self.chain, self.expected = root / "a" / "t" / "000000", root / "e"
        self.chain.mkdir(parents=True)
        self.expected.mkdir()
        self.contents, self.closes = {}, {}
        identity = {"layout": 1, "topic": "t", "partition": 0, "first": 0, "suffix": ".mak.gz"}
        (self.chain / "chain.json").write_text(json.dumps(identity))
        with open(self.expected / "t-0.expected", "wb") as file:
            for record in RECORDS:
                data = check.encode(record)
                self.assertEqual(check.decode(data), record)
                file.write(len(data).to_bytes(4, "big") + data)

    def put(self, start, following, records, suffix=".mak.gz", header=None):
        name = f"{start:020}{suffix}"
        (self.chain / name).touch()
        self.contents[name] = ({"startoffset": start, **(header or {})}, records,
                               lambda: (following, len(records)))

    def seal(self, start, suffix):
        name = f"{start:020}{suffix}"
        (self.chain / name).touch()
        self.contents[name] = (None, None, None)

    def close(self, start, following, suffix=".mak.gz"):
        self.seal(start, suffix)
        self.closes[f"{start:020}{suffix}"] = {"continuesat": str(following), "continues": suffix}

    def second(self, first, tip):
        """A second chain without files."""
        chain = self.chain.parents[1] / "t@2" / "000000"
        chain.mkdir(parents=True)
        identity = {"topic": "t", "partition": 0, "first": first, "suffix": ".mak.gz",
                    "follows": {"tip": tip}}
        (chain / "chain.json").write_text(json.dumps(identity))

    def complaints(self, committed=None):
        with contextlib.redirect_stdout(io.StringIO()):
            return check.check(self.chain.parents[1], self.expected, committed,
                               lambda path: self.contents[path.name],
                               lambda path: self.closes.get(path.name))

    def test_whole(self):
        self.put(0, 2, RECORDS[:2])
        self.seal(2, ".mak.gz")
        self.put(2, 7, RECORDS[2:], ".mak.zst")
        self.assertEqual(self.complaints({"t": {"0": 7}}), [])

    def test_committed_elsewhere(self):
        self.put(0, 7, RECORDS)
        self.assertEqual(len(self.complaints({"t": {"0": 6}})), 1)
        self.assertEqual(len(self.complaints({"t": {"0": 7}, "u": {"0": 1}})), 1)

    def test_hole_between_files(self):
        self.put(0, 2, RECORDS[:2])
        self.put(3, 7, RECORDS[2:])
        self.assertIn("the tip is 2", self.complaints()[0])

    def test_missing_double_and_strange_records(self):
        self.put(0, 7, RECORDS[:1] + RECORDS[2:])
        self.assertIn("record at 1 is missing", self.complaints()[0])
        self.put(0, 7, RECORDS + RECORDS[2:])
        self.assertIn("comes again", self.complaints()[0])
        self.put(0, 7, RECORDS + [(6, "create", 0, None, None, [])])
        self.assertIn("not expected", self.complaints()[0])

    def test_every_field_counts(self):
        for index, other in [(1, "logappend"), (2, 0), (3, None), (3, b""), (4, None),
                             (5, [(b"h", b"")])]:
            changed = list(RECORDS[0])
            changed[index] = other
            self.put(0, 7, [tuple(changed)] + RECORDS[1:])
            self.assertTrue(self.complaints(), index)

    def test_recorded_gap(self):
        gap = {"gapfrom": 0, "gapto": 2, "gapreason": "retention"}
        self.put(0, 7, RECORDS[2:], header=gap)
        self.assertEqual(self.complaints(), [])

    def test_a_closed_chain_is_followed_by_what_it_names(self):
        self.put(0, 7, RECORDS)
        self.close(7, 5)
        self.assertIn("is to go on at (5, '.mak.gz')", self.complaints()[0])
        self.second(5, 7)
        self.assertEqual(self.complaints(), [])
        self.assertEqual(self.complaints({"t": {"0": 5}}), [])
        self.assertEqual(len(self.complaints({"t": {"0": 7}})), 1)

    def test_a_closed_chain_is_followed_elsewhere(self):
        self.put(0, 7, RECORDS)
        self.close(7, 5)
        self.second(6, 8)
        self.assertEqual(len(self.complaints()), 2)

    def test_nothing_comes_behind_a_closing_seal(self):
        self.put(0, 7, RECORDS)
        self.close(7, 7, ".mak")
        self.put(7, 8, [], ".mak.zst")
        self.second(7, 7)
        self.assertIn("comes behind the closing seal", self.complaints()[0])
        self.assertIn("closing seal", " ".join(self.complaints()))

    def test_no_chain(self):
        (self.expected / "u-0.expected").write_bytes(b"\0\0\0\0")
        self.put(0, 7, RECORDS)
        self.assertEqual(self.complaints(), ["u-0: no chain"])


def block(kind, payload):
    start = struct.pack(">B3xI", kind, len(payload))
    return start + struct.pack(">I", zlib.crc32(start + payload)) + payload


class Files(unittest.TestCase):
    """Real files, as docs/mak-v2.md has them."""

    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)

    def open(self, name, content):
        path = pathlib.Path(self.dir.name, name)
        path.write_bytes(content)
        return check.open_file(path)

    def test_data_and_seals(self):
        header = b'{"topic":"t","partition":0,"startoffset":4}'
        records = struct.pack(">QQIqqI", 4, 7, 1, 9, 9, 4) + b"\x16\x12\x01\x01" + b"kv"
        data = b"MAK\2" + b"".join([block(1, header), block(2, records),
                                    block(3, struct.pack(">QQQqqi", 8, 1, 2, 9, 9, -1))])
        tail = block(5, b"{}") + block(6, b"")
        empty = gzip.compress(b"")
        for name, content in [("x.mak", data + tail), ("x.mak.gz", gzip.compress(data) + empty)]:
            header, records, finish = self.open(name, content)
            self.assertEqual(header["startoffset"], 4)
            self.assertEqual(list(records), [(4, "create", 9, b"k", b"v", [])])
            self.assertEqual(finish(), (8, 1))
        for name, content in [("s.mak", b"MAK\2" + tail), ("s.mak.gz", empty)]:
            self.assertEqual(self.open(name, content), (None, None, None))


if __name__ == "__main__":
    unittest.main()
