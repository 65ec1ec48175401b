//! A handle of the library: created from properties, logs through `log`, destroyed once.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::bindings as rd;

use super::complaint;
use super::{c_string, consume_error, millis, text};
use crate::kafka::error::{Code, KafkaError};

/// What a client is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Takes part in a consumer group.
    Consumer,
    /// Writes, or only asks.
    Producer,
}

/// A client of the library. It is thread-safe, as the library documents.
pub(crate) struct Client {
    rk: NonNull<rd::rd_kafka_t>,
    /// What the callbacks write to: the library holds its address as long as it lives.
    heard: Box<Heard>,
}

/// What the library said by callback.
#[derive(Default)]
struct Heard {
    /// Errors that came while a batch was taken: code and text.
    complaints: Mutex<Vec<(Code, String)>>,
    /// Connections that failed, as the log has them; kept only where somebody asks. Some of them
    /// are no error to the library, which connects again.
    failures: Option<Mutex<Vec<String>>>,
}

/// The facility of log lines about failed connections.
const FAILURE: &CStr = c"FAIL";

// SAFETY: the library's handle may be used from any thread, by several at once.
unsafe impl Send for Client {}
// SAFETY: as above.
unsafe impl Sync for Client {}

impl Client {
    /// Starts a client with `properties`, which reports on its queue what `events` asks for.
    pub(crate) fn create(
        kind: Kind,
        properties: &[(String, String)],
        events: c_int,
    ) -> Result<Self, KafkaError> {
        Self::build(kind, properties, events, Heard::default())
    }

    /// The same for a client that only asks, and that keeps what its log says of connections that
    /// failed.
    pub(crate) fn create_for_probe(
        properties: &[(String, String)],
        events: c_int,
    ) -> Result<Self, KafkaError> {
        let heard = Heard { failures: Some(Mutex::default()), ..Heard::default() };
        Self::build(Kind::Producer, properties, events, heard)
    }

    fn build(
        kind: Kind,
        properties: &[(String, String)],
        events: c_int,
        heard: Heard,
    ) -> Result<Self, KafkaError> {
        let conf = Conf::new();
        for (key, value) in properties {
            conf.set(key, value)?;
        }
        let background = properties
            .iter()
            .any(|(key, value)| key.starts_with("sasl.mechanism") && value == "OAUTHBEARER");
        let heard = Box::new(heard);
        // SAFETY: a live configuration; the callbacks are plain functions, and what the opaque
        // pointer points at is boxed and outlives the client.
        unsafe {
            rd::rd_kafka_conf_set_events(conf.0.as_ptr(), events);
            rd::rd_kafka_conf_set_log_cb(conf.0.as_ptr(), Some(log_line));
            rd::rd_kafka_conf_set_error_cb(conf.0.as_ptr(), Some(on_error));
            let opaque = (&raw const *heard).cast_mut().cast();
            rd::rd_kafka_conf_set_opaque(conf.0.as_ptr(), opaque);
            rd::rd_kafka_conf_enable_sasl_queue(conf.0.as_ptr(), c_int::from(background));
        }
        let client = Self { rk: conf.start(kind)?, heard };
        if background {
            // SAFETY: a live client; the result is consumed.
            unsafe {
                let error = rd::rd_kafka_sasl_background_callbacks_enable(client.ptr());
                consume_error("renew login tokens in the background", error)?;
            }
        }
        Ok(client)
    }

    pub(super) fn ptr(&self) -> *mut rd::rd_kafka_t {
        self.rk.as_ptr()
    }

    /// Errors that came while a batch was taken, each once. They name no partition but in
    /// their text.
    pub(crate) fn complaints(&self) -> Vec<(Code, String)> {
        take(&self.heard.complaints)
    }

    /// Connections that failed, in the log's words; of a client that was made for a probe.
    pub(crate) fn failures(&self) -> Vec<String> {
        self.heard.failures.as_ref().map(take).unwrap_or_default()
    }

    /// The error after which this client does nothing any more, if there was one.
    pub(crate) fn fatal_error(&self) -> Option<(Code, String)> {
        let mut why: [c_char; 512] = [0; 512];
        // SAFETY: a live client; the library writes at most the given length, NUL included.
        unsafe {
            let code = rd::rd_kafka_fatal_error(self.ptr(), why.as_mut_ptr(), why.len());
            let code = Code(code as c_int);
            (code != Code::NONE).then(|| (code, text(why.as_ptr())))
        }
    }

