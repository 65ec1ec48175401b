//! The walk along a chain, object by object.

use super::{Account, Damage, Expired, Fault, GapCause, Looked, RecordedGap, Root, Told, Unseen};
use crate::archive::Entry;
use crate::meta::{
    ChainRecord, CloseMeta, Disagreement, FileMeta, GapReason, Identity, ObjectMeta, SealMeta,
    Totals,
};
use crate::store::names::{ChainId, Name};
use crate::types::{Offset, Suffix};

/// The ledger of one chain, while it is written. Feed it every object in the order of the names.
#[derive(Debug)]
pub struct Ledger {
    chain: ChainId,
    record: Option<Box<ChainRecord>>,
    at: Place,
    /// Objects of one start, until the first of the next one comes.
    group: Vec<(Entry, Looked)>,
    /// Whom the files are of, by the record or else by the first of them.
    identity: Option<(Identity, Offset)>,
    agreeing: u64,
    /// Objects that are not of that chain, and why.
    estranged: Vec<(Name, String)>,
    account: Account,
}

/// How far the walk has come.
#[derive(Debug, Default)]
struct Place {
    /// Where the next object has to stand; `None` if it can't be told.
    offset: Option<Offset>,
    /// How its name has to end; `None` if it can't be told.
    suffix: Option<Suffix>,
    /// Whether a seal stands there.
    sealed: bool,
    /// What the totals up to there may be: as computed, and as said, if these differ. None at all
    /// if it can't be told.
    totals: Vec<Totals>,
    /// The last file.
    last: Option<Name>,
    /// Whether any object was met.
    begun: bool,
}

impl Ledger {
    /// The ledger of `chain`, whose identity record is `root`.
    #[must_use]
    pub fn new(chain: ChainId, root: Root) -> Self {
        let mut new = Self {
            account: Account::new(chain.to_string()),
            chain,
            record: None,
            at: Place::default(),
            group: Vec::new(),
            identity: None,
            agreeing: 0,
            estranged: Vec::new(),
        };
        new.begin(root);
        new
    }

    fn begin(&mut self, root: Root) {
        let name = self.chain.record();
        let record = match root {
            // Whether it had to be there is known at the end.
            Root::Absent => return,
            Root::Unseen(why) => {
                return self.account.unseen.push(Unseen { object: name.to_string(), why });
            }
            Root::Unreadable(why) => {
                let what = format!("it does not read: {why}; restore it from a file's metadata");
                return self.damaged(&name, Fault::Record, what);
            }
            Root::Found(record) => record,
        };
        let said = record.identity.topic_partition();
        if said.topic != *self.chain.name().topic() || said.partition != self.chain.partition() {
            self.damaged(&name, Fault::Record, format!("it is about {said}"));
        }
        let (first, suffix) = (record.first, record.suffix);
        self.identity = Some((record.identity.clone(), first));
        self.at.offset = Some(first);
        self.at.suffix = Some(suffix);
        self.at.totals = vec![Totals::default()];
        self.account.first = Some(first);
        self.account.tip = Some(first);
        self.account.follows.clone_from(&record.follows);
        self.account.begins = Some((first, suffix));
        self.record = Some(record);
    }

    /// Takes the next object.
    pub fn object(&mut self, entry: Entry, looked: Looked) {
        if self.group.first().is_some_and(|(before, _)| before.start != entry.start) {
            self.settle();
        }
        self.group.push((entry, looked));
    }

    /// Takes a name of the folder that is not of a chain.
    pub fn foreign(&mut self, name: &Name) {
        self.account.foreign.push(name.to_string());
    }

    /// Notes that something of the chain could not be looked at.
    pub fn unseen(&mut self, object: &str, why: String) {
        self.account.unseen.push(Unseen { object: object.to_owned(), why });
    }

    /// Nothing more comes.
    #[must_use]
    pub fn finish(mut self) -> Account {
        self.settle();
        self.settle_identities();
        self.account.identity = self.identity.take().map(|(identity, _)| identity);
        let complete = self.account.expired.is_none();
        let root_known =
            self.record.is_some() || self.account.damage.iter().any(|d| d.fault == Fault::Record);
        let root_unseen = self.account.unseen.iter().any(|u| u.object.ends_with("chain.json"));
        // A rule that expires the oldest objects takes this one first; a writer makes it again.
        if self.at.begun && complete && !root_known && !root_unseen {
            let what = "it is missing, though the chain's first file is there: the next writer \
                        creates it again";
            self.damaged(&self.chain.record(), Fault::Record, what.to_owned());
        }
        self.account
    }

    fn damaged(&mut self, name: &Name, fault: Fault, what: String) {
        self.account.damaged(name.as_str(), fault, what);
    }

