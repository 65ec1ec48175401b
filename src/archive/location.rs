//! Where an archive is, from what a person types: a URL, a directory, or a configuration file.
//!
//! Reads the configuration file, if it is one; asks no store.

use std::path::{Path, PathBuf};

use crate::config::{ArchiveTarget, Config, ConfigError, Finding};

/// Another server than AWS's, as AWS's own tools are told of it; the first that is set counts.
const ENDPOINTS: [&str; 2] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];
/// The region, which AWS's chain looks for itself where there is no other server.
const REGIONS: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];

/// Where an archive is, and how to get at it. Prints as its URL, without any secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    target: ArchiveTarget,
}

/// A text that names no archive.
#[derive(Debug, thiserror::Error)]
pub enum LocationError {
    /// A URL that does not read.
    #[error("\"{url}\" is no archive: {}", words(problems))]
    Url {
        /// What was typed.
        url: String,
        /// What is wrong with it.
        problems: Vec<Finding>,
    },
    /// Neither a URL nor the path of something that is there.
    #[error(
        "there is no \"{}\": an archive is a URL (s3://, gs://, az://, file:///), a \
         directory, or a configuration file",
        path.display()
    )]
    Missing {
        /// What was typed.
        path: PathBuf,
    },
    /// A configuration file that does not read.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

fn words(problems: &[Finding]) -> String {
    let word = |finding: &Finding| match finding.remedy.as_str() {
        "" => finding.what.clone(),
        remedy => format!("{}; {remedy}", finding.what),
    };
    problems.iter().map(word).collect::<Vec<_>>().join("; ")
}

impl Location {
    /// Understands `text`: `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`,
    /// `file:///dir`, the path of a directory, or that of a
    /// configuration file, whose archive is meant then.
    ///
    /// A bare URL takes credentials, region and endpoint from where the cloud's own tools take them:
    /// for S3 the environment (`AWS_PROFILE`, `AWS_ENDPOINT_URL`, `AWS_REGION` and so on), profiles
    /// in `~/.aws`, web identity, container, instance; for the others docs/configuration.md has them.
    pub fn parse(text: &str) -> Result<Self, LocationError> {
        Self::parse_with(text, &|name| std::env::var(name).ok())
    }

    fn parse_with(
        text: &str,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, LocationError> {
        if text.contains("://") {
            return Self::of_url(text, variable);
        }
        let path = Path::new(text);
        if path.is_dir() {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            let path = path.components().collect();
            return Ok(Self { target: ArchiveTarget::Dir { path } });
        }
        if path.exists() {
            return Ok(Self::of_config(&Config::load(path)?.config));
        }
        Err(LocationError::Missing { path: path.to_owned() })
    }

    /// The archive of a configuration.
    #[must_use]
    pub fn of_config(config: &Config) -> Self {
        Self { target: config.archive.target.clone() }
    }

    /// The same as the configuration has it.
    #[must_use]
    pub const fn target(&self) -> &ArchiveTarget {
        &self.target
    }

    fn of_url(url: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, LocationError> {
        let wrong = |problems| LocationError::Url { url: url.to_owned(), problems };
        let mut target = ArchiveTarget::from_url(url).map_err(wrong)?;
        let first = |names: [&str; 2]| {
            names.into_iter().filter_map(variable).find(|value| !value.is_empty())
        };
        if let ArchiveTarget::S3(s3) = &mut target {
            s3.endpoint = first(ENDPOINTS);
            s3.region = s3.endpoint.as_ref().and_then(|_| first(REGIONS));
        }
        Ok(Self { target })
    }
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.target.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Location, LocationError> {
        Location::parse_with(text, &|_| None)
    }

    #[test]
    fn urls_are_those_of_the_configuration() {
        for url in [
            "s3://bucket",
            "s3://bucket/a/b",
            "gs://bucket/a",
            "az://container/a",
            "file:///srv/archive",
        ] {
            assert_eq!(parse(url).unwrap().to_string(), url);
        }
        for url in ["s3://x", "ftp://host/dir", "file://relative", "s3:///prefix"] {
            let error = parse(url).unwrap_err().to_string();
            assert!(error.contains(url) && error.contains("is no archive"), "{error}");
        }
    }

    #[test]
    fn a_bare_url_takes_endpoint_and_region_from_the_environment() {
        let set = |names: &'static [(&str, &str)]| {
            move |name: &str| {
                names.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            }
        };
        let s3 = |names| match Location::parse_with("s3://bucket", &set(names)).unwrap().target {
            ArchiveTarget::S3(s3) => (s3.endpoint, s3.region),
            other => panic!("{other}"),
        };
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(s3(&[]), (None, None));
        assert_eq!(s3(&[("AWS_REGION", "eu")]), (None, None), "left to the chain");
        let both = &[("AWS_ENDPOINT_URL", "http://h:1"), ("AWS_DEFAULT_REGION", "eu")];
        assert_eq!(s3(both), (text("http://h:1"), text("eu")));
        let own = &[("AWS_ENDPOINT_URL", "http://a"), ("AWS_ENDPOINT_URL_S3", "http://b")];
        assert_eq!(s3(own), (text("http://b"), None));
    }

    #[test]
    fn a_path_is_a_directory_or_a_configuration() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().to_str().unwrap();
        assert_eq!(parse(path).unwrap().to_string(), format!("file://{path}"));
        let config = place.path().join("kafkatos3.cfg");
        let text = "[main]\nworking_directory = /tmp/x\n[consumer]\nkafka_bootstrap = h:1\n\
                    kafka_consumer_group = g\ntopic_whitelist = t\n[archive]\nurl = s3://abc/d\n";
        std::fs::write(&config, text).unwrap();
        assert_eq!(parse(config.to_str().unwrap()).unwrap().to_string(), "s3://abc/d");
        std::fs::write(&config, "nonsense").unwrap();
        assert!(matches!(parse(config.to_str().unwrap()), Err(LocationError::Config(_))));
        let missing = parse(&format!("{path}/nothing")).unwrap_err();
        assert!(matches!(missing, LocationError::Missing { .. }));
    }
}
