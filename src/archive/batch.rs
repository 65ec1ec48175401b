//! One frame of a file, unpacked: its records, held against what the file's index says of them.
//!
//! Pure: packed bytes in, records out. Whoever fetches the bytes, one frame at a time or many ahead,
//! reads them by this.

use std::sync::Arc;

use super::ArchiveError;
use crate::codec::{CodecError, Frame, FrameCodec, Tail};
use crate::format::{Content, Piece, Spot};
use crate::mak::{Header, MakError, Record, Shown};
use crate::meta::{FileMeta, ObjectMeta};
use crate::store::names::Name;
use crate::types::{Offset, Suffix};

/// What is known of a file, or seal, whose tail was read.
#[derive(Debug)]
pub(super) struct File {
    /// Its name under the archive's URL.
    pub(super) name: Name,
    /// Where it is, for people.
    pub(super) url: String,
    pub(super) suffix: Suffix,
    /// Its length in bytes.
    pub(super) size: u64,
    pub(super) tail: Tail,
    pub(super) meta: ObjectMeta,
    /// How its records are laid down; `None` in a seal.
    pub(super) content: Option<Content>,
}

impl File {
    /// What it says of itself, if it is a data file and no seal.
    pub(super) const fn file(&self) -> Option<&FileMeta> {
        match &self.meta {
            ObjectMeta::File(file) => Some(file),
            ObjectMeta::Seal(_) | ObjectMeta::Close(_) => None,
        }
    }

    /// Where its frames are.
    pub(super) fn frames(&self) -> &[Frame] {
        self.tail.index.frames()
    }

    pub(super) fn disagree(&self, what: impl Into<String>) -> ArchiveError {
        ArchiveError::Disagree { object: self.url.clone(), what: what.into() }
    }

    fn outside(&self, offset: Offset) -> ArchiveError {
        self.disagree(format!("offset {offset} is not in the frame of its index"))
    }

    fn unreadable(&self, source: MakError) -> ArchiveError {
        ArchiveError::Records { object: self.url.clone(), source }
    }

    fn damaged(&self, source: CodecError) -> ArchiveError {
        ArchiveError::Container { object: self.url.clone(), source }
    }

    /// Unpacks frame `index`, whose bytes are `packed`, into `raw`, whatever that holds. `position`
    /// is where the frame begins in the unpacked file.
    pub(super) fn unpack(
        self: &Arc<Self>,
        index: usize,
        position: u64,
        packed: &[u8],
        codec: &mut FrameCodec,
        mut raw: Vec<u8>,
    ) -> Result<Batch, ArchiveError> {
        let corrupt = || self.damaged(CodecError::Corrupt("a frame"));
        let frames = self.frames();
        let (Some(says), Some(file), Some(content)) =
            (frames.get(index), self.file(), &self.content)
        else {
            return Err(corrupt());
        };
        let limit = usize::try_from(says.raw_len).map_err(|_| corrupt())?;
        codec.decompress(packed, limit, &mut raw).map_err(|source| self.damaged(source))?;
        if raw.len() != limit {
            return Err(corrupt());
        }
        let spot = Spot { beginning: index == 0, position, first: says.info.first };
        let piece = Piece::open(content, raw, spot).map_err(|source| self.unreadable(source))?;
        piece.header().map_or(Ok(()), |header| self.check_header(file, header))?;
        let covers_to = frames.get(index + 1).map_or(file.range.next(), |next| next.info.first);
        Ok(Batch { file: Arc::clone(self), piece, says: *says, covers_to })
    }

    fn check_header(&self, file: &FileMeta, header: &Header) -> Result<(), ArchiveError> {
        let agrees = *header.topic() == file.identity.topic
            && header.partition() == file.identity.partition
            && header.start() == file.range.start();
        if agrees {
            return Ok(());
        }
        let (topic, partition) = (header.topic(), header.partition());
        let what = format!("its header is of {topic}-{partition} from {}", header.start());
        Err(self.disagree(what))
    }
}

/// The records of one frame.
#[derive(Debug)]
pub(super) struct Batch {
    file: Arc<File>,
    piece: Piece,
    says: Frame,
    /// Where the offsets that it covers end.
    covers_to: Offset,
}

impl Batch {
    /// Records that end before `next`, of a file that has no index.
    pub(super) const fn without_index(
        file: Arc<File>,
        piece: Piece,
        says: Frame,
        next: Offset,
    ) -> Self {
        Self { file, piece, says, covers_to: next }
    }
}

/// What is left of a batch that was read.
pub(super) struct Read {
    /// How many blocks of kinds that are not known here it held.
    pub(super) passed_over: u64,
    /// Its memory.
    pub(super) bytes: Vec<u8>,
}

impl Batch {
    /// The file that it is of.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Whether its records have times at all.
    pub(super) fn is_dated(&self) -> bool {
        self.file.file().is_none_or(|file| file.mak != 1)
    }

    /// Whether there is another record.
    #[inline]
    pub(super) fn has_more(&mut self) -> Result<bool, ArchiveError> {
        let Self { piece, file, .. } = self;
        piece.has_more().map_err(|source| file.unreadable(source))
    }

    /// Shows one record after the other, for as long as the answer is [`Shown::Next`]. Whether one
    /// was answered otherwise; if not, there is no more.
    #[inline]
    pub(super) fn each(
        &mut self,
        mut show: impl FnMut(Record<'_>) -> Shown,
    ) -> Result<bool, ArchiveError> {
        let Self { piece, file, covers_to, .. } = self;
        let mut outside = None;
        let found = piece.each(|record| {
            if record.offset < *covers_to {
                return show(record);
            }
            outside = Some(record.offset);
            Shown::Last
        });
        match outside {
            Some(offset) => Err(file.outside(offset)),
            None => found.map_err(|source| file.unreadable(source)),
        }
    }

    /// Passes over records for as long as `skip` says so; whether one is left, which is next then.
    #[inline]
    pub(super) fn skip_while(
        &mut self,
        mut skip: impl FnMut(&Record<'_>) -> bool,
    ) -> Result<bool, ArchiveError> {
        self.each(|record| if skip(&record) { Shown::Next } else { Shown::Keep })
    }

    /// The next record; `None` behind the last.
    #[inline]
    pub(super) fn next_record(&mut self) -> Result<Option<Record<'_>>, ArchiveError> {
        let Self { piece, file, covers_to, .. } = self;
        match piece.next_record() {
            Ok(Some(record)) if record.offset >= *covers_to => Err(file.outside(record.offset)),
            Ok(found) => Ok(found),
            Err(source) => Err(file.unreadable(source)),
        }
    }

    /// Leaves a batch that was read to its end, if it held what the index says.
    pub(super) fn close(self) -> Result<Read, ArchiveError> {
        let (found, said) = (self.piece.records(), self.says.info.records);
        if found != u64::from(said) {
            let what = format!("a frame holds {found} records, but {said} in its index");
            return Err(self.file.disagree(what));
        }
        Ok(Read { passed_over: self.piece.passed_over(), bytes: self.piece.into_bytes() })
    }
}
