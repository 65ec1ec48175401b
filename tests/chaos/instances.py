"""The program under test: instances with their spools, kept running as a service manager would."""

import collections
import configparser
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import threading
import time

import servers

LIBFAKETIME = list(pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
TITLES = {"consumer": "[consumer", "compressor": "[compress", "uploader": "[s3upload"}
PAUSES = {"spool": "the spool is full: ", "disk": " is nearly full: "}
SPOOL_BYTES = 96 << 20


def small_disks_work(directory):
    """Whether we may mount a tmpfs."""
    place = directory / "disk"
    place.mkdir()
    tried = subprocess.run(["mount", "-t", "tmpfs", "none", place], capture_output=True)
    if tried.returncode == 0:
        subprocess.run(["umount", place], check=True)
    return tried.returncode == 0


def unmount_below(directory):
    """What a run that was killed has left."""
    with open("/proc/mounts") as mounts:
        for place in [line.split()[1] for line in mounts]:
            if place.startswith(f"{directory}/"):
                subprocess.run(["umount", "--lazy", place], check=False)


class Spool:
    """A working directory, if possible on a small disk of its own."""

    def __init__(self, directory, small):
        self.directory = directory
        directory.mkdir()
        self.ballast = directory / "ballast"
        self.path = directory / "spool"
        if small:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SPOOL_BYTES}", "none", directory],
                           check=True)
        self.path.mkdir()

    def bytes(self):
        """What the files on their way take; one that is seen twice while it moves counts once."""
        sizes = {}
        for stage in ["inprogress", "rotated", "compressed"]:
            for path in self.path.glob(f"{stage}/*"):
                with contextlib.suppress(OSError):
                    stat = path.stat()
                    sizes[stat.st_ino] = stat.st_size
        return sum(sizes.values())

    def lose(self):
        shutil.rmtree(self.path)
        self.path.mkdir()

    def remove_files(self):
        """Under the hands of those who work there; the locks stay."""
        for stage in ["inprogress", "rotated", "compressed", "tips", "quarantine"]:
            for path in self.path.glob(f"{stage}/*"):
                path.unlink(missing_ok=True)

    def copy(self, to):
        """What a snapshot of a disk in use would have: files may vanish meanwhile."""
        shutil.rmtree(to, ignore_errors=True)
        with contextlib.suppress(shutil.Error):
            shutil.copytree(self.path, to)

    def replace(self, copy):
        self.lose()
        shutil.copytree(copy, self.path, dirs_exist_ok=True)

    def fill(self):
        with open(self.ballast, "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 16))

    def empty(self):
        self.ballast.unlink(missing_ok=True)


class Instance:
    """One supervisor. It is started again whenever it ends, unless somebody holds it down."""

    def __init__(self, number, program, spool, directory, settings, log):
        self.number, self.program, self.spool = number, program, spool
        self.directory = directory / f"instance{number}"
        self.directory.mkdir()
        (self.directory / "log").touch()
        self.config = self.directory / "kafkatos3.cfg"
        self.clock = self.directory / "clock"
        self.say = log
        self.settings = configparser.ConfigParser(interpolation=None)
        self.settings.read_dict(settings)
        self.set("main.instance", f"chaos{number}")
        self.set("main.working_directory", spool.path)
        self.step(0)
        self.process, self.holds, self.exits = None, 0, {}
        self.lock = threading.RLock()

    def set(self, key, value):
        section, key = key.split(".", 1)
        self.settings.set(section, key, str(value))
        whole = self.config.with_suffix(".new")
        with open(whole, "w") as file:
            self.settings.write(file)
        whole.rename(self.config)

    def step(self, seconds):
        """The instance's clock is so far off from now on."""
        self.clock.write_text(f"{seconds:+d}\n")

    def environment(self):
        more = {"RUST_BACKTRACE": "1"}
        if LIBFAKETIME:
            more |= {"LD_PRELOAD": LIBFAKETIME[0], "FAKETIME_TIMESTAMP_FILE": self.clock,
                     "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                     "NO_FAKE_STAT": "1"}
        return {**os.environ, **{key: str(value) for key, value in more.items()}}

    def start(self, *options):
        self.process = servers.KEEPER.start([self.program, *options, self.config],
                                            self.directory / "log", env=self.environment())

    def look(self):
        """Starts it again if it ended."""
        with self.lock:
            if self.holds:
                return
            if self.process and (code := self.process.poll()) is not None:
                self.note_exit(code)
                self.process = None
                time.sleep(0.5)
            if not self.process:
                self.start()

    def note_exit(self, code):
        self.exits[code] = self.exits.get(code, 0) + 1
        self.say(f"instance {self.number} ended with {code}")

    @contextlib.contextmanager
    def down(self, how=signal.SIGKILL):
        """Ends it, and keeps it from being started again meanwhile."""
        with self.lock:
            self.holds += 1
            self.end(how)
        try:
            yield
        finally:
            with self.lock:
                self.holds -= 1
            self.look()

    def end(self, how, patience=60):
        if not self.process:
            return None
        workers = servers.children(self.process.pid)
        for pid, _ in workers:
            servers.wake(pid)
        self.process.send_signal(how)
        servers.wake(self.process.pid)
        try:
            code = self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.say(f"instance {self.number} does not end: killed")
            self.process.kill()
            code = self.process.wait()
        self.note_exit(code)
        # The workers die with their supervisor, but not in the same moment.
        servers.wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid, _ in workers),
                           30, "the end of the workers")
        self.process = None
        return code

    def processes(self, role):
        """Process ids of a role that live now."""
        with self.lock:
            if not self.process or self.process.poll() is not None:
                return []
            if role == "supervisor":
                return [self.process.pid]
            return [pid for pid, title in servers.children(self.process.pid)
                    if title.startswith(TITLES[role])]

    def memory(self):
        """Bytes of all its processes, shared pages counted once."""
        total = 0
        for role in ["supervisor", *TITLES]:
            for pid in self.processes(role):
                with contextlib.suppress(OSError):
                    for line in open(f"/proc/{pid}/smaps_rollup"):
                        if line.startswith("Pss:"):
                            total += int(line.split()[1]) << 10
        return total

    def reload(self):
        for pid in self.processes("supervisor"):
            servers.send(pid, signal.SIGHUP)

    def pauses(self):
        """How often its log says that consumers pause, because of spool or disk."""
        log = (self.directory / "log").read_text(errors="replace")
        return collections.Counter({what: log.count(words) for what, words in PAUSES.items()})

    def stopped(self):
        """The notes about partitions that stopped."""
        for path in self.spool.path.glob("tips/*.stopped"):
            with contextlib.suppress(OSError, ValueError):
                yield json.loads(path.read_text())

    def lead_out(self, note):
        """Does what the note tells an operator to do."""
        words = note["way_out"][0].split()
        command = [str(self.config) if word == "CONFIG" else word for word in words[1:]]
        try:
            done = subprocess.run([self.program, *command, "--yes"], capture_output=True,
                                  timeout=60, env=self.environment())
        except subprocess.TimeoutExpired:
            # With broker and store away it takes its time; the note stays, and it is tried again.
            return self.say(f"{' '.join(words)}: not within 60 s")
        self.say(f"{' '.join(words)}: {done.returncode} {done.stdout + done.stderr}")
