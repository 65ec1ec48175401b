//! From the configuration to a running consumer.

use std::collections::HashMap;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::announce::Assigned;
use super::ends::EndsOf;
use super::finder::{Finder, Rules};
use super::genesis::Genesis;
use super::joining::Joining;
use super::room::{Pauses, Relief};
use super::targets::Targets;
use super::telling::{FindingTrouble, Telling};
use super::{ASK, Loop, Summary, batch, fatal};
use crate::config::{Config, ConsumerMemory, OnTopicRecreated, Pattern};
use crate::kafka::{Admin, Consumer, Fetched, Patterns};
use crate::mak::HeadersBuf;
use crate::spool::budget::{Budget, Flow, Limits};
use crate::spool::watch::{Changes, Interest, Watch};
use crate::spool::{Spool, Stage};
use crate::sys::signals::Stop;
use crate::types::TopicName;
use crate::worker::backoff::Backoff;
use crate::worker::chain_io::ChainIo;
use crate::worker::{Context, Exit, START_PATIENCE, archive, in_full, runtime, settings};

/// How often the cluster's topics are matched with the patterns, unless the settings say.
const TOPICS_EVERY: Duration = Duration::from_secs(30);

/// Which topics are archived.
pub(super) struct Topics {
    patterns: Patterns,
    pub(super) subscribed: Vec<TopicName>,
    /// How often the cluster's topics are looked at.
    pub(super) every: Duration,
    /// Whether to do that at once.
    pub(super) changed: bool,
    missing: Vec<TopicName>,
    missed: Vec<TopicName>,
}

impl Topics {
    fn open(config: &Config) -> Result<Self, Exit> {
        let millis = config.kafka.get("topic.metadata.refresh.interval.ms");
        let millis = millis.and_then(|text| text.parse().ok()).filter(|millis| *millis > 0);
        Ok(Self {
            patterns: settings::patterns(config).map_err(Exit::config)?,
            subscribed: Vec::new(),
            changed: false,
            every: millis.map_or(TOPICS_EVERY, Duration::from_millis),
            missing: Vec::new(),
            missed: Vec::new(),
        })
    }

    /// From now on these are meant.
    pub(super) fn mean(&mut self, patterns: Patterns) {
        self.patterns = patterns;
        self.changed = true;
    }

    /// Adds those that were there the last time: a listing leaves out a topic with a passing error,
    /// so only one that is missing twice is gone.
    pub(super) fn twice_missed(&mut self, mut matching: Vec<TopicName>) -> Vec<TopicName> {
        let meant = self.subscribed.iter().filter(|topic| self.patterns.matches(topic));
        let gone = meant.filter(|topic| !matching.contains(topic));
        let missed: Vec<_> = gone.cloned().collect();
        let again = missed.iter().filter(|topic| !self.missed.contains(topic)).cloned();
        matching.extend(again);
        matching.sort_unstable();
        self.missed = missed;
        matching
    }

    /// Says once which topics were asked for by name and are not there.
    pub(super) fn warn_of_missing(&mut self, config: &Config, matching: &[TopicName]) {
        let named = config.consumer.topics.whitelist.iter().filter_map(|pattern| match pattern {
            Pattern::Exact(topic) => Some(topic),
            Pattern::Regex(_) => None,
        });
        let missing = named.filter(|topic| !matching.contains(topic)).cloned().collect();
        if missing != self.missing {
            self.missing = missing;
            for topic in &self.missing {
                log::warn!(
                    event = "topic_missing", topic = topic.as_str();
                    "topic \"{topic}\" of [consumer] topic_whitelist is not there (or blacklisted); \
                     it is archived as soon as it appears"
                );
            }
        }
    }

    /// Those of `all` that match, sorted.
    pub(super) fn matching(&self, all: Vec<(TopicName, i32)>) -> Vec<TopicName> {
        let mut names: Vec<_> =
            all.into_iter().map(|(name, _)| name).filter(|n| self.patterns.matches(n)).collect();
        names.sort_unstable();
        names
    }

    pub(super) const fn patterns(&self) -> &Patterns {
        &self.patterns
    }
}

/// Consumes until told to stop, or until the targets are reached.
pub(crate) fn run(ctx: &Context) -> Exit {
    match open(ctx) {
        Ok(ready) => ready.run(),
        Err(exit) => exit,
    }
}

