//! The demo's folder: where it lies, and the configuration in it.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::DemoError;
use crate::config::{ArchiveTarget, Config};
use crate::sys::random::random_bits;

/// What the folder holds.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes it: at `wanted`, or in it if that holds something already, or else in a place for
    /// temporary files. Nothing that exists is touched.
    pub(super) fn make(wanted: Option<&Path>) -> Result<Self, DemoError> {
        let path = match wanted {
            None => new_in(&absolute(&std::env::temp_dir())?)?,
            Some(wanted) => {
                let wanted = absolute(wanted)?;
                let made = fs::create_dir_all(&wanted).and_then(|()| is_empty(&wanted));
                if made.map_err(in_folder(&wanted))? { wanted } else { new_in(&wanted)? }
            }
        };
        let folder = Self { path };
        for part in [folder.spool(), folder.archive()] {
            fs::create_dir(&part).map_err(in_folder(&part))?;
        }
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Files on their way.
    fn spool(&self) -> PathBuf {
        self.path.join("spool")
    }

    pub(super) fn archive(&self) -> PathBuf {
        self.path.join("archive")
    }

    pub(super) fn config(&self) -> PathBuf {
        self.path.join("demo.cfg")
    }

    /// What the archiving processes say.
    pub(super) fn log(&self) -> PathBuf {
        self.path.join("kafkatos3.log")
    }

    /// Writes the configuration for a broker, and makes sure that it says what was meant.
    pub(super) fn write_config(&self, bootstrap: &str) -> Result<(), DemoError> {
        let path = self.config();
        let text = self.config_text(bootstrap).ok_or_else(|| self.unspeakable())?;
        fs::write(&path, text).map_err(in_folder(&path))?;
        let config = Config::load(&path).map_err(|_| self.unspeakable())?.config;
        let archive = ArchiveTarget::Dir { path: self.archive() };
        if config.main.working_directory == self.spool() && config.archive.target == archive {
            Ok(())
        } else {
            Err(self.unspeakable())
        }
    }

    fn config_text(&self, bootstrap: &str) -> Option<String> {
        let value = |path: PathBuf| Some(path.to_str()?.replace("${", "$${"));
        let (spool, archive) = (value(self.spool())?, value(self.archive())?);
        Some(format!(
            "\
# Made by kafkatos3 demo. What it ran is: kafkatos3 -e demo.cfg
#
# For a Kafka of your own, change the lines behind the arrows, then
#   kafkatos3 check demo.cfg     says what is wrong, or what it would do
#   kafkatos3 demo.cfg           archives until it is stopped
# config/kafkatos3.cfg.example explains every setting.

[main]
# Files on their way; losing them loses no data.
working_directory = {spool}

[consumer]
# --> Your brokers. The demo's own is gone by now.
kafka_bootstrap = {bootstrap}
kafka_consumer_group = kafkatos3-demo
# --> Your topics: names, or regular expressions that begin with ^.
topic_whitelist = orders, customers

[archive]
# --> s3://BUCKET/PREFIX, or another new directory: file:///DIRECTORY
url = file://{archive}
"
        ))
    }

    fn unspeakable(&self) -> DemoError {
        DemoError::Unspeakable(self.path.clone())
    }
}

fn in_folder(path: &Path) -> impl FnOnce(io::Error) -> DemoError + '_ {
    move |source| DemoError::Folder { path: path.to_owned(), source }
}

fn absolute(path: &Path) -> Result<PathBuf, DemoError> {
    // Through links, so that the path stays right whatever becomes of them.
    let whole = fs::canonicalize(path).or_else(|_| std::path::absolute(path));
    whole.map_err(in_folder(path))
}

fn is_empty(directory: &Path) -> io::Result<bool> {
    Ok(fs::read_dir(directory)?.next().is_none())
}

/// Makes a directory in `parent` that nobody else has, for this user only.
fn new_in(parent: &Path) -> Result<PathBuf, DemoError> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    loop {
        let bits = random_bits()?;
        let letter = |i: u32| LETTERS.get(usize::try_from(bits >> (5 * i) & 31).unwrap_or(0));
        let letters = (0..6).filter_map(letter).map(|byte| char::from(*byte));
        let path = parent.join(format!("kafkatos3-demo-{}", letters.collect::<String>()));
        match fs::DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(in_folder(&path)(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_stays() {
        let parent = tempfile::tempdir().unwrap();
        let wanted = parent.path().join("a/b");
        let first = Folder::make(Some(&wanted)).unwrap();
        assert_eq!(first.path(), fs::canonicalize(&wanted).unwrap());
        let second = Folder::make(Some(&wanted)).unwrap();
        assert_eq!(second.path().parent(), Some(first.path()));
        assert_ne!(Folder::make(Some(&wanted)).unwrap().path(), second.path());
    }

    #[test]
    fn odd_names_reach_the_configuration_or_are_refused() {
        let parent = tempfile::tempdir().unwrap();
        for (name, good) in
            [("plain", true), ("a b;c#d%20'é", true), ("x${HOME}", true), ("a\nb", false)]
        {
            let folder = Folder::make(Some(&parent.path().join(name))).unwrap();
            assert_eq!(folder.write_config("127.0.0.1:1").is_ok(), good, "{name}");
        }
    }
}
