"""Says whether the archive holds what it has to: each record once, at its place, byte for byte.

Shares no code with the product: files are read by tests/checker/check.py, what was produced comes
from the chaos client's journal, what Kafka holds at the end from Kafka, what was deleted from the
faults' log. Memory is one bit a record and some bytes a run of the journal.

For each chain:
- its files follow each other, from chain.json's first offset on (check.py);
- the offsets of its records have no holes, but for recorded gaps (nothing that is produced here
  leaves any in the log);
- each record is one that was produced to this partition in one life of its topic, byte for byte,
  at the offset that was acknowledged, and no number comes twice, unless Kafka itself holds it
  twice: a broker that becomes the leader may not know what an idempotent producer sent before;
- a gap lies below what was deleted from the partition, and nothing of it is archived;
- all acknowledged records are there, but those in gaps, those that the deletion of a topic took
  with it, and those that an unclean election cut off the log;
- all that Kafka holds at the end is in the partition's last chain, or, before that begins, in the
  one before, and the last chain ends where the log ends.

For the group: at the end its offsets are the chains' tips; and whenever one was seen during the
run, the file that it stands behind was in the store already.
"""

import bisect
import collections
import json
import pathlib
import sys
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "checker"))
import check  # noqa: E402

EPOCH = 1_600_000_000_000


def salt(topic, life, partition):
    return zlib.crc32(f"{topic}/{life}/{partition}".encode())


def content(salt, seq):
    """Key and value of a record: tests/chaos/client/load.rs describes them."""
    number = seq.to_bytes(8, "big")
    crc = zlib.crc32(number, salt)
    code = crc.to_bytes(4, "big")
    kind = crc >> 6 & 3
    key = code if kind > 1 else b"" if kind else None
    return key, number + code + code[3:] * (crc & 31)


class Seen:
    """A growing set of small numbers, one bit each."""

    def __init__(self):
        self.bits = bytearray()

    def add(self, number):
        """Whether it was new."""
        byte, bit = number >> 3, 1 << (number & 7)
        if byte >= len(self.bits):
            self.bits.extend(bytes(max(byte + 1 - len(self.bits), 4096)))
        if self.bits[byte] & bit:
            return False
        self.bits[byte] |= bit
        return True

    def __contains__(self, number):
        byte = number >> 3
        return byte < len(self.bits) and bool(self.bits[byte] >> (number & 7) & 1)

    def missing(self, first, count):
        """Those of `count` numbers from `first` on that are not in it."""
        at, end = first, first + count
        while at < end:
            # Whole bytes at once: most runs are long, and all there.
            if at & 7 == 0 and end - at >= 8 and self.bits[at >> 3:(at >> 3) + 1] == b"\xff":
                full = at >> 3
                while end - (full << 3) >= 8 and self.bits[full:full + 1] == b"\xff":
                    full += 1
                at = full << 3
                continue
            if at not in self:
                yield at
            at += 1


class Life:
    """What was produced to one partition in one life of its topic."""

    def __init__(self, topic, number, partition):
        self.number, self.salt = number, salt(topic, number, partition)
        self.acked, self.maybe = [], []
        self.starts = None

    def offset(self, seq):
        """Where this number was acknowledged; None if it was not."""
        if self.starts is None:
            self.acked.sort()
            self.starts = [run[0] for run in self.acked]
        index = bisect.bisect_right(self.starts, seq) - 1
        if index >= 0:
            first, count, offset = self.acked[index]
            if seq < first + count:
                return offset + seq - first
        return None

    def may_be(self, seq):
        return any(first <= seq < first + count for first, count in self.maybe)


def read_journal(lines):
    """{(topic, partition): {life: Life}}."""
    lives = collections.defaultdict(dict)
    for line in lines:
        what, topic, life, partition, *numbers = line.split()
        life, partition = int(life), int(partition)
        place = lives[topic, partition]
        if life not in place:
            place[life] = Life(topic, life, partition)
        numbers = tuple(map(int, numbers))
        (place[life].acked if what == "A" else place[life].maybe).append(numbers)
    return lives


class Truth:
    """What is known of one partition: `log` is what Kafka holds of it at the end."""

    def __init__(self, lives, log=None, deleted=0, truncated=False):
        self.lives, self.deleted, self.truncated = lives, deleted, truncated
        self.log = log or {"low": 0, "high": 0, "runs": []}
        self.log["runs"].sort()
        self.last_life = max(lives, default=None)

    def holds(self, seq, offset):
        """Whether Kafka has this number at this offset."""
        index = bisect.bisect_right(self.log["runs"], offset, key=lambda run: run[0]) - 1
        if index < 0:
            return False
        at, first, count = self.log["runs"][index]
        return offset < at + count and seq == first + offset - at


