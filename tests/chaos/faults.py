"""What each kind of fault does: begin, rest for its time, mend.

Each is a function of the world and the fault, named as the plan names it; it runs in a thread of
its own. The world says what was hit (`note`), and cuts the rests short at the end of the run.
"""

import contextlib
import signal
import time

import servers

GROUP = "chaos"
STEADY, SHAKY, PHOENIX = "steady", "shaky", "phoenix"


class NotNow(Exception):
    """There was nothing to hit."""


def victim(world, fault):
    """The process of the fault's instance and role."""
    instance = world.instances[fault.args["instance"]]
    pids = instance.processes(fault.args["role"])
    if not pids:
        raise NotNow(f"no {fault.args['role']} lives")
    return instance, pids[int(fault.args["pick"] * len(pids))]


def instance_of(world, fault):
    return world.instances[fault.args["instance"]]


def kill(world, fault):
    instance, pid = victim(world, fault)
    if fault.args["role"] == "supervisor":
        with instance.down():
            world.rest(fault.seconds)
    else:
        servers.send(pid, signal.SIGKILL)


def pause(world, fault):
    _, pid = victim(world, fault)
    servers.send(pid, signal.SIGSTOP)
    try:
        world.rest(fault.seconds)
    finally:
        servers.wake(pid)


def stop(world, fault):
    with instance_of(world, fault).down(signal.SIGTERM):
        world.rest(fault.seconds)


def rotate(world, fault):
    for pid in instance_of(world, fault).processes("supervisor"):
        servers.send(pid, signal.SIGUSR1)


def setting(world, fault):
    instance = instance_of(world, fault)
    how = fault.args["how"]
    if how == "hup":
        instance.set(fault.args["key"], fault.args["value"])
        instance.reload()
    else:
        with instance.down(signal.SIGTERM if how == "restart" else signal.SIGKILL):
            instance.set(fault.args["key"], fault.args["value"])
            world.rest(fault.seconds)


@contextlib.contextmanager
def spool_to_itself(world, instance):
    """Nobody is at this spool: whoever shares it is down as well."""
    with contextlib.ExitStack() as stack:
        for other in world.instances:
            if other.spool is instance.spool:
                stack.enter_context(other.down())
        yield instance.spool


def spool_lost(world, fault):
    if fault.args["how"] == "running":
        return instance_of(world, fault).spool.remove_files()
    with spool_to_itself(world, instance_of(world, fault)) as spool:
        spool.lose()
        world.rest(fault.seconds)


def spool_old(world, fault):
    instance = instance_of(world, fault)
    copy = instance.directory / "old-spool"
    instance.spool.copy(copy)
    world.rest(fault.seconds)
    with spool_to_itself(world, instance) as spool:
        spool.replace(copy)


def disk_full(world, fault):
    spool = instance_of(world, fault).spool
    spool.fill()
    try:
        world.rest(fault.seconds)
    finally:
        spool.empty()


def clock(world, fault):
    instance = instance_of(world, fault)
    instance.step(fault.args["step"])
    try:
        world.rest(fault.seconds)
    finally:
        instance.step(0)


def broker_kill(world, fault):
    broker = world.kafka.brokers[fault.args["broker"]]
    broker.kill()
    try:
        world.rest(fault.seconds)
    finally:
        broker.start()
        broker.await_port()


def broker_pause(world, fault):
    broker = world.kafka.brokers[fault.args["broker"]]
    broker.signal(signal.SIGSTOP)
    try:
        world.rest(fault.seconds)
    finally:
        broker.signal(signal.SIGCONT)


def leader_change(world, fault):
    """A clean stop moves the leaders; later they move back to the preferred ones."""
    broker = world.kafka.brokers[fault.args["broker"]]
    broker.stop()
    try:
        world.rest(fault.seconds)
    finally:
        broker.start()
        broker.await_port()


def cut(world, fault, names):
    proxy = world.kafka.toxiproxy
    for name in names:
        proxy.cut(name, True)
    try:
        world.rest(fault.seconds)
    finally:
        for name in names:
            proxy.cut(name, False)


def cut_clients(world, fault):
    cut(world, fault, [f"clients{fault.args['broker']}"])


def cut_all_clients(world, fault):
    cut(world, fault, [f"clients{number}" for number in servers.BROKERS])


def cut_brokers(world, fault):
    cut(world, fault, [f"brokers{fault.args['broker']}"])


def slow_clients(world, fault):
    proxy, name = world.kafka.toxiproxy, f"clients{fault.args['broker']}"
    proxy.slow(name, fault.args["ms"])
    try:
        world.rest(fault.seconds)
    finally:
        proxy.slow(name, 0)


