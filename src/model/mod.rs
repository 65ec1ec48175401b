//! The model check: the protocol's own machines, put into every situation that a bounded world
//! can get into.
//!
//! Nothing is copied: [`Search`](crate::chain::succession::Search),
//! [`Locator`](crate::chain::locate::Locator), [`Closer`](crate::chain::close::Closer),
//! [`Publisher`](crate::chain::publish::Publisher), [`Follower`](crate::chain::follow::Follower)
//! and the plans of [`crate::spool::recovery`] are the product's. What surrounds them here plays
//! the shells of `crate::worker`, a store that loses answers, a broker that loses records, and an
//! operator who kills, deletes and reconfigures. Every interleaving of their steps is explored by
//! the crate `stateright`, and each state that is reached is held against [`PROPERTIES`].
//!
//! A question to the store and the taking of its answer are one step: an answer changes nothing
//! but the asker's memory, so that to be suspended with an answer at hand is the same as to be
//! suspended before the next question. A process is suspended wherever the others take steps and
//! it takes none, and that is between any two questions.
//!
//! | file | who |
//! |---|---|
//! | `archive`, `broker`, `spool` | what the processes share, and how it may fail |
//! | `consumer`, `uploader` | the shells |
//! | `operator` | `kafkatos3 chain new` and `chain skip` |
//! | `world` | all of it together: the next steps, faults |
//! | `schedule` | from every state, without faults, the end is reached |
//! | `variant` | protocols known to be bad, which have to be found out |
//! | `tests` | the bounds |

mod archive;
mod broker;
mod consumer;
mod operator;
mod schedule;
mod shared;
mod spool;
mod tests;
mod uploader;
mod variant;
mod world;

use std::fmt;

use stateright::{Model, Property};

use crate::chain::locate::{Answer, Outcome};
use crate::chain::succession::{Next, Search};
use crate::meta::Identity;
use crate::types::{Offset, Suffix};
use archive::Chain;
use schedule::Schedule;
use variant::Variant;
use world::{Fault, Step, World};

/// Where a step says what it does. Formats nothing unless somebody listens.
type Say<'a> = &'a mut dyn FnMut(fmt::Arguments<'_>);

/// The bounds of a world.
#[derive(Debug, Clone)]
struct Setting {
    identity: Identity,
    /// End of the log.
    end: u64,
    /// Offsets that hold no record: transaction markers, or compacted long ago.
    holes: &'static [u64],
    writers: Vec<WriterSetting>,
    /// How many faults may happen in all, and which.
    faults: u8,
    kinds: &'static [Fault],
}

/// What one instance is started with.
#[derive(Debug, Clone, Copy)]
struct WriterSetting {
    suffix: Suffix,
    /// What it may be configured for after a restart.
    later: &'static [Suffix],
    /// Where it would begin the chain.
    first: u64,
    group: usize,
}

impl Setting {
    fn group_of(&self, writer: usize) -> usize {
        self.writers.get(writer).map_or(0, |setting| setting.group)
    }

    /// How a search ended, if it did. Where no operator begins another chain, the question for the
    /// next one has but one answer, at any time: it is no step of its own.
    fn outcome(&self, search: &mut Search, mut next: Next) -> Option<Outcome> {
        loop {
            match next {
                Next::Done { outcome, .. } => return Some(outcome),
                Next::Ask(question)
                    if question.generation > 1 && !self.kinds.contains(&Fault::NewChain) =>
                {
                    next = search.feed(Answer::Record(None));
                }
                Next::Ask(_) => return None,
            }
        }
    }

    fn genesis_of(&self, writer: usize) -> Offset {
        let first = self.writers.get(writer).map_or(0, |setting| setting.first);
        Offset::new(first).unwrap_or(Offset::ZERO)
    }
}

/// A world, a variant of the protocol in it, and what is known of its states.
struct Check {
    setting: Setting,
    variant: Variant,
    schedule: Schedule,
    /// The only property that is looked at; all of them otherwise.
    only: Option<&'static str>,
}

const DISJOINT: &str = "no record is in two files";
const ONE_LINE: &str = "each file begins where the one before ends";
const COMPLETE: &str = "no hole without a recorded gap";
const NO_OVERWRITE: &str = "nothing is overwritten";
const COMMIT_DURABLE: &str = "no commit is past the tip";
const COMMIT_RISES: &str = "commits never go down";
const CLOSED: &str = "nothing comes behind a chain's end";
const NO_STOP: &str = "no partition stops";
const REACHES_END: &str = "without further faults the end is reached";

/// What has to hold in every state.
const PROPERTIES: [Condition; 9] = [
    (DISJOINT, |_, world| world.archive.all(Chain::is_disjoint)),
    (ONE_LINE, |_, world| world.archive.all(Chain::is_one_line)),
    (COMPLETE, |_, world| {
        let broker = &world.broker;
        world.archive.all(|chain| chain.is_complete(broker.records, broker.log_start))
    }),
    (CLOSED, |_, world| world.archive.all(Chain::is_closed_for_good)),
    (NO_OVERWRITE, |_, world| !world.archive.overwritten),
    (COMMIT_DURABLE, |_, world| world.broker.groups.iter().all(|group| !group.past_tip)),
    (COMMIT_RISES, |_, world| world.broker.groups.iter().all(|group| !group.went_down)),
    (NO_STOP, |_, world| world.stopped().is_none()),
    (REACHES_END, |check, world| check.schedule.reaches_end(world, &check.setting, check.variant)),
];

type Condition = (&'static str, fn(&Check, &World) -> bool);

impl Model for Check {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(&self.setting)]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        world.steps(&self.setting, steps);
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut next = world.clone();
        next.take(step, &self.setting, self.variant, &mut |_| {});
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let asked = PROPERTIES.into_iter().filter(|(name, _)| self.only.is_none_or(|o| o == *name));
        asked.map(|(name, condition)| Property::always(name, condition)).collect()
    }
}
