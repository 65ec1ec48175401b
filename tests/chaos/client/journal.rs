//! What became of the records, in runs: one line for as many as follow each other.
//!
//! | line | meaning |
//! |---|---|
//! | `A TOPIC LIFE PARTITION SEQ COUNT OFFSET` | acknowledged: SEQ at OFFSET, SEQ + 1 at OFFSET + 1, ... |
//! | `M TOPIC LIFE PARTITION SEQ COUNT` | not acknowledged: each of them is in Kafka or not |

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

/// Records of one stream that go on from each other.
#[derive(Debug, Clone, Copy)]
struct Run {
    seq: u64,
    count: u64,
    /// `None` if they were not acknowledged.
    offset: Option<i64>,
}

impl Run {
    fn takes(&self, seq: u64, offset: Option<i64>) -> bool {
        let follows = match (self.offset, offset) {
            (None, None) => true,
            (Some(first), Some(offset)) => i64::try_from(self.count) == Ok(offset - first),
            _ => false,
        };
        seq == self.seq + self.count && follows
    }
}

/// The journal, with the run of each stream that may still grow.
pub(crate) struct Journal {
    file: BufWriter<File>,
    /// Name of the stream, as it stands in the lines, and its open run.
    open: Vec<(String, Option<Run>)>,
}

impl Journal {
    /// An empty one.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: BufWriter::new(File::create(path)?), open: Vec::new() })
    }

    /// The next stream's number is the number of those before.
    pub(crate) fn add_stream(&mut self, name: String) {
        self.open.push((name, None));
    }

    /// A record's fate.
    pub(crate) fn note(&mut self, stream: usize, seq: u64, offset: Option<i64>) {
        if let Some(run) = &mut self.open[stream].1
            && run.takes(seq, offset)
        {
            run.count += 1;
            return;
        }
        self.close(stream);
        self.open[stream].1 = Some(Run { seq, count: 1, offset });
    }

    /// Everything noted so far is in the file afterwards.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        for stream in 0..self.open.len() {
            self.close(stream);
        }
        self.file.flush()
    }

    fn close(&mut self, stream: usize) {
        let (name, open) = &mut self.open[stream];
        if let Some(Run { seq, count, offset }) = open.take() {
            match offset {
                Some(offset) => writeln!(self.file, "A {name} {seq} {count} {offset}"),
                None => writeln!(self.file, "M {name} {seq} {count}"),
            }
            .expect("write the journal");
        }
    }
}
