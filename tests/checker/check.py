#!/usr/bin/env python3
"""Compares an archive with what was produced.

Reads the objects with mak-example/read_mak.py and others.py alone, not with the product's own code. Checks that
the files of each chain follow each other without hole or overlap, that nothing follows a closing
seal but the chain it names, that each expected record is
there exactly once with all fields equal, that nothing else is there, and, where committed offsets
are given, that they are the tips of each partition's last chain. Records in a gap that the chain records are not expected.

The archive is a directory as docs/archive-layout.md names it (versitygw keeps a bucket like this).
Expected records are one file a partition, TOPIC-PARTITION.expected, as
tests/integration/harness/records.rs describes them. Prints a line about each chain, then a sum;
exits 1 with every difference (of each chain the first few) if there are any.
"""

import argparse
import io
import json
import pathlib
import re
import struct
import sys

TSTYPES = {None: 0, "create": 1, "logappend": 2}
NAME = re.compile(r"(\d{20})(\.(avro|(mak|jsonl)(\.gz|\.zst)?))?")
CLOSE = re.compile(rb'\{[^{}]*"kind":"close"[^{}]*\}')
MOST_COMPLAINTS = 5

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "mak-example"))
import others  # noqa: E402
import read_mak  # noqa: E402


class Wrong(Exception):
    """What makes it useless to look further at a chain."""


def encode(record):
    """A record of the reader's as the expected files hold it."""
    offset, tstype, ts, key, value, headers = record
    parts = [struct.pack(">qbq", offset, TSTYPES[tstype], ts or 0)]

    def put(data):
        if data is None:
            parts.append(b"\xff\xff\xff\xff")
        else:
            parts.append(len(data).to_bytes(4, "big"))
            parts.append(data)

    put(key)
    put(value)
    parts.append(len(headers).to_bytes(4, "big"))
    for name, data in headers:
        put(name)
        put(data)
    return b"".join(parts)


def decode(data):
    """The other way round, to show a difference."""
    offset, tstype, ts = struct.unpack_from(">qbq", data)
    at = 17

    def take():
        nonlocal at
        size = int.from_bytes(data[at:at + 4], "big", signed=True)
        at += 4
        if size < 0:
            return None
        at += size
        return data[at - size:at]

    key, value = take(), take()
    count = int.from_bytes(data[at:at + 4], "big")
    at += 4
    tstype = next(word for word, number in TSTYPES.items() if number == tstype)
    return (offset, tstype, ts if tstype else None, key, value,
            [(take(), take()) for _ in range(count)])


def open_file(path):
    """(header, records, finish) of a data file; finish() gives (next, number of records).

    All of them None for a seal: it unpacks to nothing, or to blocks that aren't about records.
    """
    if ".mak" not in path.suffixes:
        return others.open_file(path)
    data = unpack(path)
    kind = next(blocks(path, data), (None,))[0]
    if kind in (None, read_mak.INDEX, read_mak.META, read_mak.END):
        return None, None, None
    header, records = read_mak.open_mak(io.BytesIO(data))
    return header, records, lambda: read_finish(path, data)


def unpack(path):
    """The file without its container, all of it: files are small here, and read more than once."""
    with open(path, "rb") as file:
        return read_mak.Stream(read_mak.unpacked(file)).read(1 << 40)


def read_close(path):
    """What a closing seal says, or None: the metadata stands in a container's tail as it is."""
    if ".mak" not in path.suffixes:
        said = others.metadata(path)
        return said if said["kind"] == "close" else None
    found = CLOSE.search(path.read_bytes())
    return found and json.loads(found[0])


def read_finish(path, data):
    for kind, _, payload in blocks(path, data):
        if kind == read_mak.FINISH:
            return struct.unpack_from(">QQ", payload)
    raise read_mak.MakError(f"{path.name} has no finish block")


