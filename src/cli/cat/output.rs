//! Standard output in large pieces.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;

use super::super::Exit;

/// What is gathered before it is written.
const ENOUGH: usize = 256 << 10;

/// Standard output, with a buffer of our own: `Stdout` would look for the ends of lines.
#[derive(Debug)]
pub(super) struct Output {
    file: File,
    buffer: Vec<u8>,
    /// Write after each record.
    unbuffered: bool,
}

impl Output {
    pub(super) fn stdout(unbuffered: bool) -> io::Result<Self> {
        let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Ok(Self { file, buffer: Vec::with_capacity(2 * ENOUGH), unbuffered })
    }

    /// Where to lay down what is printed.
    pub(super) const fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// A record was laid down: writes, if there is enough by now.
    #[inline]
    pub(super) fn record_done(&mut self) -> Result<(), Exit> {
        if self.unbuffered || self.buffer.len() >= ENOUGH { self.flush() } else { Ok(()) }
    }

    /// Writes all that was laid down. A closed pipe ends the command as if all were done.
    pub(super) fn flush(&mut self) -> Result<(), Exit> {
        let written = self.file.write_all(&self.buffer);
        self.buffer.clear();
        self.buffer.shrink_to(2 * ENOUGH);
        written.map_err(|error| {
            if error.kind() == io::ErrorKind::BrokenPipe {
                return Exit::Done;
            }
            // Standard error may be closed, too; the exit code says it as well.
            let _ = writeln!(io::stderr(), "error: can't write the output: {error}");
            Exit::CantCreate
        })
    }
}
