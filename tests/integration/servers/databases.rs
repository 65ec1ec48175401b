//! MariaDB and PostgreSQL, where they are installed (`scripts/setup --tests`), and SQLite, which
//! always is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::run_dir;
use super::s3::start_on_a_free_port;
use crate::harness::eventually;

/// A database of one test, empty.
pub(crate) struct Database {
    /// Where it is, with whatever it takes to get in.
    pub(crate) url: String,
    kind: Kind,
}

enum Kind {
    MariaDb { socket: PathBuf },
    Postgres { port: String },
    Sqlite { file: PathBuf },
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// The directory of PostgreSQL's programs, which Debian keeps out of the way.
fn postgres_programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let mut found: Vec<_> = versions.map(|entry| entry.path().join("bin")).collect();
    found.sort();
    found.pop().filter(|bin| bin.join("initdb").is_file())
}

impl Database {
    /// A file.
    pub(crate) fn sqlite(name: &str) -> Self {
        let file = run_dir().join(format!("{name}.sqlite"));
        Self { url: format!("sqlite://{}", file.display()), kind: Kind::Sqlite { file } }
    }

    /// A server of its own, if MariaDB is installed.
    pub(crate) fn mariadb() -> Option<Self> {
        if !succeeds(Command::new("mariadbd").arg("--version")) {
            return None;
        }
        let dir = run_dir().join("mariadb");
        fs::create_dir_all(&dir).expect("create MariaDB's directory");
        let (data, socket) = (dir.join("data"), dir.join("socket"));
        let datadir = format!("--datadir={}", data.display());
        let mut install = Command::new("mariadb-install-db");
        install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--user=root"]);
        assert!(succeeds(install.arg(&datadir)), "mariadb-install-db failed");
        let address = start_on_a_free_port(&dir.join("log"), |address| {
            let (host, port) = address.rsplit_once(':').expect("host and port");
            let mut command = Command::new("mariadbd");
            command.args(["--no-defaults", "--user=root", &datadir]);
            command.arg(format!("--socket={}", socket.display()));
            command.arg(format!("--bind-address={host}")).arg(format!("--port={port}"));
            command
        });
        let database =
            Self { url: format!("mysql://root@{address}/archive"), kind: Kind::MariaDb { socket } };
        let made = || database.ask_server("CREATE DATABASE IF NOT EXISTS archive").is_some();
        assert!(eventually(Duration::from_mins(1), made), "MariaDB is not ready");
        Some(database)
    }

    /// The same of PostgreSQL, which does not run as root.
    pub(crate) fn postgres() -> Option<Self> {
        let bin = postgres_programs()?;
        let dir = run_dir().join("postgres");
        fs::create_dir_all(&dir).expect("create PostgreSQL's directory");
        let is_root = nix::unistd::geteuid().is_root();
        if is_root {
            std::os::unix::fs::chown(&dir, Some(NOBODY), Some(NOBODY)).expect("give it away");
        }
        let data = dir.join("data");
        let program = |name: &str| {
            if !is_root {
                return Command::new(bin.join(name));
            }
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
            command.args(["--pdeathsig", "KILL", "--"]).arg(bin.join(name));
            command
        };
        let mut init = program("initdb");
        init.args(["--no-sync", "--auth=trust", "--username=archivist", "--pgdata"]).arg(&data);
        assert!(succeeds(init.current_dir("/")), "initdb failed");
        let address = start_on_a_free_port(&run_dir().join("postgres.log"), |address| {
            let (host, port) = address.rsplit_once(':').expect("host and port");
            let mut command = program("postgres");
            command.args(["-c", &format!("listen_addresses={host}"), "-p", port]);
            command.args(["-c", &format!("unix_socket_directories={}", dir.display())]);
            command.arg("-D").arg(&data).current_dir("/");
            command
        });
        let port = address.rsplit_once(':').expect("host and port").1.to_owned();
        let url = format!("postgres://archivist@{address}/postgres");
        let database = Self { url, kind: Kind::Postgres { port } };
        let ready = || database.ask_server("SELECT 1").is_some();
        assert!(eventually(Duration::from_mins(1), ready), "PostgreSQL is not ready");
        Some(database)
    }

    /// Runs a statement with the database's own client, and gives its answer, columns parted by
    /// `|`. Names of columns stand in double quotes.
    pub(crate) fn ask(&self, statement: &str) -> Vec<String> {
        let answer = self.ask_server(statement).expect("an answer");
        answer.lines().map(|line| line.replace('\t', "|")).collect()
    }

    fn ask_server(&self, statement: &str) -> Option<String> {
        let mut command = match &self.kind {
            Kind::MariaDb { socket } => {
                let mut command = Command::new("mariadb");
                command.args(["--no-defaults", "--user=root", "--batch", "--skip-column-names"]);
                command.arg(format!("--socket={}", socket.display()));
                let is_use = !statement.starts_with("CREATE DATABASE");
                command.args(is_use.then_some("--database=archive"));
                command.args(["-e", &statement.replace('"', "`")]);
                command
            }
            Kind::Postgres { port } => {
                let mut command = Command::new("psql");
                command.args(["-h", "127.0.0.1", "-p", port, "-U", "archivist", "-At", "-c"]);
                command.args([statement, "postgres"]);
                command
            }
            Kind::Sqlite { file } => sqlite(file, statement),
        };
        let output = command.output().expect("run the client");
        output.status.success().then(|| String::from_utf8(output.stdout).expect("text"))
    }
}

const NOBODY: u32 = 65534;

/// Python has SQLite within.
fn sqlite(file: &Path, statement: &str) -> Command {
    let script = "import sqlite3, sys\n\
                  with sqlite3.connect(sys.argv[1]) as db:\n\
                  \x20   for row in db.execute(sys.argv[2]): print('|'.join(map(str, row)))";
    let mut command = Command::new("python3");
    command.args(["-c", script]).arg(file).arg(statement);
    command
}
