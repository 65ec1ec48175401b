//! What happens if nothing goes wrong any more: a fixed order of steps, which from every state
//! has to lead to a complete archive and a commit at its tip.
//!
//! `stateright`'s own `eventually` misses states that go round in a circle; a fixed schedule does
//! not: it reaches the end, or it comes by where it has been, or it has nothing left to do. As it
//! depends on the state alone, whatever it passes on its way to the end needs no looking at again.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use super::Setting;
use super::consumer::Consumer;
use super::variant::Variant;
use super::world::{Step, World};

/// More steps than any way to the end takes.
const LONGEST: usize = 2000;
const SHARDS: u64 = 64;

/// The states from which the end was seen to be reached.
pub(super) struct Schedule {
    good: Vec<Mutex<HashSet<u64>>>,
}

impl Schedule {
    pub(super) fn new() -> Self {
        Self { good: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    fn shard(&self, mark: u64) -> std::sync::MutexGuard<'_, HashSet<u64>> {
        let shard = usize::try_from(mark % SHARDS).unwrap_or(0);
        self.good[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn reaches_end(&self, from: &World, setting: &Setting, variant: Variant) -> bool {
        let mut passed = Vec::new();
        let mut world = from.clone();
        while passed.len() < LONGEST {
            let mark = world.mark();
            if is_end(&world, setting) || self.shard(mark).contains(&mark) {
                for mark in passed {
                    self.shard(mark).insert(mark);
                }
                return true;
            }
            let Some(step) = next(&world, setting) else { return false };
            world.take(step, setting, variant, &mut |_| {});
            passed.push(mark);
        }
        false
    }
}

/// The chain covers the whole log, and the group knows. Who reads no more hears of a next chain only
/// when there is something to publish again: then what counts is the chain that it knows.
fn is_end(world: &World, setting: &Setting) -> bool {
    let owner = world.broker.groups.first().map_or(0, |group| group.owner);
    let group = world.broker.groups.get(setting.group_of(owner));
    let Some(committed) = group.and_then(|group| group.committed) else { return false };
    let Some(noted) = committed.noted else { return false };
    let end = world.broker.log_end;
    let reads = match world.writers.get(owner).map(|writer| &writer.consumer) {
        Some(Consumer::Active(active)) => Some(active.follower.position().generation),
        _ => None,
    };
    let all = world.archive.tip() == Some(end);
    let known = reads == Some(noted.generation) && world.archive.tip_of(noted.generation) == end;
    committed.offset == end && (all || known)
}

/// What the owner of the partition does next: first what it is at, then what it has heard, then
/// reading; it closes its file at the end of the log.
pub(super) fn next(world: &World, setting: &Setting) -> Option<Step> {
    let owner = world.broker.groups.first()?.owner;
    let writer = world.writers.get(owner)?;
    let finding = matches!(writer.consumer, Consumer::Finding(..));
    // What was written for a chain that is over has to go before the consumer can go on.
    let last = world.archive.last();
    let left_over = writer.spool.complete.iter().any(|file| file.generation < last);
    let busy = !finding && (writer.uploader.turn.is_some() || left_over);
    let steps = world.good_steps(setting, owner);
    let mut steps = steps.into_iter();
    let upload = steps.clone().find(|step| matches!(step, Step::Uploader(..)));
    let read = steps.find(|step| matches!(step, Step::Consumer(..)));
    if busy { upload.or(read) } else { read.or(upload) }
}
