//! Reads a stream of either version, record by record, in bounded memory.

use std::io::{BufRead, Read};

use super::v2::{BlockHead, Cursor, Finish, Fixed, HEAD_LEN, Kind, Sequence};
use super::{FileHeader, Headers, LARGEST_BLOCK, LARGEST_HEADER, MakError, Record, StartTime, v1};
use crate::types::{Offset, Partition, TopicName};

/// The most that is allocated before the bytes for it have been seen.
const STEP: usize = 1 << 20;

/// Header of a file of either version.
#[derive(Debug, Clone)]
pub enum Header {
    /// Of version 1.
    V1(v1::Header),
    /// Of version 2.
    V2(FileHeader),
}

impl Header {
    /// Version of the format.
    #[must_use]
    pub const fn version(&self) -> u8 {
        match self {
            Self::V1(_) => 1,
            Self::V2(_) => 2,
        }
    }

    /// The topic.
    #[must_use]
    pub const fn topic(&self) -> &TopicName {
        match self {
            Self::V1(header) => &header.topic,
            Self::V2(header) => &header.identity.topic,
        }
    }

    /// The partition.
    #[must_use]
    pub const fn partition(&self) -> Partition {
        match self {
            Self::V1(header) => header.partition,
            Self::V2(header) => header.identity.partition,
        }
    }

    /// The first offset that the file covers.
    #[must_use]
    pub const fn start(&self) -> Offset {
        match self {
            Self::V1(header) => header.start,
            Self::V2(header) => header.start,
        }
    }

    /// When it was begun.
    #[must_use]
    pub const fn start_time(&self) -> &StartTime {
        match self {
            Self::V1(header) => &header.start_time,
            Self::V2(header) => &header.start_time,
        }
    }
}

/// Blocks of a kind that is not known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassedOver {
    /// Their kind.
    pub kind: u8,
    /// Where the first of them begins.
    pub position: u64,
    /// How many there are.
    pub blocks: u64,
}

/// Reads a MAK file's records, one at a time, each borrowed until the next is asked for.
///
/// Torn or corrupt bytes come as an error behind all the good records; after an error there is
/// nothing more. Unless `Ok(None)` came first, the file was not read to its end.
#[derive(Debug)]
pub struct Reader<R> {
    input: Input<R>,
    header: Header,
    state: State,
}

#[derive(Debug)]
enum State {
    V1(V1),
    V2(Box<V2>),
}

impl<R: BufRead> Reader<R> {
    /// Tells the version by the first four bytes, and reads the header.
    pub fn open(inner: R) -> Result<Self, MakError> {
        let mut input = Input { inner, position: 0 };
        let mut magic = Vec::new();
        input.read(4, &mut magic)?;
        let (header, state) = match magic.as_slice() {
            [b'M', b'A', b'K', 0] => V1::open(&mut input)?,
            [b'M', b'A', b'K', 2] => V2::open(&mut input)?,
            [b'M', b'A', b'K', version] => return Err(MakError::Version(*version)),
            [] => return Err(MakError::Foreign("it is empty")),
            other if b"MAK".starts_with(other) => {
                return Err(MakError::Torn { position: 0, what: "the file's head" });
            }
            _ => return Err(MakError::Foreign("it does not begin with \"MAK\"")),
        };
        Ok(Self { input, header, state })
    }

    /// The file's header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The next record; `None` at the end of a whole file.
    #[inline]
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, MakError> {
        match &mut self.state {
            State::V1(v1) => v1.next_record(&mut self.input),
            State::V2(v2) => v2.next_record(&mut self.input),
        }
    }

    /// What is being read from; it stands behind what was read so far.
    pub fn into_inner(self) -> R {
        self.input.inner
    }

    /// How many bytes have been read.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.input.position
    }

    /// Blocks of unknown kinds that were met so far, a line for each kind.
    #[must_use]
    pub fn passed_over(&self) -> &[PassedOver] {
        match &self.state {
            State::V1(_) => &[],
            State::V2(v2) => &v2.passed_over,
        }
    }

    /// The totals that the file ends with; `None` until they were met, and in version 1.
    #[must_use]
    pub fn finish(&self) -> Option<&Finish> {
        match &self.state {
            State::V1(_) => None,
            State::V2(v2) => v2.finish.as_ref(),
        }
    }
}

/// Bytes with their position.
#[derive(Debug)]
struct Input<R> {
    inner: R,
    position: u64,
}

impl<R: BufRead> Input<R> {
    /// Fills `into` with the next `len` bytes, or with all that there are. Takes at most twice the
    /// memory of what was there, and never more than `len` or [`STEP`].
    fn read(&mut self, len: usize, into: &mut Vec<u8>) -> Result<(), MakError> {
        into.clear();
        while into.len() < len {
            let part = (len - into.len()).min(into.len().max(STEP));
            into.reserve_exact(part);
            let result = (&mut self.inner).take(part as u64).read_to_end(into);
            let read = result.map_err(|source| MakError::Io { position: self.position, source })?;
            self.position += read as u64;
            if read < part {
                break;
            }
        }
        Ok(())
    }

