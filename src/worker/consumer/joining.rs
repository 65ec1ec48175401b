//! Waiting for the group: from joining it until it gives out partitions. Pure.
//!
//! That takes as long as the coordinator waits for members that are gone, so after a crash up to
//! `session.timeout.ms`. Nothing is read meanwhile, so it is said.

use std::time::{Duration, Instant};

/// Waiting so long is ordinary; then it is said, and as often again.
const PATIENCE: Duration = Duration::from_secs(10);

/// Since when the group has given nothing.
#[derive(Debug, Default)]
pub(super) struct Joining {
    since: Option<Instant>,
    said: Option<Instant>,
}

impl Joining {
    /// The group was joined, or has taken everything away.
    pub(super) fn begin(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// The group has answered, or was left.
    pub(super) const fn end(&mut self) {
        (self.since, self.said) = (None, None);
    }

    /// For how long, if that is longer than it should be.
    pub(super) fn too_long(&self, now: Instant) -> Option<Duration> {
        let lasts = now.saturating_duration_since(self.since?);
        (lasts >= PATIENCE).then_some(lasts)
    }

    /// For how long, if it is time to say so.
    pub(super) fn due(&mut self, now: Instant) -> Option<Duration> {
        let lasts = self.too_long(now)?;
        if self.said.is_some_and(|said| now.saturating_duration_since(said) < PATIENCE) {
            return None;
        }
        self.said = Some(now);
        Some(lasts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_when_it_lasts_and_not_each_time() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut joining = Joining::default();
        assert_eq!(joining.due(at(99)), None, "nothing was joined");
        joining.begin(at(0));
        // Whoever joins once more waits on.
        joining.begin(at(5));
        assert_eq!((joining.due(at(9)), joining.too_long(at(9))), (None, None));
        let said: Vec<_> = (10..40).filter(|second| joining.due(at(*second)).is_some()).collect();
        assert_eq!(said, [10, 20, 30]);
        assert_eq!(joining.too_long(at(41)), Some(Duration::from_secs(41)));
        joining.end();
        assert_eq!((joining.due(at(60)), joining.too_long(at(60))), (None, None));
        joining.begin(at(61));
        assert_eq!(joining.due(at(71)), Some(Duration::from_secs(10)));
    }
}
