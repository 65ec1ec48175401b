//! Numbers as people read them. Pure.

/// As in `813 B`, `52.1 KiB`, `1.2 GiB`.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    const UNITS: [(&str, u64); 5] =
        [("PiB", 1 << 50), ("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let Some((unit, size)) = UNITS.into_iter().find(|(_, size)| bytes >= *size) else {
        return format!("{bytes} B");
    };
    let tenths = u128::from(bytes) * 10 / u128::from(size);
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// As in `0 s`, `59 s`, `3 min`, `2 h 5 min`, `3 d 4 h`.
#[must_use]
pub fn duration(millis: u64) -> String {
    let seconds = millis / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let with = |many: u64, unit, rest: u64, small| match rest {
        0 => format!("{many} {unit}"),
        rest => format!("{many} {unit} {rest} {small}"),
    };
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, 1..10, _) => with(hours, "h", minutes % 60, "min"),
        (0, _, _) => format!("{hours} h"),
        (1..10, _, _) => with(days, "d", hours % 24, "h"),
        _ => format!("{days} d"),
    }
}

/// As in `7`, `12,345`.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// As in `1 file`, `7 files`.
#[must_use]
pub fn many(number: u64, one: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {one}{ending}", count(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_have_units() {
        let sizes = [0, 1023, 1024, 53_400, 1 << 20, 1_288_490_189, u64::MAX].map(bytes);
        assert_eq!(
            sizes.join(", "),
            "0 B, 1023 B, 1.0 KiB, 52.1 KiB, 1.0 MiB, 1.2 GiB, 16383.9 PiB"
        );
        let times =
            [0, 59_999, 60_000, 3_599_000, 7_500_000, 36_000_000, 90_000_000, 9_999_999_999]
                .map(duration);
        assert_eq!(times.join(", "), "0 s, 59 s, 1 min, 59 min, 2 h 5 min, 10 h, 1 d 1 h, 115 d");
        assert_eq!([0, 999, 1000, 1_234_567].map(count).join(" "), "0 999 1,000 1,234,567");
        assert_eq!([many(1, "file"), many(2000, "file")].join(", "), "1 file, 2,000 files");
    }
}
