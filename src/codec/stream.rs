//! Whole streams, unpacked from front to back, whoever packed them.
//!
//! For pipes and for files without a tail of ours: any gzip or zstd stream will do. What is
//! seekable is better read by its index.

use std::io::{self, BufRead, Read};

use super::Kind;

/// Tells by its first bytes what `input` is, and unpacks it. A plain one comes as it is, its tail
/// included.
pub fn unpack<'a>(mut input: impl BufRead + 'a) -> io::Result<(Kind, Box<dyn Read + 'a>)> {
    let mut head = Vec::new();
    input.by_ref().take(4).read_to_end(&mut head)?;
    let kind = Kind::detect(&head)?;
    let input = io::Cursor::new(head).chain(input);
    let output: Box<dyn Read + 'a> = match kind {
        Kind::Plain | Kind::Lines | Kind::Avro => Box::new(input),
        Kind::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        Kind::Zstd => Box::new(::zstd::stream::read::Decoder::with_buffer(input)?),
    };
    Ok((kind, output))
}