    /// The same, but an error if there are less, or if `len` is more than `limit`; it names `what`,
    /// which begins at `from`.
    fn read_all(
        &mut self,
        len: u64,
        limit: u64,
        into: &mut Vec<u8>,
        from: u64,
        what: &'static str,
    ) -> Result<(), MakError> {
        let too_large = MakError::TooLarge { position: from, what, size: len, limit };
        if len > limit {
            return Err(too_large);
        }
        let len = usize::try_from(len).map_err(|_| too_large)?;
        self.read(len, into)?;
        if into.len() == len { Ok(()) } else { Err(MakError::Torn { position: from, what }) }
    }

    fn read_array<const N: usize>(
        &mut self,
        from: u64,
        what: &'static str,
    ) -> Result<[u8; N], MakError> {
        let mut array = [0; N];
        let mut left = array.as_mut_slice();
        while !left.is_empty() {
            match self.inner.read(left) {
                Ok(0) => return Err(MakError::Torn { position: from, what }),
                Ok(n) => {
                    self.position += n as u64;
                    left = left.get_mut(n..).unwrap_or_default();
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(source) => return Err(MakError::Io { position: self.position, source }),
            }
        }
        Ok(array)
    }

    fn read_u64(&mut self, from: u64, what: &'static str) -> Result<u64, MakError> {
        self.read_array(from, what).map(u64::from_be_bytes)
    }

    fn at_end(&mut self) -> Result<bool, MakError> {
        loop {
            match self.inner.fill_buf() {
                Ok(bytes) => return Ok(bytes.is_empty()),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(source) => return Err(MakError::Io { position: self.position, source }),
            }
        }
    }

    /// Passes over `len` bytes, which the checksum sees.
    fn skip(&mut self, len: u64, crc: &mut crc32fast::Hasher) -> Result<bool, MakError> {
        let mut left = len;
        while left > 0 && !self.at_end()? {
            let bytes = self
                .inner
                .fill_buf()
                .map_err(|source| MakError::Io { position: self.position, source })?;
            let n = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            crc.update(bytes.get(..n).unwrap_or_default());
            self.inner.consume(n);
            self.position += n as u64;
            left -= n as u64;
        }
        Ok(left == 0)
    }
}

/// Reading of version 1.
#[derive(Debug)]
struct V1 {
    end: u64,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl V1 {
    /// Behind the first four bytes.
    fn open<R: BufRead>(input: &mut Input<R>) -> Result<(Header, State), MakError> {
        let head = "the file's head";
        input.read_array::<7>(0, head)?;
        let end = input.read_u64(0, head)?;
        let len = input.read_u64(0, head)?;
        if v1::JSON_AT.checked_add(len).is_none_or(|records| records > end) {
            let what = "the end pointer lies inside the head, or the header's length is wrong";
            return Err(MakError::corrupt(11, what));
        }
        let mut json = Vec::new();
        input.read_all(len, LARGEST_HEADER, &mut json, v1::JSON_AT, "the header")?;
        let header = v1::Header::from_json(&json)
            .map_err(|why| MakError::corrupt(v1::JSON_AT, format!("header: {why}")))?;
        Ok((Header::V1(header), State::V1(Self { end, key: json, value: Vec::new() })))
    }

    fn next_record<R: BufRead>(
        &mut self,
        input: &mut Input<R>,
    ) -> Result<Option<Record<'_>>, MakError> {
        if input.position >= self.end {
            return Ok(None);
        }
        match self.read(input) {
            Ok(offset) => Ok(Some(Record {
                offset,
                timestamp: None,
                key: Some(&self.key),
                value: Some(&self.value),
                headers: Headers::NONE,
            })),
            Err(error) => {
                self.end = 0;
                Err(error)
            }
        }
    }

