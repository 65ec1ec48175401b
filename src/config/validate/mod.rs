//! Texts to typed values, all problems at once.
//!
//! Pure: the host's name and the current directory come in as arguments. Every section is read to
//! its end whatever is wrong in it, and the checks across sections look at the texts themselves,
//! so that one problem does not hide another.

mod archive;
mod checker;
mod clouds;
mod consumer;
mod cross;
mod kafka;
mod local;

use std::path::PathBuf;

use super::finding::{Finding, Findings};
use super::raw::{Origins, Raw};
use super::typed::{ArchiveTarget, Config};
use checker::Checker;

/// What of the machine goes into the configuration.
pub(super) struct Host {
    pub(super) name: Option<String>,
    pub(super) current_directory: Option<PathBuf>,
}

/// Where `url` says that an archive is, with every other key unset.
pub(super) fn archive_at(url: &str) -> Result<ArchiveTarget, Vec<Finding>> {
    let (raw, origins, mut findings) = (Raw::archive_at(url), Origins::new(), Findings::default());
    let target = archive::target(&mut Checker::new(&raw, &origins, &mut findings));
    target.ok_or(findings.problems)
}

/// The typed configuration, unless there are problems, which go to `findings`.
pub(super) fn validate(
    raw: &Raw,
    origins: &Origins,
    host: &Host,
    findings: &mut Findings,
) -> Option<Config> {
    let mut check = Checker::new(raw, origins, findings);
    check.ignored_keys();
    check.comments_behind_values();
    let main = local::main(&mut check, host);
    let consumer = consumer::consumer(&mut check);
    let compression = local::compression(&mut check);
    let upload = local::upload(&mut check);
    let archive = archive::archive(&mut check);
    let catalog = archive::catalog(&mut check);
    let kafka = kafka::kafka(&mut check);
    cross::cross(&mut check, archive.as_ref(), main.as_ref());
    Some(Config {
        main: main?,
        consumer: consumer?,
        compression: compression?,
        upload: upload?,
        archive: archive?,
        catalog: catalog?,
        kafka: kafka?,
    })
}
