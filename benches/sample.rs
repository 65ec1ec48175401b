//! Records like those of a web shop's event log, some 200 bytes each; the same for the same seed.

use std::fmt::Write as _;

/// The generator.
pub(crate) struct Events {
    seed: u64,
    time: i64,
    text: String,
}

impl Events {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, time: 1_700_000_000_000, text: String::new() }
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % limit
    }

    /// The time of the next record, and its value.
    pub(crate) fn next(&mut self) -> (i64, &str) {
        const KINDS: [&str; 5] = ["view", "click", "cart", "order", "search"];
        self.time += self.below(40).cast_signed();
        let kind = usize::try_from(self.below(5)).ok().and_then(|kind| KINDS.get(kind));
        let (user, item, session) = (self.below(200_000), self.below(30_000), self.below(1 << 31));
        let (cents, count, more) = (self.below(100_000), self.below(9), self.below(1 << 31));
        self.text.clear();
        let _ = write!(
            self.text,
            r#"{{"ts":{},"event":"{}","user":"u{user:07}","session":"{session:08x}{more:08x}","#,
            self.time,
            kind.unwrap_or(&"view"),
        );
        let _ = write!(
            self.text,
            r#""item":{item},"price":{}.{:02},"quantity":{count},"currency":"EUR","agent":"Mozilla/5.0","ok":true}}"#,
            cents / 100,
            cents % 100,
        );
        (self.time, &self.text)
    }
}
