//! versitygw: S3 over a directory. Each folder in it is a bucket, each file an object.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use super::{free_port, programs, run_dir, start};
use crate::harness::eventually;

/// The one account.
pub(crate) const ACCESS_KEY: &str = "archive-key";
/// Its secret.
pub(crate) const SECRET_KEY: &str = "archive/secret+key";
/// The region that it says it is in.
pub(crate) const REGION: &str = "us-east-1";

/// The S3 server that all tests share.
pub(crate) fn s3() -> &'static S3 {
    static S3_SERVER: LazyLock<S3> = LazyLock::new(S3::start);
    &S3_SERVER
}

/// Starts a server that takes its `host:port` as an argument, and waits until it listens there.
pub(super) fn start_on_a_free_port(log: &Path, program: impl Fn(&str) -> Command) -> String {
    for _ in 0..3 {
        let address = format!("127.0.0.1:{}", free_port());
        let mut child = start(&mut program(&address), log);
        let mut running = true;
        let ready = eventually(Duration::from_mins(1), || {
            running = child.try_wait().expect("the server's status").is_none();
            !running || TcpStream::connect(&address).is_ok()
        });
        if ready && running {
            return address;
        }
    }
    panic!("the S3 server does not start: see {}", log.display());
}

/// A running S3 server.
pub(crate) struct S3 {
    /// Its `host:port`.
    pub(crate) address: String,
    root: PathBuf,
}

impl S3 {
    fn start() -> Self {
        let root = run_dir().join("s3");
        fs::create_dir_all(&root).expect("create the S3 server's directory");
        let log = run_dir().join("s3.log");
        let address = start_on_a_free_port(&log, |address| {
            let mut command = Command::new(&programs().versitygw);
            command.env("ROOT_ACCESS_KEY", ACCESS_KEY).env("ROOT_SECRET_KEY", SECRET_KEY);
            command.args(["--port", address, "posix"]).arg(&root);
            command
        });
        Self { address, root }
    }

    /// Creates a bucket, and says where its objects lie.
    pub(crate) fn create_bucket(&self, name: &str) -> PathBuf {
        let dir = self.root.join(name);
        fs::create_dir(&dir).expect("create a bucket");
        dir
    }
}
