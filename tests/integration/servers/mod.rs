//! Real servers for tests: Kafka, an S3 server over a directory, emulators of GCS and Azure, and a
//! proxy that makes faults.
//!
//! Each is started at most once in a test process, on free ports, and lives until that process
//! ends, however it ends: the kernel kills them with it. Data and logs lie in
//! `target/tmp/run-PID/`, which the next test process removes. The programs come from
//! `tests/servers/fetch`.

mod azure;
mod databases;
mod fault;
mod gcs;
mod kafka;
mod other_s3;
mod s3;

use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{LazyLock, Mutex};
use std::thread;

pub(crate) use azure::{ACCOUNT, ACCOUNT_KEY, Azurite, azurite};
pub(crate) use databases::Database;
pub(crate) use fault::{Action, FaultProxy, Outcome, Seen};
pub(crate) use gcs::gcs;
pub(crate) use kafka::{Kafka, PASSWORD, USER, kafka, kafka_other};
pub(crate) use other_s3::{Minio, OtherS3};
pub(crate) use s3::{ACCESS_KEY, REGION, SECRET_KEY, s3};

/// Where this test process keeps its files.
pub(crate) fn run_dir() -> &'static Path {
    static DIR: LazyLock<PathBuf> = LazyLock::new(|| {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
        remove_dead_runs(root).expect("remove the files of earlier runs");
        let dir = root.join(format!("run-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("create the run's directory");
        dir
    });
    &DIR
}

#[expect(clippy::disallowed_methods, reason = "removes what earlier test runs left")]
fn remove_dead_runs(root: &Path) -> io::Result<()> {
    fs::create_dir_all(root)?;
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix("run-"));
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // Another test process may be at it as well.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

/// Where `tests/servers/fetch` put the servers; the last three are there only if asked for.
struct Programs {
    /// The folder of Kafka's jars.
    kafka: PathBuf,
    versitygw: PathBuf,
    /// fake-gcs-server.
    gcs: PathBuf,
    /// A folder of Node's modules; not there where there is no npm.
    azurite: PathBuf,
    minio: PathBuf,
    /// MinIO's administration.
    mc: PathBuf,
    /// A folder of Python modules.
    moto: PathBuf,
}

fn programs() -> &'static Programs {
    static PROGRAMS: LazyLock<Programs> = LazyLock::new(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/fetch");
        let output = Command::new(&script).stderr(Stdio::inherit()).output().expect("run fetch");
        assert!(output.status.success(), "{} failed: {}", script.display(), output.status);
        let text = String::from_utf8(output.stdout).expect("fetch prints UTF-8");
        let paths: Vec<_> = text.lines().map(PathBuf::from).collect();
        let [kafka, versitygw, _toxiproxy, gcs, azurite, minio, mc, moto] =
            paths.try_into().expect("fetch prints eight paths");
        Programs { kafka, versitygw, gcs, azurite, minio, mc, moto }
    });
    &PROGRAMS
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind a free port");
    listener.local_addr().expect("a bound address").port()
}

/// Starts `program` so that it is killed when this test process ends, output to `log`.
///
/// The kernel's signal at a parent's death is one at the death of the parent *thread*, so all
/// children belong to one thread that lives as long as the process.
pub(crate) fn start(program: &mut Command, log: &Path) -> Child {
    type Order = (Command, Sender<io::Result<Child>>);
    static KEEPER: LazyLock<Mutex<Sender<Order>>> = LazyLock::new(|| {
        let (orders, inbox) = channel::<Order>();
        let keep = move || {
            for (mut command, reply) in inbox {
                #[expect(clippy::disallowed_methods, reason = "tests start programs")]
                let child = command.spawn();
                reply.send(child).expect("whoever ordered waits");
            }
        };
        thread::Builder::new().name("keeper".to_owned()).spawn(keep).expect("start a thread");
        Mutex::new(orders)
    });

    let out = File::create(log).expect("create a log file");
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program.get_program());
    command.args(program.get_args());
    for (key, value) in program.get_envs() {
        match value {
            Some(value) => command.env(key, value),
            None => command.env_remove(key),
        };
    }
    if let Some(dir) = program.get_current_dir() {
        command.current_dir(dir);
    }
    command.stdin(Stdio::null()).stderr(out.try_clone().expect("share a log file")).stdout(out);
    let (reply, answer) = channel();
    KEEPER.lock().expect("keeper").send((command, reply)).expect("the keeper lives");
    answer.recv().expect("the keeper answers").expect("start a program")
}