def blocks(path, data):
    stream = read_mak.Stream(io.BytesIO(data))
    magic = stream.read(4)
    if magic not in (b"", b"MAK\2"):
        raise read_mak.MakError(f"{path.name} is no file of version 2")
    return read_mak.blocks(stream)


def expected_records(path):
    """(offset, encoded record) of a file of expected records."""
    data = path.read_bytes() if path.exists() else b""
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at:at + 4], "big")
        record = data[at + 4:at + 4 + size]
        at += 4 + size
        yield int.from_bytes(record[:8], "big"), record


class Chain:
    """One chain: the files of a topic's partition."""

    def __init__(self, directory, expected, open_file, read_close=read_close):
        self.read_close = read_close
        self.topic, _, generation = directory.parent.name.partition("@")
        self.generation = int(generation or 1)
        self.closed = None
        self.name = f"{directory.parent.name}-{int(directory.name)}"
        self.directory = directory
        self.expected = expected_records(expected)
        self.open_file = open_file
        self.complaints = []
        self.files = self.records = self.seals = 0
        self.gaps = []
        self.tip = None

    def complain(self, text):
        self.complaints.append(f"{self.name}: {text}")
        if len(self.complaints) > MOST_COMPLAINTS:
            raise Wrong

    def check(self):
        try:
            self.check_identity()
            found = (record for path in self.data_files() for record in self.check_file(path))
            self.compare(found)
        except (read_mak.MakError, others.OtherError) as error:
            self.complaints.append(f"{self.name}: behind {self.tip}: {error}")
        except Wrong:
            self.complaints.append(f"{self.name}: not looked at any further")

    def check_identity(self):
        identity = json.loads((self.directory / "chain.json").read_text())
        place = (identity["topic"], f"{identity['partition']:06}")
        if place != (self.directory.parent.name.split("@")[0], self.directory.name):
            self.complain(f"chain.json is about {place}")
        self.identity = identity
        self.tip = identity["first"]

    def data_files(self):
        found = []
        for path in self.directory.iterdir():
            name = NAME.fullmatch(path.name)
            if name:
                found.append((int(name[1]), path))
            # What a power loss left of a directory archive's writer is no object of the archive.
            elif path.name != "chain.json" and not path.name.startswith(".tmp-"):
                self.complain(f"holds {path.name}, which is no part of a chain")
        return sorted(found)

    def check_file(self, found):
        """The records of a file, once it is clear that the file follows the one before."""
        start, path = found
        header, records, finish = self.open_file(path)
        if self.closed:
            self.complain(f"{path.name} comes behind the closing seal")
        if header is None:
            self.seals += 1
            self.closed = self.read_close(path)
            if start != self.tip and (self.closed or start != self.sealed_at()):
                self.complain(f"{path.name} is a seal, but the tip is {self.tip}")
            return
        self.files += 1
        if start != self.tip:
            self.complain(f"{path.name} starts at {start}, but the tip is {self.tip}")
        if header["startoffset"] != start:
            self.complain(f"{path.name} says that it starts at {header['startoffset']}")
        if "gapfrom" in header:
            self.gaps.append((header["gapfrom"], header["gapto"], header["gapreason"]))
        count = 0
        for record in records:
            count += 1
            yield record
        following, said = finish()
        if count != said:
            self.complain(f"{path.name} holds {count} records, but says {said}")
        if following <= start:
            self.complain(f"{path.name} covers nothing")
        self.start, self.tip = start, following

    def sealed_at(self):
        """A seal sorts before or behind the file at its position, by their suffixes."""
        return getattr(self, "start", None)

    def check_successor(self, successor):
        """A closed chain is followed by the one that its closing seal announces."""
        said = self.closed and (int(self.closed["continuesat"]), self.closed["continues"])
        begins = successor and (successor.identity["first"], successor.identity["suffix"])
        if said and said != begins:
            self.complaints.append(f"{self.name}: is to go on at {said}, but goes on at {begins}")
        if said and begins and successor.identity["follows"]["tip"] != self.tip:
            self.complaints.append(f"{successor.name}: follows {self.name} from elsewhere")

    def compare(self, found):
        """Both in the order of their offsets."""
        last = -1
        wanted = next(self.expected, None)
        for record in found:
            self.records += 1
            offset = record[0]
            if offset <= last:
                self.complain(f"offset {offset} comes again, or behind {last}")
            last = offset
            while wanted is not None and wanted[0] < offset:
                self.missing(wanted)
                wanted = next(self.expected, None)
            if wanted is None or wanted[0] > offset:
                self.complain(f"record at {offset}, which is not expected: {record}")
                continue
            if encode(record) != wanted[1]:
                self.complain(f"archived {record}\n  produced {decode(wanted[1])}")
            wanted = next(self.expected, None)
        while wanted is not None:
            self.missing(wanted)
            wanted = next(self.expected, None)

    def missing(self, wanted):
        offset = wanted[0]
        if not any(begin <= offset < end for begin, end, _ in self.gaps):
            self.complain(f"record at {offset} is missing: {decode(wanted[1])}")


