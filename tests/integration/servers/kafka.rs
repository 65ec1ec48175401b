//! Apache Kafka: one KRaft process a cluster, with a plain listener and one with TLS and SCRAM.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer as _};

use super::{free_port, programs, run_dir, start};
use crate::harness::eventually;

/// Who may log in at the listener with SCRAM.
pub(crate) const USER: &str = "archivist";
/// Its password; with characters that config files like to eat.
pub(crate) const PASSWORD: &str = r"p\.w;#%=d";

/// The cluster that most tests share.
pub(crate) fn kafka() -> &'static Kafka {
    static KAFKA: LazyLock<Kafka> = LazyLock::new(|| Kafka::start("kafka"));
    &KAFKA
}

/// Another cluster: same topics' names possible, other cluster id.
pub(crate) fn kafka_other() -> &'static Kafka {
    static KAFKA: LazyLock<Kafka> = LazyLock::new(|| Kafka::start("kafka-other"));
    &KAFKA
}

/// A running cluster of one broker.
pub(crate) struct Kafka {
    /// `host:port` of the plain listener.
    pub(crate) bootstrap: String,
    /// `host:port` of the SASL_SSL listener; SCRAM-SHA-256 with [`USER`].
    pub(crate) sasl_ssl: String,
    /// The PEM file of the authority that signed its certificate.
    pub(crate) ca: PathBuf,
}

impl Kafka {
    fn start(name: &str) -> Self {
        let dir = run_dir().join(name);
        fs::create_dir_all(&dir).expect("create Kafka's directory");
        make_certificate(&dir);
        // A free port may be taken by another before Kafka gets it.
        (0..3)
            .find_map(|_| Self::try_start(&dir))
            .unwrap_or_else(|| panic!("Kafka does not start: see {}", dir.display()))
    }

    fn try_start(dir: &Path) -> Option<Self> {
        let ports = [free_port(), free_port(), free_port()];
        let data = dir.join(format!("data-{}", ports[0]));
        let properties = dir.join("server.properties");
        fs::write(&properties, server_properties(dir, &data, ports)).expect("write properties");
        format_storage(dir, &properties);

        let mut child =
            start(java("kafka.Kafka", "-Xmx512m").arg(&properties), &dir.join("server.log"));
        let kafka = Self {
            bootstrap: format!("127.0.0.1:{}", ports[0]),
            sasl_ssl: format!("127.0.0.1:{}", ports[1]),
            ca: dir.join("ca.pem"),
        };
        kafka.is_ready(&mut child).then_some(kafka)
    }

    /// Allows something to [`USER`], or denies it: options of Kafka's `kafka-acls`. What is allowed
    /// on something is all that is from then on.
    pub(crate) fn acl(&self, whom: &str, what: &[&str]) {
        let output = java("org.apache.kafka.tools.AclCommand", "-Xmx128m")
            .args(["--bootstrap-server", &self.bootstrap, "--add"])
            .args([whom, &format!("User:{USER}")])
            .args(what)
            .output()
            .expect("run java");
        assert!(output.status.success(), "{output:?}");
    }

    fn is_ready(&self, child: &mut Child) -> bool {
        let client: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap)
            .set("log_level", "2")
            .create()
            .expect("a client");
        let mut running = true;
        eventually(Duration::from_mins(1), || {
            running = child.try_wait().expect("Kafka's status").is_none();
            let answer = client.client().fetch_metadata(None, Duration::from_secs(1));
            !running || answer.is_ok_and(|metadata| !metadata.brokers().is_empty())
        }) && running
    }
}

