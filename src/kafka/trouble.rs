//! What is in the way between us and a broker, from what the library says of it. Pure.
//!
//! The library has few codes for it; what tells a wrong protocol from a wrong certificate or a
//! wrong password stands in its words, which are those of the version that is built in.

use super::error::Code;

/// What the library reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// Its code.
    pub code: Code,
    /// Its words.
    pub text: String,
}

/// What kind of trouble it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing came back at all.
    Silence,
    /// The host's name is not known.
    Name,
    /// Nobody listens, or the way there is closed.
    Unreachable,
    /// The connection is closed for no reason that is known.
    Disconnected,
    /// Something answers, but not a broker.
    NotKafka,
    /// A plain connection is closed as a listener with TLS does.
    NeedsTls,
    /// A connection without a login is closed as a listener with SASL does.
    NeedsLogin,
    /// TLS is spoken to a listener that has none.
    NotTls,
    /// The broker's certificate is not accepted.
    Certificate,
    /// Another trouble with TLS.
    Tls,
    /// The listener has no logins at all.
    NoLogins,
    /// The listener has not this way of logging in.
    Mechanism,
    /// The login was refused.
    Login,
    /// Something else.
    Other,
}

/// Why a broker was not reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What kind.
    pub kind: Kind,
    /// What the library says; empty if nothing.
    pub words: String,
}

impl Trouble {
    /// The one of `complaints` that says most.
    #[must_use]
    pub fn of(complaints: &[Complaint]) -> Self {
        let most = complaints.iter().rev().max_by_key(|complaint| weight(kind_of(complaint)));
        match most {
            Some(complaint) => {
                Self { kind: kind_of(complaint), words: plain(&complaint.text).to_owned() }
            }
            None => Self { kind: Kind::Silence, words: String::new() },
        }
    }

    /// Whether waiting would not change it.
    #[must_use]
    pub const fn is_certain(&self) -> bool {
        matches!(
            self.kind,
            Kind::NotKafka
                | Kind::NeedsTls
                | Kind::NeedsLogin
                | Kind::NotTls
                | Kind::Certificate
                | Kind::Tls
                | Kind::NoLogins
                | Kind::Mechanism
                | Kind::Login
        )
    }
}

/// A trouble that comes later on the way to an answer tells more.
const fn weight(kind: Kind) -> u8 {
    match kind {
        Kind::Silence => 0,
        Kind::Other => 1,
        Kind::Name => 2,
        Kind::Unreachable => 3,
        Kind::Disconnected => 4,
        Kind::NotKafka | Kind::Tls => 5,
        Kind::NeedsTls | Kind::NeedsLogin | Kind::NotTls | Kind::Certificate => 6,
        Kind::NoLogins | Kind::Mechanism => 7,
        Kind::Login => 8,
    }
}

fn kind_of(complaint: &Complaint) -> Kind {
    let has = |words: &str| complaint.text.contains(words);
    let encrypted = has("ssl://");
    match complaint.code {
        Code::RESOLVE => Kind::Name,
        _ if has("Failed to resolve") => Kind::Name,
        _ if has("not valid in current SASL state") => Kind::NoLogins,
        _ if has("mechanism handshake failed") => Kind::Mechanism,
        Code::AUTHENTICATION => Kind::Login,
        _ if has("SASL authentication") => Kind::Login,
        _ if has("connecting to a PLAINTEXT broker listener?") => Kind::NotTls,
        _ if has("certificate") || has("Hostname mismatch") => Kind::Certificate,
        Code::SSL => Kind::Tls,
        _ if has("SSL handshake failed") => Kind::Tls,
        _ if has("Invalid response size") => Kind::NotKafka,
        _ if has("Disconnected") => match () {
            // The first request is not understood.
            () if has("in state APIVERSION_QUERY") && !encrypted => Kind::NeedsTls,
            // The first one that needs a login is refused.
            () if has("in state UP") && !has("sasl_") => Kind::NeedsLogin,
            () => Kind::Disconnected,
        },
        _ if has("Connect to ") || has("timed out in state CONNECT") => Kind::Unreachable,
        _ if has("setup timed out in state SSL_HANDSHAKE") => Kind::NotTls,
        _ if has("setup timed out in state") => Kind::Disconnected,
        _ => Kind::Other,
    }
}