    /// The objects of one start, in the order in which a reader meets them.
    fn settle(&mut self) {
        let mut group = std::mem::take(&mut self.group);
        let suffix = self.at.suffix;
        group.sort_by_key(|(entry, looked)| {
            let here = Some(entry.suffix) == suffix;
            let rank = match &looked.told {
                Told::Nothing(_) | Told::Unseen(_) if here => 0,
                Told::Meta(meta) => match **meta {
                    ObjectMeta::Seal(_) => 1,
                    ObjectMeta::Close(_) => 2,
                    ObjectMeta::File(_) => 3,
                },
                Told::Nothing(_) | Told::Unseen(_) => 4,
            };
            (rank, !here)
        });
        for (entry, looked) in group {
            self.meet(&entry, looked);
        }
    }

    fn meet(&mut self, entry: &Entry, looked: Looked) {
        let Looked { told, faults, unseen, content } = looked;
        let object = || entry.name.to_string();
        let damage =
            faults.into_iter().map(|(fault, what)| Damage { object: object(), fault, what });
        self.account.damage.extend(damage);
        self.account.unseen.extend(unseen.map(|why| Unseen { object: object(), why }));
        self.account.stored_bytes = self.account.stored_bytes.saturating_add(entry.size);
        if let Some(content) = content {
            let holes = self.account.holes.get_or_insert(0);
            *holes = holes.saturating_add(content.holes);
        }
        match told {
            Told::Meta(meta) => self.meet_meta(entry, &meta),
            Told::Nothing(why) => {
                self.damaged(&entry.name, Fault::Foreign, why);
                self.pass_over(entry);
            }
            Told::Unseen(why) => {
                self.account.unseen.push(Unseen { object: object(), why });
                self.pass_over(entry);
            }
        }
        self.at.begun = true;
    }

    /// What stands here does not tell what it covers.
    fn pass_over(&mut self, entry: &Entry) {
        if self.at.offset.is_none_or(|at| at == entry.start) || !self.at.begun {
            self.account.tip = self.account.tip.max(Some(entry.start));
            self.account.start.get_or_insert(entry.start);
            self.at.offset = None;
            self.at.suffix = None;
            self.at.sealed = false;
            self.at.totals.clear();
        }
    }

    fn meet_meta(&mut self, entry: &Entry, meta: &ObjectMeta) {
        if self.account.closed {
            let what =
                "it stands behind the chain's closing seal, where nothing may come".to_owned();
            return self.damaged(&entry.name, Fault::BehindClose, what);
        }
        let (start, suffix) = match meta {
            ObjectMeta::File(file) => (file.range.start(), file.suffix),
            ObjectMeta::Seal(seal) => (seal.at, seal.suffix),
            ObjectMeta::Close(close) => (close.at, close.suffix),
        };
        let says = meta.identity().topic_partition();
        let of_chain =
            says.topic == *self.chain.name().topic() && says.partition == self.chain.partition();
        if !of_chain || start != entry.start {
            let what = if of_chain {
                format!("its metadata says that it starts at {start}")
            } else {
                format!("its metadata says that it is of {says}")
            };
            self.damaged(&entry.name, Fault::Name, what);
            return self.pass_over(entry);
        }
        if suffix != entry.suffix {
            let what = format!("its metadata says that it is a \"{suffix}\"");
            self.damaged(&entry.name, Fault::Name, what);
        }
        self.compare_identity(entry, meta);
        self.find_beginning(entry, meta);
        match meta {
            ObjectMeta::File(file) => self.meet_file(entry, file),
            ObjectMeta::Seal(seal) => self.meet_seal(entry, seal),
            ObjectMeta::Close(close) => self.meet_close(entry, close),
        }
    }

    /// Whether the object is of the chain that the record, or else the first object, is of.
    fn compare_identity(&mut self, entry: &Entry, meta: &ObjectMeta) {
        let said = (meta.identity(), meta.first());
        let (identity, first) = self.identity.get_or_insert_with(|| (said.0.clone(), said.1));
        let generation = match meta {
            ObjectMeta::File(file) => Some(file.generation),
            ObjectMeta::Close(close) => Some(close.generation),
            ObjectMeta::Seal(_) => None,
        };
        let wrong = if let Some(what) = said.0.disagreement(identity) {
            let Disagreement { what, here, there } = what;
            Some(format!("it is of another chain: its {what} is \"{here}\", not \"{there}\""))
        } else if said.1 != *first {
            Some(format!("it is of another chain: that begins at {}, not at {first}", said.1))
        } else {
            None
        };
        match wrong {
            Some(what) => self.estranged.push((entry.name.clone(), what)),
            None => self.agreeing += 1,
        }
        let own = self.chain.name().generation();
        if let Some(other) = generation.filter(|generation| *generation != own) {
            let what = format!("it was written for generation {other} of the topic's chains");
            self.damaged(&entry.name, Fault::Identity, what);
        }
    }

