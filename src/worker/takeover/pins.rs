//! Where the chains begin: behind the last good file of each partition, here or in the archive.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{ASK, Empty, Takeover, Tally};
use crate::chain::locate::{Genesis, Hints, Outcome};
use crate::kafka::{Code, KafkaError, Spec};
use crate::legacy::begin::{Begin, Known};
use crate::legacy::scan::Finished;
use crate::meta::Identity;
use crate::spool::Taken;
use crate::spool::original::Original;
use crate::types::{Isolation, Offset, TopicId, TopicName, TopicPartition};
use crate::worker::Exit;

/// How a partition's chain and its files stand to each other.
#[derive(Debug)]
pub(super) enum Standing {
    /// The chain is there, and begins here.
    Pinned(Offset),
    /// Kafka has no such partition.
    NoTopic,
    /// No chain, and none could be begun; it was said why.
    NotPinned,
    /// The chain that is there is none that we could go on with, and why.
    Stopped(String),
}

/// Behind the last file of each partition.
pub(super) type Reached = BTreeMap<TopicPartition, Offset>;

impl Takeover<'_> {
    /// How far the files here reach. Only one that was read to its end counts, and one that is
    /// damaged is set aside; so the last of each partition is read, and those before it if need be.
    pub(super) fn reached(
        &self,
        finished: &[Finished],
        empty: &[Empty],
        tally: &mut Tally,
    ) -> Result<Reached, Exit> {
        let mut reached = Reached::new();
        for file in empty {
            let next = reached.entry(file.tp.clone()).or_insert(file.next);
            *next = file.next.max(*next);
        }
        let mut last_first: Vec<_> = finished.iter().collect();
        last_first.sort_by_key(|file| std::cmp::Reverse(file.name.range.next()));
        let mut done = BTreeSet::new();
        for file in last_first {
            if done.contains(&file.name.tp) {
                continue;
            }
            self.go_on()?;
            if let Some(next) = self.verified_end(file, tally)? {
                let known = reached.entry(file.name.tp.clone()).or_insert(next);
                *known = next.max(*known);
                done.insert(&file.name.tp);
            }
        }
        Ok(reached)
    }

    /// Behind the file's last record; `None` if it is no good, or gone.
    fn verified_end(&self, file: &Finished, tally: &mut Tally) -> Result<Option<Offset>, Exit> {
        let claim = match Original::take(&file.path).map_err(Exit::spool)? {
            Taken::Ours(claim) => claim,
            // Another instance archives it, which it does not before it has found it good.
            Taken::Busy => return Ok(Some(file.name.range.next())),
            Taken::Gone => return Ok(None),
        };
        match Self::verify(file, &claim).map_err(Exit::spool)? {
            Ok(content) => Ok(Some(content.next())),
            Err(why) => {
                self.set_file_aside(file, claim, &why).map_err(Exit::spool)?;
                tally.aside += 1;
                Ok(None)
            }
        }
    }

    /// Begins the chains that are not there.
    pub(super) fn pin(&self, reached: Reached) -> Result<BTreeMap<TopicPartition, Standing>, Exit> {
        if reached.is_empty() {
            return Ok(BTreeMap::new());
        }
        let tps: Vec<_> = reached.keys().cloned().collect();
        let broker = self.insist("ask the broker", || Ok(self.ask_broker(&tps)?))?;
        let mut standings = BTreeMap::new();
        for (tp, local) in reached {
            self.go_on()?;
            let standing = match broker.view(&tp) {
                View::There { identity, end } => self.pin_one(&tp, local, &identity, end)?,
                View::Gone => {
                    log::warn!("takeover: {tp}: not there in Kafka; its files are archived alone");
                    Standing::NoTopic
                }
                View::Unknown(error) => {
                    log::error!("takeover: {tp}: where its chain begins can't be settled: {error}");
                    Standing::NotPinned
                }
            };
            standings.insert(tp, standing);
        }
        Ok(standings)
    }

    fn pin_one(
        &self,
        tp: &TopicPartition,
        local: Offset,
        identity: &Identity,
        end: Offset,
    ) -> Result<Standing, Exit> {
        let hints = Hints::default();
        let locate = |genesis: Option<Genesis>| {
            self.insist("ask for the chain", || {
                Ok(self.runtime.block_on(self.io.locate(identity, &hints, genesis.clone()))?)
            })
        };
        let located = locate(None)?;
        let first_generation = located.chain.name().generation() == 1;
        match located.outcome {
            Outcome::Found(position) if first_generation => {
                return Ok(Standing::Pinned(position.first));
            }
            Outcome::Stop(stop) => return Ok(Standing::Stopped(stop.to_string())),
            Outcome::NoChain if first_generation => {}
            Outcome::Found(_) | Outcome::NoChain | Outcome::Closed(_) => {
                return Ok(Standing::NoTopic);
            }
        }
        let ask = || Ok(self.runtime.block_on(self.originals.reach(tp))?);
        let archived = self.insist("list the original's objects", ask)?;
        let known = Known { files: Some(local).max(archived), committed: None, end };
        match known.begin() {
            Begin::BehindFiles(first) => {
                let suffix = self.config.suffix();
                match locate(Some(Genesis::new(first, suffix)))?.outcome {
                    Outcome::Found(position) => {
                        let first = position.first;
                        log::info!(
                            event = "chain_begun", topic:% = tp.topic,
                            partition = tp.partition.get(), next = first.get();
                            "takeover: {tp}: the chain begins at {first}"
                        );
                        Ok(Standing::Pinned(first))
                    }
                    Outcome::Stop(stop) => Ok(Standing::Stopped(stop.to_string())),
                    Outcome::NoChain | Outcome::Closed(_) => Ok(Standing::NotPinned),
                }
            }
            Begin::Beyond { files, end } => {
                log::warn!(
                    "takeover: {tp}: the original's files reach to offset {files}, but the \
                     broker's log ends at {end}; they are archived, and begin no chain"
                );
                Ok(Standing::NotPinned)
            }
            Begin::AtCommit(_) | Begin::AsSet => Ok(Standing::NotPinned),
        }
    }

    fn ask_broker(&self, tps: &[TopicPartition]) -> Result<Broker, KafkaError> {
        let topics: BTreeSet<TopicName> = tps.iter().map(|tp| tp.topic.clone()).collect();
        let topics: Vec<_> = topics.into_iter().collect();
        let asked: Vec<_> = tps.iter().map(|tp| (tp.clone(), Spec::Latest)).collect();
        let cluster_id = self.admin.cluster_id(ASK)?;
        let ids = self.admin.topic_ids(&topics, ASK)?;
        // Open transactions and all: the original read those, too.
        let ends = self.admin.list_offsets(&asked, Isolation::ReadUncommitted, ASK)?;
        Ok(Broker {
            cluster_id,
            isolation: self.config.consumer.isolation,
            ids: ids.into_iter().collect(),
            ends: ends.into_iter().collect(),
        })
    }
}

