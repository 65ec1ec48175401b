//! What `ps` and `top` show of a process: `[consumer0] kafkatos3 kafkatos3.cfg`.
//!
//! The kernel shows the memory in which it once put the arguments, and, when the last argument's
//! end is overwritten, goes on into the environment behind it. So the environment is copied away
//! first. Afterwards `std::env::args` gives nonsense in this process: only children that are
//! through with their arguments get a title.

use std::ffi::CString;
use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;

use nix::sys::prctl;

use super::SysError;

/// Shows `[label]` before the command line, and `label` as the process' short name.
///
/// To be called in a process that has one thread and reads no arguments any more.
pub fn set(label: &str) -> Result<(), SysError> {
    let _ = LABEL.set(label.to_owned());
    set_short_name(label)?;
    let title = compose(label, &read("/proc/self/cmdline")?);
    let area = title_area(&read("/proc/self/stat")?)
        .ok_or_else(|| SysError::Form("/proc/self/stat".into()))?;
    move_environment();
    overwrite(area, &title);
    Ok(())
}

/// The label of this process, for its log; `None` before [`set`].
pub fn label() -> Option<&'static str> {
    LABEL.get().map(String::as_str)
}

static LABEL: OnceLock<String> = OnceLock::new();

/// The kernel keeps the first 15 bytes.
fn set_short_name(label: &str) -> Result<(), SysError> {
    let name = CString::new(label.replace('\0', "")).unwrap_or_default();
    prctl::set_name(&name).map_err(SysError::call("naming the process"))
}

fn read(path: &str) -> Result<Vec<u8>, SysError> {
    let path = Path::new(path);
    std::fs::read(path).map_err(SysError::file("read", path))
}

/// The arguments, each ended by a NUL, behind the label.
fn compose(label: &str, arguments: &[u8]) -> Vec<u8> {
    let arguments = arguments.strip_suffix(b"\0").unwrap_or(arguments);
    let arguments = arguments.iter().map(|byte| if *byte == 0 { b' ' } else { *byte });
    let mut title = format!("[{}] ", label.replace('\0', "")).into_bytes();
    title.extend(arguments);
    title
}

/// The addresses of arguments and environment: fields 48 to 51 of `stat`, counted from 1, of which
/// the second is a name in parentheses that may hold anything.
fn title_area(stat: &[u8]) -> Option<Range<usize>> {
    let behind_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let text = std::str::from_utf8(stat.get(behind_name..)?).ok()?;
    let mut fields = text.split_ascii_whitespace().skip(48 - 3).map(str::parse::<usize>);
    let mut next = || fields.next()?.ok();
    let (arg_start, arg_end, env_start, env_end) = (next()?, next()?, next()?, next()?);
    let end = if env_start == arg_end && env_end > env_start { env_end } else { arg_end };
    (arg_start != 0 && arg_start < end).then_some(arg_start..end)
}

/// Has the C library copy every variable to memory of its own.
#[expect(unsafe_code, reason = "setting variables races with other threads' reading them")]
fn move_environment() {
    let variables: Vec<_> = std::env::vars_os().collect();
    for (name, value) in variables {
        // SAFETY: the process has one thread: it was forked from a process that had one
        // (`fork` refuses others) and has started none yet.
        unsafe { std::env::set_var(name, value) };
    }
}

/// Puts `title` into `area`, cut to fit, with NULs behind it up to the area's end.
#[expect(unsafe_code, reason = "writes to memory that only the kernel knows of")]
fn overwrite(area: Range<usize>, title: &[u8]) {
    let length = title.len().min(area.len() - 1);
    let start = std::ptr::with_exposed_provenance_mut::<u8>(area.start);
    // SAFETY: the kernel mapped [area.start, area.end) writable on this process' stack and put
    // arguments and environment there; nothing of Rust's lies in it. The C library's pointers
    // into it stay valid, and what they point to is ended by a NUL, as the last byte always is
    // one; variables have been moved away. `length` is less than the area's.
    unsafe {
        std::ptr::write_bytes(start, 0, area.len());
        std::ptr::copy_nonoverlapping(title.as_ptr(), start, length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_stand_behind_the_label() {
        assert_eq!(compose("consumer0", b"kafkatos3\0-e\0a b\0"), b"[consumer0] kafkatos3 -e a b");
        assert_eq!(compose("x", b""), b"[x] ");
    }

    fn stat(name: &str, areas: &str) -> Vec<u8> {
        format!("7 ({name}) {}{areas} 0", "0 ".repeat(45)).into_bytes()
    }

    #[test]
    fn the_area_goes_on_into_the_environment_if_that_lies_behind() {
        assert_eq!(title_area(&stat("a", "100 120 120 200")), Some(100..200));
        assert_eq!(title_area(&stat("a) 1 (b", "100 120 128 200")), Some(100..120));
    }

    #[test]
    fn nothing_is_made_of_a_stat_without_the_area() {
        assert_eq!(title_area(&stat("a", "0 0 0 0")), None);
        assert_eq!(title_area(b"7 (a) 1 2 3"), None);
        assert_eq!(title_area(b""), None);
    }

    #[test]
    fn this_process_has_an_area_that_holds_its_arguments() {
        let area = title_area(&read("/proc/self/stat").unwrap()).unwrap();
        assert!(area.len() >= read("/proc/self/cmdline").unwrap().len());
    }
}
