//! Which records are printed, by what is in them. Pure.

use memchr::memmem::Finder;

use crate::mak::Record;

/// A header that a record has to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    name: Vec<u8>,
    /// Any, if none is named.
    value: Option<Vec<u8>>,
}

impl Wanted {
    /// `NAME=VALUE`, or `NAME` for any value.
    pub(super) fn parse(text: &[u8]) -> Self {
        match memchr::memchr(b'=', text).and_then(|at| text.split_at_checked(at)) {
            Some((name, value)) => {
                Self { name: name.to_vec(), value: value.get(1..).map(<[u8]>::to_vec) }
            }
            None => Self { name: text.to_vec(), value: None },
        }
    }

    fn fits(&self, (name, value): (&[u8], Option<&[u8]>)) -> bool {
        name == self.name && self.value.as_deref().is_none_or(|wanted| value == Some(wanted))
    }
}

/// What is asked of a record.
#[derive(Debug, Default)]
pub(super) struct Filter {
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Finder<'static>>,
    pub(super) headers: Vec<Wanted>,
}

impl Filter {
    /// Whether every record fits.
    pub(super) const fn is_empty(&self) -> bool {
        self.key.is_none() && self.value.is_none() && self.headers.is_empty()
    }

    /// Whether `record` fits. Null holds nothing, and equals nothing.
    #[inline]
    pub(super) fn fits(&self, record: &Record<'_>) -> bool {
        let has = |wanted: &Wanted| record.headers.iter().any(|header| wanted.fits(header));
        self.key.as_deref().is_none_or(|key| record.key == Some(key))
            && self
                .value
                .as_ref()
                .is_none_or(|sought| record.value.is_some_and(|value| sought.find(value).is_some()))
            && self.headers.iter().all(has)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mak::HeadersBuf;
    use crate::types::Offset;

    #[test]
    fn key_value_and_headers_have_to_fit() {
        let mut headers = HeadersBuf::new();
        headers.push(b"a", Some(b"1=2"));
        headers.push(b"a", None);
        let record = |key, value| Record {
            offset: Offset::ZERO,
            timestamp: None,
            key,
            value,
            headers: headers.as_headers(),
        };
        let (some, none) = (record(Some(b"k"), Some(b"a\xffb")), record(None, None));
        let key = |key: &[u8]| Filter { key: Some(key.to_vec()), ..Filter::default() };
        assert!(key(b"k").fits(&some) && !key(b"").fits(&some) && !key(b"").fits(&none));
        let value = |value: &[u8]| Filter {
            value: Some(Finder::new(value).into_owned()),
            ..Filter::default()
        };
        assert!(value(b"\xff").fits(&some) && value(b"").fits(&some));
        assert!(!value(b"c").fits(&some) && !value(b"").fits(&none));
        let header =
            |text: &[u8]| Filter { headers: vec![Wanted::parse(text)], ..Filter::default() };
        assert!(header(b"a").fits(&some) && header(b"a=1=2").fits(&some));
        assert!(!header(b"a=").fits(&some) && !header(b"b").fits(&some));
        assert!(Filter::default().is_empty() && Filter::default().fits(&none));
    }
}
