//! What was found: the verdict, for people and as JSON. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::against::Compared;

use crate::archive::Layout;
use crate::archive::ledger::{Account, Damage, Unseen};
use crate::cli::Exit;
use crate::cli::table::{Align, Table};
use crate::status::human::{bytes, count, many};

/// What counts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Grade {
    /// Gaps before the first record do.
    pub(super) strict: bool,
    /// Objects that are gone from the beginning don't.
    pub(super) allow_expired: bool,
}

/// How an archive, or a chain, is; the worst comes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Whole,
    Gaps,
    Unseen,
    Damaged,
}

impl Verdict {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Gaps => "gaps",
            Self::Unseen => "NOT ALL SEEN",
            Self::Damaged => "DAMAGED",
        }
    }

    const fn exit(self) -> Exit {
        match self {
            Self::Whole => Exit::Done,
            Self::Gaps => Exit::Gaps,
            Self::Unseen => Exit::Unseen,
            Self::Damaged => Exit::Damaged,
        }
    }
}

impl Grade {
    pub(super) fn verdict(self, account: &Account) -> Verdict {
        let gap = account.gaps.iter().any(|gap| self.strict || !gap.before_first_record);
        let expired = account.expired.is_some() && !self.allow_expired;
        if !account.damage.is_empty() {
            Verdict::Damaged
        } else if !account.unseen.is_empty() {
            Verdict::Unseen
        } else if gap || expired {
            Verdict::Gaps
        } else {
            Verdict::Whole
        }
    }
}

/// A chain's account and what it comes to.
#[derive(Debug, Serialize)]
struct Judged {
    verdict: Verdict,
    #[serde(flatten)]
    account: Account,
}

/// The whole report.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    archive: String,
    verdict: Verdict,
    exit_code: u8,
    bodies_read: bool,
    chains: Vec<Judged>,
    unseen: Vec<Unseen>,
    notes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<Compared>,
    took_ms: u64,
}

impl Report {
    pub(super) fn new(
        archive: &str,
        bodies_read: bool,
        grade: Grade,
        accounts: Vec<Account>,
        unseen: Vec<Unseen>,
        notes: Vec<String>,
    ) -> Self {
        let judge = |account| Judged { verdict: grade.verdict(&account), account };
        let chains: Vec<_> = accounts.into_iter().map(judge).collect();
        let worst = chains.iter().map(|chain| chain.verdict).max().unwrap_or(Verdict::Whole);
        let verdict = if unseen.is_empty() { worst } else { worst.max(Verdict::Unseen) };
        Self {
            archive: archive.to_owned(),
            verdict,
            exit_code: verdict.exit().code(),
            bodies_read,
            chains,
            unseen,
            notes,
            against: None,
            took_ms: 0,
        }
    }

    /// The same with what the live cluster has to say.
    pub(super) fn against(self, against: Option<Compared>) -> Self {
        Self { against, ..self }
    }

    pub(super) fn took(&mut self, took: Duration) {
        self.took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    }

    pub(super) const fn exit(&self) -> Exit {
        self.verdict.exit()
    }

