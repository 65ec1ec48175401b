//! What one listing and one question tell of a chain.
//!
//! Its last object's running totals count everything from the chain's first file on. Further
//! questions take only a chain whose beginning has expired (one, to its first file that is left), a
//! place at the end where seal and file stand at one offset and the one that was asked first is not
//! the last (one), and objects at the end that say nothing of themselves (one each, three at most).

use super::ledger::{Root, Told};
use super::look::tell;
use super::{ArchiveError, Elder, Entries, Entry, Layout, Partition};
use crate::meta::{ObjectMeta, Totals};
use crate::types::Offset;

/// How many objects that say nothing are passed over at a chain's end.
const PASSED_OVER: usize = 3;

/// A last file of kafka_store's that is larger than this is not read to know where it ends.
const MOST_READ: u64 = 64 << 20;

/// A chain, or what another tool archived of a partition, as its end tells of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Whose files these are.
    pub layout: Layout,
    /// Their folder under the archive's URL.
    pub folder: String,
    /// Where the chain begins; `None` if nothing tells.
    pub first: Option<Offset>,
    /// The first offset that is there; `None` without files.
    pub start: Option<Offset>,
    /// The first offset that is not archived; `None` if nothing tells.
    pub tip: Option<Offset>,
    /// What is there: files, records, their bytes, gaps, and times. Without what has expired. Of
    /// another tool's files only their number and their gaps are known; see
    /// [`records`](Self::records).
    pub totals: Totals,
    /// How many records there are, if that is known.
    pub records: Option<u64>,
    /// What has expired; times are not known.
    pub expired: Option<Totals>,
    /// Files, seals, and the closing one.
    pub objects: u64,
    /// Bytes of all objects as they are stored.
    pub stored_bytes: u64,
    /// Whether a closing seal stands at the tip.
    pub closed: bool,
    /// Names that are not of the chain.
    pub foreign: Vec<String>,
    /// What is odd, each with the object's name: the numbers may be wrong then.
    pub odd: Vec<String>,
}

impl Partition {
    /// What its end tells of it, whoever archived it, in the order of offsets: one listing and one
    /// question, in nearly all cases. Of kafka_store's files, the last one is read, but not unpacked.
    pub async fn summaries(&self) -> Result<Vec<Summary>, ArchiveError> {
        let entries = self.entries().await?;
        let mut all = Vec::new();
        for layout in [Layout::Original, Layout::KafkaStore] {
            let of = |elder: &&Elder| elder.layout == layout;
            let elders: Vec<&Elder> = entries.elders().iter().filter(of).collect();
            if !elders.is_empty() {
                all.push(self.summarise_elders(layout, &elders).await);
            }
        }
        if all.is_empty() || entries.has_record() || !entries.chain().is_empty() {
            all.push(self.summary(&entries).await);
        }
        if let Some(last) = all.last_mut() {
            last.foreign = entries.foreign().iter().map(|line| line.name.to_string()).collect();
        }
        Ok(all)
    }

    /// Of the chain itself.
    async fn summary(&self, entries: &Entries) -> Summary {
        let sizes = entries.chain().iter().map(|entry| entry.size);
        let mut summary = Summary {
            folder: self.chain().to_string(),
            start: entries.chain().first().map(|entry| entry.start),
            objects: u64::try_from(entries.chain().len()).unwrap_or(u64::MAX),
            stored_bytes: sizes.fold(0, u64::saturating_add),
            ..Summary::default()
        };
        if entries.chain().is_empty() {
            self.summarise_record(entries, &mut summary).await;
        } else {
            self.summarise_end(entries, &mut summary).await;
        }
        summary.records = Some(summary.totals.records);
        summary
    }

    /// Of files that say nothing of themselves.
    async fn summarise_elders(&self, layout: Layout, elders: &[&Elder]) -> Summary {
        let files = u64::try_from(elders.len()).unwrap_or(u64::MAX);
        let gaps = gaps_between(elders);
        let first = elders.first().map(|elder| elder.start());
        let mut summary = Summary {
            layout,
            folder: folder_of(elders),
            first,
            start: first,
            totals: Totals { files, gaps, ..Totals::default() },
            objects: files,
            stored_bytes: elders.iter().map(|elder| elder.size).fold(0, u64::saturating_add),
            ..Summary::default()
        };
        let Some(last) = elders.last() else { return summary };
        summary.tip = elders.iter().filter_map(|elder| elder.next()).max();
        if layout == Layout::KafkaStore && last.size <= MOST_READ {
            match self.end_of_elder(last).await {
                Ok(end) => summary.tip = Some(end),
                Err(error) => summary.odd.push(format!("{}: {error}", last.name)),
            }
            // Its files are dense; whether one is missing between two of them, no name says.
            let count = |tip: Offset| tip.get().saturating_sub(last.start().get());
            summary.records = summary.tip.filter(|_| files == 1).map(count);
        }
        summary
    }

