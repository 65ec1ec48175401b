//! Everything one test has for itself: a working directory, a bucket behind a fault proxy, a group,
//! topics, a configuration.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use super::admin::Admin;
use super::records::Expected;
use super::run::{Finished, Running};
use crate::servers::{
    ACCESS_KEY, FaultProxy, Kafka, REGION, SECRET_KEY, kafka, kafka_other, run_dir, s3, start,
};

type Settings = BTreeMap<String, BTreeMap<String, String>>;

const PROGRAM: &str = env!("CARGO_BIN_EXE_kafkatos3");

/// Makes another host of a namespace, and goes on with the arguments behind the boot's id.
const ELSEWHERE: &str = "echo 0 > /proc/sys/user/max_inotify_instances; hostname elsewhere; \
    mount --bind \"$1\" /proc/sys/kernel/random/boot_id; shift; exec \"$@\"";

/// A place where one instance of kafkatos3 runs.
pub(crate) struct Site {
    name: String,
    dir: PathBuf,
    spool: PathBuf,
    settings: Settings,
    topics: Vec<(String, i32)>,
    pub(crate) archive: PathBuf,
    runs: RefCell<u32>,
    environment: Vec<(String, PathBuf)>,
    /// The store as this test sees it.
    pub(crate) store: Rc<FaultProxy>,
    /// The cluster, from outside.
    pub(crate) admin: Rc<Admin>,
    /// The cluster's plain listener.
    pub(crate) bootstrap: String,
}

impl Site {
    /// A site with a bucket of its own. `name` is unique among the tests: lower-case letters,
    /// digits and `-`.
    pub(crate) fn new(name: &str) -> Self {
        let cluster = kafka();
        let dir = run_dir().join(name);
        fs::create_dir_all(&dir).expect("create the site's directory");
        let store = FaultProxy::start(&s3().address);
        let settings = default_settings(name, cluster, &store, &dir);
        let archive = s3().create_bucket(name).join("archive");
        Self {
            name: name.to_owned(),
            spool: dir.join("spool"),
            dir,
            settings,
            topics: Vec::new(),
            archive,
            runs: RefCell::default(),
            environment: Vec::new(),
            store: Rc::new(store),
            admin: Rc::new(Admin::new(&cluster.bootstrap)),
            bootstrap: cluster.bootstrap.clone(),
        }
    }

    /// A second instance: another working directory, same group, topics and archive.
    pub(crate) fn twin(&self) -> Self {
        self.twin_named("twin")
    }

    /// One more of these.
    pub(crate) fn twin_named(&self, twin: &str) -> Self {
        let name = format!("{}-{twin}", self.name);
        let dir = run_dir().join(&name);
        fs::create_dir_all(&dir).expect("create the site's directory");
        let mut twin = Self {
            name: name.clone(),
            settings: self.settings.clone(),
            topics: self.topics.clone(),
            archive: self.archive.clone(),
            runs: RefCell::default(),
            environment: Vec::new(),
            store: Rc::clone(&self.store),
            admin: Rc::clone(&self.admin),
            bootstrap: self.bootstrap.clone(),
            spool: dir.join("spool"),
            dir: dir.clone(),
        };
        twin.set("main", "working_directory", dir.join("spool").display());
        twin.set("main", "instance", name);
        twin
    }

    /// One more of these, on the same spool.
    pub(crate) fn housemate(&self, mate: &str) -> Self {
        let mut mate = self.twin_named(mate);
        mate.spool.clone_from(&self.spool);
        mate.set("main", "working_directory", self.spool.display());
        mate
    }

    /// The same with the other cluster, on the same archive.
    pub(crate) fn foreign_twin(&self) -> Self {
        let mut twin = self.twin();
        let cluster = kafka_other();
        twin.admin = Rc::new(Admin::new(&cluster.bootstrap));
        twin.bootstrap.clone_from(&cluster.bootstrap);
        twin.set("consumer", "kafka_bootstrap", &cluster.bootstrap);
        twin
    }

    /// Sets a key of the configuration.
    pub(crate) fn set(&mut self, section: &str, key: &str, value: impl Display) {
        let section = self.settings.entry(section.to_owned()).or_default();
        section.insert(key.to_owned(), value.to_string());
    }

    /// Sets a variable in the environment of what is started from now on.
    pub(crate) fn set_environment(&mut self, name: &str, value: &Path) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Where configuration, logs and spool are.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Removes a section of the configuration.
    pub(crate) fn unset(&mut self, section: &str) {
        self.settings.remove(section);
    }

    /// Archives into a directory instead of the bucket.
    pub(crate) fn archive_to_directory(&mut self) {
        self.unset("s3");
        self.archive = self.dir.join("archive");
        self.set("archive", "url", format!("file://{}", self.archive.display()));
    }

    /// Archives into what `url` names; checks look at a directory, into which the test has to fetch
    /// it.
    pub(crate) fn archive_elsewhere(&mut self, url: &str) {
        self.unset("s3");
        self.archive = self.dir.join("fetched");
        self.set("archive", "url", url);
    }

