//! versitygw: S3 over a directory. Each folder in it is a bucket, each file an object.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
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
        for _ in 0..3 {
            let address = format!("127.0.0.1:{}", free_port());
            let mut child = start(
                Command::new(&programs().1)
                    .env("ROOT_ACCESS_KEY", ACCESS_KEY)
                    .env("ROOT_SECRET_KEY", SECRET_KEY)
                    .args(["--port", &address, "posix"])
                    .arg(&root),
                &log,
            );
            let mut running = true;
            let ready = eventually(Duration::from_secs(20), || {
                running = child.try_wait().expect("the server's status").is_none();
                !running || TcpStream::connect(&address).is_ok()
            });
            if ready && running {
                return Self { address, root };
            }
        }
        panic!("the S3 server does not start: see {}", log.display());
    }

    /// Creates a bucket, and says where its objects lie.
    pub(crate) fn create_bucket(&self, name: &str) -> PathBuf {
        let dir = self.root.join(name);
        fs::create_dir(&dir).expect("create a bucket");
        dir
    }
}
