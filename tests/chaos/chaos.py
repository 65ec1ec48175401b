#!/usr/bin/env python3
"""Breaks a running system at random, and then counts what is in the archive.

Starts three Kafka brokers behind toxiproxy, an S3 server behind a proxy that makes faults, and
instances of kafkatos3; produces numbered records meanwhile, and carries out the plan that the seed
gives. At the end all faults stop, everything is drained, and the oracle compares the archive with
what was produced. Exits 1 if the oracle has any complaint.
"""

import argparse
import collections
import contextlib
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time

import faults
import oracle
import plan
import servers
from faults import GROUP, PHOENIX, SHAKY, STEADY
from instances import LIBFAKETIME, Instance, Spool, small_disks_work, unmount_below
from store import StoreProxy

PARTITIONS = 4
# So little that a store which is away for a while fills the spool.
SPOOL_MAX, MEMORY_MAX = 8 << 20, 256 << 20
# For each partition its brokers; the shaky topic is never on the controller's broker.
REPLICAS = {
    STEADY: [[1, 2, 3], [2, 3, 1], [3, 1, 2], [1, 3, 2]],
    SHAKY: [[2, 3]],
    PHOENIX: [[3, 1, 2]],
}
TOPIC_SETTINGS = {
    SHAKY: {"unclean.leader.election.enable": "true", "min.insync.replicas": "1"},
}


