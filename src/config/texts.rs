//! A valid configuration as the texts that it was made of, for a process that has to come to the
//! same configuration: with variables and files filled in, so that nothing can change in between.

use std::fmt;

use super::finding::Findings;
use super::raw::{Origins, Raw};
use super::typed::Config;
use super::validate::validate;
use super::{Process, host};

/// Every text of a valid file, secrets too.
#[derive(Clone, PartialEq, Eq)]
pub struct Texts(Raw);

impl Texts {
    pub(super) const fn new(raw: Raw) -> Self {
        Self(raw)
    }

    /// To be read by [`Config::from_texts`]; not to be shown or stored.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Maps of texts: nothing of this can fail.
        serde_json::to_vec(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Texts").finish_non_exhaustive()
    }
}

impl Config {
    /// The configuration whose texts these are; none if they are of none.
    #[must_use]
    pub fn from_texts(bytes: &[u8]) -> Option<Self> {
        let raw: Raw = serde_json::from_slice(bytes).ok()?;
        let mut findings = Findings::default();
        let config = validate(&raw, &Origins::new(), &host(&Process), &mut findings);
        config.filter(|_| findings.problems.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Loaded, REDACTED};

    #[test]
    fn texts_give_the_same_configuration_and_are_not_shown() {
        let example = include_str!("../../config/kafkatos3.cfg.example");
        let home = std::env::var("HOME").unwrap_or_default();
        let text = format!("{example}\nsasl.password = hunter2\nclient.rack = ${{HOME}}\n");
        let Loaded { config, texts, .. } = Config::from_text("f", &text).unwrap();
        assert_eq!(config.kafka.get("client.rack"), Some(home.as_str()));
        assert_eq!(Config::from_texts(&texts.to_bytes()).as_ref(), Some(&config));
        assert!(!format!("{texts:?} {config:?}").contains("hunter2"));
        assert!(format!("{config:?}").contains(REDACTED));
    }

    #[test]
    fn what_are_no_texts_give_nothing() {
        for bytes in [&b""[..], b"{}", b"{\"main\":{\"x\":\"y\"}}", b"\xff"] {
            assert_eq!(Config::from_texts(bytes), None);
        }
    }
}
