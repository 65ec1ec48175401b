//! Finds which of a topic's chains a partition's files belong to, and where that one ends.
//!
//! Pure; it drives a [`Locator`] for one chain after another. A chain is *over* if it ends with a
//! closing seal, or if the next chain's identity record is there and agrees with ours: that is
//! how an operator leads writers past something foreign, which leaves no room for a seal. The
//! seal says how the next chain begins, so anybody can begin it, should its maker have died.
//!
//! Chains whose identity is not ours (the topic's earlier life, say) are passed over if a later
//! one is ours; without such, the partition stops, unless the settings let recreated topics begin
//! a chain of their own.

use super::Stop;
use super::locate::{Answer, Ask, Genesis, Hints, Locator, Outcome, Step, stop_at};
use crate::meta::{ChainRecord, CloseMeta, Follows, Identity};

/// What is asked of the store next, about the chain of a generation.
#[derive(Debug, Clone)]
pub struct Question {
    /// Which of the topic's chains.
    pub generation: u32,
    /// What.
    pub ask: Ask,
}

/// The next step of a search.
#[derive(Debug)]
pub enum Next {
    /// Ask this, and feed the answer.
    Ask(Question),
    /// Done.
    Done {
        /// Which of the topic's chains was looked at last.
        generation: u32,
        /// What was found there; never [`Outcome::Closed`].
        outcome: Outcome,
    },
}

#[derive(Debug, Clone, Hash)]
enum State {
    Locating(Box<Locator>),
    /// The chain was looked at; whether there is a next one decides.
    Successor(Outcome),
}

/// One search over all chains of one topic and partition.
#[derive(Debug, Clone, Hash)]
pub struct Search {
    identity: Identity,
    hints: Hints,
    genesis: Option<Genesis>,
    /// Whether a recreated topic begins a chain by itself.
    new_chains: bool,
    generation: u32,
    state: State,
    /// The first stop at something foreign in a chain that is ours otherwise, and where.
    first: Option<(u32, Stop)>,
}

impl Search {
    /// A search for the chain of `identity`; `genesis` is where to begin one if there is none.
    #[must_use]
    pub fn new(
        identity: Identity,
        hints: Hints,
        genesis: Option<Genesis>,
        new_chains: bool,
    ) -> Self {
        // Who has been in a chain has found the ones before it over.
        let seen = [&hints.seen, &hints.committed];
        let generation = seen.into_iter().flatten().map(|at| at.generation).max().unwrap_or(1);
        let state = State::Successor(Outcome::NoChain);
        let mut this =
            Self { identity, hints, genesis, new_chains, generation, state, first: None };
        this.state = State::Locating(Box::new(this.locator(this.genesis.clone())));
        this
    }

    fn locator(&self, genesis: Option<Genesis>) -> Locator {
        let of_this = |at: &super::Position| at.generation == self.generation;
        let hints = Hints {
            seen: self.hints.seen.filter(of_this),
            committed: self.hints.committed.filter(of_this),
        };
        Locator::new(self.identity.clone(), hints, genesis).in_generation(self.generation)
    }

    /// What to ask first, and again if there is no answer.
    #[must_use]
    pub fn start(&self) -> Next {
        let ask = |generation, ask| Next::Ask(Question { generation, ask });
        match &self.state {
            State::Locating(locator) => match locator.start() {
                Step::Ask(what) => ask(self.generation, what),
                Step::Done(outcome) => Next::Done { generation: self.generation, outcome },
            },
            State::Successor(_) => ask(self.generation.saturating_add(1), Ask::Record),
        }
    }

    /// Takes the answer to the last question.
    pub fn feed(&mut self, answer: Answer) -> Next {
        match (&mut self.state, answer) {
            (State::Locating(locator), answer) => {
                let step = locator.feed(answer);
                self.step(step)
            }
            (State::Successor(_), Answer::Record(record)) => self.successor(record.as_ref()),
            (State::Successor(_), Answer::Unreadable(what)) => {
                self.generation = self.generation.saturating_add(1);
                self.done(Outcome::Stop(Stop::ForeignObject { slot: None, what }))
            }
            (State::Successor(_), _) => self.start(),
        }
    }

    fn step(&mut self, step: Step) -> Next {
        match step {
            Step::Ask(ask) => Next::Ask(Question { generation: self.generation, ask }),
            Step::Done(Outcome::Closed(close)) => {
                let genesis = behind(&close);
                self.enter_next(Some(genesis))
            }
            Step::Done(Outcome::NoChain) => self.done(Outcome::NoChain),
            Step::Done(outcome) => {
                self.state = State::Successor(outcome);
                // Behind the highest number that there is comes no chain.
                if self.generation == u32::MAX { self.successor(None) } else { self.start() }
            }
        }
    }

    fn enter_next(&mut self, genesis: Option<Genesis>) -> Next {
        let Some(next) = self.generation.checked_add(1) else {
            let what = "there is no number for the chain behind it".to_owned();
            return self.done(Outcome::Stop(Stop::ForeignObject { slot: None, what }));
        };
        self.generation = next;
        let locator = self.locator(genesis);
        let step = locator.start();
        self.state = State::Locating(Box::new(locator));
        self.step(step)
    }

    fn successor(&mut self, record: Option<&ChainRecord>) -> Next {
        let none = State::Successor(Outcome::NoChain);
        let State::Successor(outcome) = std::mem::replace(&mut self.state, none) else {
            return self.done(Outcome::NoChain);
        };
        let ours = record.is_some_and(|record| stop_at(&self.identity, record).is_none());
        match (outcome, record) {
            (Outcome::Found(_), Some(_)) if ours => self.enter_next(None),
            (Outcome::Stop(stop), Some(_)) => {
                if !matches!(stop, Stop::ForeignIdentity(_)) {
                    self.first.get_or_insert((self.generation, stop));
                }
                self.enter_next(None)
            }
            (Outcome::Stop(stop), None) if stop.is_recreated() && self.new_chains => {
                self.enter_next(self.genesis.clone())
            }
            (outcome, _) => self.done(outcome),
        }
    }

    fn done(&mut self, outcome: Outcome) -> Next {
        let generation = self.generation;
        match (outcome, self.first.take()) {
            // A later chain of somebody else is no reason to stop, but what is in our way is.
            (Outcome::Stop(Stop::ForeignIdentity(_)), Some((generation, stop))) => {
                Next::Done { generation, outcome: Outcome::Stop(stop) }
            }
            (outcome, _) => Next::Done { generation, outcome },
        }
    }
}

/// How the chain behind a closed one begins, in the words of its closing seal.
#[must_use]
pub fn behind(close: &CloseMeta) -> Genesis {
    Genesis {
        first: close.next.first,
        suffix: close.next.suffix,
        follows: Some(Follows {
            chain: chain_name(&close.identity, close.generation),
            tip: Some(close.at),
            act: close.next.act.clone(),
        }),
    }
}

/// `topic`, or `topic@2` and so on.
fn chain_name(identity: &Identity, generation: u32) -> String {
    match generation {
        0 | 1 => identity.topic.to_string(),
        later => format!("{}@{later}", identity.topic),
    }
}
