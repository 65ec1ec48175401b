//! The supervisor's loop, as processes: a fixture runs it over toy workers, and is watched from
//! outside. Needs no server. (`cargo test` builds the fixture; `cargo test --test integration`
//! alone does not: `cargo build --example fleet_fixture`.)

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::{Value, json};

/// Far more than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "did not come about: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn fixture_path() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().unwrap().parent().unwrap().join("examples/fleet_fixture");
    assert!(path.exists(), "first: cargo build --example fleet_fixture");
    path
}

#[expect(clippy::disallowed_methods, reason = "the test plays the operator")]
fn send(pid: i32, signal: Signal) {
    match nix::sys::signal::kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(errno) => panic!("cannot send {signal} to {pid}: {errno}"),
    }
}

fn is_alive(pid: i32) -> bool {
    // A zombie is dead.
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap().starts_with(" Z"))
}

/// A working directory with a specification.
struct Place {
    directory: tempfile::TempDir,
    spec: Value,
}

impl Place {
    fn new(consumers: (usize, &str), compressors: (usize, &str), uploaders: (usize, &str)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let toy = |(count, behave): (usize, &str)| json!({ "count": count, "behave": behave, "nice": 0, "code": 0, "mark": 0, "word": "" });
        let spec = json!({
            "working_directory": directory.path(),
            "shutdown_timeout_ms": 60_000,
            "exit_at_end": false,
            "give_up_after": 10,
            "orphan_patience_ms": 60_000,
            "consumer": toy(consumers),
            "compressor": toy(compressors),
            "uploader": toy(uploaders),
        });
        Self { directory, spec }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn with(mut self, pointer: &str, value: Value) -> Self {
        self.set(pointer, value);
        self
    }

    fn set(&mut self, pointer: &str, value: Value) {
        *self.spec.pointer_mut(pointer).unwrap() = value;
    }

    fn write_spec(&self) {
        fs::write(self.path().join("spec.json"), self.spec.to_string()).unwrap();
    }

    fn start(&self) -> Supervisor {
        self.start_with(|_| {})
    }

    #[expect(clippy::disallowed_methods, reason = "the test starts the fixture")]
    fn start_with(&self, change: impl Fn(&mut Command)) -> Supervisor {
        self.write_spec();
        let log = tempfile::Builder::new().prefix("log").tempfile_in(self.path()).unwrap();
        let (file, log) = log.keep().unwrap();
        let mut command = Command::new(fixture_path());
        command.arg(self.path().join("spec.json")).stderr(file).process_group(0);
        command.stdout(Stdio::null());
        command.env_remove("NOTIFY_SOCKET");
        change(&mut command);
        Supervisor { child: command.spawn().unwrap(), log }
    }

    fn let_go(&self) {
        fs::write(self.path().join("go"), "").unwrap();
    }

    /// Lines of the journal: worker, pid, word.
    fn journal(&self) -> Vec<(String, i32, String)> {
        let text = fs::read_to_string(self.path().join("journal")).unwrap_or_default();
        let parse = |line: &str| {
            let mut words = line.splitn(3, ' ');
            let mut next = || words.next().unwrap().to_owned();
            (next(), next().parse().unwrap(), next())
        };
        text.lines().map(parse).collect()
    }

    /// The pids of which the journal says this, in its order.
    fn who(&self, worker: &str, word: &str) -> Vec<i32> {
        let said = |(name, pid, said): (String, i32, String)| {
            (name == worker && said == word).then_some(pid)
        };
        self.journal().into_iter().filter_map(said).collect()
    }

    /// Waits until the journal has this for the `nth` time, counted from 1; gives its pid.
    fn await_word(&self, worker: &str, word: &str, nth: usize) -> i32 {
        let what = format!("{worker} {word} ({nth})");
        eventually(&what, || self.who(worker, word).get(nth - 1).copied())
    }

    fn await_up(&self, workers: &[&str]) -> Vec<i32> {
        workers.iter().map(|worker| self.await_word(worker, "up", 1)).collect()
    }

    /// The order in which workers' lines with this word came.
    fn order(&self, word: &str) -> Vec<String> {
        let lines = self.journal().into_iter().filter(|(_, _, said)| said == word);
        lines.map(|(name, _, _)| name).collect()
    }
}

/// Orphans that a failed test leaves behind would live for ever.
impl Drop for Place {
    fn drop(&mut self) {
        let spec = self.path().join("spec.json");
        let is_ours = |pid: &i32| {
            fs::read_to_string(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|title| title.contains(&*spec.to_string_lossy()))
        };
        for pid in self.journal().into_iter().map(|(_, pid, _)| pid).filter(is_ours) {
            send(pid, Signal::SIGKILL);
        }
    }
}

/// The fixture at work; killed, with its workers, when it goes out of scope.
struct Supervisor {
    child: Child,
    log: PathBuf,
}

impl Supervisor {
    fn pid(&self) -> i32 {
        self.child.id().try_into().unwrap()
    }

