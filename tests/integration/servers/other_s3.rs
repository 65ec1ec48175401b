//! Other S3 servers, where `tests/servers/fetch --all` has fetched them: MinIO, moto.

use std::fs;
use std::process::Command;
use std::time::Duration;

use super::s3::start_on_a_free_port;
use super::{ACCESS_KEY, SECRET_KEY, programs, run_dir};
use crate::harness::eventually;

/// A server that is not versitygw; its one account is that of the other tests.
pub(crate) struct OtherS3 {
    /// Its `host:port`.
    pub(crate) address: String,
}

impl OtherS3 {
    /// moto, if it was fetched. It looks at no credentials, and keeps everything in memory.
    pub(crate) fn moto() -> Option<Self> {
        let modules = &programs().moto;
        modules.is_dir().then(|| {
            let address = start_on_a_free_port(&run_dir().join("moto.log"), |address| {
                let (_, port) = address.rsplit_once(':').expect("host and port");
                let mut command = Command::new("python3");
                command.env("PYTHONPATH", modules);
                command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", port]);
                command
            });
            Self { address }
        })
    }

    /// Creates a bucket.
    pub(crate) fn create_bucket(&self, name: &str) {
        let output = Command::new("curl")
            .args(["-sS", "--fail", "-X", "PUT", "--aws-sigv4", "aws:amz:us-east-1:s3"])
            .args(["--user", &format!("{ACCESS_KEY}:{SECRET_KEY}")])
            .args(["-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD"])
            .arg(format!("http://{}/{name}", self.address))
            .output()
            .expect("run curl");
        assert!(output.status.success(), "{output:?}");
    }
}

/// MinIO, which knows users and policies.
pub(crate) struct Minio(OtherS3);

impl Minio {
    /// A server for one test, if it was fetched.
    pub(crate) fn start(name: &str) -> Option<Self> {
        let (minio, dir) = (&programs().minio, run_dir().join(format!("minio-{name}")));
        minio.is_file().then(|| {
            fs::create_dir_all(&dir).expect("create MinIO's directory");
            let address = start_on_a_free_port(&dir.join("log"), |address| {
                let mut command = Command::new(minio);
                command.env("MINIO_ROOT_USER", ACCESS_KEY).env("MINIO_ROOT_PASSWORD", SECRET_KEY);
                command.arg("server").arg(dir.join("data")).args(["--address", address]);
                command
            });
            let server = Self(OtherS3 { address });
            assert!(eventually(Duration::from_mins(1), || server.is_ready()), "MinIO is not ready");
            server
        })
    }

    fn is_ready(&self) -> bool {
        let url = format!("http://{}/minio/health/ready", self.0.address);
        let asked = Command::new("curl").args(["-sS", "--fail", &url]).output();
        asked.expect("run curl").status.success()
    }

    /// What every S3 server has.
    pub(crate) const fn server(&self) -> &OtherS3 {
        &self.0
    }

    /// Adds a user with a policy of its own (JSON).
    pub(crate) fn add_user(&self, name: &str, secret: &str, policy: &str) {
        let file = run_dir().join(format!("minio-policy-{name}.json"));
        fs::write(&file, policy).expect("write the policy");
        let file = file.to_str().expect("a UTF-8 path");
        for words in [
            &["admin", "user", "add", "it", name, secret][..],
            &["admin", "policy", "create", "it", name, file],
            &["admin", "policy", "attach", "it", name, "--user", name],
        ] {
            assert!(self.administer(words), "mc {words:?} failed");
        }
    }

    /// Runs `mc`, which knows this server as `it`; whether it worked.
    fn administer(&self, words: &[&str]) -> bool {
        let url = format!("http://{ACCESS_KEY}:{}@{}", SECRET_KEY, self.0.address);
        let status = Command::new(&programs().mc)
            .args(["--quiet", "--config-dir"])
            .arg(run_dir().join("mc"))
            .args(words)
            .env("MC_HOST_it", url)
            .output()
            .expect("run mc")
            .status;
        status.success()
    }
}