def check(archive, expected, committed, open_file, read_close=read_close):
    """All complaints about the archive; prints what it holds."""
    chains = {}
    for directory in sorted(archive.glob("*/[0-9][0-9][0-9][0-9][0-9][0-9]")):
        if not directory.parent.name.startswith("@"):
            name = f"{directory.parent.name}-{int(directory.name)}"
            chains[name] = Chain(directory, expected / f"{name}.expected", open_file, read_close)
    complaints = []
    for path in expected.glob("*.expected"):
        if path.stem not in chains and path.stat().st_size:
            complaints.append(f"{path.stem}: no chain")
    for chain in chains.values():
        chain.check()
        print(f"{chain.name}: {chain.records} records, tip {chain.tip}, gaps {chain.gaps}, "
              f"{chain.files} files, {chain.seals} seals"
              + (f", closed at {chain.tip}" if chain.closed else ""))
    for chain in chains.values():
        chain.check_successor(successor(chains, chain))
        complaints += chain.complaints
    if committed is not None:
        complaints += check_committed(chains, committed)
    gaps = [gap for chain in chains.values() for gap in chain.gaps]
    print(f"sum: {len(chains)} chains, {sum(c.files for c in chains.values())} files, "
          f"{sum(c.records for c in chains.values())} records, {len(gaps)} gaps, "
          f"{sum(c.seals for c in chains.values())} seals")
    return complaints


def successor(chains, chain):
    """The next chain of the same partition, if there is one."""
    partition = int(chain.directory.name)
    return chains.get(f"{chain.topic}@{chain.generation + 1}-{partition}")


def check_committed(chains, committed):
    """Every committed offset is the tip of its partition's last chain, and each with a file has one."""
    offsets = {f"{topic}-{partition}": offset
               for topic, partitions in committed.items()
               for partition, offset in partitions.items()}
    for name, chain in chains.items():
        if successor(chains, chain):
            continue
        offset = offsets.pop(f"{chain.topic}-{int(chain.directory.name)}", None)
        if offset != chain.tip and not (offset is None and chain.files == 0):
            yield f"{name}: the group's offset is {offset}, but the tip is {chain.tip}"
    for name, offset in offsets.items():
        yield f"{name}: the group's offset is {offset}, but there is no chain"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--archive", type=pathlib.Path, required=True)
    parser.add_argument("--expected", type=pathlib.Path, required=True)
    parser.add_argument("--committed", type=pathlib.Path, help="JSON: topic -> partition -> offset")
    arguments = parser.parse_args()
    committed = arguments.committed and json.loads(arguments.committed.read_text())
    complaints = check(arguments.archive, arguments.expected, committed, open_file)
    for complaint in complaints:
        print(f"wrong: {complaint}")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
