//! One file of the original, and its object in the archive.

use std::io::{BufReader, BufWriter, Write as _};
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::remote::RemoteRead;
use super::{BUSY_WAIT, Standing, Takeover};
use crate::fail::step;
use crate::legacy::begin::lies_before;
use crate::legacy::content::{Content, difference};
use crate::legacy::name::{Packing, is_written};
use crate::legacy::scan::Finished;
use crate::meta::MetaMap;
use crate::spool::error::IoExt;
use crate::spool::original::{Original, Scratch};
use crate::spool::{SpoolError, Taken};
use crate::store::names::Name;
use crate::store::{ObjectInfo, StoreError, ask};
use crate::types::OffsetRange;
use crate::worker::backoff::Backoff;
use crate::worker::{Exit, Mapped, in_full, originals};

/// Packed bytes are collected to writes of this size.
const WRITE_BUFFER: usize = 256 << 10;
/// How long a right to write may be missing: it may have been taken by mistake for a moment.
const DENIED_PATIENCE: Duration = Duration::from_mins(2);

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is in the archive now.
    Archived,
    /// It was in the archive before.
    Found,
    /// It is kept in the quarantine.
    Aside,
    /// Somebody else was faster.
    Gone,
    /// It stays, and what comes behind it too: the archive holds another object of its name, or
    /// does not take it.
    Refused,
}

/// How an object came to stand where it should.
enum Published {
    Now,
    Before,
    Refused(String),
}

