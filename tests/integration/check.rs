//! `kafkatos3 check`, and the command line around it, by the real binaries.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const LEAST: &str = "[main]\nworking_directory = /w\n[consumer]\nkafka_bootstrap = k:9092\n\
                     kafka_consumer_group = g\ntopic_whitelist = t\n[s3]\ns3_bucket_name = bkt\n";

/// A program's end, as its caller sees it.
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

fn ended(output: Output) -> Ended {
    Ended {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).expect("UTF-8"),
        err: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

fn kafkatos3() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kafkatos3"));
    command.env_remove("RUST_LOG").env_remove("RUST_BACKTRACE");
    command
}

fn check(path: &Path) -> Ended {
    ended(kafkatos3().arg("check").arg(path).output().expect("it starts"))
}

struct Dir(tempfile::TempDir);

impl Dir {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn file(&self, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join("x.cfg");
        fs::write(&path, content).expect("a file");
        path
    }
}

fn check_text(content: impl AsRef<[u8]>) -> Ended {
    let dir = Dir::new();
    check(&dir.file(content))
}

#[test]
fn a_missing_file_is_66_and_named() {
    let ended = check(Path::new("/no/such/kafkatos3.cfg"));
    assert_eq!(ended.code, Some(66));
    assert!(ended.err.contains("\"/no/such/kafkatos3.cfg\": No such file"), "{}", ended.err);
    assert!(ended.err.contains("kafkatos3.cfg.example"), "{}", ended.err);
    assert_eq!(ended.out, "");
}

#[test]
fn a_directory_is_66() {
    let dir = Dir::new();
    let ended = check(dir.0.path());
    assert_eq!(ended.code, Some(66));
    assert!(ended.err.contains("Is a directory"), "{}", ended.err);
}

#[test]
fn an_unreadable_file_is_66() {
    if nix::unistd::geteuid().is_root() {
        eprintln!("skipped: root can read every file");
        return;
    }
    let dir = Dir::new();
    let path = dir.file(LEAST);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).expect("a mode");
    let ended = check(&path);
    assert_eq!(ended.code, Some(66));
    assert!(ended.err.contains("Permission denied"), "{}", ended.err);
}

#[test]
fn garbage_is_78_and_short() {
    let own = fs::read(env!("CARGO_BIN_EXE_kafkatos3")).expect("the binary");
    let garbage: Vec<u8> = (0..=255).cycle().take(5000).collect();
    let controls: Vec<u8> = (0..32).cycle().take(5000).collect();
    for content in [own, garbage, controls, vec![0; 2_000_000], b"\xff\xfe[\0m\0".to_vec()] {
        let ended = check_text(&content);
        assert_eq!(ended.code, Some(78));
        assert!(ended.err.lines().count() < 25, "{}", ended.err);
        assert!(ended.err.contains("is it a configuration file at all?"), "{}", ended.err);
    }
    assert_eq!(check(Path::new("/dev/zero")).code, Some(78));
}

#[test]
fn an_expression_that_is_none_is_78() {
    let ended = check_text(LEAST.replace("= t\n", "= ^(\n"));
    assert_eq!(ended.code, Some(78));
    assert!(ended.err.contains("\"^(\" is not a POSIX extended"), "{}", ended.err);
}

#[test]
fn an_empty_file_names_what_is_needed() {
    let ended = check_text("");
    assert_eq!(ended.code, Some(78));
    for key in [
        "working_directory",
        "kafka_bootstrap",
        "kafka_consumer_group",
        "topic_whitelist",
        "s3_bucket_name",
    ] {
        assert!(ended.err.contains(&format!("] {key}: ")), "{key}: {}", ended.err);
    }
    assert!(ended.err.contains("5 problems in "), "{}", ended.err);
}

