//! How things are written for people: names, sizes, ages.

use std::fmt::Write;
use std::time::Duration;

/// Whether a terminal could take a character for an order, or show something else than it is: control
/// characters, and those that change the direction of text or have no width.
pub fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// Bytes for a terminal: what is unprintable or not UTF-8 is escaped.
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if is_unprintable(character) {
                text.extend(character.escape_default());
            } else {
                text.push(character);
            }
        }
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// The same of a string.
pub fn escape_str(text: &str) -> String {
    escape(text.as_bytes())
}

/// Bytes so that they can be told from their escaped form: backslashes are doubled.
pub fn escape_exactly(bytes: &[u8]) -> String {
    let parts: Vec<String> = bytes.split(|&byte| byte == b'\\').map(escape).collect();
    parts.join("\\\\")
}

/// A size as one reads it: exact where it is a whole number of units, else with one decimal.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut unit = 0;
    let mut scale: u64 = 1024;
    while unit + 1 < UNITS.len() && bytes / scale >= 1024 {
        scale *= 1024;
        unit += 1;
    }
    let tenths = u128::from(bytes) * 10 / u128::from(scale);
    if bytes.is_multiple_of(scale) {
        format!("{} {}", bytes / scale, UNITS[unit])
    } else {
        format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
    }
}

/// An age in its largest unit.
pub fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A number of things in words: "1 process", "2 processes".
pub fn count(number: usize, one: &str, more: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { more })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        let hostile = "a\u{1b}[2J\u{9b}31m\u{202e}\u{7f}\n".as_bytes();
        let escaped = escape(hostile);
        assert_eq!(escaped, "a\\u{1b}[2J\\u{9b}31m\\u{202e}\\u{7f}\\n");
        assert_eq!(escape(b"\xff ok \xc3\xa9"), "\\xff ok é");
        assert_eq!(escape_exactly(b"a\\b\n"), "a\\\\b\\n");
    }

    #[test]
    fn sizes_are_short_and_never_too_large() {
        for (bytes, words) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1025, "1.0 KiB"),
            (1 << 20, "1 MiB"),
            ((1 << 20) - 1, "1023.9 KiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(size(bytes), words);
        }
    }

    #[test]
    fn ages_are_in_their_largest_unit() {
        for (seconds, words) in [(0, "0s"), (59, "59s"), (60, "1m"), (7200, "2h"), (180_000, "2d")]
        {
            assert_eq!(age(Duration::from_secs(seconds)), words);
        }
    }
}