impl Takeover<'_> {
    /// Archives the file and removes it. After a crash within, it is there, whether or not it is
    /// archived; the next start finds out.
    pub(super) fn archive_one(&self, standing: &Standing, file: &Finished) -> Result<Fate, Exit> {
        let claim = loop {
            match Original::take(&file.path).map_err(Exit::spool)? {
                Taken::Ours(claim) => break claim,
                // Another instance is at it; should it die, it is ours.
                Taken::Busy => self.pause(BUSY_WAIT)?,
                Taken::Gone => return Ok(Fate::Gone),
            }
        };
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
        let (content, body) = loop {
            match self.prepare(standing, file, &claim) {
                Ok(Ok(prepared)) => break prepared,
                Ok(Err(why)) => {
                    self.set_file_aside(file, claim, &why).map_err(Exit::spool)?;
                    return Ok(Fate::Aside);
                }
                Err(error) => {
                    let wait = backoff.next();
                    let (path, error) = (self.shown(&file.path), in_full(&error));
                    log::error!("takeover: {path}: {error}; again in {:.1} s", wait.as_secs_f64());
                    self.pause(wait)?;
                }
            }
        };
        let name = originals::object(&file.name).map_err(Exit::store)?;
        let fate = match self.publish(&name, &body)? {
            Published::Now => Fate::Archived,
            Published::Before => Fate::Found,
            Published::Refused(why) => {
                log::error!(
                    "takeover: {} stays where it is, and the files of {} behind it: {why}",
                    self.shown(&file.path),
                    file.name.tp
                );
                return Ok(Fate::Refused);
            }
        };
        self.say_archived(file, &content, &name, body.len(), fate);
        drop(body);
        Self::remove(file, claim).map_err(Exit::spool)?;
        Ok(fate)
    }

    fn say_archived(
        &self,
        file: &Finished,
        content: &Content,
        name: &Name,
        bytes: usize,
        fate: Fate,
    ) {
        let word = if fate == Fate::Found { "is archived already" } else { "archived" };
        log::info!(
            event = "taken_over", file:% = file.path.display(), object:% = name,
            topic:% = file.name.tp.topic, partition = file.name.tp.partition.get(),
            records = content.records, bytes = bytes;
            "takeover: {} {word} as {name}: {} records up to offset {}, {bytes} bytes",
            self.shown(&file.path),
            content.records,
            content.next().get().saturating_sub(1)
        );
    }

    /// First what gzip had not finished, which would look like a file of its own.
    fn remove(file: &Finished, claim: Original) -> Result<(), SpoolError> {
        let half = file.path.with_added_extension("gz");
        if file.packing == Packing::Plain
            && let Taken::Ours(half) = Original::take(&half)?
        {
            half.remove()?;
        }
        claim.remove()
    }

    /// Reads the file and packs it if need be; or says why it must not be archived.
    fn prepare(
        &self,
        standing: &Standing,
        file: &Finished,
        claim: &Original,
    ) -> Result<Result<(Content, Bytes), String>, SpoolError> {
        let content = match Self::verify(file, claim)? {
            Ok(content) => content,
            Err(why) => return Ok(Err(why)),
        };
        if let Standing::Pinned(first) = standing
            && let Ok(range) = OffsetRange::new(content.start, content.next())
            && !lies_before(range, *first)
        {
            return Ok(Err(format!(
                "the chain of {} begins at {first} and holds, or will hold, what it has from there \
                 on",
                file.name.tp
            )));
        }
        let map = map(claim)?;
        let body = match file.packing {
            Packing::Gzip => Bytes::from_owner(map),
            Packing::Plain => self.pack(&content, &map)?,
        };
        Ok(Ok((content, body)))
    }

    /// Reads the file to its end, and holds it against its name.
    pub(super) fn verify(
        file: &Finished,
        claim: &Original,
    ) -> Result<Result<Content, String>, SpoolError> {
        let map = map(claim)?;
        let name = &file.name;
        let content = match Content::read(&*map) {
            Ok(content) => content,
            Err(why) => return Ok(Err(format!("it does not read: {why}"))),
        };
        if !is_written(&content.tp, &name.tp) || content.start != name.range.start() {
            let (tp, start) = (&content.tp, content.start);
            return Ok(Err(format!("it holds records of {tp} from {start} on")));
        }
        // A plain file may be broken behind what its name promises: it was cut there.
        match &content.broken {
            Some(why) if file.packing == Packing::Gzip || content.next() < name.range.next() => {
                Ok(Err(format!("it does not read to its end: {why}")))
            }
            None if content.next() < name.range.next() => {
                Ok(Err(format!("it ends before offset {}", content.next())))
            }
            _ => Ok(Ok(content)),
        }
    }

    /// As the original's gzip would.
    fn pack(&self, content: &Content, map: &Mapped) -> Result<Bytes, SpoolError> {
        let mut scratch = Scratch::create(&self.spool)?;
        let path = scratch.path().to_owned();
        let out = BufWriter::with_capacity(WRITE_BUFFER, scratch.file());
        let mut gzip = GzEncoder::new(out, Compression::default());
        let pack = || {
            content.copy(&**map, &mut gzip).map_err(std::io::Error::other)?;
            gzip.finish()?.flush()
        };
        step!("original.pack").around(pack).at("pack into", &path)?;
        let packed = Mapped::of(scratch.file()).at("map", &path)?;
        Ok(Bytes::from_owner(packed))
    }

    pub(super) fn set_file_aside(
        &self,
        file: &Finished,
        claim: Original,
        why: &str,
    ) -> Result<(), SpoolError> {
        let name = file.path.file_name().unwrap_or_default().to_string_lossy();
        self.aside(claim, &name, why)
    }

    /// Creates the object, or finds out that it is there. Whatever a create says, what stands there
    /// decides.
    fn publish(&self, name: &Name, body: &Bytes) -> Result<Published, Exit> {
        let mut created = Ok(());
        let (mut tried, began) = (false, Instant::now());
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(30));
        loop {
            let head = self.insist("ask for an object of the original", || {
                Ok(self.runtime.block_on(async {
                    let store = self.originals.store().await?;
                    ask(step!("original.head"), store.head(name)).await
                })?)
            })?;
            if let Some(info) = head {
                return self.compare(name, &info, body, tried);
            }
            if let Err(error) = created {
                if is_refusal(&error, began.elapsed()) {
                    return Ok(Published::Refused(error.to_string()));
                }
                let wait = backoff.next();
                log::warn!("takeover: {error}; again in {:.1} s", wait.as_secs_f64());
                self.pause(wait)?;
            }
            created = self.runtime.block_on(async {
                let store = self.originals.store().await?;
                let meta = MetaMap::new();
                let created = store.create(name, vec![body.clone()], &meta);
                ask(step!("original.put"), created).await
            });
            if created.is_ok() {
                return Ok(Published::Now);
            }
            tried = true;
        }
    }

    /// Whether the object holds the same records.
    fn compare(
        &self,
        name: &Name,
        info: &ObjectInfo,
        body: &Bytes,
        tried: bool,
    ) -> Result<Published, Exit> {
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(30));
        loop {
            let compared = self.runtime.block_on(self.originals.store()).map_err(Exit::store)?;
            let remote = RemoteRead::new(&self.runtime, compared, name, info.size);
            match difference(&**body, BufReader::new(remote)) {
                Ok(None) if tried => return Ok(Published::Now),
                Ok(None) => return Ok(Published::Before),
                Ok(Some(why)) => {
                    let url = compared.url();
                    let why = format!("another object stands at {url}/{name}: {why}");
                    return Ok(Published::Refused(why));
                }
                Err(error) => {
                    let wait = backoff.next();
                    log::warn!("takeover: {name}: {error}; again in {:.1} s", wait.as_secs_f64());
                    self.pause(wait)?;
                }
            }
        }
    }
}

fn map(claim: &Original) -> Result<Mapped, SpoolError> {
    Mapped::of(claim.file()).at("map", claim.path())
}

/// What will be the same the next time.
fn is_refusal(error: &StoreError, tried_for: Duration) -> bool {
    match error {
        StoreError::Other { .. } => true,
        StoreError::Denied { .. } => tried_for >= DENIED_PATIENCE,
        _ => false,
    }
}