def unclean_election(world, fault):
    """The follower sleeps until it is out of sync, the leader goes on alone and then dies: the
    follower wakes and is elected, and the leader cuts its log back when it returns."""
    def state():
        return world.client.ask("partitions", topic=SHAKY)[0]

    servers.wait_until(lambda: len(state()["isr"]) == 2, 30, "bringing the follower in sync")
    leader = state()["leader"]
    broker, follower = world.kafka.brokers[leader], world.kafka.brokers[5 - leader]

    def state_is(**wanted):
        return wanted.items() <= state().items()

    follower.signal(signal.SIGSTOP)
    try:
        servers.wait_until(lambda: state_is(isr=[leader]), 20, "leaving the follower behind")
        world.rest(fault.seconds)
        _, alone = world.client.ask("ends", topic=SHAKY, partition=0)
        broker.kill()
    finally:
        follower.signal(signal.SIGCONT)
    try:
        servers.wait_until(lambda: state_is(leader=5 - leader), 60, "the unclean election")
        _, left = world.client.ask("ends", topic=SHAKY, partition=0)
        world.note(fault, f"the log ended at {alone}, and then at {left} (or more)")
    finally:
        broker.start()
        broker.await_port()


def delete_records(world, fault):
    """Everything that is there now, archived or not."""
    partition = fault.args["partition"]
    _, end = world.client.ask("ends", topic=STEADY, partition=partition)
    world.deleted(STEADY, partition, end)
    world.client.ask("delete_records", topic=STEADY, partition=partition, offset=end)
    world.note(fault, f"below {end}")


def recreate(world, fault):
    # One at a time, though the machine be slow; and whatever fails, no second life begins in the
    # same topic: the next fault of this kind goes on.
    with world.phoenix:
        servers.wait_until(lambda: world.client.ask("unload", topic=PHOENIX), 60,
                           "the way of the last records")
        world.client.stubborn("delete", done="UnknownTopic", topic=PHOENIX)
        world.rest(fault.seconds)
        world.create(PHOENIX)
        world.client.ask("load", topic=PHOENIX, life=world.new_life(), partitions=1)


@contextlib.contextmanager
def group_without_members(world, fault):
    """All instances are down, and their sessions are over."""
    with contextlib.ExitStack() as stack:
        for instance in world.instances:
            stack.enter_context(instance.down())
        world.rest(fault.seconds)
        yield


def group_deleted(world, fault):
    with group_without_members(world, fault):
        world.client.stubborn("delete_group", 30, done="GroupIdNotFound", group=GROUP)


def group_reset(world, fault):
    with group_without_members(world, fault):
        now = {(topic, partition): offset for topic, partition, offset, _ in world.committed()}
        for topic, partition in world.partitions():
            low, end = world.client.stubborn("ends", topic=topic, partition=partition)
            at = now.get((topic, partition), low)
            to = {"begin": 0, "end": end, "back": max(at - 1000, 0), "forward": at + 1000}
            world.client.stubborn("commit", 30, group=GROUP, topic=topic, partition=partition,
                                  offset=to[fault.args["to"]])


def store(world, fault):
    world.store_proxy.set(fault.kind.removeprefix("store_"), fault.args["share"])
    try:
        world.rest(fault.seconds)
    finally:
        world.store_proxy.set(None)


def spool_full(world, fault):
    """Nothing is packed until the spool is full, and then for a while; whoever shares the spool
    packs for the others, so it sleeps as well."""
    instance = instance_of(world, fault)
    mates = [other for other in world.instances if other.spool is instance.spool]
    before, asleep = sum(mate.pauses()["spool"] for mate in mates), []
    until = time.monotonic() + fault.seconds
    try:
        while sum(mate.pauses()["spool"] for mate in mates) == before:
            if time.monotonic() > until or world.over.is_set():
                raise NotNow("the spool was not full in time")
            # One that was started meanwhile is found, too.
            asleep = [pid for mate in mates for pid in mate.processes("compressor")]
            for pid in asleep:
                servers.send(pid, signal.SIGSTOP)
            world.rest(0.5)
        world.note(fault, "consumers pause")
        world.rest(5)
    finally:
        for pid in asleep:
            servers.wake(pid)


def outage(world, fault):
    """Long enough to fill spools."""
    before = world.pauses()["spool"]
    world.store_proxy.set("503", 1.0)
    try:
        world.rest(fault.seconds)
    finally:
        world.store_proxy.set(None)
    world.note(fault, f"{world.pauses()['spool'] - before} pauses")


def act(kind):
    return store if kind.startswith("store_") else globals()[kind]


def carry_out(world, fault):
    act(fault.kind)(world, fault)
