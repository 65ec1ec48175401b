//! Processes as others see them: enough to tell whether one that signed a file still lives.

use super::child::ProcessId;

/// When the process was started, in clock ticks since the machine was: together with its pid, this
/// names one process among all that there were since then. `None` if there is no such process.
#[must_use]
pub fn start_ticks(pid: ProcessId) -> Option<u64> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    ticks_of(&stat)
}

/// Field 22 of `stat`, counted from 1, of which the second is a name in parentheses that may hold
/// anything. A process that has ended and was not waited for does not count.
fn ticks_of(stat: &[u8]) -> Option<u64> {
    let behind_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let text = std::str::from_utf8(stat.get(behind_name..)?).ok()?;
    let mut fields = text.split_ascii_whitespace();
    let state = fields.next()?;
    let ticks = fields.nth(22 - 4)?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_stands_behind_a_name_of_any_kind() {
        let stat = |state: &str| format!("7 (a) 1 (b) {state} {}77 5", "1 ".repeat(18));
        assert_eq!(ticks_of(stat("S").as_bytes()), Some(77));
        assert_eq!(ticks_of(stat("Z").as_bytes()), None);
        assert_eq!(ticks_of(b"7 (a) S 1 2"), None);
        assert_eq!(ticks_of(b""), None);
    }

    #[test]
    fn a_living_process_has_one_time() {
        let own = start_ticks(ProcessId::own()).unwrap();
        assert_eq!(start_ticks(ProcessId::own()), Some(own));
        assert_eq!(start_ticks(ProcessId::parse(&i32::MAX.to_string()).unwrap()), None);
    }
}