    fn send(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    fn await_exit(&mut self) -> ExitStatus {
        let log = self.log.clone();
        let child = &mut self.child;
        let what = format!("the end of process {} ({})", child.id(), log.display());
        eventually(&what, || child.try_wait().unwrap())
    }

    fn await_code(&mut self) -> i32 {
        self.await_exit().code().unwrap()
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    fn await_log(&self, text: &str) {
        eventually(&format!("\"{text}\" in the log"), || self.log().contains(text).then_some(()));
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        // It may have gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn words(path: String) -> String {
    String::from_utf8(fs::read(path).unwrap()).unwrap().replace('\0', " ").trim_end().to_owned()
}

fn niceness(pid: i32) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat.rsplit(')').next().unwrap();
    fields.split_whitespace().nth(19 - 3).unwrap().parse().unwrap()
}

#[test]
fn workers_have_the_originals_titles_and_their_niceness() {
    let place = Place::new((2, "obey"), (1, "obey"), (1, "obey"))
        .with("/consumer/nice", json!(15))
        .with("/compressor/nice", json!(3));
    let supervisor = place.start();
    let pids = place.await_up(&["consumer0", "consumer1", "compressor0", "uploader0"]);
    let command = words(format!("/proc/{}/cmdline", supervisor.pid()));
    assert!(command.ends_with("spec.json"));
    let labels = ["consumer0", "consumer1", "compress", "s3upload"];
    let own = niceness(supervisor.pid());
    for ((pid, label), nice) in pids.into_iter().zip(labels).zip([15, 15, 3, 0]) {
        assert_eq!(words(format!("/proc/{pid}/cmdline")), format!("[{label}] {command}"));
        assert_eq!(words(format!("/proc/{pid}/comm")), format!("{label}\n").trim_end());
        assert_eq!(niceness(pid), (own + nice).min(19));
    }
}

#[test]
fn a_killed_worker_is_restarted() {
    let place = Place::new((1, "obey"), (1, "obey"), (1, "obey"));
    let mut supervisor = place.start();
    for worker in ["consumer0", "compressor0", "uploader0"] {
        let first = place.await_word(worker, "up", 1);
        send(first, Signal::SIGKILL);
        let second = place.await_word(worker, "up", 2);
        assert!(first != second && is_alive(second) && !is_alive(first));
        supervisor.await_log(&format!("{worker} was killed by SIGKILL; restarting it in 0.01 s"));
    }
    supervisor.send(Signal::SIGTERM);
    assert_eq!(supervisor.await_code(), 0, "{}", supervisor.log());
}

#[test]
fn a_crash_loop_is_given_up_with_a_last_word() {
    let place = Place::new((1, "wait"), (1, "crash"), (1, "obey"))
        .with("/compressor/code", json!(3))
        .with("/give_up_after", json!(4));
    let mut supervisor = place.start();
    assert_eq!(supervisor.await_code(), 70);
    let log = supervisor.log();
    let last = log.lines().last().unwrap();
    for part in ["exiting with code 70", "compressor0 died 4 times in a row", "exited with code 3"]
    {
        assert!(last.contains(part), "{log}");
    }
    assert_eq!(log.matches("restarting it").count(), 3, "{log}");
    // Without a compressor the consumer would wait in vain.
    assert_eq!(place.order("at once"), ["consumer0"]);
    assert_eq!(place.order("leaves"), ["consumer0", "uploader0"]);
}

#[test]
fn a_panic_is_an_internal_error_that_is_told() {
    let place = Place::new((0, "obey"), (1, "panic"), (0, "obey")).with("/give_up_after", json!(1));
    let mut supervisor = place.start();
    assert_eq!(supervisor.await_code(), 70);
    let log = supervisor.log();
    assert!(log.contains("[compress] panicked: as it was told"), "{log}");
    assert!(log.contains("exited with code 70 (internal error)"), "{log}");
}

#[test]
fn a_fatal_code_is_passed_on_without_a_restart() {
    let place =
        Place::new((1, "wait"), (1, "obey"), (1, "crash")).with("/uploader/code", json!(77));
    let mut supervisor = place.start();
    assert_eq!(supervisor.await_code(), 77, "{}", supervisor.log());
    assert!(!supervisor.log().contains("restarting"));
    assert!(supervisor.log().contains("exited with code 77 (permission or credentials)"));
}

#[test]
fn consumers_leave_before_the_others_are_told() {
    let place = Place::new((2, "wait"), (1, "obey"), (1, "obey"));
    let mut supervisor = place.start();
    let pids = place.await_up(&["consumer0", "consumer1", "compressor0", "uploader0"]);
    supervisor.send(Signal::SIGTERM);
    for consumer in ["consumer0", "consumer1"] {
        place.await_word(consumer, "drain", 1);
    }
    // The others are still at work: one that dies comes back.
    send(pids[3], Signal::SIGKILL);
    place.await_word("uploader0", "up", 2);
    assert_eq!(place.order("drain").len(), 2);
    place.let_go();
    assert_eq!(supervisor.await_code(), 0, "{}", supervisor.log());
    let mut left = place.order("leaves");
    left[..2].sort();
    left[2..].sort();
    assert_eq!(left, ["consumer0", "consumer1", "compressor0", "uploader0"]);
}

#[test]
fn a_terminals_interrupt_drains_in_order_too() {
    let place = Place::new((1, "wait"), (1, "obey"), (0, "obey"));
    let mut supervisor = place.start();
    place.await_up(&["consumer0", "compressor0"]);
    // As a terminal does it: to the whole group.
    send(-supervisor.pid(), Signal::SIGINT);
    place.await_word("consumer0", "drain", 1);
    place.let_go();
    assert_eq!(supervisor.await_code(), 0);
    assert_eq!(place.order("drain"), ["consumer0", "compressor0"]);
    assert_eq!(place.order("at once"), Vec::<String>::new());
}

#[test]
fn a_second_stop_kills() {
    let place = Place::new((1, "stubborn"), (1, "stubborn"), (0, "obey"));
    let mut supervisor = place.start();
    let pids = place.await_up(&["consumer0", "compressor0"]);
    supervisor.send(Signal::SIGTERM);
    place.await_word("consumer0", "drain", 1);
    supervisor.send(Signal::SIGTERM);
    assert_eq!(supervisor.await_code(), 75, "{}", supervisor.log());
    assert!(pids.into_iter().all(|pid| !is_alive(pid)));
}

#[test]
fn rotation_reaches_every_consumer() {
    let place = Place::new((2, "obey"), (1, "obey"), (0, "obey"));
    let supervisor = place.start();
    let pids = place.await_up(&["consumer0", "consumer1", "compressor0"]);
    supervisor.send(Signal::SIGUSR1);
    for (index, consumer) in ["consumer0", "consumer1"].into_iter().enumerate() {
        assert_eq!(place.await_word(consumer, "rotate", 1), pids[index]);
    }
}

#[test]
fn a_reload_starts_replaces_and_stops_workers() {
    let mut place = Place::new((1, "obey"), (1, "obey"), (1, "obey"));
    let mut supervisor = place.start();
    let first = place.await_up(&["consumer0", "compressor0", "uploader0"]);
    place.set("/consumer/mark", json!(1));
    place.set("/consumer/count", json!(2));
    place.set("/uploader/count", json!(0));
    place.write_spec();
    supervisor.send(Signal::SIGHUP);
    assert_ne!(place.await_word("consumer0", "up", 2), first[0]);
    place.await_up(&["consumer1"]);
    place.await_word("uploader0", "leaves", 1);
    assert!(is_alive(first[1]), "the compressors' settings did not change");

    supervisor.await_log("read again: mark of consumer: 0 -> 1");
    supervisor.await_log("the consumers can't take this up as they run: replacing them");
    supervisor.await_log("0 uploaders stay: the others drain and leave");

    fs::write(place.path().join("spec.json"), "{").unwrap();
    supervisor.send(Signal::SIGHUP);
    supervisor.await_log("the configuration stays as it was: ");

    place.set("/working_directory", json!("/somewhere/else"));
    place.write_spec();
    supervisor.send(Signal::SIGHUP);
    supervisor.await_log("[main] working_directory changed, which needs a restart");
    supervisor.send(Signal::SIGTERM);
    assert_eq!(supervisor.await_code(), 0, "{}", supervisor.log());
    assert_eq!(place.who("compressor0", "up"), [first[1]]);
}

#[test]
fn a_reload_is_handed_to_workers_that_run() {
    let mut place =
        Place::new((2, "obey"), (1, "obey"), (1, "crash")).with("/uploader/count", json!(0));
    let mut supervisor = place.start();
    let workers = ["consumer0", "consumer1", "compressor0"];
    let first = place.await_up(&workers);
    for word in ["one", "two"] {
        place.set("/consumer/word", json!(word));
        place.set("/consumer/count", json!(if word == "one" { 3 } else { 2 }));
        place.write_spec();
        supervisor.send(Signal::SIGHUP);
        for consumer in ["consumer0", "consumer1"] {
            place.await_word(consumer, &format!("reload {word}"), 1);
        }
    }
    supervisor.await_log("read again: word of consumer: one -> two");
    supervisor.await_log("the consumers take this up as they run");
    place.await_word("consumer2", "leaves", 1);
    supervisor.send(Signal::SIGHUP);
    supervisor.await_log("the configuration has been read again: nothing changed");

    // Who is forked later has it from the beginning.
    send(first[0], Signal::SIGKILL);
    let again = place.await_word("consumer0", "up", 2);
    send(again, Signal::SIGHUP);
    assert_eq!(place.await_word("consumer0", "reload nothing", 1), again);
    supervisor.send(Signal::SIGTERM);
    assert_eq!(supervisor.await_code(), 0, "{}", supervisor.log());
    assert_eq!(place.who("consumer1", "up"), [first[1]]);
    assert_eq!(place.who("compressor0", "up"), [first[2]]);
    let told = place.journal().iter().filter(|(_, _, word)| word.starts_with("reload")).count();
    assert_eq!(told, 5, "{:?}", place.journal());
}

#[test]
fn a_second_supervisor_is_refused() {
    let place = Place::new((1, "obey"), (0, "obey"), (0, "obey"));
    let first = place.start();
    place.await_up(&["consumer0"]);
    let mut second = place.start();
    assert_eq!(second.await_code(), 75);
    let expected = format!("another supervisor of this instance runs as process {}", first.pid());
    assert!(second.log().contains(&expected), "{}", second.log());
    assert_eq!(place.who("consumer0", "up").len(), 1);
}

#[test]
fn workers_die_with_their_supervisor() {
    let place = Place::new((2, "stubborn"), (1, "stubborn"), (1, "stubborn"));
    let workers = ["consumer0", "consumer1", "compressor0", "uploader0"];
    let mut first = place.start();
    let pids = place.await_up(&workers);
    first.send(Signal::SIGKILL);
    first.await_exit();
    eventually("the workers' end", || (!pids.iter().any(|pid| is_alive(*pid))).then_some(()));
    let _second = place.start();
    for worker in workers {
        place.await_word(worker, "up", 2);
    }
}

#[test]
fn a_new_supervisor_waits_for_orphans() {
    let place = Place::new((1, "orphan"), (0, "obey"), (0, "obey"));
    let mut first = place.start();
    let orphan = place.await_up(&["consumer0"])[0];
    first.send(Signal::SIGKILL);
    first.await_exit();
    let second = place.start();
    second.await_log(&format!("waiting for workers of a dead supervisor to go: process {orphan}"));
    assert_eq!(place.who("consumer0", "up"), [orphan]);
    place.let_go();
    assert_ne!(place.await_word("consumer0", "up", 2), orphan);
    let left = place.journal().iter().position(|line| line.2 == "leaves").unwrap();
    assert_eq!(left, 1, "{:?}", place.journal());
}

#[test]
fn orphans_that_stay_are_named() {
    let place =
        Place::new((1, "orphan"), (0, "obey"), (0, "obey")).with("/orphan_patience_ms", json!(100));
    let mut first = place.start();
    let orphan = place.await_up(&["consumer0"])[0];
    first.send(Signal::SIGKILL);
    first.await_exit();
    let mut second = place.start();
    assert_eq!(second.await_code(), 75);
    let expected = format!("workers of a dead supervisor still run: process {orphan}");
    assert!(second.log().contains(&expected), "{}", second.log());
    place.let_go();
    place.await_word("consumer0", "leaves", 1);
}

#[test]
fn the_end_is_reached_when_all_consumers_say_so() {
    for (code, expected) in [(0, 0), (75, 75)] {
        let place = Place::new((2, "leave"), (1, "leave"), (1, "leave"))
            .with("/exit_at_end", json!(true))
            .with("/consumer/code", json!(code));
        let mut supervisor = place.start();
        assert_eq!(supervisor.await_code(), expected, "{}", supervisor.log());
        let mut told = place.order("drain");
        told.sort();
        assert_eq!(told, ["compressor0", "uploader0"]);
        assert_eq!(place.order("up").len(), 4);
    }
}

#[test]
fn without_consumers_the_others_know_the_end() {
    let place =
        Place::new((0, "leave"), (2, "leave"), (1, "leave")).with("/exit_at_end", json!(true));
    let mut supervisor = place.start();
    assert_eq!(supervisor.await_code(), 0, "{}", supervisor.log());
    assert_eq!(place.order("drain"), Vec::<String>::new());
}

#[test]
fn the_service_manager_is_told() {
    let place = Place::new((1, "obey"), (1, "obey"), (1, "obey"));
    let path = place.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut supervisor = place.start_with(|command| {
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
        command.env_remove("WATCHDOG_PID");
    });
    let mut seen = Vec::new();
    let mut await_message = |text: &str| {
        loop {
            let mut buffer = [0; 4096];
            let length = socket.recv(&mut buffer).unwrap_or_else(|_| panic!("{text}: {seen:?}"));
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            seen.push(message.clone());
            if message.contains(text) {
                return seen.clone();
            }
        }
    };
    let before = await_message("READY=1\n");
    assert!(before.iter().any(|message| message.starts_with("STATUS=running; 1 consumer")));
    assert_eq!(place.order("up").len(), 3, "ready before everybody was up");
    for _ in 0..3 {
        await_message("WATCHDOG=1\n");
    }
    supervisor.send(Signal::SIGHUP);
    let reloading = await_message("RELOADING=1\n");
    assert!(reloading.last().unwrap().contains("MONOTONIC_USEC="));
    await_message("READY=1\n");
    supervisor.send(Signal::SIGTERM);
    let stopping = await_message("STOPPING=1\n");
    assert!(stopping.last().unwrap().contains("EXTEND_TIMEOUT_USEC=80000000"));
    assert_eq!(supervisor.await_code(), 0);
}

#[test]
fn the_unit_file_is_valid() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/kafkatos3.service");
    let text = fs::read_to_string(unit).unwrap();
    // The program is not where it will be installed to.
    let (installed, built) =
        ("=/usr/bin/kafkatos3 ", format!("={} ", env!("CARGO_BIN_EXE_kafkatos3")));
    for line in ["ExecStart", "ExecReload"] {
        assert!(text.contains(&format!("\n{line}{installed}")), "{line}");
    }
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("kafkatos3.service");
    fs::write(&copy, text.replace(installed, &built)).unwrap();
    let verified = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&copy).output();
    match verified {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && !said.contains("kafkatos3.service:"), "{said}");
        }
        Err(error) => eprintln!("skipped, systemd-analyze cannot be run: {error}"),
    }
}