class Chain(check.Chain):
    """One chain, held against the truth of its partition. Its records are of one life, or of
    several, where a fault began another one in a topic that it could not delete."""

    def __init__(self, directory, truth, open_file=check.open_file):
        super().__init__(directory, pathlib.Path("/nonexistent"), open_file)
        self.truth, self.life, self.doubled = truth, None, 0
        # What was seen of each life, by its number, and of the one that came last.
        self.lives, self.seen = {}, None
        self.boundaries = {}

    def check_file(self, found):
        before, known = self.tip, len(self.gaps)
        records = super().check_file(found)
        yield from records
        if self.tip != before:
            self.boundaries[self.tip] = found[1]
        for gap in self.gaps[known:]:
            self.check_gap(gap, before)

    def check_gap(self, gap, start):
        begin, end, reason = gap
        if not start == begin < end:
            self.complain(f"gap {gap} in the file at {start}")
        if end > self.truth.deleted:
            self.complain(f"gap {gap}, but Kafka deleted only what is below {self.truth.deleted}")
        if (reason == "genesis") != (begin == self.first):
            self.complain(f"gap {gap}, but the chain begins at {self.first}")

    def check_identity(self):
        super().check_identity()
        self.first = self.following = self.tip

    def compare(self, found):
        for record in found:
            self.records += 1
            offset = record[0]
            if offset != self.following:
                self.hole(offset)
            self.following = offset + 1
            self.check_record(record)
        if self.following != self.tip:
            self.hole(self.tip)

    def hole(self, offset):
        """The records behind the last one are not there up to `offset`."""
        begin = self.following
        for gap in self.gaps:
            if gap[0] <= begin < gap[1]:
                begin = gap[1]
        if begin > offset:
            self.complain(f"record at {offset} comes again, or lies in a gap: {self.gaps[-1:]}")
        elif begin < offset:
            self.complain(f"no records at [{begin}, {offset}), and no gap says so")

    def check_record(self, record):
        offset, tstype, time, key, value, headers = record
        seq = int.from_bytes(value[:8], "big") if value and len(value) >= 12 else -1
        life = self.life
        if life is None or (key, value) != content(life.salt, seq):
            life = self.find_life(seq, key, value)
        if life is None:
            return self.complain(f"never produced to this partition, or damaged: {record}")
        if (tstype, time, headers) != ("create", EPOCH + seq, []):
            self.complain(f"other time or headers than produced: {record}")
        if not self.seen.add(seq):
            self.doubled += 1
            if not self.truth.holds(seq, offset):
                self.complain(f"number {seq} comes again at {offset}")
        acknowledged = life.offset(seq)
        if acknowledged is None and not life.may_be(seq):
            self.complain(f"number {seq} at {offset}: the journal does not know it")
        elif acknowledged not in (offset, None) and not self.truth.holds(seq, offset):
            self.complain(f"number {seq} at {offset}: was acknowledged at {acknowledged}")

    def find_life(self, seq, key, value):
        for life in self.truth.lives.values() if seq >= 0 else ():
            if content(life.salt, seq) == (key, value):
                self.life, self.seen = life, self.lives.setdefault(life.number, Seen())
                return life
        return None

    def in_gap(self, offset):
        return any(begin <= offset < end for begin, end, _ in self.gaps)


class Partition:
    """All chains of one partition."""

    def __init__(self, topic, number, truth):
        self.name, self.truth = f"{topic}-{number}", truth
        self.chains, self.complaints = [], []

    def complain(self, text):
        if len(self.complaints) <= check.MOST_COMPLAINTS:
            self.complaints.append(f"{self.name}: {text}")

    def check(self):
        for chain in self.chains:
            chain.check()
            self.complaints += chain.complaints
        self.check_lives()
        self.check_log()

    def check_lives(self):
        """All that was acknowledged is there."""
        for life in self.truth.lives.values():
            chains = [chain for chain in self.chains if life.number in chain.lives]
            if len(chains) > 1 and not self.truth.truncated:
                self.complain(f"life {life.number} of the topic is in {len(chains)} chains")
            if self.truth.truncated:
                continue  # the log decides
            last = life.number == self.truth.last_life
            for first, count, offset in life.acked:
                self.check_run(life, chains, (first, count, offset), last)

    def check_run(self, life, chains, run, last):
        first, count, offset = run
        chain = chains[0] if chains else None
        if chain is None:
            # Nothing of this life was archived: retention or the topic's deletion took it.
            empty = [chain for chain in self.chains if not chain.lives]
            if last and not any(c.in_gap(offset) and c.in_gap(offset + count - 1) for c in empty):
                self.complain(f"nothing of {count} records at {offset} is archived")
            return
        for seq in chain.lives[life.number].missing(first, count):
            at = offset + seq - first
            if not chain.in_gap(at) and (last or at < chain.tip):
                self.complain(f"number {seq} of life {life.number}, acknowledged at {at}, "
                              "is missing")
                return

    def check_log(self):
        """What Kafka holds at the end is in the last chain."""
        log = self.truth.log
        if log["high"] == 0 and not self.chains:
            return
        if not self.chains:
            return self.complain(f"no chain, but a log up to {log['high']}")
        chain = self.chains[-1]
        if chain.tip != log["high"]:
            self.complain(f"the chain ends at {chain.tip}, but the log at {log['high']}")
        for offset, first, count in log["runs"]:
            life = self.life_of(first, offset)
            said = None if self.truth.truncated or not life else life.offset(first)
            if said not in (offset, None) and not self.truth.holds(first, said):
                self.complain(f"the cluster itself has number {first} at {offset}, but "
                              f"acknowledged it at {said}")
            for seq in self.missing(life, offset, first, count):
                self.complain(f"number {seq} is in the log at {offset + seq - first}, but not "
                              "in the chain that goes on from there")
                break

    def life_of(self, seq, offset):
        """The life of a record of the log: mostly the last one."""
        lives = [self.truth.lives[number] for number in reversed(self.chains[-1].lives)]
        sure = [life for life in lives if life.offset(seq) == offset]
        maybe = [life for life in lives if life.may_be(seq)]
        return next(iter(sure + maybe), self.truth.lives.get(self.truth.last_life))

    def missing(self, life, offset, first, count):
        """Numbers of a run of the log that the last chain which begins before them does not have.
        """
        end = offset + count
        for chain in reversed(self.chains):
            begin = max(offset, chain.first)
            if begin < end:
                seen = chain.lives.get(life.number if life else None, Seen())
                for seq in seen.missing(first + begin - offset, end - begin):
                    if not chain.in_gap(offset + seq - first):
                        yield seq
                end = begin
        yield from range(first, first + end - offset)


