//! The troubles that may come again and again, and how this process says so.
//!
//! Whoever tries something says [`failing`] or [`working`] each time; what of it becomes a line is
//! decided by `repeat`. Saying that something works costs one look at a counter while nothing is
//! in trouble.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use log::kv::Value;
use log::{Level, Record};

use super::millis;
use super::repeat::{Key, Overdue, Repeats, Say, Subject, Tally};

/// Something that may fail again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Fault {
    /// The name of the event of failing.
    pub(crate) event: &'static str,
    /// What is said when it works again.
    pub(crate) over: &'static str,
}

/// Declares troubles; `docs/logging.md` lists their events.
macro_rules! faults {
    ($($name:ident: event = $event:literal, $over:literal;)+) => {
        impl Fault {
            $(pub(crate) const $name: Self = Self { event: $event, over: $over };)+
        }
    };
}

faults! {
    ASSIGN: event = "assign_failed", "it is assigned";
    BROKERS: event = "brokers_down", "brokers answer again";
    CATALOG: event = "catalog_failed", "rows are entered into the catalogue again";
    CLIENT: event = "client_error", "the Kafka client works again";
    COMMIT: event = "commit_failed", "committed again";
    JOIN: event = "join_waits", "the group has answered";
    FIND: event = "find_failed", "positions are found again";
    LIBRDKAFKA: event = "librdkafka", "librdkafka has no complaints";
    PACK: event = "pack_failed", "packed again";
    PARTITION: event = "partition_error", "it is read again";
    PUBLISH: event = "publish_failed", "published again";
    RELOCATED: event = "relocated", "it stays where it is";
    ROTATE: event = "rotate_failed", "rotated again";
    SCAN: event = "scan_failed", "the spool reads again";
    SHORT_LOG: event = "short_log", "its log is long enough again";
    SPOOL: event = "spool_failed", "the spool works again";
    STALLED: event = "stalled", "it goes on";
    STORE: event = "store_failed", "the store answers as it should";
    TOPICS: event = "topics_failed", "the cluster's topics are listed again";
}

static OPEN: AtomicUsize = AtomicUsize::new(0);
static REPEATS: LazyLock<Mutex<Repeats>> = LazyLock::new(Mutex::default);

fn repeats() -> MutexGuard<'static, Repeats> {
    REPEATS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `trouble` came, once more or for the first time; `error` says why. It is tried again.
pub(crate) fn failing(level: Level, trouble: Fault, of: impl Into<Subject>, error: &str) {
    let now = Instant::now();
    let (key, say, overdue) = {
        let mut repeats = repeats();
        let (key, say) = repeats.failed(level, (trouble, of.into()), error, now);
        let overdue = repeats.overdue(now);
        OPEN.store(repeats.len(), Ordering::Relaxed);
        (key, say, overdue)
    };
    match say {
        Say::InFull => in_full(level, &key, error),
        Say::Count(tally) => counted(level, &key, error, tally),
        Say::Nothing => {}
    }
    overdue.iter().for_each(say_late);
}

/// What would be `trouble` if it failed went well.
pub(crate) fn working(trouble: Fault, of: impl Into<Subject>) {
    if OPEN.load(Ordering::Relaxed) == 0 {
        return;
    }
    let key = (trouble, of.into());
    let over = {
        let mut repeats = repeats();
        let over = repeats.worked(&key, Instant::now());
        OPEN.store(repeats.len(), Ordering::Relaxed);
        over
    };
    if let Some(Tally { failures, within }) = over {
        let (trouble, subject) = &key;
        let times = super::count(usize::try_from(failures).unwrap_or(usize::MAX), "failure");
        let text = format!("{subject}: {}, after {times} in {} s", trouble.over, within.as_secs());
        let fields = [
            ("of", Value::from(trouble.event)),
            ("count", failures.into()),
            ("ms", millis(within).into()),
        ];
        say(Level::Info, "recovered", subject, &text, &fields);
    }
}

/// Says counts that are due though nothing fails any more. For loops that come by each minute.
pub(crate) fn say_overdue() {
    if OPEN.load(Ordering::Relaxed) == 0 {
        return;
    }
    let overdue = {
        let mut repeats = repeats();
        let overdue = repeats.overdue(Instant::now());
        OPEN.store(repeats.len(), Ordering::Relaxed);
        overdue
    };
    overdue.iter().for_each(say_late);
}

fn say_late(late: &Overdue) {
    counted(late.level, &late.key, &late.error, late.tally);
}

fn in_full(level: Level, (trouble, subject): &Key, error: &str) {
    let text = format!("{subject}: {error}");
    say(level, trouble.event, subject, &text, &[("error", Value::from(error))]);
}

fn counted(level: Level, (trouble, subject): &Key, error: &str, tally: Tally) {
    let Tally { failures, within } = tally;
    let text = format!("{subject}: {failures} times more in {}: {error}", rough(within));
    let fields = [("error", Value::from(error)), ("count", failures.into())];
    say(level, trouble.event, subject, &text, &fields);
}

fn rough(time: Duration) -> String {
    match time.as_secs() {
        0..90 => "the last minute".to_owned(),
        seconds => format!("the last {} minutes", (seconds + 30) / 60),
    }
}

fn say(level: Level, event: &str, subject: &Subject, text: &str, fields: &[(&str, Value<'_>)]) {
    if level > log::max_level() {
        return;
    }
    let mut all = vec![("event", Value::from(event))];
    match subject {
        Subject::Partition(tp) => {
            all.push(("topic", Value::from(tp.topic.as_str())));
            all.push(("partition", tp.partition.get().into()));
        }
        Subject::Named(name) => all.push(("subject", Value::from(name.as_str()))),
        Subject::Others => {}
    }
    all.extend(fields.iter().cloned());
    log::logger().log(
        &Record::builder()
            .level(level)
            .target(module_path!())
            .args(format_args!("{text}"))
            .key_values(&all)
            .build(),
    );
}