class World:
    """Everything that runs, and what is noted of it."""

    def __init__(self, directory, shape, options):
        self.directory, self.shape, self.options = directory, shape, options
        self.began = time.monotonic()
        self.over = threading.Event()
        self.log_lock = threading.Lock()
        self.log = open(directory / "faults.log", "w")
        self.done, self.skipped = collections.Counter(), collections.Counter()
        self.deletions, self.lives, self.phoenix = {}, 0, threading.Lock()
        self.stops = set()
        self.samples, self.peaks = [], {"spool": 0, "memory": 0}
        self.topics = {STEADY: PARTITIONS, PHOENIX: 1}
        if not options.ci:
            self.topics[SHAKY] = 1
        self.instances = []

    def start(self, programs):
        toxiproxy = servers.Toxiproxy(programs["toxiproxy"], self.directory)
        self.versitygw = servers.Versitygw(programs["versitygw"], self.directory)
        self.archive = self.versitygw.bucket / "archive"
        self.store_proxy = StoreProxy(self.versitygw.port)
        self.kafka = servers.Kafka(programs["kafka"], toxiproxy, self.directory)
        self.client = servers.Client(programs["client"], self.kafka.bootstrap, self.directory)
        for topic in self.topics:
            self.create(topic)
            self.client.ask("load", topic=topic, life=0, partitions=self.topics[topic])
        self.spools = []
        for number in range(self.shape.instances):
            # From three on, the last two share a spool.
            if number < 2 or number != self.shape.instances - 1:
                self.spools.append(Spool(self.directory / f"disk{number}", self.shape.small_disks))
            self.instances.append(Instance(number, programs["kafkatos3"], self.spools[-1],
                                           self.directory, self.settings(), self.say))
        threading.Thread(target=self.keep, daemon=True).start()

    def settings(self):
        return {
            "main": {"shutdown_timeout": "20s", "spool_max_bytes": str(SPOOL_MAX),
                     "memory_max_bytes": str(MEMORY_MAX)},
            "consumer": {"kafka_bootstrap": self.kafka.bootstrap, "kafka_consumer_group": GROUP,
                         "topic_whitelist": ",".join(self.topics), "max_age_seconds": "2",
                         "max_file_bytes": "1MiB", "on_topic_recreated": "new_chain",
                         "consumer_nice_level": "0"},
            "compression": {"compression": "gzip", "compression_nice_level": "0"},
            "s3": {"s3_bucket_name": servers.BUCKET, "s3_prefix": "archive",
                   "s3_endpoint": self.store_proxy.url, "s3_region": servers.REGION,
                   "s3_access_key": servers.KEY, "s3_secret_key": servers.SECRET},
            "kafka": {"session.timeout.ms": "6000", "heartbeat.interval.ms": "500",
                      "topic.metadata.refresh.interval.ms": "1000",
                      "reconnect.backoff.max.ms": "1000"},
        }

    def say(self, text):
        with self.log_lock:
            print(f"{time.monotonic() - self.began:8.1f}  {text}", file=self.log, flush=True)

    def note(self, fault, text):
        self.say(f"{fault.kind} #{fault.number}: {text}")

    def rest(self, seconds):
        self.over.wait(seconds)

    def keep(self):
        """Starts again what ended."""
        while True:
            for instance in self.instances:
                instance.look()
            time.sleep(0.3)

    def operate(self):
        """What stopped because of a truncated log is led out of it; nothing else may stop."""
        for instance in self.instances:
            for note in instance.stopped():
                self.stops.add((note["kind"], note["topic"], note["partition"], note["reason"]))
                if note["kind"] == "truncated":
                    instance.lead_out(note)

    def watch(self):
        """Looks after stopped partitions, and at what the group has committed."""
        while not self.over.wait(3):
            self.operate()
            with contextlib.suppress(servers.KafkaError):
                for topic, partition, offset, metadata in self.committed():
                    if metadata:
                        self.samples.append((time.time(), topic, partition, offset))
            for instance in self.instances:
                self.peaks["memory"] = max(self.peaks["memory"], instance.memory())

    def measure(self):
        """Spools fill fast: they are looked at more often."""
        while not self.over.wait(0.3):
            for spool in self.spools:
                self.peaks["spool"] = max(self.peaks["spool"], spool.bytes())

    def pauses(self):
        """How often consumers said that they pause, because of spool or disk."""
        return sum((instance.pauses() for instance in self.instances), collections.Counter())

    def partitions(self):
        return [(topic, number) for topic, count in self.topics.items() for number in range(count)]

    def committed(self):
        return self.client.ask("committed", group=GROUP, partitions=self.partitions())

    def create(self, topic):
        self.client.stubborn("create", done="TopicAlreadyExists", topic=topic, replicas=REPLICAS[topic],
                             settings={"retention.ms": "-1", **TOPIC_SETTINGS.get(topic, {})})

    def new_life(self):
        self.lives += 1
        return self.lives

    def deleted(self, topic, partition, below):
        self.deletions[topic, partition] = max(self.deletions.get((topic, partition), 0), below)

    def suffer(self, fault):
        self.say(f"begins {fault}")
        try:
            faults.carry_out(self, fault)
            self.done[fault.kind] += 1
            self.say(f"over   #{fault.number}")
        except (faults.NotNow, TimeoutError, servers.KafkaError, OSError) as error:
            self.skipped[fault.kind] += 1
            self.say(f"failed #{fault.number} {fault.kind}: {error}")

    def run(self, planned, seconds):
        """Load and faults for so long."""
        self.client.ask("rate", rate=self.options.rate)
        threading.Thread(target=self.watch, daemon=True).start()
        threading.Thread(target=self.measure, daemon=True).start()
        threads, began = [], time.monotonic()
        for fault in planned:
            time.sleep(max(0, began + fault.at - time.monotonic()))
            thread = threading.Thread(target=self.suffer, args=[fault], daemon=True)
            thread.start()
            threads.append(thread)
        time.sleep(max(0, began + seconds - time.monotonic()))
        self.over.set()
        for thread in threads:
            thread.join()
        self.say("all faults are over")

    def drain(self):
        """Ends load and instances, and archives the rest; what the program said."""
        self.client.ask("rate", rate=0)
        for topic in self.topics:
            servers.wait_until(lambda: self.in_sync(topic), 120, f"bringing {topic} in sync")
        produced = self.client.ask("flush")
        with contextlib.ExitStack() as stack:
            for instance in self.instances:
                stack.enter_context(instance.down(signal.SIGTERM))
            return produced, self.exit_at_end(self.instances[0])

    def in_sync(self, topic):
        with contextlib.suppress(servers.KafkaError):
            found = self.client.ask("partitions", topic=topic)
            return all(len(p["isr"]) == len(r) for p, r in zip(found, REPLICAS[topic]))
        return False

    def exit_at_end(self, instance):
        codes = []
        for _ in range(3):
            instance.start("-e")
            try:
                codes.append(instance.process.wait(240))
            except subprocess.TimeoutExpired:
                instance.end(9)
                codes.append("hangs")
            instance.process = None
            if codes[-1] == 0:
                break
            self.operate()
        self.say(f"-e ended with {codes}")
        return codes

    def collect(self):
        """What the oracle has to know, from Kafka and from us."""
        logs = [(topic, number, self.client.stubborn("log", topic=topic, partition=number))
                for topic, number in self.partitions()]
        facts = {"logs": logs, "committed": self.committed(), "samples": self.samples,
                 # Whatever makes its follower fall behind and its leader die may truncate it.
                 "truncated": [SHAKY],
                 "deleted": [(*place, below) for place, below in self.deletions.items()]}
        self.client.close()
        (self.directory / "facts.json").write_text(json.dumps(facts))

    def close(self):
        for instance in self.instances:
            instance.holds += 1
        servers.KEEPER.end()
        unmount_below(self.directory)


