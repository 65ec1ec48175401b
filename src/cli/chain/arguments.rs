//! The command line of `kafkatos3 chain`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand};

use super::{ChainCommand, From, Way};
use crate::types::{Offset, Partition, TopicName};

/// `chain new | skip | retry`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Verb {
    /// Begin a new chain beside the one that can't go on
    ///
    /// After a recreated or truncated topic, or where somebody else's chain or object is in the way.
    /// What is archived stays as it is; the next files of the partition are TOPIC@2/PARTITION/...,
    /// then TOPIC@3 and so on. Does nothing to partitions that are well.
    New {
        #[command(flatten)]
        common: Common,
        /// Where the new chain begins: beginning, tip (where the old one ends), or an offset
        /// [default: where it does least harm; what that means is said before]
        #[arg(long, value_name = "OFFSET|beginning|tip")]
        from: Option<From>,
        /// Also where nothing is wrong
        #[arg(long)]
        force: bool,
    },
    /// Give up a range of offsets that can't be archived
    ///
    /// A record that the client can't read, an object that the store refuses, or a gap. The chain
    /// records it as a gap; files of the spool that hold some of it are kept in quarantine/.
    Skip {
        #[command(flatten)]
        common: Common,
        /// Skip up to this offset, exclusive [default: what the partition was stopped by]
        #[arg(long, value_name = "OFFSET", value_parser = offset)]
        to: Option<Offset>,
    },
    /// Lift the stop: the workers try again at once
    ///
    /// After the cause was mended: an object moved away, a right granted, a disk replaced. Says
    /// also what lies in quarantine/.
    Retry {
        #[command(flatten)]
        common: Common,
    },
}

/// What all three are told.
#[derive(Debug, Args)]
pub(in crate::cli) struct Common {
    /// The configuration file
    #[arg(value_name = "CONFIG")]
    config: PathBuf,
    /// Whose partitions
    #[arg(value_name = "TOPIC", value_parser = topic)]
    topic: TopicName,
    /// Which of them
    #[arg(value_name = "PARTITION|all", default_value = "all")]
    partition: Which,
    /// Why, for the record: the archive keeps it, with who did it and when
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Do it without asking
    #[arg(long)]
    yes: bool,
}

/// One partition, or all.
#[derive(Debug, Clone, Copy)]
struct Which(Option<Partition>);

impl FromStr for Which {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self(None));
        }
        let number: i64 = text.parse().map_err(|_| "expected a number, or \"all\"".to_owned())?;
        Partition::new(number).map(|number| Self(Some(number))).map_err(|e| e.to_string())
    }
}

impl FromStr for From {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "beginning" => Ok(Self::Beginning),
            "tip" => Ok(Self::Tip),
            number => offset(number).map(Self::At),
        }
    }
}

fn offset(text: &str) -> Result<Offset, String> {
    let number = text.parse().map_err(|_| "expected an offset".to_owned())?;
    Offset::new(number).map_err(|e| e.to_string())
}

fn topic(text: &str) -> Result<TopicName, String> {
    TopicName::new(text).map_err(|e| e.to_string())
}

impl std::convert::From<Verb> for ChainCommand {
    fn from(verb: Verb) -> Self {
        let (way, common) = match verb {
            Verb::New { common, from, force } => (Way::New { from, force }, common),
            Verb::Skip { common, to } => (Way::Skip { to }, common),
            Verb::Retry { common } => (Way::Retry, common),
        };
        let Common { config, topic, partition: Which(partition), reason, yes } = common;
        Self { way, config, topic, partition, reason, yes }
    }
}