    /// Where the archive lies on the disk.
    pub(crate) fn archive_path(&self) -> &Path {
        &self.archive
    }

    /// Puts the chains below another prefix of the bucket.
    pub(crate) fn archive_to_prefix(&mut self, prefix: &str) {
        self.archive = self.archive.with_file_name(prefix);
        self.set("s3", "s3_prefix", prefix);
    }

    /// Where the original tool's objects lie: always the same place of a bucket or directory.
    pub(crate) fn originals(&self) -> PathBuf {
        if self.settings.contains_key("s3") {
            self.archive.with_file_name("kafkatos3")
        } else {
            self.archive.join("kafkatos3")
        }
    }

    /// Creates a topic of this site, to be archived; gives its full name.
    pub(crate) fn topic(
        &mut self,
        name: &str,
        partitions: i32,
        settings: &[(&str, &str)],
    ) -> String {
        let topic = format!("{}-{name}", self.name);
        self.admin.create(&topic, partitions, settings);
        self.know(&topic, partitions);
        let list: Vec<_> = self.topics.iter().map(|(topic, _)| topic.as_str()).collect();
        let list = list.join(",");
        self.set("consumer", "topic_whitelist", list);
        topic
    }

    /// From now on checks look at this topic too.
    pub(crate) fn know(&mut self, topic: &str, partitions: i32) {
        self.topics.push((topic.to_owned(), partitions));
    }

    /// The consumer group.
    pub(crate) fn group(&self) -> &str {
        &self.settings["consumer"]["kafka_consumer_group"]
    }

    /// The directory of the spool.
    pub(crate) fn spool(&self) -> PathBuf {
        self.spool.clone()
    }

    /// Throws the whole spool away.
    #[expect(clippy::disallowed_methods, reason = "a lost disk is what the test is about")]
    pub(crate) fn lose_spool(&self) {
        fs::remove_dir_all(self.spool()).expect("remove the spool");
        fs::create_dir(self.spool()).expect("create the spool");
    }

    /// The names of the data objects of one partition, in order.
    pub(crate) fn objects(&self, topic: &str, partition: i32) -> Vec<String> {
        let dir = self.archive.join(topic).join(format!("{partition:06}"));
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<_> =
            names.filter(|name| name.starts_with(|c: char| c.is_ascii_digit())).collect();
        names.sort();
        names
    }

    /// Where one of these objects lies.
    pub(crate) fn object_path(&self, topic: &str, partition: i32, index: usize) -> PathBuf {
        let dir = self.archive.join(topic).join(format!("{partition:06}"));
        dir.join(&self.objects(topic, partition)[index])
    }

    /// The partition's identity record in the archive.
    pub(crate) fn chain_record(&self, topic: &str, partition: i32) -> PathBuf {
        self.archive.join(topic).join(format!("{partition:06}")).join("chain.json")
    }