fn open(ctx: &Context) -> Result<Loop<'_>, Exit> {
    let config = ctx.config();
    let spool = Spool::open(&config.main.working_directory).map_err(Exit::spool)?;
    if ctx.index == 0
        && let Err(error) = spool.sweep()
    {
        log::warn!("{}", in_full(&error));
    }
    let budget = Budget::new(limits(&config)).map_err(Exit::config)?;
    let memory = ConsumerMemory::of(&config);
    let (consumer, admin) = connect(ctx, &config, memory)?;
    let topics = Topics::open(&config)?;
    let (finder, requests) = mpsc::channel();
    let (replies, found) = mpsc::channel();
    let rooms = Rooms {
        admin: consumer.admin(),
        group: consumer.group(),
        spool: spool.clone(),
        config: Arc::clone(&config),
        trouble: FindingTrouble::default(),
    };
    let ends = EndsOf::start(consumer.admin(), config.consumer.isolation)?;
    let telling = Telling::new(ends, rooms.trouble.clone());
    std::thread::Builder::new()
        .name("finder".to_owned())
        .spawn(move || find(rooms, &requests, &replies))
        .map_err(|e| Exit::internal(&format!("can't start a thread: {e}")))?;
    let targets = if ctx.exit_at_end {
        let targets = Targets::ask(&admin, &topics, config.consumer.isolation);
        Some(targets.map_err(|error| fatal(&error))?)
    } else {
        None
    };
    ctx.reporter.up();
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let began_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    Ok(Loop {
        ctx,
        config,
        watch: Watch::new(&spool, &[Interest::Arrivals(Stage::Tips)]),
        group: consumer.group(),
        changes: Changes::default(),
        spool,
        consumer,
        admin,
        topics,
        partitions: HashMap::new(),
        slots: HashMap::new(),
        turn: 0,
        starts: Vec::new(),
        ending: None,
        began_ms,
        finder,
        found,
        next_answers: Instant::now(),
        batch_size: batch::MOST,
        record_size: 1024,
        headers: HeadersBuf::new(),
        block_target: batch::BLOCK_MAX,
        in_hand: Fetched { bytes: memory.fetched, brokers: 1 }.in_hand(),
        memory,
        budget,
        flow: Flow::Take,
        relief: Relief::default(),
        pauses: Pauses::default(),
        usage: 0,
        stop_at: 0,
        taken_since: 0,
        draining: None,
        at_once: false,
        targets,
        stopped: HashMap::new(),
        joining: Joining::default(),
        assigned: Assigned::default(),
        summary: Summary::default(),
        telling,
    })
}

/// What goes into the finder's thread.
struct Rooms {
    admin: Admin,
    group: crate::kafka::GroupLookup,
    spool: Spool,
    config: Arc<Config>,
    trouble: FindingTrouble,
}

fn find(
    rooms: Rooms,
    requests: &mpsc::Receiver<super::finder::Request>,
    replies: &mpsc::Sender<super::finder::Reply>,
) {
    let Ok(runtime) = runtime() else { return };
    let Rooms { admin, group, spool, config, trouble } = rooms;
    // Should it fail, it has said so, and the loop notices that nobody answers any more.
    let Ok(rules) = runtime.block_on(Rules::of(&config)) else { return };
    Finder { admin, spool, group, rules, trouble }.run(&runtime, requests, replies);
}

impl Rules {
    /// As the configuration says. Opens the archive's store.
    pub(super) async fn of(config: &Config) -> Result<Self, Exit> {
        let store = archive::open(&config.archive.target).await?;
        let new_chains = config.consumer.on_topic_recreated == OnTopicRecreated::NewChain;
        Ok(Self {
            io: ChainIo::new(store, new_chains),
            isolation: config.consumer.isolation,
            suffix: config.suffix(),
            genesis: Genesis::new(config, settings::patterns(config).map_err(Exit::config)?),
        })
    }
}

/// A client that has reached the cluster. Each of its brokers may answer at the same time, so how
/// much they may send depends on how many there are.
fn connect(
    ctx: &Context,
    config: &Config,
    memory: ConsumerMemory,
) -> Result<(Consumer, Admin), Exit> {
    let mut brokers = 1;
    loop {
        let fetched = Fetched { bytes: memory.fetched, brokers };
        let settings = settings::member(config, ctx.index, fetched);
        let consumer = Consumer::new(&settings).map_err(Exit::config)?;
        let admin = consumer.admin();
        reach_broker(ctx, &admin)?;
        let found = admin.brokers(ASK).map_err(|error| fatal(&error))?;
        if found <= brokers {
            return Ok((consumer, admin));
        }
        brokers = found;
    }
}

/// Waits for the cluster, half a minute at most.
fn reach_broker(ctx: &Context, admin: &Admin) -> Result<(), Exit> {
    let give_up = Instant::now() + START_PATIENCE;
    let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(2));
    loop {
        let Err(error) = admin.topics(ASK) else { return Ok(()) };
        if ctx.stop() != Stop::No {
            return Err(Exit::DONE);
        }
        if Instant::now() >= give_up {
            let bootstrap = &ctx.config().consumer.bootstrap;
            log::error!(
                "no broker answers at \"{bootstrap}\": {error}; check [consumer] kafka_bootstrap, \
                 the network, and [kafka] security.protocol"
            );
            return Err(Exit(69));
        }
        std::thread::sleep(backoff.next());
    }
}

/// Everything that can't be known of a configuration before it is used: whether its expressions
/// are any.
pub(crate) fn refuse(config: &Config) -> Result<(), String> {
    settings::patterns(config).map(drop).map_err(|error| format!("[consumer] topics: {error}"))
}

/// What the spool's limits are made of.
pub(super) fn limits(config: &Config) -> Limits {
    Limits {
        spool_max_bytes: config.main.spool_max_bytes.get(),
        max_file_bytes: config.consumer.max_file_bytes.get(),
        compressors: config.compression.workers.into(),
    }
}
