//! Azurite: Azure Blob Storage over a directory, by Microsoft.

use std::fs;
use std::process::Command;
use std::sync::LazyLock;

use super::s3::start_on_a_free_port;
use super::{programs, run_dir};

/// The account that Azurite has; its key is public.
pub(crate) const ACCOUNT: &str = "devstoreaccount1";
/// See <https://learn.microsoft.com/azure/storage/common/storage-use-azurite>.
pub(crate) const ACCOUNT_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// The server that all tests share, if it was fetched: it needs Node.
pub(crate) fn azurite() -> Option<&'static Azurite> {
    static SERVER: LazyLock<Option<Azurite>> = LazyLock::new(Azurite::start);
    SERVER.as_ref()
}

/// A running server.
pub(crate) struct Azurite {
    address: String,
}

impl Azurite {
    fn start() -> Option<Self> {
        let program = programs().azurite.join("node_modules/.bin/azurite-blob");
        if !program.is_file() {
            return None;
        }
        let dir = run_dir().join("azurite");
        fs::create_dir_all(&dir).expect("create Azurite's directory");
        let address = start_on_a_free_port(&run_dir().join("azurite.log"), |address| {
            let (host, port) = address.rsplit_once(':').expect("host and port");
            let mut command = Command::new(&program);
            command.args(["--silent", "--disableTelemetry", "--skipApiVersionCheck", "--location"]);
            command.arg(&dir).args(["--blobHost", host, "--blobPort", port]);
            command
        });
        Some(Self { address })
    }

    /// Where the account answers.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}/{ACCOUNT}", self.address)
    }

    /// How Azure's tools are told all of it.
    pub(crate) fn connection_string(&self) -> String {
        let endpoint = self.endpoint();
        format!("AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};BlobEndpoint={endpoint};")
    }

    /// A shared access signature of a container: `permissions` are Azure's letters, in its order.
    pub(crate) fn signature(&self, container: &str, permissions: &str) -> String {
        self.sign(&["sas", container, permissions])
    }

    /// Creates a container.
    pub(crate) fn create_container(&self, name: &str) {
        let url = format!("{}/{name}?restype=container", self.endpoint());
        let signed = self.sign(&["create", name]);
        let asked = Command::new("curl")
            .args([
                "-sS",
                "--fail",
                "-X",
                "PUT",
                "-H",
                "x-ms-version: 2021-08-06",
                "-H",
                "Content-Length: 0",
            ])
            .arg(format!("{url}&{signed}"))
            .output()
            .expect("run curl");
        assert!(asked.status.success(), "can't create {name}: {asked:?}");
    }

    /// A signature by the account's key: of all the account, or of a container.
    #[expect(clippy::unused_self, reason = "there is one only where the server is")]
    fn sign(&self, arguments: &[&str]) -> String {
        let asked = Command::new("python3")
            .args(["-c", SIGN, ACCOUNT, ACCOUNT_KEY])
            .args(arguments)
            .output()
            .expect("run python3");
        assert!(asked.status.success(), "{asked:?}");
        String::from_utf8(asked.stdout).expect("text").trim().to_owned()
    }
}

/// <https://learn.microsoft.com/rest/api/storageservices/create-account-sas> and `create-service-sas`.
const SIGN: &str = r#"
import base64, hashlib, hmac, sys, urllib.parse
account, key, what, container = sys.argv[1:5]
version, end = "2021-08-06", "2099-01-01T00:00:00Z"
if what == "create":
    fields = {"sv": version, "ss": "b", "srt": "sco", "sp": "rwlc", "se": end}
    text = [account, "rwlc", "b", "sco", "", end, "", "", version, "", ""]
else:
    permissions = sys.argv[5]
    fields = {"sv": version, "sr": "c", "sp": permissions, "se": end}
    place = "/blob/" + account + "/" + container
    text = [permissions, "", end, place, "", "", "", version, "c", "", "", "", "", "", "", ""]
signed = hmac.new(base64.b64decode(key), "\n".join(text).encode(), hashlib.sha256).digest()
fields["sig"] = base64.b64encode(signed).decode()
print(urllib.parse.urlencode(fields))
"#;
