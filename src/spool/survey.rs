//! What lies in the spool, by partition: one listing of each stage for many partitions.
//!
//! Whoever takes over thousands of partitions would else list thousands of files for each of them.
//! Files come and go meanwhile, as in any listing: what is found is a hint until it is claimed.
//! What the uploaders do to a partition is seen whole if its lock was taken before the survey.

use std::collections::HashMap;
use std::fs;
use std::str::FromStr;

use super::Spool;
use super::error::{IoExt, Result};
use super::layout::{FileName, InProgressName, RewindName, SpoolPartition, Stage};

/// What lies in the spool.
#[derive(Debug, Default)]
pub struct Survey(HashMap<SpoolPartition, Found>);

/// What there is of one partition, each sorted.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Found {
    /// Files that are being written, or were by somebody who died.
    pub in_progress: Vec<InProgressName>,
    /// Files that wait to be packed.
    pub rotated: Vec<FileName>,
    /// Files that wait to go up.
    pub compressed: Vec<FileName>,
    /// Wishes that its consumer goes back.
    pub rewinds: Vec<RewindName>,
}

impl Survey {
    /// What there is of `partition`.
    #[must_use]
    pub fn of(&self, partition: &SpoolPartition) -> Found {
        self.0.get(partition).cloned().unwrap_or_default()
    }

    fn entry(&mut self, partition: &SpoolPartition) -> &mut Found {
        self.0.entry(partition.clone()).or_default()
    }
}

impl Spool {
    /// Looks at all stages. In this order: a file that is handed on meanwhile is seen twice rather
    /// than never.
    pub fn survey(&self) -> Result<Survey> {
        let mut survey = Survey::default();
        for name in self.names::<InProgressName>(Stage::InProgress)? {
            survey.entry(&name.partition).in_progress.push(name);
        }
        for name in self.names::<FileName>(Stage::Rotated)? {
            survey.entry(&name.partition).rotated.push(name);
        }
        for name in self.names::<FileName>(Stage::Compressed)? {
            survey.entry(&name.partition).compressed.push(name);
        }
        for name in self.names::<RewindName>(Stage::Tips)? {
            survey.entry(&name.partition).rewinds.push(name);
        }
        Ok(survey)
    }

    /// The names in `stage` that are some of `N`, sorted.
    fn names<N: FromStr + Ord>(&self, stage: Stage) -> Result<Vec<N>> {
        let dir = self.dir(stage);
        let mut names = Vec::new();
        for entry in fs::read_dir(&dir).at("list", &dir)? {
            let entry = entry.at("list", &dir)?;
            names.extend(entry.file_name().to_str().and_then(|name| name.parse::<N>().ok()));
        }
        names.sort();
        Ok(names)
    }
}