/// What the broker says of the partitions.
struct Broker {
    cluster_id: String,
    isolation: Isolation,
    ids: HashMap<TopicName, Result<TopicId, KafkaError>>,
    ends: HashMap<TopicPartition, Result<Offset, KafkaError>>,
}

enum View {
    There { identity: Identity, end: Offset },
    Gone,
    Unknown(String),
}

impl Broker {
    fn view(&self, tp: &TopicPartition) -> View {
        let (id, end) = match (self.ids.get(&tp.topic), self.ends.get(tp)) {
            (Some(Ok(id)), Some(Ok(end))) => (*id, *end),
            (Some(Err(error)), _) | (_, Some(Err(error))) if is_gone(error) => return View::Gone,
            (Some(Err(error)), _) | (_, Some(Err(error))) => {
                return View::Unknown(error.to_string());
            }
            (None, _) | (_, None) => return View::Unknown("the broker says nothing".to_owned()),
        };
        let identity = Identity {
            cluster_id: self.cluster_id.clone(),
            topic: tp.topic.clone(),
            topic_id: id,
            partition: tp.partition,
            isolation: self.isolation,
        };
        View::There { identity, end }
    }
}

fn is_gone(error: &KafkaError) -> bool {
    let gone = [Code::UNKNOWN_TOPIC_OR_PART, Code::UNKNOWN_TOPIC, Code::UNKNOWN_PARTITION];
    error.code().is_some_and(|code| gone.contains(&code))
}