    /// If all objects contradict the record alike, it is the record that is wrong.
    fn settle_identities(&mut self) {
        let estranged = std::mem::take(&mut self.estranged);
        if let [(_, what), _, ..] = estranged.as_slice()
            && self.agreeing == 0
            && self.record.is_some()
        {
            let what =
                format!("no file of the chain agrees with it; as the first one has it, {what}");
            return self.damaged(&self.chain.record(), Fault::Record, what);
        }
        let by = match &self.record {
            Some(_) => format!("as {} has it", self.chain.record()),
            None => "as the first object has it".to_owned(),
        };
        for (name, what) in estranged {
            self.damaged(&name, Fault::Identity, format!("{what}, {by}"));
        }
    }

    /// At the first object: whether it is the first that there ever was.
    fn find_beginning(&mut self, entry: &Entry, meta: &ObjectMeta) {
        if self.at.begun {
            return;
        }
        let pinned = self.record.as_ref().map(|record| record.first);
        let first = if pinned == Some(entry.start) { entry.start } else { meta.first() };
        self.account.first.get_or_insert(first);
        self.account.start.get_or_insert(entry.start);
        self.at.offset = Some(entry.start);
        if entry.start <= first {
            self.at.totals = vec![Totals::default()];
            return;
        }
        self.at.suffix = None;
        self.at.totals.clear();
        let before = match meta {
            ObjectMeta::File(file) => file.totals.map(|totals| {
                let Totals { files, records, bytes, .. } = totals;
                (
                    files.saturating_sub(1),
                    records.saturating_sub(file.records),
                    bytes.saturating_sub(file.bytes),
                )
            }),
            ObjectMeta::Seal(SealMeta { totals, .. })
            | ObjectMeta::Close(CloseMeta { totals, .. }) => {
                Some((totals.files, totals.records, totals.bytes))
            }
        };
        let (files, records, bytes) = before.unwrap_or_default();
        self.account.expired =
            Some(Expired { from: first, to: entry.start, files, records, bytes });
    }

    fn meet_file(&mut self, entry: &Entry, file: &FileMeta) {
        let follows = self.at.totals.iter().any(|before| continues(*before, file));
        self.check_place(entry, follows);
        self.check_gap(entry, file);
        self.check_numbers(entry, file);
        self.check_totals(entry, file);
        let account = &mut self.account;
        if let Some(gap) = file.gap {
            account.gaps.push(RecordedGap {
                from: gap.from,
                to: gap.to,
                reason: GapCause::Recorded(gap.reason),
                object: entry.name.to_string(),
                before_first_record: account.records == 0
                    && account.expired.is_none_or(|expired| expired.records == 0),
            });
        }
        account.files += 1;
        account.records = account.records.saturating_add(file.records);
        account.bytes = account.bytes.saturating_add(file.bytes);
        if let Some((low, high)) = file.times {
            account.first_time_ms = Some(account.first_time_ms.map_or(low, |time| time.min(low)));
            account.last_time_ms = account.last_time_ms.max(Some(high));
        }
        account.tip = account.tip.max(Some(file.range.next()));
        self.at.offset = Some(file.range.next());
        self.at.suffix = Some(file.suffix);
        self.at.sealed = false;
        self.at.last = Some(entry.name.clone());
    }

    /// Whether the object stands where the one before it says. If its totals say that it
    /// `follows`, no file is missing between them.
    fn check_place(&mut self, entry: &Entry, follows: bool) {
        let Some(at) = self.at.offset else { return };
        if at == entry.start {
            return self.check_suffix(entry);
        }
        let (name, fault, what) = match self.at.last.clone() {
            Some(last) if follows => {
                let what = format!(
                    "it says that it ends at {at}, but what comes behind it, {}, begins at {}",
                    entry.name, entry.start
                );
                (last, Fault::Range, what)
            }
            _ if entry.start > at => {
                let suffix = self.at.suffix.unwrap_or(entry.suffix);
                let what = format!("it is missing: nothing covers [{at}, {})", entry.start);
                (self.chain.object(at, suffix), Fault::Missing, what)
            }
            last => {
                let last = last.map_or_else(String::new, |last| format!(", which {last} covers"));
                let what = format!("it begins at {} before {at}{last}", entry.start);
                (entry.name.clone(), Fault::Overlap, what)
            }
        };
        self.damaged(&name, fault, what);
        self.at.totals.clear();
    }