def find_chains(archive, truths, open_file=check.open_file):
    """Partitions with their chains, in the order of their making."""
    partitions = {place: Partition(*place, truth) for place, truth in truths.items()}
    for directory in archive.glob("*/[0-9][0-9][0-9][0-9][0-9][0-9]"):
        topic, _, generation = directory.parent.name.partition("@")
        place = topic, int(directory.name)
        if topic and place in partitions:
            chain = Chain(directory, partitions[place].truth, open_file)
            partitions[place].chains.append((int(generation or 1), chain))
        elif topic:
            partitions[place] = Partition(*place, Truth({}))
            partitions[place].complain("an archive of what was never produced")
    for partition in partitions.values():
        partition.chains = [chain for _, chain in sorted(partition.chains, key=lambda c: c[0])]
    return partitions


def check_samples(partitions, samples, modified):
    """Each committed offset that was seen had its file in the store by then."""
    for when, topic, number, offset in samples:
        partition = partitions.get((topic, number))
        chains = partition.chains if partition else []
        if any(offset == chain.first for chain in chains):
            continue
        files = [chain.boundaries[offset] for chain in chains if offset in chain.boundaries]
        if not any(modified(file) <= when for file in files):
            yield (f"{topic}-{number}: offset {offset} was committed, but no file that ends there "
                   "was in the store")


def check_committed(partitions, committed):
    """At the end each offset of the group is the tip of the last chain."""
    for (topic, number), partition in partitions.items():
        if partition.chains:
            offset, tip = committed.pop((topic, number), None), partition.chains[-1].tip
            if offset != tip and not (offset is None and not partition.chains[-1].files):
                yield f"{topic}-{number}: the group's offset is {offset}, but the tip is {tip}"
    for place, offset in committed.items():
        yield f"{place[0]}-{place[1]}: the group's offset is {offset}, but there is no chain"


def judge(archive, evidence):
    """(complaints, figures). `evidence` is what the run left, see chaos.py."""
    with open(evidence / "journal") as file:
        lives = read_journal(file)
    facts = json.loads((evidence / "facts.json").read_text())
    deleted = {(topic, number): offset for topic, number, offset in facts["deleted"]}
    truths = {}
    for topic, number, log in facts["logs"]:
        truths[topic, number] = Truth(lives[topic, number], log, deleted.get((topic, number), 0),
                                      topic in facts["truncated"])
    partitions = find_chains(archive, truths)
    complaints = []
    for partition in partitions.values():
        partition.check()
        complaints += partition.complaints
    committed = {(topic, number): offset for topic, number, offset, _ in facts["committed"]}
    complaints += check_committed(partitions, committed)
    complaints += check_samples(partitions, facts["samples"], lambda path: path.stat().st_mtime)
    chains = [chain for partition in partitions.values() for chain in partition.chains]
    figures = {
        "chains": len(chains),
        "files": sum(chain.files for chain in chains),
        "records": sum(chain.records for chain in chains),
        "seals": sum(chain.seals for chain in chains),
        "twice_in_kafka": sum(chain.doubled for chain in chains),
        "gaps": [[chain.name, *gap] for chain in chains for gap in chain.gaps],
    }
    return complaints, figures