    fn read<R: BufRead>(&mut self, input: &mut Input<R>) -> Result<Offset, MakError> {
        let from = input.position;
        let straddles = || MakError::corrupt(from, "the record goes beyond the end pointer");
        let what = "the record";
        let mut room = (self.end - from).checked_sub(v1::RECORD_OVERHEAD).ok_or_else(straddles)?;
        let mut limit = LARGEST_BLOCK;
        for part in [&mut self.key, &mut self.value] {
            let len = input.read_u64(from, what)?;
            room = room.checked_sub(len).ok_or_else(straddles)?;
            input.read_all(len, limit, part, from, what)?;
            limit -= len;
        }
        Offset::new(input.read_u64(from, what)?).map_err(|e| MakError::corrupt(from, e.to_string()))
    }
}

/// Reading of version 2.
#[derive(Debug)]
struct V2 {
    sequence: Sequence,
    payload: Vec<u8>,
    block: Option<(Fixed, Cursor)>,
    passed_over: Vec<PassedOver>,
    finish: Option<Finish>,
    failed: bool,
}

impl V2 {
    /// Behind the first four bytes.
    fn open<R: BufRead>(input: &mut Input<R>) -> Result<(Header, State), MakError> {
        let mut new = Self {
            sequence: Sequence::default(),
            payload: Vec::new(),
            block: None,
            passed_over: Vec::new(),
            finish: None,
            failed: false,
        };
        let position = input.position;
        let head = read_head(input, position)?;
        if head.kind != Kind::Header {
            return Err(MakError::corrupt(position, "the first block is not the header"));
        }
        new.read_payload(input, position, &head)?;
        let header = FileHeader::from_json(&new.payload)
            .map_err(|why| MakError::corrupt(position, format!("header: {why}")))?;
        new.sequence.header(header.start).map_err(|what| MakError::corrupt(position, what))?;
        Ok((Header::V2(header), State::V2(Box::new(new))))
    }

    #[inline]
    fn next_record<R: BufRead>(
        &mut self,
        input: &mut Input<R>,
    ) -> Result<Option<Record<'_>>, MakError> {
        if self.failed {
            return Ok(None);
        }
        while !self.block.as_ref().is_some_and(|(_, cursor)| cursor.has_more()) {
            if !self.next_block(input).inspect_err(|_| self.failed = true)? {
                return Ok(None);
            }
        }
        let Some((fixed, cursor)) = &mut self.block else { return Ok(None) };
        cursor.step(&fixed.over(&self.payload)).inspect_err(|_| self.failed = true)
    }

    /// Reads one block; `false` at the end of a whole file.
    fn next_block<R: BufRead>(&mut self, input: &mut Input<R>) -> Result<bool, MakError> {
        if let Some((fixed, mut cursor)) = self.block.take() {
            cursor.step(&fixed.over(&self.payload))?;
        }
        let position = input.position;
        if input.at_end()? {
            return if self.sequence.is_finished() {
                Ok(false)
            } else {
                Err(MakError::Torn { position, what: "the file has no finish block, so it" })
            };
        }
        let refuse = |what| MakError::corrupt(position, what);
        let head = read_head(input, position)?;
        match head.kind {
            Kind::Records => {
                self.read_payload(input, position, &head)?;
                let fixed = Fixed::parse(&self.payload, position)?;
                self.sequence.records_block(fixed.range, fixed.count()).map_err(refuse)?;
                self.block = Some((fixed, Cursor::new(&fixed)));
            }
            Kind::Finish => {
                self.read_payload(input, position, &head)?;
                let finish = Finish::from_payload(&self.payload)
                    .ok_or_else(|| refuse("the finish block does not read"))?;
                self.sequence.finish(&finish).map_err(refuse)?;
                self.finish = Some(finish);
            }
            Kind::Header => return Err(refuse("a second header")),
            Kind::Index | Kind::Meta | Kind::End => skip_payload(input, position, &head)?,
            Kind::Other(kind) => {
                skip_payload(input, position, &head)?;
                self.sequence.other(head.kind).map_err(refuse)?;
                self.note(kind, position);
            }
        }
        Ok(true)
    }

    fn read_payload<R: BufRead>(
        &mut self,
        input: &mut Input<R>,
        position: u64,
        head: &BlockHead,
    ) -> Result<(), MakError> {
        let limit = match head.kind {
            Kind::Header => LARGEST_HEADER,
            _ => LARGEST_BLOCK,
        };
        let len = head.payload.into();
        input.read_all(len, limit, &mut self.payload, position, "the block")?;
        let mut crc = head.hasher();
        crc.update(&self.payload);
        verify(head, crc, position)
    }

    fn note(&mut self, kind: u8, position: u64) {
        match self.passed_over.iter_mut().find(|known| known.kind == kind) {
            Some(known) => known.blocks += 1,
            None => self.passed_over.push(PassedOver { kind, position, blocks: 1 }),
        }
    }
}

fn read_head<R: BufRead>(input: &mut Input<R>, position: u64) -> Result<BlockHead, MakError> {
    let bytes = input.read_array::<HEAD_LEN>(position, "the block")?;
    BlockHead::parse(bytes).map_err(|what| MakError::corrupt(position, what))
}

fn skip_payload<R: BufRead>(
    input: &mut Input<R>,
    position: u64,
    head: &BlockHead,
) -> Result<(), MakError> {
    let mut crc = head.hasher();
    if !input.skip(head.payload.into(), &mut crc)? {
        return Err(MakError::Torn { position, what: "the block" });
    }
    verify(head, crc, position)
}

fn verify(head: &BlockHead, crc: crc32fast::Hasher, position: u64) -> Result<(), MakError> {
    if head.accepts(crc) {
        Ok(())
    } else {
        Err(MakError::corrupt(position, "the block's checksum is wrong"))
    }
}
