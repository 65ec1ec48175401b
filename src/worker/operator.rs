//! What an operator's command does to a chain while workers may be writing it: closes it, begins
//! the next one, gives a range up. Each is one create-if-absent; carried out twice, or cut short
//! anywhere and carried out again, it comes to the same.

use std::io;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::chain_io::ChainIo;
use super::pack::{PackError, Packing, pack};
use crate::chain::close::{CloseStep, Closer};
use crate::chain::locate::Genesis;
use crate::chain::publish::{Action, LocalFile, Publisher};
use crate::chain::{Position, Stop};
use crate::codec::{CodecError, Container, Level, Tail};
use crate::config::MakVersion;
use crate::fail::step;
use crate::format::Layout;
use crate::mak::v2::{self, BlockBuilder, Finish};
use crate::mak::{FileHeader, MakError, StartTime};
use crate::meta::{
    Act, ChainRecord, CloseMeta, FileMeta, Gap, GapReason, Identity, MetaMap, ObjectMeta,
    Succession, Totals,
};
use crate::store::names::ChainId;
use crate::store::{StoreError, ask};
use crate::sys::{SysError, random};
use crate::types::{AvroSchema, Offset, OffsetRange, Suffix, TypeError};

/// How often a create is tried that fails and leaves nothing.
const TRIES: u32 = 5;
/// How long to wait between.
const BETWEEN: Duration = Duration::from_millis(500);

