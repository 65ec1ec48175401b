//! The threads behind an open archive: one that talks to the store, and a few that unpack.
//!
//! So fetching, unpacking and whatever the caller does with records go on at the same time, and a
//! caller needs no runtime of any particular kind: answers come through channels. The threads end
//! when the last user of the archive is gone.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, OnceLock};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::codec::{AvroHead, FRAME_TARGET, FrameCodec, Tail};
use crate::types::Suffix;

/// More threads than this would only wait for the one that reads the records.
const MOST_UNPACKERS: usize = 4;
/// How many buffers of read batches are kept for the next ones.
const SPARES: usize = 8;
/// Bytes of a buffer: nearly every frame fits.
const SPARE: usize = FRAME_TARGET + FRAME_TARGET / 4;

/// What an unpacking thread keeps from job to job.
#[derive(Debug, Default)]
pub(super) struct Bench {
    codecs: BTreeMap<Suffix, FrameCodec>,
    /// Of the last Avro file, for they differ.
    avro: Option<(AvroHead, FrameCodec)>,
}

impl Bench {
    fn by_suffix(&mut self, suffix: Suffix) -> &mut FrameCodec {
        self.codecs.entry(suffix).or_insert_with(|| FrameCodec::for_suffix(suffix))
    }

    /// What unpacks the frames of a file.
    pub(super) fn codec(&mut self, tail: &Tail, suffix: Suffix) -> &mut FrameCodec {
        let Some(head) = &tail.avro else {
            return self.by_suffix(suffix);
        };
        if self.avro.as_ref().is_none_or(|(of, _)| of != head) {
            self.avro = None;
        }
        let (_, codec) =
            self.avro.get_or_insert_with(|| (head.clone(), FrameCodec::of_avro(head.clone())));
        codec
    }
}

type Job = Box<dyn FnOnce(&mut Bench) + Send>;

/// The threads. Cheap to clone; the last clone ends them.
#[derive(Debug, Clone)]
pub(super) struct Engine(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    handle: Handle,
    unpackers: OnceLock<Sender<Job>>,
    spares: (Sender<Vec<u8>>, Receiver<Vec<u8>>),
    /// Ends the store's thread when it is dropped.
    _end: oneshot::Sender<()>,
}

impl Engine {
    /// Starts the thread that talks to the store.
    pub(super) fn start() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel();
        let run = move || {
            // Dropped, not sent: an error is all that ever comes.
            let _ = runtime.block_on(ended);
        };
        thread::Builder::new().name("archive-store".to_owned()).spawn(run)?;
        let spares = bounded(SPARES);
        Ok(Self(Arc::new(Inner { handle, unpackers: OnceLock::new(), spares, _end: end })))
    }

    /// Runs `future` beside everything else; it is dropped half-way if the engine ends first.
    pub(super) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.0.handle.spawn(future);
    }

    /// Runs `future` on the store's thread and waits for its end; `None` if there was none.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.spawn(async move {
            // Nobody waits any more: then there is no need for it.
            let _ = answer.send(future.await);
        });
        answered.await.ok()
    }

    /// Has `job` done by one of the unpacking threads.
    pub(super) fn unpack(&self, job: impl FnOnce(&mut Bench) + Send + 'static) {
        let unpackers = self.0.unpackers.get_or_init(start_unpackers);
        // Without a thread the job is dropped, and whoever waits for it is told by that.
        let _ = unpackers.send(Box::new(job));
    }

    /// Has `job` done by one of them and waits for what it gives; `None` if it gave nothing.
    pub(super) async fn worked<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.unpack(move |_| {
            // Nobody may wait any more.
            let _ = answer.send(job());
        });
        answered.await.ok()
    }

    /// A buffer that was used before, or a new one.
    pub(super) fn spare(&self) -> Vec<u8> {
        self.0.spares.1.try_recv().unwrap_or_else(|_| Vec::with_capacity(SPARE))
    }

    /// Keeps a buffer, if there is room and it is none of the few that are larger.
    pub(super) fn keep(&self, buffer: Vec<u8>) {
        if buffer.capacity() <= SPARE {
            // What there is no room for is freed.
            let _ = self.0.spares.0.try_send(buffer);
        }
    }
}

fn start_unpackers() -> Sender<Job> {
    let (jobs, wanted) = unbounded::<Job>();
    let count = thread::available_parallelism().map_or(1, usize::from).min(MOST_UNPACKERS);
    for number in 0..count {
        let wanted = wanted.clone();
        let run = move || {
            let mut bench = Bench::default();
            wanted.iter().for_each(|job| job(&mut bench));
        };
        let name = format!("archive-unpack-{number}");
        if let Err(error) = thread::Builder::new().name(name).spawn(run) {
            log::warn!("can't start a thread to unpack with: {error}");
        }
    }
    jobs
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use std::sync::mpsc;

    #[test]
    fn answers_come_without_a_runtime_of_ones_own() {
        let engine = Engine::start().unwrap();
        let (done, wait) = mpsc::channel();
        let two = engine.clone();
        engine.spawn(async move {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            two.unpack(move |bench| {
                let kind = bench.by_suffix(Suffix::MakGz).kind();
                done.send(kind).unwrap();
            });
        });
        assert_eq!(wait.recv().unwrap(), Suffix::MakGz.into());
    }

    #[test]
    fn what_runs_ends_with_the_engine() {
        let engine = Engine::start().unwrap();
        let (kept, dropped) = mpsc::channel::<()>();
        engine.spawn(async move {
            std::future::pending::<()>().await;
            drop(kept);
        });
        assert!(engine.run(async { 7 }).now_or_never().is_none_or(|seven| seven == Some(7)));
        drop(engine);
        // The sender goes when the task does.
        assert!(dropped.recv().is_err());
    }
}