    /// The configuration file; it is written when the program starts.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.dir.join("kafkatos3.cfg")
    }

    /// Writes the configuration file, and gives its path.
    pub(crate) fn write_config(&self) -> PathBuf {
        let path = self.config_file();
        fs::write(&path, self.config_text()).expect("write the configuration");
        path
    }

    /// Starts the program as a service.
    pub(crate) fn start(&self) -> Running {
        self.start_with(&[])
    }

    /// Starts it with `-e`; it ends by itself.
    pub(crate) fn start_to_end(&self) -> Running {
        self.start_with(&["-e"])
    }

    /// Runs it with `-e` until it ends by itself.
    #[track_caller]
    pub(crate) fn run_to_end(&self) -> Finished {
        self.start_to_end().wait()
    }

    /// Runs it with `-e` together with `others` under strace until all have ended well, and gives
    /// what strace wrote of the system calls `calls`.
    #[track_caller]
    pub(crate) fn run_to_end_traced(&self, others: &[&Self], calls: &str) -> String {
        let trace = self.dir.join(format!("run-{}.strace", self.runs.borrow()));
        let all = "program=$1; shift; for config; do \"$program\" -e \"$config\" & ids=\"$ids $!\"; done; \
                   for id in $ids; do wait $id || exit; done";
        let mut command = Command::new("strace");
        command.args(["-f", "-y", "-xx", "-s", "100000000", "-e", &format!("trace={calls}"), "-o"]);
        command.arg(&trace).args(["sh", "-c", all, "sh"]).arg(PROGRAM);
        for site in std::iter::once(&self).chain(others) {
            fs::create_dir_all(site.spool()).expect("create the spool");
            command.arg(site.write_config());
        }
        self.run_command(&mut command).wait().expect(0);
        fs::read_to_string(trace).expect("the trace")
    }

    /// Starts it as if on another host, which shares the spool over NFS: with another host's name
    /// and boot, and without inotify, which sees nothing of what others do there. Where the machine
    /// does not permit that, it is started as usual, and the test is the weaker for it.
    pub(crate) fn start_elsewhere(&self) -> Running {
        let boot = self.dir.join("boot-id");
        fs::write(&boot, "00000000-0000-4000-8000-000000000000\n").expect("write a boot's id");
        let elsewhere = || {
            let mut unshare = Command::new("unshare");
            unshare.args(["--user", "--map-root-user", "--mount", "--uts", "sh", "-ec", ELSEWHERE]);
            unshare.arg("sh").arg(&boot);
            unshare
        };
        match elsewhere().arg("true").output() {
            Ok(tried) if tried.status.success() => {
                let mut command = elsewhere();
                command.args(["setpriv", "--pdeathsig", "KILL"]).arg(PROGRAM);
                self.run_command(command.arg(self.prepare()))
            }
            tried => {
                eprintln!("not as if on another host: unshare is not permitted: {tried:?}");
                self.start()
            }
        }
    }

    fn start_with(&self, arguments: &[&str]) -> Running {
        self.run_command(Command::new(PROGRAM).args(arguments).arg(self.prepare()))
    }

    /// What has to be there; gives the configuration's path.
    fn prepare(&self) -> PathBuf {
        fs::create_dir_all(self.spool()).expect("create the spool");
        self.write_config()
    }

    fn run_command(&self, command: &mut Command) -> Running {
        *self.runs.borrow_mut() += 1;
        let log = self.dir.join(format!("run-{}.log", self.runs.borrow()));
        command.env_remove("AWS_PROFILE");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Running::new(start(command, &log), log, self.spool())
    }

    fn config_text(&self) -> String {
        let mut text = String::new();
        for (section, keys) in &self.settings {
            writeln!(text, "[{section}]").expect("write to a string");
            for (key, value) in keys {
                writeln!(text, "{key} = {value}").expect("write to a string");
            }
        }
        text
    }

    /// Checks the archive: each expected record is there once, all fields equal, and nothing else.
    #[track_caller]
    pub(crate) fn check(&self, expected: &Expected) -> String {
        self.run_checker(expected, &[])
    }

    /// The same, and the group's offsets are the chains' tips.
    #[track_caller]
    pub(crate) fn check_with_offsets(&self, expected: &Expected) -> String {
        let committed = self.admin.committed(self.group(), &self.topics);
        let file = self.dir.join("committed.json");
        let text = serde_json::to_string(&committed).expect("JSON");
        fs::write(&file, text).expect("write the committed offsets");
        self.run_checker(expected, &["--committed", file.to_str().expect("a UTF-8 path")])
    }

    #[track_caller]
    fn run_checker(&self, expected: &Expected, arguments: &[&str]) -> String {
        let dir = self.dir.join("expected");
        expected.write(&dir);
        let output = Command::new("python3")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checker/check.py"))
            .arg("--archive")
            .arg(&self.archive)
            .arg("--expected")
            .arg(&dir)
            .args(arguments)
            .output()
            .expect("run python3");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the archive is not what was produced:\n{text}{errors}");
        if !text.contains("sum: 0 chains") {
            self.verify();
        }
        text
    }

    /// What the product says of the same archive; the checker shares no code with it.
    #[track_caller]
    fn verify(&self) {
        let verified = Command::new(PROGRAM).arg("verify").arg(&self.archive).output();
        let verified = verified.expect("run kafkatos3 verify");
        let said = String::from_utf8_lossy(&verified.stdout).into_owned();
        let errors = String::from_utf8_lossy(&verified.stderr);
        let whole_but_for_gaps = matches!(verified.status.code(), Some(0 | 1));
        assert!(whole_but_for_gaps, "the checker is content, but verify says:\n{said}{errors}");
    }
}

fn default_settings(name: &str, cluster: &Kafka, store: &FaultProxy, dir: &Path) -> Settings {
    let mut settings = Settings::new();
    let mut set = |section: &str, key: &str, value: &dyn Display| {
        let section = settings.entry(section.to_owned()).or_default();
        section.insert(key.to_owned(), value.to_string());
    };
    set("main", "working_directory", &dir.join("spool").display());
    set("main", "instance", &name);
    set("main", "shutdown_timeout", &"30s");
    set("consumer", "kafka_bootstrap", &cluster.bootstrap);
    set("consumer", "kafka_consumer_group", &name);
    set("consumer", "max_age_seconds", &2);
    set("s3", "s3_bucket_name", &name);
    set("s3", "s3_prefix", &"archive");
    set("s3", "s3_endpoint", &store.url);
    set("s3", "s3_region", &REGION);
    set("s3", "s3_access_key", &ACCESS_KEY);
    set("s3", "s3_secret_key", &SECRET_KEY);
    // What a killed member leaves behind is taken over soon, and a new topic found soon.
    set("kafka", "session.timeout.ms", &6000);
    set("kafka", "heartbeat.interval.ms", &500);
    set("kafka", "topic.metadata.refresh.interval.ms", &1000);
    settings
}