#[test]
fn all_problems_come_at_once_with_their_lines_and_without_secrets() {
    let dir = Dir::new();
    let text = format!(
        "{LEAST}spool_max_bytes = 1\ns3_access_key = AKIAHUNTER\n[main]\nlog.level = LOUD\nlog.level = INFO\n\
         [kafka]\nsasl.pasword = hunter2\nsasl.password = ${{KAFKATOS3_TEST_UNSET}}\nhunter2\ngroup.id = x\n"
    );
    let path = dir.file(text);
    let ended = check(&path);
    assert_eq!(ended.code, Some(78));
    for expected in [
        ":9: [s3] spool_max_bytes: there is no such key in [s3]; it belongs to [main]",
        ":12: [main] log.level: \"LOUD\" is not one of DEBUG, INFO, WARNING, ERROR, CRITICAL",
        ":13: [main] log.level: the key is set a second time; the first is on line 12",
        ":15: [kafka] sasl.pasword: there is no such key in [kafka]; did you mean \"sasl.password\"?",
        ":16: [kafka] sasl.password: the environment variable \"KAFKATOS3_TEST_UNSET\" is not set",
        ":17: expected \"key = value\"",
        ":18: [kafka] group.id: the property can't be set here; set [consumer] kafka_consumer_group instead",
        ": [s3] s3_secret_key: s3_access_key is set, so this has to be too",
    ] {
        let line = format!("error: {}{expected}", path.display());
        assert!(ended.err.lines().any(|other| other.starts_with(&line)), "{line}\n{}", ended.err);
    }
    assert!(
        ended.err.ends_with(&format!("8 problems in \"{}\"\n", path.display())),
        "{}",
        ended.err
    );
    assert!(!ended.err.contains("hunter2") && !ended.err.contains("AKIAHUNTER"), "{}", ended.err);
    assert_eq!(ended.out, "");
}

#[test]
fn the_example_is_fine() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/kafkatos3.cfg.example");
    let ended = check(&example);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    assert!(ended.out.starts_with("ok\n"), "{}", ended.out);
    for part in
        ["orders, ^payments\\..*", "s3://my-bucket/kafkatos3 at AWS", "/var/lib/kafkatos3", "10GiB"]
    {
        assert!(ended.out.contains(part), "{part}: {}", ended.out);
    }
}

#[test]
fn configurations_of_the_original_are_fine_with_a_warning_for_each_oddity() {
    let text = "[main]\nlog.level = CRITICAL\nworking_directory = /w\n[consumer]\nconsumer_processes = 1\n\
        kafka_bootstrap = kafka:9092\nkafka_consumer_group = g\nkafka_auto_offset_reset = smallest\n\
        consumer_nice_level = 15\ntopic_whitelist = test\nmax_age_seconds = 1800\n\
        consumer_class = KafkaPythonConsumer\n[compression]\ncompression_check_interval = 600\n\
        compressor_workers = 1\ncompression_nice_level = 10\n[s3]\ns3upload_check_interval = 600\n\
        s3uploader_workers = 1\ns3_bucket_name = my_bucket\ns3_access_key = \"\"\ns3_secret_key = \"\"\n\
        topic_whitelist = test\n";
    let ended = check_text(text);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.out.starts_with("ok\n"), "{}", ended.out);
    let warnings: Vec<_> = ended.err.lines().collect();
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    for (line, key) in
        warnings.iter().zip(["kafka_auto_offset_reset", "consumer_class", "topic_whitelist"])
    {
        assert!(line.starts_with("warning: ") && line.contains(key), "{line}");
    }
}

#[test]
fn secrets_are_not_in_the_summary() {
    let dir = Dir::new();
    let key = dir.0.path().join("key");
    fs::write(&key, "hunter3\n").expect("a file");
    let text = format!(
        "{LEAST}s3_access_key = hunter1\ns3_secret_key = ${{KAFKATOS3_TEST_KEY}}\n[kafka]\n\
         security.protocol = SASL_SSL\nsasl.mechanism = SCRAM-SHA-512\nsasl.username = u\n\
         sasl.password = file:{}\n",
        key.display()
    );
    let path = dir.file(text);
    let output = kafkatos3().arg("check").arg(&path).env("KAFKATOS3_TEST_KEY", "hunter2").output();
    let ended = ended(output.expect("it starts"));
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    assert!(ended.out.contains("SASL_SSL (SCRAM-SHA-512)"), "{}", ended.out);
    assert!(ended.out.contains("the keys of the file"), "{}", ended.out);
    assert!(!ended.out.contains("hunter"), "{}", ended.out);
}