    pub(super) fn json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// The chains, then what is wrong with them, then the sum.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        if !self.chains.is_empty() {
            for line in self.table().lines() {
                out.push_str(&line);
                out.push('\n');
            }
        }
        self.findings(&mut out);
        if let Some(compared) = &self.against {
            cluster(compared, &mut out);
        }
        // Writing to a text does not fail.
        let _ = writeln!(out, "{}: {}", self.archive, self.sum());
        out
    }

    fn table(&self) -> Table {
        let mut table = Table::new(vec![
            ("CHAIN", Align::Left),
            ("FROM", Align::Right),
            ("TIP", Align::Right),
            ("RECORDS", Align::Right),
            ("HOLES", Align::Right),
            ("BYTES", Align::Right),
            ("STORED", Align::Right),
            ("FILES", Align::Right),
            ("GAPS", Align::Right),
            ("VERDICT", Align::Left),
        ]);
        for Judged { verdict, account } in &self.chains {
            let offset = |offset: Option<crate::types::Offset>| {
                offset.map(|offset| offset.to_string()).unwrap_or_default()
            };
            let gaps = account.gaps.len() as u64;
            // What another tool archived says nothing of itself: only its bodies do.
            let told = (account.layout == Layout::Chain || self.bodies_read).then_some(());
            let unknown = || "-".to_owned();
            table.push(vec![
                match account.layout {
                    Layout::Chain => account.chain.clone(),
                    layout => format!("{} ({layout})", account.chain),
                },
                offset(account.start.or(account.first)),
                offset(account.tip),
                told.map_or_else(unknown, |()| count(account.records)),
                account.holes.map(count).unwrap_or_default(),
                told.map_or_else(unknown, |()| bytes(account.bytes)),
                bytes(account.stored_bytes),
                count(account.files),
                if gaps == 0 { String::new() } else { count(gaps) },
                verdict.as_str().to_owned(),
            ]);
        }
        table
    }

    fn findings(&self, out: &mut String) {
        let place = |object: &str| match object {
            "" => self.archive.clone(),
            object => format!("{}/{object}", self.archive),
        };
        for Damage { object, what, .. } in self.accounts().flat_map(|account| &account.damage) {
            let _ = writeln!(out, "damage: {}: {what}", place(object));
        }
        let unseen = self.accounts().flat_map(|account| &account.unseen).chain(&self.unseen);
        for Unseen { object, why } in unseen {
            let _ = writeln!(out, "not seen: {}: {why}", place(object));
        }
        for gap in self.accounts().flat_map(|account| &account.gaps) {
            let before = if gap.before_first_record { ", before the first record" } else { "" };
            let _ = writeln!(
                out,
                "gap: {}: offsets [{}, {}) are nowhere: {}{before}",
                place(&gap.object),
                gap.from,
                gap.to,
                gap.reason
            );
        }
        for account in self.accounts() {
            if let Some(gone) = account.expired {
                let _ = writeln!(
                    out,
                    "gone: {}: {} with {}, offsets [{}, {}), are gone from the beginning: \
                     expired, or removed",
                    place(&account.chain),
                    many(gone.files, "file"),
                    many(gone.records, "record"),
                    gone.from,
                    gone.to
                );
            }
            for name in &account.foreign {
                let _ = writeln!(
                    out,
                    "note: {}: no name of a chain; it stands in nobody's way",
                    place(name)
                );
            }
        }
        for note in &self.notes {
            let _ = writeln!(out, "note: {note}");
        }
    }

    fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.chains.iter().map(|chain| &chain.account)
    }

    fn sum(&self) -> String {
        let all = |of: fn(&Account) -> u64| self.accounts().map(of).fold(0, u64::saturating_add);
        let damage = all(|account| account.damage.len() as u64);
        let unseen = all(|account| account.unseen.len() as u64) + self.unseen.len() as u64;
        let gaps = all(|account| account.gaps.len() as u64);
        let verdict = match self.verdict {
            Verdict::Whole => "whole".to_owned(),
            Verdict::Gaps if gaps == 0 => {
                "whole but for what is gone from the beginning".to_owned()
            }
            Verdict::Gaps => format!("whole but for {}", many(gaps, "gap")),
            Verdict::Unseen => format!("{} not looked at", many(unseen, "object")),
            Verdict::Damaged => format!("DAMAGED in {}", many(damage, "place")),
        };
        let stored = all(|account| account.stored_bytes);
        let speed = match (self.bodies_read, stored.saturating_mul(1000) / self.took_ms.max(1)) {
            (false, _) => ", bodies not read".to_owned(),
            (true, speed) => format!(", {}/s", bytes(speed)),
        };
        let seconds = Duration::from_millis(self.took_ms).as_secs_f64();
        format!(
            "{verdict}; {}, {} of {} in {} of {}; {seconds:.1} s{speed}",
            many(self.chains.len() as u64, "chain"),
            many(all(|account| account.records), "record"),
            bytes(all(|account| account.bytes)),
            many(all(|account| account.files), "file"),
            bytes(stored)
        )
    }
}