def report(world, planned, produced, codes, complaints, figures):
    """Prints what happened; one line of it goes into the ledger."""
    options = world.options
    gaps = figures.pop("gaps")
    exits = collections.Counter()
    for instance in world.instances:
        exits.update(instance.exits)
    line = {
        **{key: getattr(options, key) for key in
           ["revision", "seed", "minutes", "instances", "every", "rate", "only"]},
        "plan": plan.fingerprint(planned),
        "faults": sum(world.done.values()), "planned": len(planned),
        "not_possible": dict(world.skipped), "by_kind": dict(sorted(world.done.items())),
        "store_hits": dict(sorted(world.store_proxy.hits.items())), "pauses": dict(world.pauses()),
        **{f"peak_{what}_mib": peak >> 20 for what, peak in world.peaks.items()},
        "produced": produced["acknowledged"], **figures, "gaps": len(gaps),
        "stops": len(world.stops), "exits": {str(code): count for code, count in sorted(exits.items())},
        "exit_at_end": codes, "verdict": "wrong" if complaints else "right",
    }
    print(f"seed {options.seed}: {line['faults']} faults, {line['produced']} records acknowledged, "
          f"{figures['records']} archived in {figures['files']} files of {figures['chains']} chains")
    print("faults: " + ", ".join(f"{kind} {count}" for kind, count in line["by_kind"].items()))
    print(f"requests spoilt: {line['store_hits']}; supervisors ended: {line['exits']}; "
          f"consumers paused: {line['pauses']}; "
          f"at most {line['peak_spool_mib']} MiB of spool, {line['peak_memory_mib']} of memory")
    for gap in gaps:
        print(f"gap {gap}")
    for stop in sorted(world.stops):
        print(f"stopped: {stop}")
    for complaint in complaints:
        print(f"wrong: {complaint}")
    print(f"verdict: {line['verdict']}")
    if options.ledger:
        with open(options.ledger, "a") as ledger:
            ledger.write(json.dumps(line) + "\n")
        print(sum_up(options.ledger.read_text()))


def sum_up(ledger):
    """All runs of a ledger in one line."""
    runs = [json.loads(line) for line in ledger.splitlines()]
    wrong = [run["seed"] for run in runs if run["verdict"] != "right"]
    sums = {key: sum(run[key] for run in runs) for key in ["faults", "produced", "records", "gaps"]}
    return (f"ledger: {len(runs)} runs, {sums['faults']} faults, {sums['produced']} records "
            f"acknowledged, {sums['records']} archived, {sums['gaps']} gaps; "
            + (f"wrong: seeds {wrong}" if wrong else "all right"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--instances", type=int, default=2, choices=range(1, 6),
                        help="from 3 on, the last two share a spool")
    parser.add_argument("--every", type=float, default=4, help="seconds from fault to fault")
    parser.add_argument("--rate", type=int, default=2000, help="records a second")
    parser.add_argument("--only", default="", metavar="KIND,KIND", help="no other faults")
    parser.add_argument("--ledger", type=pathlib.Path, help="a file to append the figures to")
    parser.add_argument("--keep", action="store_true", help="keep all files of a good run, too")
    parser.add_argument("--plan", action="store_true", help="print the plan, and do nothing")
    parser.add_argument("--ci", action="store_true", help="a short run with a fixed seed")
    parser.add_argument("--revision", default="", help="of the program, for the ledger")
    parser.add_argument("--program", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--directory", type=pathlib.Path, required=True)
    options = parser.parse_args()
    if options.ci:
        options.seed, options.minutes, options.instances, options.every = 1, 1, 2, 2

    directory = options.directory.absolute() / f"seed{options.seed}"
    unmount_below(directory)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    shape = plan.Shape(options.instances, PARTITIONS, small_disks_work(directory),
                       bool(LIBFAKETIME), options.ci, tuple(filter(None, options.only.split(","))))
    seconds = options.minutes * 60
    planned = plan.make(options.seed, seconds, options.every, shape)
    if options.plan:
        for fault in planned:
            print(f"{fault.at:8.1f}  {fault}")
        print(f"plan {plan.fingerprint(planned)}")
        return 0
    world = World(directory, shape, options)
    try:
        world.start(dict(item.split("=", 1) for item in options.program))
        print(f"in {directory}: {len(planned)} faults in {seconds:.0f} s", flush=True)
        world.run(planned, seconds)
        produced, codes = world.drain()
        world.collect()
    finally:
        world.close()
    complaints, figures = oracle.judge(world.archive, directory)
    if codes[-1] != 0:
        complaints.append(f"kafkatos3 -e ended with {codes}")
    complaints += [f"stopped: {stop}" for stop in sorted(world.stops) if stop[0] != "truncated"]
    for what, most in [("spool", SPOOL_MAX), ("memory", MEMORY_MAX)]:
        if world.peaks[what] > most:
            complaints.append(f"{world.peaks[what]} bytes of {what}, but {most} are allowed")
    report(world, planned, produced, codes, complaints, figures)
    if not complaints and not options.keep:
        shutil.rmtree(directory)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
