//! Where the partitions end in Kafka, asked now and then for the status: by a thread of its own, so
//! that neither records nor the search for positions wait for the answer.

use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use super::ASK;
use crate::kafka::{Admin, Spec};
use crate::types::{Isolation, Offset, TopicPartition};
use crate::worker::Exit;

/// How often the ends are asked for.
const EVERY: Duration = Duration::from_secs(10);
/// And how much more seldom for each partition: one request has them all.
const EVERY_MORE: Duration = Duration::from_millis(5);

/// An answer.
#[derive(Debug)]
pub(super) enum Ends {
    /// Those that the broker told.
    Known(Vec<(TopicPartition, Offset)>),
    /// It told none.
    Unknown(String),
}

/// The thread that asks; it ends with this.
#[derive(Debug)]
pub(super) struct EndsOf {
    questions: Sender<Vec<TopicPartition>>,
    answers: Receiver<Ends>,
    waiting: bool,
}

impl EndsOf {
    /// Starts the thread.
    pub(super) fn start(admin: Admin, isolation: Isolation) -> Result<Self, Exit> {
        let (questions, asked) = mpsc::channel::<Vec<TopicPartition>>();
        let (answering, answers) = mpsc::channel();
        let answer = move || {
            while let Ok(partitions) = asked.recv() {
                if answering.send(ask(&admin, isolation, partitions)).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new()
            .name("ends".to_owned())
            .spawn(answer)
            .map_err(|e| Exit::internal(&format!("can't start a thread: {e}")))?;
        Ok(Self { questions, answers, waiting: false })
    }

    /// Asks for the ends of `partitions`, unless an answer is awaited.
    pub(super) fn ask(&mut self, partitions: Vec<TopicPartition>) {
        if !self.waiting {
            self.waiting = self.questions.send(partitions).is_ok();
        }
    }

    /// The answer, once it is there.
    pub(super) fn answer(&mut self) -> Option<Ends> {
        let answer = self.answers.try_recv().ok();
        self.waiting &= answer.is_none();
        answer
    }
}

/// How long to leave so many partitions alone.
pub(super) fn every(partitions: usize) -> Duration {
    EVERY + EVERY_MORE * u32::try_from(partitions).unwrap_or(u32::MAX)
}

fn ask(admin: &Admin, isolation: Isolation, partitions: Vec<TopicPartition>) -> Ends {
    let asked: Vec<_> = partitions.into_iter().map(|tp| (tp, Spec::Latest)).collect();
    match admin.list_offsets(&asked, isolation, ASK) {
        Ok(ends) => {
            Ends::Known(ends.into_iter().filter_map(|(tp, end)| Some((tp, end.ok()?))).collect())
        }
        Err(error) => Ends::Unknown(error.to_string()),
    }
}