/// What was compared, partition by partition, and the sum.
fn cluster(compared: &Compared, out: &mut String) {
    let mut table = Table::new(vec![
        ("PARTITION", Align::Left),
        ("LOG FROM", Align::Right),
        ("LOG TO", Align::Right),
        ("TIP", Align::Right),
        ("LAG", Align::Right),
        ("COMPARED", Align::Right),
        ("COMPACTED AWAY", Align::Right),
    ]);
    let (mut records, mut lag) = (0_u64, 0_u64);
    for partition in &compared.partitions {
        records = records.saturating_add(partition.compared);
        lag = lag.saturating_add(partition.lag);
        table.push(vec![
            format!("{}-{}", partition.topic, partition.partition),
            partition.log_start.to_string(),
            partition.log_end.to_string(),
            partition.tip.map_or_else(|| "none".to_owned(), |tip| tip.to_string()),
            count(partition.lag),
            count(partition.compared),
            if partition.removed == 0 { String::new() } else { count(partition.removed) },
        ]);
    }
    for line in table.lines() {
        out.push_str(&line);
        out.push('\n');
    }
    // Writing to a text does not fail.
    let _ = writeln!(
        out,
        "against {} ({}): {} compared; lag {}",
        compared.bootstrap,
        compared.cluster,
        many(records, "record"),
        many(lag, "offset")
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::ledger::{Expired, Fault, GapCause, Ledger, RecordedGap, Root};
    use crate::meta::GapReason;
    use crate::store::names::ChainName;
    use crate::types::{Offset, Partition, TopicName};

    fn account() -> Account {
        let topic = ChainName::first(TopicName::new("orders").unwrap());
        Ledger::new(topic.partition(Partition::new(3).unwrap()), Root::Absent).finish()
    }

    fn gap(before_first_record: bool) -> Account {
        let (from, to) = (Offset::ZERO, Offset::new(7).unwrap());
        let object = "orders/000003/x".to_owned();
        let reason = GapCause::Recorded(GapReason::Retention);
        let gap = RecordedGap { from, to, reason, object, before_first_record };
        let mut account = account();
        account.gaps.push(gap);
        account
    }

    fn expired() -> Account {
        let to = Offset::new(7).unwrap();
        let gone = Expired { from: Offset::ZERO, to, files: 1, records: 7, bytes: 70 };
        let mut account = account();
        account.expired = Some(gone);
        account
    }

    fn unseen() -> Account {
        let unseen = Unseen { object: "orders/000003/x".to_owned(), why: "403".to_owned() };
        let mut account = gap(false);
        account.unseen.push(unseen);
        account
    }

    fn damaged() -> Account {
        let mut damaged = unseen();
        damaged.damaged("orders/000003/y", Fault::Missing, "it is missing");
        damaged
    }

    fn report(accounts: Vec<Account>, grade: Grade) -> Report {
        Report::new("s3://b/p", true, grade, accounts, Vec::new(), Vec::new())
    }

    #[test]
    fn the_worst_decides() {
        let plain = Grade::default();
        let strict = Grade { strict: true, ..plain };
        let allowing = Grade { allow_expired: true, ..plain };
        let code = |accounts, grade| report(accounts, grade).exit().code();
        assert_eq!(code(vec![account()], strict), 0);
        assert_eq!((code(vec![gap(true)], plain), code(vec![gap(true)], strict)), (0, 1));
        assert_eq!(code(vec![gap(false)], plain), 1);
        assert_eq!((code(vec![expired()], plain), code(vec![expired()], allowing)), (1, 0));
        assert_eq!(code(vec![gap(false), unseen()], plain), 3);
        assert_eq!(code(vec![damaged(), unseen()], plain), 2);
        let nothing = Unseen { object: String::new(), why: "nothing".to_owned() };
        let empty = Report::new("x", true, plain, Vec::new(), vec![nothing], Vec::new());
        assert_eq!(empty.exit().code(), 3);
    }

    #[test]
    fn everything_found_is_a_line_with_its_object() {
        let text = report(vec![damaged(), expired()], Grade::default()).text();
        for line in [
            "damage: s3://b/p/orders/000003/y: it is missing",
            "not seen: s3://b/p/orders/000003/x: 403",
            "gap: s3://b/p/orders/000003/x: offsets [0, 7) are nowhere: retention",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(text.contains("gone: s3://b/p/orders/000003: 1 file with 7 records"), "{text}");
        assert!(text.lines().last().unwrap().starts_with("s3://b/p: DAMAGED in 1 place; 2 chains"));
    }
}