/// Without the library's name of the broker before it, and its stopwatch behind it.
fn plain(text: &str) -> &str {
    let text = match text.split_once("/bootstrap: ") {
        Some((_, rest)) => rest,
        None => text,
    };
    text.rfind(" (after ").and_then(|end| text.get(..end)).unwrap_or(text).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(code: Code, text: &str) -> Complaint {
        Complaint { code, text: text.to_owned() }
    }

    #[test]
    fn words_tell_one_trouble_from_the_other() {
        for (code, text, kind) in [
            (Code::RESOLVE, "k:9092/bootstrap: Failed to resolve 'k:9092': unknown", Kind::Name),
            (
                Code::TRANSPORT,
                "k/bootstrap: Connect to ipv4#1.2.3.4:1 failed: refused",
                Kind::Unreachable,
            ),
            (
                Code::TRANSPORT,
                "[thrd:k/bootstrap]: k/bootstrap: Disconnected: connection closed by peer: receive 0 after \
                 POLLIN (after 3ms in state APIVERSION_QUERY)",
                Kind::NeedsTls,
            ),
            (
                Code::TRANSPORT,
                "ssl://k/bootstrap: Disconnected: SSL connection closed by peer (after 1ms in state UP)",
                Kind::NeedsLogin,
            ),
            (
                Code::TRANSPORT,
                "sasl_ssl://k/bootstrap: Disconnected: SSL connection closed by peer (after 1ms in state UP)",
                Kind::Disconnected,
            ),
            (Code::TRANSPORT, "k/bootstrap: Disconnected", Kind::Disconnected),
            (
                Code::TRANSPORT,
                "k/bootstrap: Receive failed: Invalid response size 1",
                Kind::NotKafka,
            ),
            (
                Code::SSL,
                "ssl://k/bootstrap: SSL handshake failed: Disconnected: connecting to a PLAINTEXT broker listener?",
                Kind::NotTls,
            ),
            (
                Code::SSL,
                "ssl://k/bootstrap: SSL handshake failed: certificate verify failed",
                Kind::Certificate,
            ),
            (Code::SSL, "ssl://k/bootstrap: SSL handshake failed: unexpected message", Kind::Tls),
            (Code::AUTHENTICATION, "SASL PLAIN mechanism handshake failed: x", Kind::Mechanism),
            (
                Code::AUTHENTICATION,
                "SASL PLAIN mechanism handshake failed: Broker: Request not valid in current SASL state",
                Kind::NoLogins,
            ),
            (Code::AUTHENTICATION, "SASL authentication error: Authentication failed", Kind::Login),
            (Code(-1), "what is this", Kind::Other),
        ] {
            assert_eq!(Trouble::of(&[complaint(code, text)]).kind, kind, "{text}");
        }
        assert_eq!(Trouble::of(&[]).kind, Kind::Silence);
    }

    #[test]
    fn what_came_furthest_is_told() {
        let refused = complaint(
            Code::TRANSPORT,
            "a/bootstrap: Connect to ipv6#[::1]:1 failed: refused (after 0ms in state CONNECT)",
        );
        let login = complaint(
            Code::AUTHENTICATION,
            "sasl://a/bootstrap: SASL authentication error: no (after 9ms in state AUTH_REQ)",
        );
        for both in [[refused.clone(), login.clone()], [login, refused.clone()]] {
            let trouble = Trouble::of(&both);
            assert_eq!(trouble.words, "SASL authentication error: no");
            assert!(trouble.is_certain());
        }
        assert!(!Trouble::of(&[refused]).is_certain());
    }
}