    /// A chain that was begun, and has no file (any more).
    async fn summarise_record(&self, entries: &Entries, summary: &mut Summary) {
        if !entries.has_record() {
            return;
        }
        match self.root(true).await {
            Root::Found(record) => {
                summary.first = Some(record.first);
                summary.tip = Some(record.first);
            }
            Root::Absent => {}
            Root::Unseen(why) | Root::Unreadable(why) => {
                summary.odd.push(format!("{}: {why}", self.chain().record()));
            }
        }
    }

    async fn summarise_end(&self, entries: &Entries, summary: &mut Summary) {
        let mut behind: Option<ObjectMeta> = None;
        for entry in entries.chain().iter().rev().take(PASSED_OVER + 1) {
            // The largest of two at one offset is the file.
            match self.ask(entry, summary).await {
                Some(meta @ ObjectMeta::Seal(_)) if behind.is_none() => {
                    let start = entry.start;
                    behind = Some(meta);
                    let twins = entries.chain().iter().filter(|other| other.start == start);
                    if twins.count() < 2 {
                        break;
                    }
                }
                Some(meta) => {
                    let further = behind.as_ref().is_none_or(|seal| tip(&meta) > tip(seal));
                    if further {
                        behind = Some(meta);
                    }
                    break;
                }
                None => {}
            }
        }
        let Some(meta) = behind else { return };
        summary.first = Some(meta.first());
        summary.tip = Some(tip(&meta));
        summary.closed = matches!(meta, ObjectMeta::Close(_));
        summary.totals = totals(&meta);
        if summary.start > summary.first
            && let Some(entry) = entries.chain().first()
        {
            self.subtract_expired(entry, summary).await;
        }
    }

    /// What is gone is what the totals count before the first file that is left.
    async fn subtract_expired(&self, entry: &Entry, summary: &mut Summary) {
        let Some(meta) = self.ask(entry, summary).await else { return };
        let (own, first_time) = match &meta {
            ObjectMeta::File(file) => {
                (Totals::default().with(file), file.times.map(|(low, _)| low))
            }
            ObjectMeta::Seal(_) | ObjectMeta::Close(_) => (Totals::default(), None),
        };
        let gone = minus(totals(&meta), own);
        let high = summary.totals.times.map(|(_, high)| high);
        summary.totals = Totals { times: first_time.zip(high), ..minus(summary.totals, gone) };
        summary.expired = Some(gone);
    }

    async fn ask(&self, entry: &Entry, summary: &mut Summary) -> Option<ObjectMeta> {
        match tell(&**self.archive().store(), entry).await {
            Told::Meta(meta) => Some(*meta),
            Told::Nothing(why) | Told::Unseen(why) => {
                summary.odd.push(format!("{}: {why}", entry.name));
                None
            }
        }
    }
}

/// How many gaps their names show.
fn gaps_between(elders: &[&Elder]) -> u64 {
    let (mut gaps, mut end) = (0, None);
    for elder in elders {
        if end.is_some_and(|end| end < elder.start()) {
            gaps += 1;
        }
        end = end.max(elder.next());
    }
    gaps
}

/// The folder of the first of them.
pub(super) fn folder_of(elders: &[&Elder]) -> String {
    let folder = elders.first().and_then(|elder| elder.name.as_str().rsplit_once('/'));
    folder.map(|(folder, _)| folder.to_owned()).unwrap_or_default()
}

const fn tip(meta: &ObjectMeta) -> Offset {
    match meta {
        ObjectMeta::File(file) => file.range.next(),
        ObjectMeta::Seal(seal) => seal.at,
        ObjectMeta::Close(close) => close.at,
    }
}

fn totals(meta: &ObjectMeta) -> Totals {
    match meta {
        ObjectMeta::File(file) => file.totals.unwrap_or_default(),
        ObjectMeta::Seal(seal) => seal.totals,
        ObjectMeta::Close(close) => close.totals,
    }
}

const fn minus(all: Totals, part: Totals) -> Totals {
    Totals {
        files: all.files.saturating_sub(part.files),
        records: all.records.saturating_sub(part.records),
        bytes: all.bytes.saturating_sub(part.bytes),
        gaps: all.gaps.saturating_sub(part.gaps),
        times: None,
    }
}
