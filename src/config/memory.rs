//! How `memory_max_bytes` is shared out: among the processes, and within a consumer. Pure.
//!
//! Supervisor, compressors and uploaders take what they need, whatever the load; consumers share
//! the rest. A consumer's share is first its own, program and client; a quarter of the rest are the
//! blocks that are being written, three quarters what was fetched.

use super::typed::Config;
use super::units::ByteSize;

/// What one process of each kind takes.
const SUPERVISOR: ByteSize = ByteSize::mib(16);
const COMPRESSOR: ByteSize = ByteSize::mib(24);
const UPLOADER: ByteSize = ByteSize::mib(24);
/// The least that a consumer works with.
const CONSUMER: ByteSize = ByteSize::mib(40);
/// What of it is the process itself, with its client and its connections.
const CONSUMER_ITSELF: u64 = 24 << 20;
/// What a partition takes beside its block, in our tables and the client's.
const PARTITION: u64 = 6 << 10;

/// How many processes there are of each kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Processes {
    pub(super) consumers: u16,
    pub(super) compressors: u16,
    pub(super) uploaders: u16,
}

impl Processes {
    /// What all take but the consumers.
    fn beside_consumers(self) -> ByteSize {
        SUPERVISOR
            .plus(COMPRESSOR.times(self.compressors.into()))
            .plus(UPLOADER.times(self.uploaders.into()))
    }

    /// The least that they work with.
    pub(super) fn least(self) -> ByteSize {
        self.beside_consumers().plus(CONSUMER.times(self.consumers.into()))
    }
}

/// What one consumer may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumerMemory {
    /// Bytes in all.
    pub whole: u64,
    /// Bytes of it for what was fetched and is not written yet, in the client and in hand.
    pub fetched: u64,
    blocks: u64,
}

impl ConsumerMemory {
    /// As the configuration says.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let processes = Processes {
            consumers: config.consumer.processes,
            compressors: config.compression.workers,
            uploaders: config.upload.workers,
        };
        let rest =
            config.main.memory_max_bytes.get().saturating_sub(processes.beside_consumers().get());
        Self::share(rest / u64::from(processes.consumers.max(1)))
    }

    fn share(whole: u64) -> Self {
        let whole = whole.max(CONSUMER.get());
        let rest = whole - CONSUMER_ITSELF;
        Self { whole, fetched: rest / 4 * 3, blocks: rest / 4 }
    }

    /// Bytes for the block of each of so many partitions. Beyond some thousands nothing is left:
    /// then it is the caller's least that counts.
    #[must_use]
    pub fn block(self, partitions: usize) -> u64 {
        let partitions = u64::try_from(partitions).unwrap_or(u64::MAX).max(1);
        (self.blocks / partitions).saturating_sub(PARTITION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_shares_together_are_the_whole() {
        let processes = Processes { consumers: 2, compressors: 3, uploaders: 1 };
        assert_eq!(processes.least(), ByteSize::mib(16 + 80 + 72 + 24));
        for mib in [40, 41, 100, 192, 4000] {
            let share = ConsumerMemory::share(mib << 20);
            assert!(CONSUMER_ITSELF + share.fetched + share.blocks <= share.whole, "{share:?}");
            for partitions in [0, 1, 8, 1000, 5000] {
                let blocks = share.block(partitions) * partitions as u64;
                assert!(blocks <= share.blocks, "{share:?}, {partitions} partitions");
            }
        }
        let none = ConsumerMemory::share(0);
        assert_eq!(none.whole, CONSUMER.get(), "what is less is refused before");
    }
}
