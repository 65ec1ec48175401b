//! A bar on the terminal, if standard error is one.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::archive::Watch;
use crate::status::human::many;

const BODIES: &str = "{bar:16} {bytes} of {total_bytes}, {binary_bytes_per_sec}, {eta} left, {msg}";
const OBJECTS: &str = "{bar:16} {pos} of {len} objects, {eta} left";

/// How far it is: in bytes, or in objects where no bodies are read.
pub(super) struct Bar {
    shown: ProgressBar,
    /// Counts objects, for the message.
    objects: std::sync::atomic::AtomicU64,
    quick: bool,
}

impl Bar {
    pub(super) fn new(quick: bool) -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        let template = if quick { OBJECTS } else { BODIES };
        // It reads; a test says so.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        if io::stderr().is_terminal() {
            bar.enable_steady_tick(Duration::from_millis(200));
        } else {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        Self { shown: bar, objects: std::sync::atomic::AtomicU64::new(0), quick }
    }

    /// Takes it off the screen.
    pub(super) fn done(&self) {
        self.shown.finish_and_clear();
    }
}

impl Watch for Bar {
    fn listed(&self, objects: u64, bytes: u64) {
        self.shown.inc_length(if self.quick { objects } else { bytes });
    }

    fn read(&self, bytes: u64) {
        if !self.quick {
            self.shown.inc(bytes);
        }
    }

    fn looked(&self) {
        let objects = self.objects.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        if self.quick {
            self.shown.inc(1);
        } else if !self.shown.is_hidden() {
            self.shown.set_message(many(objects, "object"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_read() {
        for template in [BODIES, OBJECTS] {
            ProgressStyle::with_template(template).unwrap();
        }
    }
}
