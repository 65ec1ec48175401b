//! Two things that the library knows and does not tell, read from where they lie.
//!
//! - Whether a record has headers: asking costs about 0.15 us even where there are none, a fifth
//!   of what reading a record costs at all.
//! - How long a header's name is: the library gives a C string, which ends at the first NUL byte
//!   even if the name goes on behind it.
//!
//! Both are read only in the version whose layout is written down here (the one that this
//! package builds with), on 64-bit machines, and only if what can be checked agrees. Otherwise
//! the library's own functions are asked, which is slower, and cuts such names.

use std::ffi::{CStr, c_char, c_int};
use std::mem::offset_of;
use std::sync::OnceLock;

use rdkafka::bindings as rd;

/// The version with this layout: 2.12.1.
const VERSION: c_int = 0x020c_01ff;

/// The front of `struct rd_kafka_msg_s`, as far as it is a consumer's.
#[repr(C)]
struct Message {
    public: rd::rd_kafka_message_t,
    link: [usize; 2],
    flags: c_int,
    timestamp_type: c_int,
    timestamp: i64,
    headers: usize,
    status: c_int,
    broker: i32,
    raw_headers_len: i32,
    raw_headers: *const u8,
    leader_epoch: i32,
}

/// `struct rd_kafka_header_s` in front of the name.
#[repr(C)]
struct HeaderFront {
    serialized_size: usize,
    value_size: usize,
    name_size: usize,
    value: *const c_char,
}

fn version_fits() -> bool {
    // SAFETY: no preconditions.
    cfg!(target_pointer_width = "64") && unsafe { rd::rd_kafka_version() } == VERSION
}

/// Whether the record surely has no headers; false means that the library has to be asked.
///
/// # Safety
/// `message` is a live message that was consumed, with or without an error.
pub(super) unsafe fn says_no_headers(message: *mut rd::rd_kafka_message_t) -> bool {
    static FITS: OnceLock<bool> = OnceLock::new();
    // SAFETY: as promised by the caller.
    if !*FITS.get_or_init(|| version_fits() && unsafe { agrees(message) }) {
        return false;
    }
    // SAFETY: the message is the first field of a `Message`; its raw headers lie in the answer
    // that it came in, which it holds: a count (one byte if it is small), then the headers.
    unsafe {
        let inner = message.cast::<Message>();
        let (data, len) = ((*inner).raw_headers, (*inner).raw_headers_len);
        len == 1 && !data.is_null() && data.read() == 0
    }
}

/// Whether two fields around the one that counts are what the library says they are.
///
/// # Safety
/// `message` is a live message that was consumed, and the version is [`VERSION`].
unsafe fn agrees(message: *mut rd::rd_kafka_message_t) -> bool {
    let mut kind = rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    // SAFETY: in this version the message is the first field of an object of this size or more.
    unsafe {
        let inner = message.cast::<Message>();
        (*inner).timestamp == rd::rd_kafka_message_timestamp(message, &raw mut kind)
            && (*inner).leader_epoch == rd::rd_kafka_message_leader_epoch(message)
    }
}

/// The bytes of a header's name.
///
/// # Safety
/// `name` came from `rd_kafka_header_get_all`, and its headers live for `'a`.
pub(super) unsafe fn header_name<'a>(name: *const c_char) -> &'a [u8] {
    static FITS: OnceLock<bool> = OnceLock::new();
    // SAFETY: a NUL-terminated string. In this version a `HeaderFront` lies right in front of
    // it, and the name is followed by a NUL byte however long it is.
    unsafe {
        let short = CStr::from_ptr(name).to_bytes();
        if *FITS.get_or_init(version_fits) {
            let back = size_of::<HeaderFront>() - offset_of!(HeaderFront, name_size);
            let length = name.byte_sub(back).cast::<[u8; size_of::<usize>()]>().read();
            let length = usize::from_ne_bytes(length);
            if length > short.len() {
                return std::slice::from_raw_parts(name.cast(), length);
            }
        }
        short
    }
}
