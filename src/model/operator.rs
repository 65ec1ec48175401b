//! The operator's ways out as the model has them: `kafkatos3 chain new` and `chain skip`, which
//! find the tip, and then create one object under the next name. Whoever is faster takes it; an
//! operator who was not has changed nothing. So each is one step, at the tip that there is, whenever
//! it happens to come through.

use super::archive::{Archive, Fate, Object};
use super::broker::Broker;
use super::consumer::{Named, answer};
use super::shared::Shared;
use super::world::Step;
use super::{Say, Setting, Variant};
use crate::chain::Position;
use crate::chain::close::{CloseStep, Closer};
use crate::chain::locate::{Hints, Outcome};
use crate::chain::succession::{Next, Search, behind};
use crate::meta::{Act, ChainRecord, CloseMeta, FileMeta, Gap, GapReason, ObjectMeta, Succession};
use crate::types::{Offset, OffsetRange, Suffix, WriterToken};

/// How files of the next chain are to be packed: otherwise than any chain begins with.
const CONFIGURED: Suffix = Suffix::Mak;
const TOKEN: WriterToken = WriterToken(99);

/// Where the operator finds the end of the topic's last chain.
fn find(archive: &Archive, setting: &Setting) -> Option<Position> {
    let mut archive = Shared::new(archive.clone());
    let mut search = Search::new(setting.identity.clone(), Hints::default(), None, false);
    let mut next = search.start();
    loop {
        match next {
            Next::Done { outcome: Outcome::Found(position), .. } => return Some(position),
            Next::Done { .. } => return None,
            Next::Ask(question) => {
                let (fate, variant) = (Fate::Answered, Variant::None);
                let said = answer(question, fate, variant, &mut archive, &mut |_| {});
                next = search.feed(said?);
            }
        }
    }
}

/// Closing the first chain: the next begins at the tip, or from the beginning.
pub(super) fn new_chains(archive: &Archive, setting: &Setting, steps: &mut Vec<Step>) {
    let Some(at) = find(archive, setting).filter(|at| at.generation == 1) else { return };
    for first in [at.tip, Offset::ZERO] {
        for begins in [false, true] {
            let step = Step::NewChain { first, begins };
            if !steps.contains(&step) {
                steps.push(step);
            }
        }
    }
}

/// Giving up the next offset.
pub(super) fn skips(archive: &Archive, broker: &Broker, setting: &Setting, steps: &mut Vec<Step>) {
    let tip = find(archive, setting).map(|at| at.tip);
    steps.extend(tip.filter(|tip| *tip < broker.log_end).map(|tip| Step::Skip(tip.after())));
}

/// `chain new`; if it does not begin the next chain, it died before it could.
pub(super) fn close(
    archive: &mut Archive,
    first: Offset,
    begins: bool,
    setting: &Setting,
    variant: Variant,
    say: Say<'_>,
) {
    let Some(at) = find(archive, setting) else { return };
    let next = Succession { first, suffix: CONFIGURED, act: Act::new("o", 0, "") };
    let closer = Closer::new(setting.identity.clone(), at, next, TOKEN);
    let CloseStep::Put(seal) = closer.start() else { return };
    if variant != Variant::ClosingWithoutSeal {
        create_seal(archive, at, &seal, say);
    }
    archive.chain_mut(at.generation).closed_at = Some(at.tip);
    if begins {
        say(format_args!("begins the next one"));
        let genesis = behind(&seal);
        let record = ChainRecord {
            layout: 1,
            identity: seal.identity,
            first,
            suffix: genesis.suffix,
            follows: genesis.follows,
        };
        let object = Object::Record(record);
        archive.create(at.generation + 1, object, Fate::Answered, Variant::None);
    }
}

fn create_seal(archive: &mut Archive, at: Position, seal: &CloseMeta, say: Say<'_>) {
    let (slot, first) = (at.slot(), seal.next.first);
    say(format_args!("closes the chain at {}; the next one begins at {first}", Named(slot)));
    let object = Object::At(slot, ObjectMeta::Close(seal.clone()));
    archive.create(at.generation, object, Fate::Answered, Variant::None);
}

/// `chain skip`: an empty file with a gap.
pub(super) fn skip(archive: &mut Archive, to: Offset, setting: &Setting, say: Say<'_>) {
    let Some(at) = find(archive, setting) else { return };
    let Ok(range) = OffsetRange::new(at.tip, to) else { return };
    say(format_args!("skips {range}"));
    let file = FileMeta {
        identity: setting.identity.clone(),
        generation: at.generation,
        first: at.first,
        mak: 2,
        suffix: at.suffix,
        range,
        records: 0,
        bytes: 0,
        times: None,
        gap: Some(Gap { from: at.tip, to, reason: GapReason::Skipped }),
        leader_epoch: None,
        writer: TOKEN,
        act: Some(Act::new("o", 0, "")),
        plain: false,
        totals: None,
    };
    let file = FileMeta { totals: Some(at.totals.with(&file)), ..file };
    let object = Object::At(at.slot(), ObjectMeta::File(file));
    archive.create(at.generation, object, Fate::Answered, Variant::None);
}
