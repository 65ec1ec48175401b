//! fake-gcs-server: Google Cloud Storage in memory.

use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use super::s3::start_on_a_free_port;
use super::{programs, run_dir};
use crate::harness::eventually;

/// The server that all tests share.
pub(crate) fn gcs() -> &'static Gcs {
    static SERVER: LazyLock<Gcs> = LazyLock::new(Gcs::start);
    &SERVER
}

/// A running server. It asks nobody who he is.
pub(crate) struct Gcs {
    /// Its `host:port`.
    pub(crate) address: String,
}

impl Gcs {
    fn start() -> Self {
        let address = start_on_a_free_port(&run_dir().join("gcs.log"), |address| {
            let (host, port) = address.rsplit_once(':').expect("host and port");
            let mut command = Command::new(&programs().gcs);
            command.args(["-scheme", "http", "-backend", "memory", "-host", host, "-port", port]);
            command.args(["-public-host", address]);
            command
        });
        let server = Self { address };
        let ready = eventually(Duration::from_mins(1), || server.curl(&["/_internal/healthcheck"]));
        assert!(ready, "fake-gcs-server is not ready");
        server
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Creates a bucket.
    pub(crate) fn create_bucket(&self, name: &str) {
        let bucket = format!("{{\"name\": \"{name}\"}}");
        let asked =
            ["/storage/v1/b?project=test", "-H", "Content-Type: application/json", "-d", &bucket];
        assert!(self.curl(&asked), "can't create {name}");
    }

    /// Runs `curl` on a path, with more arguments; whether it worked.
    fn curl(&self, arguments: &[&str]) -> bool {
        let (path, more) = arguments.split_first().expect("a path");
        let url = format!("{}{path}", self.url());
        let asked = Command::new("curl").args(["-sS", "--fail", &url]).args(more).output();
        asked.expect("run curl").status.success()
    }
}