fn java(class: &str, heap: &str) -> Command {
    let mut command = Command::new("java");
    command.args([heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
    command.arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn");
    command.arg("-cp").arg(programs().kafka.join("*")).arg(class);
    command
}

fn format_storage(dir: &Path, properties: &Path) {
    let mut id = [0; 16];
    getrandom::fill(&mut id).expect("random bytes");
    id[0] &= 0x7f; // An id that begins with "-" would be taken for an option.
    let output = java("kafka.tools.StorageTool", "-Xmx128m")
        .args(["format", "-t", &URL_SAFE_NO_PAD.encode(id), "-c"])
        .arg(properties)
        .args(["--add-scram", &format!("SCRAM-SHA-256=[name={USER},password=\"{PASSWORD}\"]")])
        .output()
        .expect("run java");
    assert!(output.status.success(), "in {}: {output:?}", dir.display());
}

/// A key and a self-signed certificate in `broker.pem`, the certificate alone in `ca.pem`.
fn make_certificate(dir: &Path) {
    let status = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-keyout", "key.pem", "-out", "ca.pem"])
        .current_dir(dir)
        .output()
        .expect("run openssl");
    assert!(status.status.success(), "{status:?}");
    let read = |name| fs::read_to_string(dir.join(name)).expect("read a PEM file");
    fs::write(dir.join("broker.pem"), read("key.pem") + &read("ca.pem")).expect("write a PEM file");
}

fn server_properties(dir: &Path, data: &Path, [plain, sasl, controller]: [u16; 3]) -> String {
    let mut text = String::new();
    let mut set = |key: &str, value: &dyn std::fmt::Display| {
        writeln!(text, "{key}={value}").expect("write to a string");
    };
    set("process.roles", &"broker,controller");
    set("node.id", &1);
    set("controller.quorum.voters", &format!("1@127.0.0.1:{controller}"));
    let clients = format!("PLAINTEXT://127.0.0.1:{plain},SASL_SSL://127.0.0.1:{sasl}");
    set("listeners", &format!("{clients},CONTROLLER://127.0.0.1:{controller}"));
    set("advertised.listeners", &clients);
    set("controller.listener.names", &"CONTROLLER");
    let protocols = "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL";
    set("listener.security.protocol.map", &protocols);
    set("inter.broker.listener.name", &"PLAINTEXT");
    set("sasl.enabled.mechanisms", &"SCRAM-SHA-256");
    set(
        "listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config",
        &"org.apache.kafka.common.security.scram.ScramLoginModule required;",
    );
    set("ssl.keystore.type", &"PEM");
    set("ssl.keystore.location", &dir.join("broker.pem").display());
    set("log.dirs", &data.display());
    for topic in ["offsets.topic", "transaction.state.log"] {
        set(&format!("{topic}.replication.factor"), &1);
        set(&format!("{topic}.num.partitions"), &4);
    }
    set("transaction.state.log.min.isr", &1);
    set("group.initial.rebalance.delay.ms", &0);
    // A member that was killed may be given up soon.
    set("group.min.session.timeout.ms", &1000);
    set("auto.create.topics.enable", &false);
    // Everybody may do everything, but for what a test takes from USER; the plain listener's
    // clients are beyond that.
    set("authorizer.class.name", &"org.apache.kafka.metadata.authorizer.StandardAuthorizer");
    set("super.users", &"User:ANONYMOUS");
    set("allow.everyone.if.no.acl.found", &true);
    // Compaction at once, so that a test can wait for it.
    set("log.cleaner.backoff.ms", &300);
    text
}

#[test]
fn scram_over_tls_lets_in_who_knows_the_password() {
    let log_in = |password: &str| {
        let client: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", &kafka().sasl_ssl)
            .set("security.protocol", "SASL_SSL")
            .set("ssl.ca.location", kafka().ca.to_str().expect("a UTF-8 path"))
            .set("sasl.mechanism", "SCRAM-SHA-256")
            .set("sasl.username", USER)
            .set("sasl.password", password)
            .set("log_level", "2")
            .create()
            .expect("a client");
        client.client().fetch_metadata(None, Duration::from_secs(5)).is_ok()
    };
    assert!(log_in(PASSWORD));
    assert!(!log_in("wrong"));
}