    /// The cluster's id; `None` if no broker said it in time.
    pub(crate) fn cluster_id(&self, timeout: Duration) -> Option<String> {
        // SAFETY: a live client; the string belongs to us and is given back once.
        unsafe {
            let id = rd::rd_kafka_clusterid(self.ptr(), millis(timeout));
            if id.is_null() {
                return None;
            }
            let copy = text(id);
            rd::rd_kafka_mem_free(self.ptr(), id.cast());
            Some(copy)
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // SAFETY: the last use of the handle. A group that was not left by then is not left:
        // that would call back into code that is gone.
        unsafe {
            rd::rd_kafka_destroy_flags(self.ptr(), rd::RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
        }
    }
}

/// A configuration that no client has taken yet.
struct Conf(NonNull<rd::rd_kafka_conf_t>);

impl Conf {
    fn new() -> Self {
        // SAFETY: no preconditions.
        let conf = unsafe { rd::rd_kafka_conf_new() };
        Self(NonNull::new(conf).unwrap_or_else(|| out_of_memory()))
    }

    fn set(&self, key: &str, value: &str) -> Result<(), KafkaError> {
        let what = "set a Kafka client property";
        let c_key = c_string(what, key)?;
        // The value may be a secret: it must not show in the error.
        let c_value = c_string(what, value).map_err(|_| KafkaError::Property {
            key: key.to_owned(),
            why: "a NUL byte in its value".to_owned(),
        })?;
        let mut why: [c_char; 512] = [0; 512];
        // SAFETY: live strings; the library writes at most the given length, NUL included.
        let result = unsafe {
            rd::rd_kafka_conf_set(
                self.0.as_ptr(),
                c_key.as_ptr(),
                c_value.as_ptr(),
                why.as_mut_ptr(),
                why.len(),
            )
        };
        if result == rd::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK {
            return Ok(());
        }
        // SAFETY: NUL-terminated by the library, or still all zero.
        let why = unsafe { text(why.as_ptr()) };
        let why = if is_secret(key) { "refused".to_owned() } else { why };
        Err(KafkaError::Property { key: key.to_owned(), why })
    }

    fn start(self, kind: Kind) -> Result<NonNull<rd::rd_kafka_t>, KafkaError> {
        let kind = match kind {
            Kind::Consumer => rd::rd_kafka_type_t::RD_KAFKA_CONSUMER,
            Kind::Producer => rd::rd_kafka_type_t::RD_KAFKA_PRODUCER,
        };
        let mut why: [c_char; 512] = [0; 512];
        // SAFETY: a live configuration, which the library takes over only if it succeeds.
        let rk = unsafe { rd::rd_kafka_new(kind, self.0.as_ptr(), why.as_mut_ptr(), why.len()) };
        if let Some(rk) = NonNull::new(rk) {
            std::mem::forget(self);
            return Ok(rk);
        }
        // SAFETY: NUL-terminated by the library, or still all zero.
        Err(KafkaError::Create { why: unsafe { text(why.as_ptr()) } })
    }
}

impl Drop for Conf {
    fn drop(&mut self) {
        // SAFETY: ours, and no client has it (`start` forgets it then).
        unsafe { rd::rd_kafka_conf_destroy(self.0.as_ptr()) }
    }
}

fn take<T>(list: &Mutex<Vec<T>>) -> Vec<T> {
    std::mem::take(&mut *list.lock().unwrap_or_else(PoisonError::into_inner))
}

fn is_secret(key: &str) -> bool {
    [".password", ".secret", ".pem", ".key", ".jaas.config", "sasl.oauthbearer.config"]
        .iter()
        .any(|end| key.ends_with(end))
}

pub(super) fn out_of_memory() -> ! {
    std::process::abort()
}

/// Errors of a partition that are not handed out as messages. Called by whoever takes a batch.
extern "C" fn on_error(
    _: *mut rd::rd_kafka_t,
    code: c_int,
    reason: *const c_char,
    opaque: *mut c_void,
) {
    let heard = opaque.cast_const().cast::<Heard>();
    // SAFETY: what the client was created with, and a NUL-terminated string or NULL.
    let (heard, reason) = unsafe { (heard.as_ref(), text(reason)) };
    if let Some(heard) = heard {
        let mut complaints = heard.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        complaints.push((Code(code), reason));
    }
}

/// librdkafka's log lines, into ours. Called by the library's threads.
extern "C" fn log_line(
    rk: *const rd::rd_kafka_t,
    level: c_int,
    fac: *const c_char,
    line: *const c_char,
) {
    if fac.is_null() || line.is_null() {
        return;
    }
    // SAFETY: NUL-terminated strings that live through the call.
    let (fac, line) = unsafe { (CStr::from_ptr(fac), CStr::from_ptr(line)) };
    if fac == FAILURE && !rk.is_null() {
        // SAFETY: a live client, whose opaque pointer is what it was created with.
        let heard = unsafe { rd::rd_kafka_opaque(rk).cast_const().cast::<Heard>().as_ref() };
        if let Some(failures) = heard.and_then(|heard| heard.failures.as_ref()) {
            let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
            failures.push(line.to_string_lossy().into_owned());
        }
    }
    complaint::log(level, &fac.to_string_lossy(), &line.to_string_lossy());
}