    fn check_suffix(&mut self, entry: &Entry) {
        let Some(suffix) = self.at.suffix.filter(|suffix| *suffix != entry.suffix) else { return };
        let seal = self.chain.object(entry.start, suffix);
        if self.at.begun {
            let what = format!("it is missing: no seal leads from \"{suffix}\" to {}", entry.name);
            self.damaged(&seal, Fault::Suffix, what);
        } else {
            let what = format!(
                "it says that the chain's first file is a \"{suffix}\", but {} stands there, and \
                 no seal {seal}",
                entry.name
            );
            self.damaged(&self.chain.record(), Fault::Record, what);
        }
    }

    fn check_gap(&mut self, entry: &Entry, file: &FileMeta) {
        let Some(gap) = file.gap else { return };
        let (start, next) = (file.range.start(), file.range.next());
        if gap.from != start || gap.to <= gap.from || gap.to > next {
            let what = format!(
                "its gap [{}, {}) does not lie at the front of its range {}",
                gap.from, gap.to, file.range
            );
            self.damaged(&entry.name, Fault::Gap, what);
        }
        if gap.reason == GapReason::Genesis && start != file.first {
            let what = "a gap of genesis, but it is not the chain's first file".to_owned();
            self.damaged(&entry.name, Fault::Gap, what);
        }
    }

    fn check_numbers(&mut self, entry: &Entry, file: &FileMeta) {
        let from = file.gap.map_or(file.range.start(), |gap| gap.to);
        let room = file.range.next().get().saturating_sub(from.get());
        let what = if file.records > room {
            format!("it has {} records in {room} offsets", file.records)
        } else if file.records == 0 && (file.times.is_some() || file.bytes > 0) {
            "it has no record, but their times or bytes".to_owned()
        } else if let Some((low, high)) = file.times.filter(|(low, high)| low > high) {
            format!("its lowest timestamp {low} is above its highest, {high}")
        } else {
            return;
        };
        self.damaged(&entry.name, Fault::Metadata, what);
    }

    fn check_totals(&mut self, entry: &Entry, file: &FileMeta) {
        let Some(said) = file.totals else {
            self.at.totals.clear();
            return self.damaged(&entry.name, Fault::Totals, "it has no running totals".to_owned());
        };
        let computed = self.at.totals.first().map(|before| before.with(file));
        let fits = self.at.totals.iter().any(|before| continues(*before, file));
        match computed {
            Some(computed) if !fits => {
                self.totals_differ(entry, said, computed);
                self.at.totals = vec![computed, said];
            }
            _ => self.at.totals = vec![said],
        }
    }

    fn totals_differ(&mut self, entry: &Entry, said: Totals, computed: Totals) {
        let show = |totals: Totals| {
            let Totals { files, records, bytes, gaps, times } = totals;
            let times =
                times.map_or_else(String::new, |(low, high)| format!(", times {low} to {high}"));
            format!("{files} files, {records} records, {bytes} bytes, {gaps} gaps{times}")
        };
        let what = format!(
            "its running totals say {}, but the files up to here come to {}",
            show(said),
            show(computed)
        );
        self.damaged(&entry.name, Fault::Totals, what);
    }

    /// Of a seal, which repeats the totals before it.
    fn check_repeated(&mut self, entry: &Entry, said: Totals) {
        let computed = self.at.totals.first().copied();
        if let Some(computed) = computed
            && !self.at.totals.iter().any(|before| same(*before, said))
        {
            self.totals_differ(entry, said, computed);
        }
    }

    fn meet_seal(&mut self, entry: &Entry, seal: &SealMeta) {
        let follows = self.at.totals.iter().any(|before| same(*before, seal.totals));
        self.check_place(entry, follows);
        self.check_repeated(entry, seal.totals);
        let wrong = if self.at.sealed {
            Some("a second seal at one position")
        } else if seal.continues == seal.suffix {
            Some("a seal that leads to its own suffix")
        } else {
            None
        };
        if let Some(what) = wrong {
            self.damaged(&entry.name, Fault::Seal, what.to_owned());
        }
        self.account.seals += 1;
        self.account.tip = self.account.tip.max(Some(seal.at));
        self.at.offset = Some(seal.at);
        self.at.suffix = Some(seal.continues);
        self.at.sealed = true;
    }

    fn meet_close(&mut self, entry: &Entry, close: &CloseMeta) {
        let follows = self.at.totals.iter().any(|before| same(*before, close.totals));
        self.check_place(entry, follows);
        self.check_repeated(entry, close.totals);
        self.account.tip = self.account.tip.max(Some(close.at));
        self.account.closed = true;
        self.account.close = Some(close.clone());
    }
}

/// Whether the file's totals are those of `before` and its own.
fn continues(before: Totals, file: &FileMeta) -> bool {
    file.totals.is_some_and(|said| same(before.with(file), said))
}

/// Files that were written before totals had times say none.
fn same(computed: Totals, said: Totals) -> bool {
    let times = said.times.is_none() || said.times == computed.times;
    times && Totals { times: None, ..computed } == Totals { times: None, ..said }
}
