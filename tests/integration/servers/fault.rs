//! A proxy in front of the S3 server: it notes every request, passes it on, and makes faults where
//! the test's rule says so.
//!
//! Requests are read whole before anything is done with them; so what a held upload has not passed
//! on is lost if its client dies, and what is passed on is whole.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::run_dir;

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// It is passed on.
    Pass,
    /// It is answered with this status, and not passed on.
    Refuse(u16),
    /// It is passed on, but answered with 500.
    LoseAnswer,
    /// It is not answered: the connection is closed.
    HangUp,
    /// It waits, before it is passed on, until the rule says something else.
    Hold,
    /// It is passed on, and its answer waits until the rule says something else.
    HoldAnswer,
}

/// A request, and what became of it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// GET, PUT, HEAD, ...
    pub(crate) method: String,
    /// Path with query, percent-encoded.
    pub(crate) path: String,
    /// The range that it asked for.
    pub(crate) range: Option<String>,
    /// How many bytes came with it.
    pub(crate) size: usize,
    /// What became of it.
    pub(crate) outcome: Outcome,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Not answered yet.
    UnderWay,
    /// It is held.
    Held,
    /// Its client went away while it, or its answer, was held.
    Abandoned,
    /// It was hung up on.
    HungUp,
    /// It took place or was refused, with this status as answer.
    Answered(u16),
}

impl Seen {
    /// Whether it uploads a data file.
    pub(crate) fn is_upload(&self) -> bool {
        self.method == "PUT" && self.path.contains(".mak") && !self.path.contains("selftest")
    }
}

type Rule = Arc<dyn Fn(&Seen) -> Action + Send + Sync>;

struct State {
    upstream: String,
    rule: Mutex<Rule>,
    seen: Mutex<Vec<Seen>>,
}

/// The proxy; its threads live as long as the test process.
pub(crate) struct FaultProxy {
    /// The URL to give to clients.
    pub(crate) url: String,
    state: Arc<State>,
}

impl FaultProxy {
    /// A proxy in front of `upstream` (`host:port`) that passes everything on.
    pub(crate) fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind a free port");
        let url = format!("http://{}", listener.local_addr().expect("a bound address"));
        let state = Arc::new(State {
            upstream: upstream.to_owned(),
            rule: Mutex::new(Arc::new(|_| Action::Pass)),
            seen: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                // A connection that breaks is the client's affair.
                thread::spawn(move || state.serve(client).ok());
            }
        });
        Self { url, state }
    }

    /// From now on `rule` decides, also on what is held.
    pub(crate) fn rule(&self, rule: impl Fn(&Seen) -> Action + Send + Sync + 'static) {
        *self.state.rule.lock().expect("rule") = Arc::new(rule);
    }

    /// From now on everything is passed on.
    pub(crate) fn pass(&self) {
        self.rule(|_| Action::Pass);
    }

    /// All requests so far for which `which` is true.
    pub(crate) fn seen(&self, which: impl Fn(&Seen) -> bool) -> Vec<Seen> {
        let seen = self.state.seen.lock().expect("seen");
        seen.iter().filter(|request| which(request)).cloned().collect()
    }
}

struct Request {
    head: Vec<String>,
    body: Vec<u8>,
}

impl State {
    fn serve(&self, client: TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        let mut reader = BufReader::new(client.try_clone()?);
        let mut client = client;
        while let Some(request) = read_request(&mut reader, &mut client)? {
            let index = self.note(&request);
            match self.decide(index, &client)? {
                None => return Ok(()),
                Some(Action::HangUp) => {
                    self.settle(index, Outcome::HungUp);
                    return Ok(());
                }
                Some(Action::Refuse(status)) => {
                    self.settle(index, Outcome::Answered(status));
                    refuse(&mut client, status, &request)?;
                }
                Some(Action::LoseAnswer) => {
                    self.forward(&request, &mut io::sink())?;
                    self.settle(index, Outcome::Answered(500));
                    refuse(&mut client, 500, &request)?;
                }
                Some(Action::HoldAnswer) => {
                    let mut answer = Vec::new();
                    let status = self.forward(&request, &mut answer)?;
                    if !self.hold(index, &client, Action::HoldAnswer)? {
                        return Ok(());
                    }
                    self.settle(index, Outcome::Answered(status));
                    client.write_all(&answer)?;
                }
                Some(Action::Pass | Action::Hold) => {
                    let status = self.forward(&request, &mut client)?;
                    self.settle(index, Outcome::Answered(status));
                }
            }
        }
        Ok(())
    }

