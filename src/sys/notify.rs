//! What the service manager is told (sd_notify(3)), and how often it wants to hear.
//!
//! Without `NOTIFY_SOCKET` in the environment every call does nothing. A manager that does not
//! listen is no reason to stop: failures are logged once.

use std::cell::Cell;
use std::time::Duration;

use sd_notify::NotifyState;

/// The way to the service manager.
#[derive(Debug)]
pub struct Notifier {
    watchdog: Option<Duration>,
    complained: Cell<bool>,
}

impl Notifier {
    /// As the environment says.
    #[must_use]
    pub fn from_environment() -> Self {
        let watchdog = sd_notify::watchdog_enabled().filter(|interval| !interval.is_zero());
        Self { watchdog, complained: Cell::new(false) }
    }

    /// How often [`Notifier::alive`] is due: half of what the manager asks for.
    #[must_use]
    pub fn alive_every(&self) -> Option<Duration> {
        self.watchdog.map(|interval| interval / 2)
    }

    /// The service works (at first, or again after [`Notifier::reloading`]).
    pub fn ready(&self) {
        self.send(&[NotifyState::Ready]);
    }

    /// The configuration is being read again; [`Notifier::ready`] must follow.
    pub fn reloading(&self) {
        let now = NotifyState::monotonic_usec_now().ok();
        let states: Vec<_> = std::iter::once(NotifyState::Reloading).chain(now).collect();
        self.send(&states);
    }

    /// The service is going down, and may take `at_most` from now.
    pub fn stopping(&self, at_most: Duration) {
        let micros = u32::try_from(at_most.as_micros()).unwrap_or(u32::MAX);
        self.send(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(micros)]);
    }

    /// A line for people.
    pub fn status(&self, text: &str) {
        self.send(&[NotifyState::Status(&text.replace('\n', " "))]);
    }

    /// The service is not stuck.
    pub fn alive(&self) {
        self.send(&[NotifyState::Watchdog]);
    }

    fn send(&self, states: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(states)
            && !self.complained.replace(true)
        {
            log::warn!("the service manager cannot be told anything: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_fed_at_half_its_interval() {
        let notifier = |watchdog| Notifier { watchdog, complained: Cell::new(false) };
        let every = notifier(Some(Duration::from_secs(30))).alive_every();
        assert_eq!(every, Some(Duration::from_secs(15)));
        assert_eq!(notifier(None).alive_every(), None);
    }
}
