//! `kafkatos3 chain skip`: gives up a range of offsets, and says so in the archive for ever.
//!
//! An empty file with a recorded gap takes the chain's next name. Files of the spool that hold
//! offsets of the range go to `quarantine/` before, so that their records are not lost with it.

use std::time::{Duration, Instant};

use super::scene::{Local, Scene, Standing, View, files_text, line, local_files};
use super::{ChainCommand, Failure, Plan, act, agreed, tell};
use crate::chain::Position;
use crate::chain::locate::{Hints, Outcome};
use crate::cli::Exit;
use crate::config::Config;
use crate::spool::stage::{Compressed, Rotated};
use crate::spool::tips::{self, TipFile};
use crate::spool::{PartitionLock, SpoolPartition, Stage, StopKind, Taken, stops};
use crate::types::Offset;
use crate::worker::operator::{self, Ended, Skip};

/// How long an uploader may keep a partition's lock, or a compressor a file.
const PATIENCE: Duration = Duration::from_mins(1);
/// How often it is tried meanwhile.
const AGAIN: Duration = Duration::from_millis(100);

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Deed {
    at: Position,
    to: Offset,
}

/// Decides, and says so; an error is what is wrong with the wish.
fn plan(view: &View, wish: Option<Offset>) -> Result<Plan<Deed>, Failure> {
    let mut text = view.title();
    let nothing = |mut text: String, why: &str| {
        line(&mut text, "so", why);
        Ok(Plan { text, deed: None })
    };
    let at = match &view.standing {
        Standing::Open(at) => *at,
        Standing::Stopped(_) => {
            return nothing(text, "skipping is no answer to this; try chain new");
        }
        Standing::None => return nothing(text, "nothing to skip"),
    };
    let to = match wish.map_or_else(|| in_the_way(view, at.tip), |to| Ok(Some(to)))? {
        Some(to) if to > at.tip => to,
        Some(to) => return nothing(text, &format!("nothing to do: the chain has passed {to}")),
        None => {
            return nothing(text, "nothing stands in the way; --to OFFSET would skip up to there");
        }
    };
    let (start, end) = view.log;
    if to > end {
        let what = format!(
            "{}: --to {to} lies behind the end of Kafka's log, {end}: records to come would be lost",
            view.tp
        );
        return Err(Failure::new(Exit::Usage, &what));
    }
    let from = at.tip;
    line(
        &mut text,
        "skips",
        &format!("offsets [{from}, {to}) of {}, as a recorded gap", view.chain),
    );
    let has = if from.max(start) < to {
        format!("Kafka still has [{}, {to}), but they are not archived ever", from.max(start))
    } else {
        "Kafka no longer has them either".to_owned()
    };
    line(&mut text, "lost", &has);
    let kept = files_text(view.local_in(from, to));
    let kept = kept.map_or_else(
        || "nothing of it is in the spool".to_owned(),
        |files| format!("{files}: moved to quarantine/"),
    );
    line(&mut text, "kept", &kept);
    Ok(Plan { text, deed: Some(Deed { at, to }) })
}

/// The end of what the stop note is about.
fn in_the_way(view: &View, tip: Offset) -> Result<Option<Offset>, Failure> {
    let Some(note) = &view.note else { return Ok(None) };
    let Some((from, to)) = note.range else { return Ok(None) };
    match note.kind {
        StopKind::UnreadableRecord | StopKind::RefusedObject | StopKind::Gap if tip < from => {
            let what = format!(
                "{}: offsets [{tip}, {from}) before it are not archived yet: wait until they are, \
                 or give them up as well by --to {to}",
                view.tp
            );
            Err(Failure::new(Exit::TryAgain, &what))
        }
        StopKind::UnreadableRecord | StopKind::RefusedObject => Ok(Some(to)),
        StopKind::Gap => Ok(Some(to.max(view.log.0))),
        _ => Ok(None),
    }
}

/// Looks, asks, and does it.
pub(super) fn run(
    command: &ChainCommand,
    config: &Config,
    to: Option<Offset>,
) -> Result<(), Failure> {
    let runtime = super::runtime()?;
    runtime.block_on(async {
        let scene = Scene::look(command, config).await?;
        let plans: Result<Vec<_>, _> = scene.views.iter().map(|view| plan(view, to)).collect();
        let plans = plans?;
        if !agreed(command, &plans)? {
            return Ok(());
        }
        for (view, plan) in scene.views.iter().zip(plans) {
            if let Some(deed) = plan.deed {
                let why = view.note.as_ref().map_or("", |note| &note.reason);
                let skip = Skip {
                    identity: view.identity.clone(),
                    position: deed.at,
                    to: deed.to,
                    act: act(command, why),
                    mak: config.consumer.mak_version,
                };
                carry_out(&scene, view, &skip).await?;
                let said = format!("{}: skipped [{}, {})\n", view.tp, deed.at.tip, deed.to);
                tell(&mut std::io::stdout(), &said)?;
            }
        }
        Ok(())
    })
}