    fn note(&self, request: &Request) -> usize {
        let mut words = request.head[0].split(' ').map(str::to_owned);
        let entry = Seen {
            method: words.next().unwrap_or_default(),
            path: words.next().unwrap_or_default(),
            range: header(&request.head, "range").map(str::to_owned),
            size: request.body.len(),
            outcome: Outcome::UnderWay,
        };
        let mut seen = self.seen.lock().expect("seen");
        seen.push(entry);
        seen.len() - 1
    }

    fn settle(&self, index: usize, outcome: Outcome) {
        self.seen.lock().expect("seen")[index].outcome = outcome;
    }

    fn action(&self, index: usize) -> Action {
        let request = self.seen.lock().expect("seen")[index].clone();
        let rule = Arc::clone(&self.rule.lock().expect("rule"));
        rule(&request)
    }

    /// What to do, after the rule has stopped holding it; `None` if the client went away.
    fn decide(&self, index: usize, client: &TcpStream) -> io::Result<Option<Action>> {
        let action = self.action(index);
        if action != Action::Hold {
            return Ok(Some(action));
        }
        let still_there = self.hold(index, client, Action::Hold)?;
        Ok(still_there.then_some(Action::Pass))
    }

    /// Waits until the rule says something else than `how`; false if the client went away.
    fn hold(&self, index: usize, client: &TcpStream, how: Action) -> io::Result<bool> {
        self.settle(index, Outcome::Held);
        while self.action(index) == how {
            if is_gone(client)? {
                self.settle(index, Outcome::Abandoned);
                return Ok(false);
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(true)
    }

    /// Passes `request` on and its answer back; the answer's status.
    fn forward(&self, request: &Request, client: &mut dyn Write) -> io::Result<u16> {
        let mut server = TcpStream::connect(&self.upstream)?;
        let mut text = String::new();
        for line in request.head.iter().filter(|line| !is_framing(line)) {
            text.push_str(line);
            text.push_str("\r\n");
        }
        text.push_str("Content-Length: ");
        text.push_str(&request.body.len().to_string());
        text.push_str("\r\n\r\n");
        server.write_all(text.as_bytes())?;
        server.write_all(&request.body)?;
        let mut reader = BufReader::new(server);
        copy_answer(&mut reader, client, request.head[0].starts_with("HEAD "))
    }
}

fn is_gone(client: &TcpStream) -> io::Result<bool> {
    client.set_nonblocking(true)?;
    let peeked = client.peek(&mut [0]);
    client.set_nonblocking(false)?;
    Ok(match peeked {
        Ok(count) => count == 0,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    })
}

/// Headers about how the body is sent; it goes on in one piece.
fn is_framing(line: &str) -> bool {
    let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
    matches!(&*name, "content-length" | "transfer-encoding")
}

fn header<'a>(head: &'a [String], name: &str) -> Option<&'a str> {
    let mut headers = head.iter().skip(1).filter_map(|line| line.split_once(':'));
    headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

fn read_line(reader: &mut impl io::BufRead) -> io::Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    if line.pop() != Some('\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if line.ends_with('\r') {
        line.pop();
    }
    Ok(line)
}

/// First line and headers, without the empty line.
fn read_head(reader: &mut impl io::BufRead) -> io::Result<Vec<String>> {
    let mut head = Vec::new();
    loop {
        let line = read_line(reader)?;
        if line.is_empty() {
            return Ok(head);
        }
        head.push(line);
    }
}

