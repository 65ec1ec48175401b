"""Programs of the run, and the servers: three Kafka brokers behind toxiproxy, versitygw.

Everything dies with us; ports lie below the range from which the kernel gives them out, so that a
server that was killed finds its own free again.
"""

import contextlib
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import threading
import time
import urllib.request

BROKERS = [1, 2, 3]
KEY, SECRET, BUCKET, REGION = "chaos", "chaos-secret", "chaos", "us-east-1"


def free_port():
    while True:
        port = random.randrange(12000, 32000)
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


def answers(port):
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def wait_until(condition, seconds, what):
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"{what} took longer than {seconds} s")
        time.sleep(0.1)


def spawn(command, log, **more):
    """A program that the kernel kills when this thread's process ends."""
    with open(log, "ab") as out:
        return subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", *map(str, command)],
                                **{"stdin": subprocess.DEVNULL, "stdout": out, "stderr": out,
                                   **more})


class Keeper:
    """Starts programs from one thread that stays: a child dies with the thread that started it."""

    def __init__(self):
        self.orders, self.ready = [], threading.Condition()
        self.started = []
        threading.Thread(target=self.work, daemon=True).start()

    def work(self):
        while True:
            with self.ready:
                self.ready.wait_for(lambda: self.orders)
                arguments, more, answer = self.orders.pop(0)
            try:
                answer.append(spawn(*arguments, **more))
            except Exception as error:  # whoever ordered gets it
                answer.append(error)
            with self.ready:
                self.ready.notify_all()

    def start(self, *arguments, **more):
        answer = []
        with self.ready:
            self.orders.append((arguments, more, answer))
            self.ready.notify_all()
            self.ready.wait_for(lambda: answer)
        if isinstance(answer[0], Exception):
            raise answer[0]
        self.started.append(answer[0])
        return answer[0]

    def end(self):
        """Kills everything that it started and that still runs."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()


KEEPER = Keeper()


class Toxiproxy:
    """TCP proxies that can be cut and slowed down, one for each listener."""

    def __init__(self, program, directory):
        self.port = free_port()
        self.process = KEEPER.start([program, "-host", "127.0.0.1", "-port", self.port],
                                    directory / "toxiproxy.log")
        wait_until(lambda: answers(self.port), 30, "the start of toxiproxy")

    def ask(self, method, path, body=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method,
                                         data=json.dumps(body).encode() if body else None)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read()

    def add(self, name, upstream):
        port = free_port()
        self.ask("POST", "/proxies", {"name": name, "listen": f"127.0.0.1:{port}",
                                      "upstream": f"127.0.0.1:{upstream}"})
        return port

    def cut(self, name, is_cut):
        self.ask("POST", f"/proxies/{name}", {"enabled": not is_cut})

    def slow(self, name, milliseconds):
        if milliseconds:
            self.ask("POST", f"/proxies/{name}/toxics", {
                "name": "slow", "type": "latency", "stream": "downstream",
                "attributes": {"latency": milliseconds, "jitter": milliseconds // 2}})
        else:
            self.ask("DELETE", f"/proxies/{name}/toxics/slow")


class Broker:
    """One broker; the first one is the controller as well."""

    def __init__(self, number, java, directory, properties):
        self.number, self.java = number, java
        self.directory = directory / f"broker{number}"
        self.directory.mkdir()
        self.file = self.directory / "server.properties"
        properties = {**properties, "node.id": number, "log.dirs": self.directory / "data"}
        self.file.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
        self.port = properties["listeners"].split(",")[0].rsplit(":", 1)[1]
        self.process = None

    def format(self, cluster):
        log = open(self.directory / "format.log", "wb")
        return subprocess.Popen([*self.java, "kafka.tools.StorageTool", "format", "-t", cluster,
                                 "-c", self.file], stdout=log, stderr=log)

    def start(self):
        self.process = KEEPER.start([*self.java[:1], "-Xmx400m", *self.java[1:], "kafka.Kafka",
                                     self.file], self.directory / "server.log")

    def await_port(self):
        wait_until(lambda: answers(int(self.port)), 300, f"the start of broker {self.number}")

    def signal(self, what):
        self.process.send_signal(what)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """Hands its partitions over before it goes."""
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()


class Kafka:
    """The cluster; clients and brokers reach each broker through a proxy of its own."""

    def __init__(self, jars, toxiproxy, directory):
        self.toxiproxy = toxiproxy
        java = ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{jars}/*"]
        controller = free_port()
        self.brokers, addresses = {}, []
        for number in BROKERS:
            clients, brokers = free_port(), free_port()
            outside = toxiproxy.add(f"clients{number}", clients)
            inside = toxiproxy.add(f"brokers{number}", brokers)
            addresses.append(f"127.0.0.1:{outside}")
            listeners = f"CLIENTS://127.0.0.1:{clients},BROKERS://127.0.0.1:{brokers}"
            if number == 1:
                listeners += f",CONTROLLER://127.0.0.1:{controller}"
            self.brokers[number] = Broker(number, java, directory, {
                "process.roles": "broker,controller" if number == 1 else "broker",
                "controller.quorum.voters": f"1@127.0.0.1:{controller}",
                "controller.listener.names": "CONTROLLER",
                "listeners": listeners,
                "advertised.listeners": f"CLIENTS://127.0.0.1:{outside},"
                                        f"BROKERS://127.0.0.1:{inside}",
                "listener.security.protocol.map":
                    "CLIENTS:PLAINTEXT,BROKERS:PLAINTEXT,CONTROLLER:PLAINTEXT",
                "inter.broker.listener.name": "BROKERS",
                "auto.create.topics.enable": "false",
                "group.initial.rebalance.delay.ms": 0,
                "offsets.topic.replication.factor": 3,
                "offsets.topic.num.partitions": 4,
                "min.insync.replicas": 2,
                # Whatever fails is noticed soon.
                "broker.session.timeout.ms": 4000,
                "broker.heartbeat.interval.ms": 500,
                "replica.lag.time.max.ms": 3000,
                "leader.imbalance.check.interval.seconds": 10,
                "log.segment.delete.delay.ms": 1000,
            })
        self.bootstrap = ",".join(addresses)
        formats = [broker.format("chaoschaoschaoschaosQQ") for broker in self.brokers.values()]
        if any(process.wait() for process in formats):
            raise RuntimeError(f"Kafka's storage could not be formatted: see {directory}")
        for broker in self.brokers.values():
            broker.start()
        for broker in self.brokers.values():
            broker.await_port()


class Talk:
    """A process of the chaos client: a line to it, a line from it."""

    def __init__(self, command, log, lasting):
        self.command, self.log, self.lasting = command, log, lasting
        self.lock = threading.Lock()
        self.start()

    def start(self):
        self.process = KEEPER.start(self.command, self.log, stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE)

    def ask(self, what, arguments):
        with self.lock:
            line = b""
            with contextlib.suppress(OSError):
                self.process.stdin.write(json.dumps({"do": what, **arguments}).encode() + b"\n")
                self.process.stdin.flush()
                line = self.process.stdout.readline()
            if not line:
                code = self.process.wait()
                if self.lasting:
                    raise RuntimeError(f"{what}: the client ended with {code}: see {self.log}")
                self.start()
                raise KafkaError(f"{what}: the client ended with {code}")
        answer = json.loads(line)
        if "error" in answer:
            raise KafkaError(f"{what}: {answer['error']}")
        return answer["ok"]

    def close(self):
        with self.lock:
            self.process.stdin.close()
            return self.process.wait(120)


class Client:
    """The chaos client (tests/chaos/client): load, and administration of Kafka.

    In two processes: an administrator's requests may run into an assertion of the library while
    leaders come and go, and the load and its journal must not end with that.
    """

    def __init__(self, program, bootstrap, directory):
        log = directory / "client.log"
        self.load = Talk([program, bootstrap, directory / "journal"], log, lasting=True)
        self.admin = Talk([program, bootstrap, "/dev/null"], log, lasting=False)

    def ask(self, what, **arguments):
        loads = what in ["load", "unload", "rate", "flush", "produced"]
        return (self.load if loads else self.admin).ask(what, arguments)

    def stubborn(self, what, seconds=90, done="nothing", **arguments):
        """Asks until it works, or until the error `done` says that an earlier time did."""
        until = time.monotonic() + seconds
        while True:
            try:
                return self.ask(what, **arguments)
            except KafkaError as error:
                if done in str(error):
                    return None
                if time.monotonic() > until:
                    raise
            time.sleep(0.5)

    def close(self):
        self.admin.close()
        return self.load.close()


class KafkaError(Exception):
    """The client says that something could not be done."""


class Versitygw:
    """The S3 server; its bucket is a folder."""

    def __init__(self, program, directory):
        self.port = free_port()
        self.bucket = directory / "s3" / BUCKET
        self.bucket.mkdir(parents=True)
        environment = {**os.environ, "ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET}
        self.process = KEEPER.start(
            [program, "--port", f"127.0.0.1:{self.port}", "posix", directory / "s3"],
            directory / "s3.log", env=environment)
        wait_until(lambda: answers(self.port), 30, "the start of versitygw")


def children(pid):
    """Process ids of the children that live, with their titles."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = pathlib.Path("/proc", entry, "stat").read_text()
                title = pathlib.Path("/proc", entry, "cmdline").read_bytes()
            except OSError:
                continue
            state, parent = stat.rsplit(")", 1)[1].split()[:2]
            if int(parent) == pid and state != "Z":
                found.append((int(entry), title.decode("utf-8", "replace")))
    return sorted(found)


def send(pid, what):
    """A signal to a process that may be gone."""
    try:
        os.kill(pid, what)
    except ProcessLookupError:
        pass


def wake(pid):
    send(pid, signal.SIGCONT)
