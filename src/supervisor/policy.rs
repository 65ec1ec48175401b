//! How patient the supervisor is. Pure.

use std::time::Duration;

/// Times and counts that decide when a worker is restarted, given up or killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The wait before a worker's first restart; each further one in a row doubles it.
    pub first_wait: Duration,
    /// The longest wait.
    pub longest_wait: Duration,
    /// So many early deaths in a row, and the supervisor gives up: drains all and exits 70.
    pub give_up_after: u32,
    /// A worker that lived so long did not die early, whatever it did. One that reported useful
    /// work did not either.
    pub long_life: Duration,
    /// A worker that is told to stop may take so long beyond what the configuration grants, then it
    /// is killed.
    pub grace: Duration,
    /// A worker that has lived so long counts as come up even if it did not report it.
    pub settle: Duration,
    /// How long a new supervisor waits for the workers of a dead one to go.
    pub orphan_patience: Duration,
}

impl Default for Policy {
    /// Gives up about 50 s after the first of ten deaths in a row.
    fn default() -> Self {
        Self {
            first_wait: Duration::from_millis(100),
            longest_wait: Duration::from_secs(30),
            give_up_after: 10,
            long_life: Duration::from_mins(1),
            grace: Duration::from_secs(10),
            settle: Duration::from_secs(45),
            orphan_patience: Duration::from_secs(30),
        }
    }
}

impl Policy {
    /// The wait after the `deaths`th early death in a row, counted from 1.
    #[must_use]
    pub fn wait(&self, deaths: u32) -> Duration {
        let factor = 1_u32.checked_shl(deaths.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first_wait.saturating_mul(factor).min(self.longest_wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let wait = |deaths| Policy::default().wait(deaths).as_millis();
        assert_eq!(
            [1, 2, 3, 9, 10, 32, 33, u32::MAX].map(wait),
            [100, 200, 400, 25_600, 30_000, 30_000, 30_000, 30_000]
        );
    }
}