fn read_request(
    reader: &mut BufReader<TcpStream>,
    client: &mut TcpStream,
) -> io::Result<Option<Request>> {
    if reader.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let head = read_head(reader)?;
    if header(&head, "expect").is_some() {
        client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let mut body = Vec::new();
    if header(&head, "transfer-encoding").is_some_and(|value| value.contains("chunked")) {
        while let Some(size) = read_chunk_size(reader)? {
            reader.by_ref().take(size).read_to_end(&mut body)?;
            read_line(reader)?;
        }
    } else if let Some(length) = header(&head, "content-length") {
        let length = length.parse().map_err(io::Error::other)?;
        if reader.by_ref().take(length).read_to_end(&mut body)? as u64 != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(Some(Request { head, body }))
}

/// The size of the next chunk; `None` behind the last one and its trailers.
fn read_chunk_size(reader: &mut impl io::BufRead) -> io::Result<Option<u64>> {
    let line = read_line(reader)?;
    let digits = line.split(';').next().unwrap_or_default();
    let size = u64::from_str_radix(digits.trim(), 16).map_err(io::Error::other)?;
    if size == 0 {
        read_head(reader)?;
        return Ok(None);
    }
    Ok(Some(size))
}

fn copy_answer(
    server: &mut impl io::BufRead,
    client: &mut dyn Write,
    to_head: bool,
) -> io::Result<u16> {
    let head = loop {
        let head = read_head(server)?;
        if !head[0].contains(" 100 ") {
            break head;
        }
    };
    let status = head[0].split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(502);
    let chunked = header(&head, "transfer-encoding").is_some();
    let length = header(&head, "content-length").and_then(|value| value.parse().ok());
    let mut body = Vec::new();
    if to_head || matches!(status, 204 | 304) {
    } else if chunked {
        while let Some(size) = read_chunk_size(server)? {
            server.by_ref().take(size).read_to_end(&mut body)?;
            read_line(server)?;
        }
    } else {
        server.by_ref().take(length.unwrap_or(u64::MAX)).read_to_end(&mut body)?;
    }
    let mut text = String::new();
    for line in head.iter().filter(|line| !is_framing(line)) {
        text.push_str(line);
        text.push_str("\r\n");
    }
    let length = length.filter(|_| to_head).unwrap_or(body.len() as u64);
    if status != 204 && status != 304 {
        text.push_str("Content-Length: ");
        text.push_str(&length.to_string());
        text.push_str("\r\n");
    }
    client.write_all(text.as_bytes())?;
    client.write_all(b"\r\n")?;
    client.write_all(&body)?;
    client.flush()?;
    Ok(status)
}

fn refuse(client: &mut TcpStream, status: u16, request: &Request) -> io::Result<()> {
    let code = match status {
        403 => "AccessDenied",
        503 => "SlowDown",
        _ => "InternalError",
    };
    let body = format!(
        "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>as the test wants</Message></Error>"
    );
    let shown = if request.head[0].starts_with("HEAD ") { "" } else { &body };
    write!(
        client,
        "HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\r\n{shown}",
        body.len()
    )
}

#[test]
fn requests_pass_are_noted_and_fail_as_told() {
    use std::process::Command;
    let files = run_dir().join("proxied");
    std::fs::create_dir_all(&files).expect("create a directory");
    let bucket = super::s3().create_bucket("proxied");
    let proxy = FaultProxy::start(&super::s3().address);
    let curl = |name: &str, method: &[&str]| {
        let output = Command::new("curl")
            .args(["-s", "-w", "%{http_code}", "--user"])
            .arg(format!("{}:{}", super::ACCESS_KEY, super::SECRET_KEY))
            .args(["--aws-sigv4", &format!("aws:amz:{}:s3", super::REGION)])
            .args(["-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD"])
            .args(method)
            .arg(format!("{}/proxied/{name}", proxy.url))
            .output()
            .expect("run curl");
        String::from_utf8(output.stdout).expect("text")
    };
    let file = files.join("file");
    std::fs::write(&file, "content").expect("write a file");
    let put = ["-T", file.to_str().expect("a UTF-8 path"), "-H", "Expect: 100-continue"];

    assert_eq!(curl("one.mak", &put), "200");
    assert_eq!(curl("one.mak", &["-r", "3-4"]), "te206");
    assert!(curl("none", &[]).ends_with("404"));
    proxy.rule(|seen| if seen.is_upload() { Action::Refuse(403) } else { Action::Pass });
    assert!(curl("two.mak", &put).ends_with("403"));
    assert!(!bucket.join("two.mak").exists());
    proxy.rule(|_| Action::LoseAnswer);
    assert!(curl("two.mak", &put).ends_with("500"));
    assert!(bucket.join("two.mak").exists());
    proxy.rule(|_| Action::Hold);
    assert_ne!(curl("three.mak", &[&put[..], &["-m", "1"]].concat()), "200");
    assert!(!bucket.join("three.mak").exists());

    let outcomes: Vec<_> = proxy.seen(|_| true).iter().map(|seen| seen.outcome).collect();
    let answered = [200, 206, 404, 403, 500].map(Outcome::Answered);
    assert_eq!(outcomes[..5], answered);
    assert_eq!(proxy.seen(|seen| seen.range.is_some()).len(), 1);
    let gone = || proxy.seen(|seen| seen.outcome == Outcome::Abandoned).len() == 1;
    assert!(crate::harness::eventually(Duration::from_secs(5), gone));
}
