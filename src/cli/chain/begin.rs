//! `kafkatos3 chain new`: the chain is over; the topic's next one begins.
//!
//! A chain that is ours is closed by a seal at its tip. Past something foreign, which leaves no room
//! for a seal, writers are led by the next chain's identity record alone.

use super::scene::{Scene, Standing, View, files_text, line};
use super::{ChainCommand, Failure, From, Plan, act, agreed, tell};
use crate::chain::locate::{Genesis, Hints, Outcome};
use crate::chain::succession::behind;
use crate::chain::{Position, Stop};
use crate::cli::Exit;
use crate::config::Config;
use crate::meta::{Act, Follows, IdentityPart, Succession};
use crate::spool::{SpoolPartition, StopKind, stops};
use crate::store::names::ChainId;
use crate::types::{Offset, Suffix};
use crate::worker::operator::{self, Ended, OperatorError};

/// How often a chain is looked at again whose writers are faster.
const TRIES: u32 = 20;

/// What is wrong with a chain that a new one answers.
#[derive(Debug, Clone, PartialEq)]
enum Trouble {
    /// Writers stop at the chain.
    Stop(Stop),
    /// The broker's log is not the one that was archived; where they part, if that is known.
    Truncated(Option<Offset>),
    /// Nothing, but the operator insists.
    None,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Deed {
    /// Where the chain ends that is closed; none where it can't be.
    closes: Option<Position>,
    /// Where the next one begins.
    first: Offset,
}

fn trouble(view: &View) -> Trouble {
    let truncated = view.note.as_ref().filter(|note| note.kind == StopKind::Truncated);
    match &view.standing {
        Standing::Stopped(stop) => Trouble::Stop(stop.clone()),
        Standing::Open(at) if at.tip > view.log.1 => {
            let known = truncated.and_then(|note| note.range).map(|range| range.0);
            Trouble::Truncated(known)
        }
        Standing::Open(_) => match truncated {
            Some(note) => Trouble::Truncated(note.range.map(|range| range.0)),
            None => Trouble::None,
        },
        Standing::None => Trouble::None,
    }
}

/// Decides, and says so. `ends` is where a chain of somebody else ends, if that was found out.
fn plan(view: &View, ends: Option<Position>, from: Option<From>, force: bool) -> Plan<Deed> {
    let mut text = view.title();
    let trouble = trouble(view);
    let tip = match &view.standing {
        Standing::Open(at) => Some(*at),
        _ => ends,
    };
    if matches!(view.standing, Standing::None) || (trouble == Trouble::None && !force) {
        let hint = match &view.note {
            Some(note) => {
                format!("a new chain is no answer to this; try {}", note.way_out.join(", or "))
            }
            None => "nothing to do".to_owned(),
        };
        line(&mut text, "so", &hint);
        return Plan { text, deed: None };
    }
    let first = first_offset(view, &trouble, tip, from);
    if trouble == Trouble::None && is_just_begun(view, first) {
        let hint = format!("nothing to do: it begins at offset {first}, and holds nothing yet");
        line(&mut text, "so", &hint);
        return Plan { text, deed: None };
    }
    let closes = match view.standing {
        Standing::Open(at) => Some(at),
        _ => None,
    };
    say_kept(&mut text, view, closes, ends);
    line(&mut text, "begins", &format!("{} at offset {first}", next_chain(view)));
    say_cost(&mut text, view, &trouble, tip, first);
    if closes.is_some()
        && let Some(files) = files_text(view.local.iter())
    {
        let kept = "not archived yet: what is not published before the closing goes to quarantine/";
        line(&mut text, "spool", &format!("{files}, {kept}"));
    }
    Plan { text, deed: Some(Deed { closes, first }) }
}

/// Whether a new chain would be what there is: then a command that was killed and is given again
/// has done its work.
fn is_just_begun(view: &View, first: Offset) -> bool {
    matches!(&view.standing, Standing::Open(at) if at.totals.files == 0 && at.first == first)
}

fn first_offset(
    view: &View,
    trouble: &Trouble,
    tip: Option<Position>,
    from: Option<From>,
) -> Offset {
    let tip = tip.map(|at| at.tip);
    match (from, trouble) {
        (Some(From::At(offset)), _) => offset,
        (Some(From::Tip), _) | (None, Trouble::None) => tip.unwrap_or(Offset::ZERO),
        // The same topic, with other records left out: it goes on where the other chain ends.
        (None, Trouble::Stop(Stop::ForeignIdentity(d))) if d.what == IdentityPart::Isolation => {
            tip.unwrap_or(Offset::ZERO)
        }
        (None, Trouble::Stop(Stop::ForeignObject { slot: Some(slot), .. })) => slot.start,
        (None, Trouble::Truncated(Some(parts))) => (*parts).min(view.log.1),
        // All that the other topic, cluster or log has.
        (Some(From::Beginning), _) | (None, Trouble::Stop(_) | Trouble::Truncated(None)) => {
            Offset::ZERO
        }
    }
}

fn next_chain(view: &View) -> ChainId {
    view.chain.name().successor().partition(view.chain.partition())
}

fn say_kept(text: &mut String, view: &View, closes: Option<Position>, ends: Option<Position>) {
    let content = |at: &Position| {
        let totals = at.totals;
        format!(
            "[{}, {}), {} records in {} files, {} bytes",
            at.first, at.tip, totals.records, totals.files, totals.bytes
        )
    };
    match (closes, ends) {
        (Some(at), _) => {
            line(
                text,
                "closes",
                &format!("{} at offset {}; it keeps {}", view.chain, at.tip, content(&at)),
            );
        }
        (None, Some(at)) => line(text, "keeps", &format!("{}: {}", view.chain, content(&at))),
        (None, None) => line(text, "keeps", &format!("{} as it is", view.chain)),
    }
}

/// What is in both chains then, and what in none.
fn say_cost(
    text: &mut String,
    view: &View,
    trouble: &Trouble,
    tip: Option<Position>,
    first: Offset,
) {
    let (start, end) = view.log;
    let same_log = match trouble {
        Trouble::Stop(Stop::ForeignIdentity(d)) => d.what == IdentityPart::Isolation,
        _ => true,
    };
    if start > first {
        line(
            text,
            "gap",
            &format!("Kafka no longer has [{first}, {start}); the new chain records it"),
        );
    }
    let Some(tip) = tip.map(|at| at.tip).filter(|_| same_log) else {
        return line(
            text,
            "doubled",
            "nothing: the records are others than those of the chain before",
        );
    };
    match (trouble, first < tip) {
        (Trouble::Truncated(Some(parts)), _) if first >= *parts && first < tip => {
            let what = format!(
                "offsets [{first}, {tip}) are in both chains, as each history has them; no record is"
            );
            line(text, "doubled", &what);
        }
        (_, true) => {
            let what =
                format!("records at offsets [{}, {tip}) may be in both chains", first.max(start));
            line(text, "doubled", &what);
        }
        (_, false) => line(text, "doubled", "nothing"),
    }
    let from = match trouble {
        Trouble::Truncated(Some(parts)) => (*parts).min(tip),
        Trouble::Truncated(None) => Offset::ZERO,
        _ => tip,
    };
    let from = from.max(start);
    let lost = if first > from && end > from {
        format!("what Kafka has at offsets [{from}, {}) is in no chain", first.min(end))
    } else {
        "nothing".to_owned()
    };
    line(text, "lost", &lost);
}

/// Looks, asks, and does it.
pub(super) fn run(
    command: &ChainCommand,
    config: &Config,
    from: Option<From>,
    force: bool,
) -> Result<(), Failure> {
    let runtime = super::runtime()?;
    runtime.block_on(async {
        let scene = Scene::look(command, config).await?;
        let mut plans = Vec::new();
        for view in &scene.views {
            plans.push(plan(view, end_of_another(&scene, view).await?, from, force));
        }
        let agreed = agreed(command, &plans)?;
        for (view, plan) in scene.views.iter().zip(plans) {
            if let Some(deed) = plan.deed.filter(|_| agreed) {
                let why = view.title();
                let act = act(command, why.trim_end().split_once(": ").map_or("", |(_, why)| why));
                let new = carry_out(&scene, view, deed, config.suffix(), act).await?;
                tell(&mut std::io::stdout(), &new)?;
            }
            lift(&scene, view, agreed)?;
        }
        Ok(())
    })
}

/// A note that the new chain answers goes, also one that a command left that was killed.
fn lift(scene: &Scene, view: &View, agreed: bool) -> Result<(), Failure> {
    let partition = SpoolPartition::of(&view.tp);
    let Some(note) = stops::read(&scene.spool, &partition)? else { return Ok(()) };
    let of_older = note.chain.as_ref().is_some_and(|chain| *chain != view.chain.to_string());
    if (agreed && !matches!(view.standing, Standing::None)) || of_older {
        stops::clear(&scene.spool, &partition)?;
    }
    Ok(())
}

/// Where the chain of another identity ends, for what is said of it.
async fn end_of_another(scene: &Scene, view: &View) -> Result<Option<Position>, Failure> {
    let Standing::Stopped(Stop::ForeignIdentity(_)) = &view.standing else { return Ok(None) };
    let Ok(Some(record)) = scene.io.record(&view.chain).await? else { return Ok(None) };
    let found = scene.io.locate(&record.identity, &Hints::default(), None).await?;
    Ok(match found.outcome {
        Outcome::Found(at) if found.chain == view.chain => Some(at),
        _ => None,
    })
}

async fn carry_out(
    scene: &Scene,
    view: &View,
    deed: Deed,
    suffix: Suffix,
    act: Act,
) -> Result<String, Failure> {
    let next = next_chain(view);
    let genesis = match deed.closes {
        Some(at) => close(scene, view, at, deed.first, suffix, &act).await?,
        None => Genesis {
            first: deed.first,
            suffix,
            follows: Some(Follows { chain: view.chain.name().to_string(), tip: None, act }),
        },
    };
    let begun = operator::begin(&scene.io, &next, view.identity.clone(), genesis).await?;
    let (record, ours) = begun.map_err(|what| Failure::new(Exit::Data, &what))?;
    if let Some(differ) = view.identity.disagreement(&record.identity) {
        let what = format!("{next} was begun by somebody else meanwhile: {differ}; look again");
        return Err(Failure::new(Exit::TryAgain, &what));
    }
    let by = if ours { "begun" } else { "was begun already" };
    Ok(format!("{}: {next} {by}, at offset {}\n", view.tp, record.first))
}

/// Closes the chain wherever its writers have got to, and says how the next one begins.
async fn close(
    scene: &Scene,
    view: &View,
    mut at: Position,
    first: Offset,
    suffix: Suffix,
    act: &Act,
) -> Result<Genesis, Failure> {
    let planned = at.tip;
    for _ in 0..TRIES {
        // Begun at the tip, the next chain goes on where this one ends by then.
        let first = if first == planned { at.tip } else { first };
        let next = Succession { first, suffix, act: act.clone() };
        match operator::close(&scene.io, &view.chain, view.identity.clone(), at, next).await? {
            Ended::Done(seal) => return Ok(behind(&seal)),
            Ended::Moved => {}
        }
        let hints = Hints { seen: Some(at), committed: None };
        let found = scene.io.locate(&view.identity, &hints, None).await?;
        match found.outcome {
            Outcome::Found(now) if found.chain == view.chain => at = now,
            _ => break,
        }
    }
    let what = format!("{}: its chain went on meanwhile; look again", view.tp);
    Err(Failure::new(Exit::TryAgain, &what))
}

impl std::convert::From<OperatorError> for Failure {
    fn from(error: OperatorError) -> Self {
        match error {
            OperatorError::Store(error) => error.into(),
            OperatorError::Unconfirmed => Self::new(Exit::Unavailable, &error),
            OperatorError::Stop(_) => Self::new(Exit::TryAgain, &error),
            _ => Self::new(Exit::Internal, &error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::testing::{at, view};
    use super::*;
    use crate::chain::Slot;
    use crate::meta::{Disagreement, Totals};
    use crate::spool::Stopped;

    fn stopped_at(what: IdentityPart) -> View {
        let differ = Disagreement { what, here: "a".to_owned(), there: "b".to_owned() };
        View { standing: Standing::Stopped(Stop::ForeignIdentity(differ)), ..view(100) }
    }

    fn begins(
        view: &View,
        ends: Option<Position>,
        from: Option<From>,
    ) -> (Option<u64>, bool, String) {
        let Plan { text, deed } = plan(view, ends, from, false);
        let closes = deed.is_some_and(|deed| deed.closes.is_some());
        (deed.map(|deed| deed.first.get()), closes, text)
    }

    fn truncated(parts: Option<u64>) -> View {
        let mut view = view(100);
        let note = Stopped::new(&view.tp, StopKind::Truncated, "other history");
        view.note = Some(match parts {
            Some(parts) => note.about(at(parts), at(100)),
            None => note,
        });
        view
    }

    #[test]
    fn a_chain_that_is_well_is_left_alone_unless_forced() {
        assert_eq!(begins(&view(100), None, None).0, None);
        assert_eq!(begins(&view(100), None, Some(From::Beginning)).0, None);
        let deed = plan(&view(100), None, None, true).deed.unwrap();
        assert_eq!((deed.first, deed.closes.is_some()), (at(100), true));
        let mut gap = view(100);
        gap.note = Some(Stopped::new(&gap.tp, StopKind::Gap, "gone"));
        let (first, _, text) = begins(&gap, None, None);
        assert!(first.is_none() && text.contains("chain skip CONFIG t 0"), "{text}");
    }

    #[test]
    fn a_chain_that_was_just_begun_is_not_begun_again() {
        let mut view = view(100);
        let Standing::Open(position) = &mut view.standing else { panic!() };
        (position.first, position.totals) = (at(100), Totals::default());
        let Plan { text, deed } = plan(&view, None, None, true);
        assert!(deed.is_none() && text.contains("nothing to do"), "{text}");
        assert!(plan(&view, None, Some(From::Beginning), true).deed.is_some());
    }

    #[test]
    fn another_topics_or_clusters_chain_is_passed_by_from_0_on() {
        for what in [IdentityPart::TopicId, IdentityPart::Cluster] {
            let (first, closes, text) = begins(&stopped_at(what), None, None);
            assert_eq!((first, closes), (Some(0), false), "{text}");
            assert!(text.contains("Kafka no longer has [0, 20)"), "{text}");
            assert!(text.contains("doubled  nothing"), "{text}");
        }
        let Standing::Open(end) = view(100).standing else { panic!() };
        let (first, _, text) = begins(&stopped_at(IdentityPart::Isolation), Some(end), None);
        assert_eq!(first, Some(100), "{text}");
        assert!(text.contains("100 records in 2 files"), "{text}");
    }

    #[test]
    fn behind_a_foreign_object_the_next_chain_begins_at_it() {
        let slot = Some(Slot { start: at(130), suffix: Suffix::MakGz });
        let stop = Stop::ForeignObject { slot, what: "x".to_owned() };
        let view = View { standing: Standing::Stopped(stop), ..view(100) };
        assert_eq!(begins(&view, None, None).0, Some(130));
    }

    #[test]
    fn a_truncated_chain_is_closed_and_nothing_is_lost_by_default() {
        let (first, closes, text) = begins(&truncated(Some(60)), None, None);
        assert_eq!((first, closes), (Some(60), true));
        assert!(text.contains("offsets [60, 100) are in both chains, as each history"), "{text}");
        assert!(text.contains("lost     nothing"), "{text}");
        assert!(text.contains("7 records, 70 bytes"), "{text}");
        let (first, _, text) = begins(&truncated(None), None, None);
        assert_eq!(first, Some(0));
        assert!(text.contains("records at offsets [20, 100) may be in both"), "{text}");
        let (first, _, text) = begins(&truncated(Some(60)), None, Some(From::Tip));
        assert_eq!(first, Some(100));
        assert!(text.contains("what Kafka has at offsets [60, 100) is in no chain"), "{text}");
        // Even without a note: the log ends before the archive does.
        let (first, closes, _) = begins(&view(160), None, None);
        assert_eq!((first, closes), (Some(0), true));
    }
}