/// Why it could not be done. What was done before is safe to do again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OperatorError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the create was not confirmed, and nothing stands there")]
    Unconfirmed,
    #[error("{0}")]
    Stop(Stop),
    #[error("the empty file can't be made: {0}")]
    Pack(#[from] PackError),
    #[error("the empty file can't be made: {0}")]
    Codec(#[from] CodecError),
    #[error("the empty file can't be made: {0}")]
    Mak(#[from] MakError),
    #[error("the empty file can't be made: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Range(#[from] TypeError),
    #[error(transparent)]
    Sys(#[from] SysError),
}

/// What became of an attempt to change the chain's end.
#[derive(Debug)]
pub(crate) enum Ended<T> {
    /// It is as was wished.
    Done(T),
    /// A writer was faster: the chain has another tip now.
    Moved,
}

/// Closes `chain`, which ends at `position`. After `Done` no file comes behind; the seal that
/// stands there may be another operator's, and counts.
pub(crate) async fn close(
    io: &ChainIo,
    chain: &ChainId,
    identity: Identity,
    position: Position,
    next: Succession,
) -> Result<Ended<CloseMeta>, OperatorError> {
    let mut closer = Closer::new(identity, position, next, random::writer_token()?);
    let mut step = closer.start();
    let mut doubt = None;
    let mut tries = 1;
    loop {
        step = match step {
            CloseStep::Put(close) => {
                let meta = ObjectMeta::Close(*close);
                let step = step!("closing_seal.put");
                doubt = io.put_seal(chain, closer.slot(), &meta, step).await?;
                closer.created(doubt.is_none())
            }
            CloseStep::Head(slot) => closer.seen(io.head(chain, slot).await?),
            CloseStep::Closed(close) => return Ok(Ended::Done(*close)),
            CloseStep::Moved => return Ok(Ended::Moved),
            CloseStep::Stop(foreign) => return Err(OperatorError::Stop(foreign)),
            CloseStep::Retry if tries < TRIES => {
                tries += 1;
                tokio::time::sleep(BETWEEN).await;
                closer.start()
            }
            CloseStep::Retry => {
                return Err(doubt.map_or(OperatorError::Unconfirmed, OperatorError::Store));
            }
        };
    }
}

/// Begins `chain` as `genesis` says, unless it is begun; returns the record that stands there and
/// whether this call made it. The inner error is what is wrong with a record that does not read.
pub(crate) async fn begin(
    io: &ChainIo,
    chain: &ChainId,
    identity: Identity,
    genesis: Genesis,
) -> Result<Result<(ChainRecord, bool), String>, StoreError> {
    let Genesis { first, suffix, follows } = genesis;
    let record = ChainRecord { layout: 1, identity, first, suffix, follows };
    let mut failed = None;
    for _ in 0..TRIES {
        match io.create_record(chain, &record, step!("next_record.put")).await {
            Ok(true) => return Ok(Ok((record, true))),
            Ok(false) => {}
            Err(error) if !error.is_transient() => return Err(error),
            Err(error) => failed = Some(error),
        }
        match io.record(chain).await? {
            Ok(Some(found)) => {
                // The answer to our own create may have been lost.
                let ours = found.follows == record.follows;
                return Ok(Ok((found, ours)));
            }
            Ok(None) => tokio::time::sleep(BETWEEN).await,
            Err(what) => return Ok(Err(what)),
        }
    }
    let name = chain.record().to_string();
    let words = "the create was not confirmed, and nothing stands there".to_owned();
    Err(failed.unwrap_or(StoreError::Unavailable { name, words }))
}

/// What an operator gives up.
#[derive(Debug, Clone)]
pub(crate) struct Skip {
    /// Whose records.
    pub(crate) identity: Identity,
    /// From where on: the chain's end.
    pub(crate) position: Position,
    /// Up to where, exclusive.
    pub(crate) to: Offset,
    /// Who and why.
    pub(crate) act: Act,
    /// The version of MAK that files are written in.
    pub(crate) mak: MakVersion,
}

/// Gives up a range of `chain`: an empty file covers it, which records the gap. Returns where the
/// chain ends then.
pub(crate) async fn skip(
    io: &ChainIo,
    chain: &ChainId,
    skip: &Skip,
) -> Result<Ended<Position>, OperatorError> {
    let suffix = skip.position.suffix;
    let mut empty = EmptyFile::make(skip, suffix)?;
    let mut publisher = Publisher::new(skip.identity.clone(), skip.position, suffix);
    let mut action = publisher.offer(empty.offered());
    let mut doubt = None;
    let mut tries = 1;
    loop {
        action = match action {
            Action::Put { slot, totals } => {
                let (body, map) = empty.object(totals)?;
                let name = chain.object(slot.start, slot.suffix);
                let created = io.store().create(&name, vec![body], &map);
                doubt = ask(step!("skip.put"), created).await.err();
                publisher.created(doubt.is_none())
            }
            Action::Head(slot) => publisher.seen(io.head(chain, slot).await?),
            Action::Repack(suffix) => {
                empty = EmptyFile::make(skip, suffix)?;
                publisher.offer(empty.offered())
            }
            Action::Published => return Ok(Ended::Done(*publisher.position())),
            Action::Stop(stop) => return Err(OperatorError::Stop(stop)),
            Action::Retry if tries < TRIES => {
                tries += 1;
                tokio::time::sleep(BETWEEN).await;
                publisher.offer(empty.offered())
            }
            Action::Retry => {
                return Err(doubt.map_or(OperatorError::Unconfirmed, OperatorError::Store));
            }
            // A seal is made only where the configured suffix is another: here it is the chain's.
            Action::PutSeal(_)
            | Action::Superseded
            | Action::NotYet
            | Action::Expired
            | Action::Orphaned
            | Action::Closed(_) => return Ok(Ended::Moved),
        };
    }
}

/// A file without a record whose range is one gap.
struct EmptyFile {
    packed: Vec<u8>,
    meta: FileMeta,
}

impl EmptyFile {
    fn make(skip: &Skip, suffix: Suffix) -> Result<Self, OperatorError> {
        let Skip { identity, position, to, act, mak } = skip;
        let range = OffsetRange::new(position.tip, *to)?;
        let header = FileHeader {
            identity: identity.clone(),
            start: range.start(),
            generation: position.generation,
            first: position.first,
            start_time: StartTime::from_system_time(SystemTime::now()),
            gap: Some(Gap { from: range.start(), to: *to, reason: GapReason::Skipped }),
            writer: random::writer_token()?,
        };
        let mut packed = Vec::new();
        let level = Level::new(suffix, None)?;
        let packing =
            Packing { layout: Layout { level, schema: AvroSchema::of(level.suffix()) }, mak: *mak };
        pack(&rotated(&header, *to)?, packing, &mut packed)?;
        let container = Container::parse(suffix, &packed)?;
        match ObjectMeta::from_map(&container.tail().meta) {
            Ok(ObjectMeta::File(meta)) => {
                let meta = FileMeta { act: Some(act.clone()), ..meta };
                Ok(Self { packed, meta })
            }
            _ => Err(OperatorError::Io(io::ErrorKind::InvalidData.into())),
        }
    }

    fn offered(&self) -> LocalFile {
        LocalFile { meta: self.meta.clone(), too_old: false }
    }

    /// The object with the chain's totals in its tail and in its metadata.
    fn object(&self, totals: Totals) -> Result<(Bytes, MetaMap), OperatorError> {
        let suffix = self.meta.suffix;
        let container = Container::parse(suffix, &self.packed)?;
        let meta = FileMeta { totals: Some(totals), ..self.meta.clone() };
        let map = ObjectMeta::File(meta).to_map();
        let tail = Tail { meta: map.clone(), ..container.tail().clone() };
        let (before, behind) = tail.around(suffix)?;
        let bytes = [&before, container.body(), &behind].concat();
        Ok((Bytes::from(bytes), map))
    }
}

/// What a consumer would have handed on: everything up to `to` was read, and there was nothing.
fn rotated(header: &FileHeader, to: Offset) -> Result<Vec<u8>, OperatorError> {
    let mut file = v2::file_prologue(header);
    for slice in BlockBuilder::new(header.start).finish(to)? {
        file.extend_from_slice(&slice);
    }
    let finish = Finish { next: to, records: 0, bytes: 0, times: None, leader_epoch: None };
    file.extend_from_slice(&v2::finish_block(&finish));
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Isolation, Partition, TopicId, TopicName};

    fn identity() -> Identity {
        Identity {
            cluster_id: "c".to_owned(),
            topic: TopicName::new("orders").unwrap(),
            topic_id: TopicId::UNKNOWN,
            partition: Partition::new(3).unwrap(),
            isolation: Isolation::ReadCommitted,
        }
    }

    #[test]
    fn an_empty_file_covers_its_gap_in_every_format() {
        let at = |offset| Offset::new(offset).unwrap();
        for (suffix, mak) in
            Suffix::ALL.into_iter().zip([MakVersion::V2, MakVersion::V1].into_iter().cycle())
        {
            let position = Position { tip: at(7), ..Position::genesis(at(3), suffix) };
            let act = Act::new("anna@host", 5, "the record is poison");
            let skip = Skip { identity: identity(), position, to: at(9), act, mak };
            let file = EmptyFile::make(&skip, suffix).unwrap();
            let totals = Totals::default().with(&file.meta);
            let (bytes, map) = file.object(totals).unwrap();
            let container = Container::parse(suffix, &bytes).unwrap();
            container.verify_body().unwrap();
            assert_eq!(container.tail().meta, map);
            let Ok(ObjectMeta::File(meta)) = ObjectMeta::from_map(&map) else { panic!() };
            assert_eq!((meta.range.start(), meta.range.next(), meta.records), (at(7), at(9), 0));
            let gap = meta.gap.unwrap();
            assert_eq!((gap.from, gap.to, gap.reason), (at(7), at(9), GapReason::Skipped));
            assert_eq!((meta.totals, meta.act), (Some(totals), Some(skip.act)));
        }
    }
}
