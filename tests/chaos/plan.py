"""The plan of a chaos run: which fault comes when, all of it from a seed.

Pure: the same seed and shape give the same plan. Whom a fault hits is told by numbers between 0
and 1 and by indexes, because which processes there will be is not known yet.
"""

import dataclasses
import random
import zlib

ROLES = ["supervisor", "consumer", "compressor", "uploader"]
BROKERS = [1, 2, 3]
SETTINGS = {
    "consumer.max_age_seconds": [1, 2, 5, 20],
    "consumer.max_file_bytes": ["128KiB", "512KiB", "1MiB"],
    "consumer.max_idle_seconds": [0, 1],
    "consumer.consumer_processes": [1, 2],
    "compression.compression": ["gzip", "zstd", "none"],
    "compression.compressor_workers": [1, 2],
    "s3.s3uploader_workers": [1, 2],
}


@dataclasses.dataclass(frozen=True)
class Shape:
    """What there is to break, and what this machine lets us break."""
    instances: int = 1
    partitions: int = 4
    small_disks: bool = True
    clock: bool = True
    # Leaves out what takes long to recover from, for a run of two minutes.
    brief: bool = False
    # Only these kinds, if any are named.
    only: tuple = ()


@dataclasses.dataclass(frozen=True)
class Fault:
    number: int
    at: float
    kind: str
    seconds: float
    args: dict

    def __str__(self):
        args = " ".join(f"{key}={value}" for key, value in self.args.items())
        return f"#{self.number} {self.kind} {args} for {self.seconds} s".replace("  ", " ")


@dataclasses.dataclass(frozen=True)
class Kind:
    """How often, how long (from, to), what it needs for itself, and its arguments."""
    weight: float
    seconds: tuple
    claims: str
    draw: object = None
    slow: bool = False


def one_of(**choices):
    return lambda dice, _: {key: dice.choice(values) for key, values in choices.items()}


def partition(dice, shape):
    return {"partition": dice.randrange(shape.partitions)}


def setting(dice, _):
    key = dice.choice(sorted(SETTINGS))
    return {"key": key, "value": dice.choice(SETTINGS[key]),
            "how": dice.choice(["hup", "restart", "kill"])}


def store(weight, most=15, **more):
    return Kind(weight, (2, most), "store", one_of(share=[0.3, 1.0], **more))


# An instance's faults claim that instance; a claim on all of them needs every one.
KINDS = {
    "kill": Kind(12, (0, 3), "instance", one_of(role=ROLES, pick=[0.0, 0.5, 0.9])),
    "pause": Kind(6, (1, 14), "instance", one_of(role=ROLES, pick=[0.0, 0.5, 0.9])),
    "stop": Kind(2, (0, 5), "instance"),
    "rotate": Kind(2, (0, 0), "instance"),
    "setting": Kind(5, (0, 1), "instance", setting),
    "spool_lost": Kind(2, (0, 2), "instance", one_of(how=["down", "running"])),
    "spool_old": Kind(2, (3, 15), "instance"),
    "disk_full": Kind(2, (3, 12), "instance"),
    "clock": Kind(2, (3, 12), "instance", one_of(step=[-86400, -7200, -60, 60, 7200, 86400])),
    "broker_kill": Kind(3, (1, 8), "brokers", one_of(broker=BROKERS)),
    "broker_pause": Kind(2, (2, 10), "brokers", one_of(broker=BROKERS)),
    "leader_change": Kind(2, (1, 4), "brokers", one_of(broker=[2, 3])),
    "cut_clients": Kind(3, (1, 12), "brokers", one_of(broker=BROKERS)),
    "cut_all_clients": Kind(1, (1, 10), "brokers"),
    "cut_brokers": Kind(2, (2, 8), "brokers", one_of(broker=BROKERS)),
    "slow_clients": Kind(2, (2, 10), "brokers", one_of(broker=BROKERS, ms=[200, 1500])),
    "unclean_election": Kind(2, (4, 6), "brokers", slow=True),
    "delete_records": Kind(3, (0, 0), "delete", partition),
    "recreate": Kind(1.5, (0, 2), "recreate"),
    "group_deleted": Kind(0.7, (7, 9), "instances", slow=True),
    "group_reset": Kind(1.5, (7, 9), "instances",
                        one_of(to=["begin", "end", "back", "forward"]), slow=True),
    "store_503": store(2),
    "store_500_after": store(3),
    "store_409": store(2),
    "store_403": store(1),
    "store_hang": store(2, most=10),
    "store_hangup": store(1),
    "store_truncate": store(2),
    "store_slow": store(1),
    "store_late": store(2),
    "outage": Kind(1, (30, 60), "store", slow=True),
    # Until the instance's consumers have paused, and some seconds beyond that.
    "spool_full": Kind(1.5, (30, 45), "instance", slow=True),
}
# Each plan has these, where they are usable: by the end of its first quarter or soon after.
SURE = ["spool_full"]


def usable(shape):
    kinds = dict(KINDS)
    if not shape.small_disks:
        del kinds["disk_full"]
    if not shape.clock:
        del kinds["clock"]
    return {name: kind for name, kind in kinds.items()
            if not (shape.brief and kind.slow) and (name in shape.only or not shape.only)}


def claims(kind, instance, shape):
    if kind.claims == "instance":
        return [f"instance{instance}"]
    if kind.claims == "instances":
        return [f"instance{number}" for number in range(shape.instances)]
    return [kind.claims]


def make(seed, seconds, every, shape):
    """Faults in the order of their time, one each `every` seconds on average.

    What a fault claims rests for a while behind it, so that faults of one thing don't overlap;
    faults of different things do.
    """
    dice = random.Random(f"kafkatos3 chaos {seed}")
    kinds = usable(shape)
    names = sorted(kinds)
    sure = [name for name in SURE if name in kinds]
    busy, plan, at = {}, [], every
    while at < seconds:
        name = dice.choices(names, [kinds[name].weight for name in names])[0]
        if sure and at >= seconds / 4:
            name = sure[0]
        kind = kinds[name]
        instance = dice.randrange(shape.instances)
        args = kind.draw(dice, shape) if kind.draw else {}
        if kind.claims == "instance":
            args = {"instance": instance, **args}
        length = round(dice.uniform(*kind.seconds), 1)
        mine = claims(kind, instance, shape)
        if all(busy.get(claim, 0) <= at for claim in mine) and at + length < seconds:
            rest = 8 if kind.claims == "brokers" else 1
            busy.update(dict.fromkeys(mine, at + length + rest))
            plan.append(Fault(len(plan), round(at, 1), name, length, args))
            sure = [other for other in sure if other != name]
        at += dice.expovariate(1 / every)
    return plan


def fingerprint(plan):
    """Two plans with the same one are the same."""
    return f"{zlib.crc32(repr(plan).encode()):08x}"