/// Nobody of this spool publishes meanwhile; others meet the new file, or are faster.
async fn carry_out(scene: &Scene, view: &View, skip: &Skip) -> Result<(), Failure> {
    let partition = SpoolPartition::of(&view.tp);
    let lock = lock(scene, &partition).await?;
    let hints = Hints { seen: Some(skip.position), committed: Some(skip.position) };
    let found = scene.io.locate(&view.identity, &hints, None).await?;
    let now = match found.outcome {
        Outcome::Found(now) if found.chain == view.chain && now.tip == skip.position.tip => now,
        _ => return Err(moved(view)),
    };
    let skip = Skip { position: now, ..skip.clone() };
    set_aside(scene, &partition, &skip).await?;
    match operator::skip(&scene.io, &view.chain, &skip).await? {
        Ended::Done(position) => {
            let archive = scene.io.store().url();
            tips::write(
                &scene.spool,
                &lock,
                TipFile::new(view.identity.clone(), archive, position),
            )?;
            Ok(stops::clear(&scene.spool, &partition)?)
        }
        Ended::Moved => Err(moved(view)),
    }
}

fn moved(view: &View) -> Failure {
    let what = format!("{}: its chain went on meanwhile; look again", view.tp);
    Failure::new(Exit::TryAgain, &what)
}

async fn lock(scene: &Scene, partition: &SpoolPartition) -> Result<PartitionLock, Failure> {
    let give_up = Instant::now() + PATIENCE;
    loop {
        match PartitionLock::take(&scene.spool, partition)? {
            Taken::Ours(lock) => return Ok(lock),
            Taken::Busy | Taken::Gone if Instant::now() < give_up => {
                tokio::time::sleep(AGAIN).await;
            }
            Taken::Busy | Taken::Gone => {
                let what = format!("{partition}: an uploader is at work on it; try again");
                return Err(Failure::new(Exit::TryAgain, &what));
            }
        }
    }
}

/// Moves all files with offsets of the range to `quarantine/`: looked for again until there is none,
/// for a compressor may just be packing one.
async fn set_aside(scene: &Scene, partition: &SpoolPartition, skip: &Skip) -> Result<(), Failure> {
    let (from, to) = (skip.position.tip, skip.to);
    let why =
        format!("offsets [{from}, {to}) were skipped by {}: {}", skip.act.by(), skip.act.why());
    let give_up = Instant::now() + PATIENCE;
    loop {
        let files = local_files(&scene.spool, partition)?;
        let mut left = files.iter().filter(|file| file.overlaps(from, to)).peekable();
        if left.peek().is_none() {
            return Ok(());
        }
        for Local { stage, name, .. } in left {
            if *stage == Stage::Rotated {
                if let Taken::Ours(file) = Rotated::claim(&scene.spool, name)? {
                    file.set_aside(&why)?;
                }
            } else if let Taken::Ours(file) = Compressed::claim(&scene.spool, name)? {
                file.set_aside(&why)?;
            }
        }
        if Instant::now() >= give_up {
            let what = format!("{partition}: somebody is at work on its files; try again");
            return Err(Failure::new(Exit::TryAgain, &what));
        }
        tokio::time::sleep(AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::testing::{at, view};
    use super::*;
    use crate::spool::Stopped;

    fn stopped(kind: StopKind, from: u64, to: u64) -> View {
        let mut view = view(100);
        view.note = Some(Stopped::new(&view.tp, kind, "x").about(at(from), at(to)));
        view
    }

    fn skips(view: &View, to: Option<u64>) -> Result<Option<u64>, Exit> {
        let planned = plan(view, to.map(at)).map_err(|failure| failure.exit)?;
        Ok(planned.deed.map(|deed| deed.to.get()))
    }

    #[test]
    fn what_stands_in_the_way_is_skipped_once_it_is_next() {
        let kinds = [StopKind::UnreadableRecord, StopKind::RefusedObject, StopKind::Gap];
        for kind in kinds {
            assert_eq!(skips(&stopped(kind, 100, 110), None), Ok(Some(110)));
            assert_eq!(skips(&stopped(kind, 120, 121), None), Err(Exit::TryAgain));
            assert_eq!(skips(&stopped(kind, 120, 121), Some(121)), Ok(Some(121)));
        }
        assert_eq!(skips(&stopped(StopKind::RefusedObject, 80, 100), None), Ok(None), "passed");
        assert_eq!(skips(&stopped(StopKind::Truncated, 80, 100), None), Ok(None));
        assert_eq!(skips(&view(100), None), Ok(None));
    }

    #[test]
    fn a_gap_goes_up_to_where_the_log_begins_now() {
        let view = View { log: (at(140), at(150)), ..stopped(StopKind::Gap, 100, 110) };
        assert_eq!(skips(&view, None), Ok(Some(140)));
    }

    #[test]
    fn nothing_is_skipped_twice_or_before_it_comes() {
        assert_eq!(skips(&view(100), Some(100)), Ok(None));
        assert_eq!(skips(&view(100), Some(150)), Ok(Some(150)));
        assert_eq!(skips(&view(100), Some(151)), Err(Exit::Usage));
        let text = plan(&view(100), Some(at(105))).ok().unwrap().text;
        assert!(text.contains("Kafka still has [100, 105)"), "{text}");
        assert!(text.contains("1 file of the spool") && text.contains("quarantine/"), "{text}");
    }
}