#[test]
fn a_configuration_comes_through_a_pipe() {
    let mut child = kafkatos3()
        .args(["check", "/dev/stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn_in_test();
    let mut stdin = child.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut stdin, LEAST.as_bytes()).expect("written");
    drop(stdin);
    let ended = ended(child.wait_with_output().expect("it ends"));
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
}

/// Starting the program under test is what these tests are for.
trait SpawnInTest {
    fn spawn_in_test(&mut self) -> std::process::Child;
}

impl SpawnInTest for Command {
    #[expect(clippy::disallowed_methods, reason = "the program under test is started here")]
    fn spawn_in_test(&mut self) -> std::process::Child {
        self.spawn().expect("it starts")
    }
}

#[test]
fn a_closed_pipe_is_no_error() {
    let dir = Dir::new();
    let path = dir.file(LEAST);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = kafkatos3().arg("check").arg(&path).stdout(writer).output();
    assert_eq!(output.expect("it starts").status.code(), Some(0));
}

#[test]
fn a_full_disk_is_73() {
    let dir = Dir::new();
    let path = dir.file(LEAST);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let output = kafkatos3().arg("check").arg(&path).stdout(full).output();
    assert_eq!(output.expect("it starts").status.code(), Some(73));
}

#[test]
fn usage_errors_are_64_and_help_is_0() {
    for args in [&[][..], &["check"], &["--nope"], &["a", "b"], &["-e"], &["check", "a", "b"]] {
        let ended = ended(kafkatos3().args(args).output().expect("it starts"));
        assert_eq!(ended.code, Some(64), "{args:?}");
        assert!(ended.err.contains("Usage:") && ended.out.is_empty(), "{args:?}: {}", ended.err);
    }
    for args in [&["--help"][..], &["-h"], &["check", "--help"]] {
        let ended = ended(kafkatos3().args(args).output().expect("it starts"));
        assert_eq!(ended.code, Some(0), "{args:?}");
        assert!(ended.out.contains("Usage:") && ended.err.is_empty(), "{args:?}");
    }
    let ended = ended(kafkatos3().arg("--version").output().expect("it starts"));
    assert_eq!(ended.out, format!("kafkatos3 {}\n", env!("CARGO_PKG_VERSION")));
}

fn rotate(place: &Path) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kafkatos3_rotate"));
    ended(command.arg(place).output().expect("it starts"))
}

#[test]
fn rotate_tells_the_process_that_holds_the_lock() {
    let dir = Dir::new();
    let run = dir.0.path().join("run");
    fs::create_dir(&run).expect("run");
    let lock = run.join("supervisor.host-1.lock");
    let (told, ready) = (dir.0.path().join("told"), dir.0.path().join("ready"));
    // A stand-in for a supervisor: it signs and holds the lock until it is told.
    let script = "exec 9>>\"$1\"; flock 9 || exit 9; echo $$ >\"$1\"; trap 'touch \"$2\"; exit 0' USR1; \
                  touch \"$3\"; while :; do sleep 0.05; done";
    let mut stand_in = Command::new("bash")
        .args(["-c", script, "bash"])
        .args([&lock, &told, &ready])
        .spawn_in_test();
    wait_for(&ready);
    let config = dir.file(LEAST.replace("/w", &dir.0.path().display().to_string()));
    let ended = rotate(&config);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(
        ended.out,
        format!("told instance \"host-1\" (process {}) to rotate\n", stand_in.id())
    );
    assert!(stand_in.wait().expect("it ends").success());
    assert!(told.exists());

    let ended = rotate(dir.0.path());
    assert_eq!(ended.code, Some(69), "{}", ended.err);
    assert!(ended.err.contains("no kafkatos3 runs in"), "{}", ended.err);
}

fn wait_for(path: &Path) {
    for _ in 0..200 {
        if path.exists() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("{} does not appear", path.display());
}

#[test]
fn rotate_says_what_is_wrong() {
    assert_eq!(rotate(Path::new("/no/such")).code, Some(66));
    let dir = Dir::new();
    assert_eq!(rotate(&dir.file("x")).code, Some(78));
    assert_eq!(rotate(dir.0.path()).code, Some(69));
}
