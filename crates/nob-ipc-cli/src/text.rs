//! How things are written for people: names, sizes, ages.

use std::cmp::Ordering;
use std::fmt::{Display, Write};
use std::time::Duration;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

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
pub fn count<N: Copy + Display + From<u8> + PartialEq>(number: N, one: &str, more: &str) -> String {
    let word = if number == N::from(1) { one } else { more };
    format!("{number} {word}")
}

/// What a second brings, in six characters at the most: `0.5/s`, `12/s`, `3.4k/s`.
pub fn rate(rate: f64) -> String {
    let mut rate = rate;
    for unit in ["", "k", "M", "G"] {
        // What is rounded up to a thousand is one of the next unit.
        if rate < 999.5 {
            let digits = usize::from(rate < 9.95 && rate.fract() != 0.0);
            return format!("{rate:.digits$}{unit}/s");
        }
        rate /= 1000.0;
    }
    ">1T/s".into()
}

/// The order in which people expect names: numbers in them count as numbers, so `a2` is before `a10`.
pub fn natural_order(one: &[u8], other: &[u8]) -> Ordering {
    let (mut left, mut right) = (one, other);
    loop {
        match (split_number(left), split_number(right)) {
            (Some((a, rest_of_left)), Some((b, rest_of_right))) => {
                // Without leading zeros the longer one is the larger one.
                match a.len().cmp(&b.len()).then_with(|| a.cmp(b)) {
                    Ordering::Equal => (left, right) = (rest_of_left, rest_of_right),
                    order => return order,
                }
            }
            _ => match (left.split_first(), right.split_first()) {
                (Some((a, rest_of_left)), Some((b, rest_of_right))) => match a.cmp(b) {
                    Ordering::Equal => (left, right) = (rest_of_left, rest_of_right),
                    order => return order,
                },
                // `a01` and `a1` differ all the same.
                (None, None) => return one.cmp(other),
                (left, right) => return left.is_some().cmp(&right.is_some()),
            },
        }
    }
}

/// The digits at the beginning, without leading zeros, and the rest.
fn split_number(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(bytes.len());
    let (digits, rest) = bytes.split_at(end);
    let zeros = digits.iter().position(|&digit| digit != b'0').unwrap_or(digits.len());
    (end > 0).then(|| (&digits[zeros..], rest))
}

/// How many columns of a terminal a text takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// A text in so many columns: of one that is longer, the beginning and an ellipsis.
pub fn cut(text: &str, columns: usize) -> String {
    cut_keeping(text, columns, 0)
}

/// The same, but the end stays as well, which tells names that are numbered.
pub fn cut_in_the_middle(text: &str, columns: usize) -> String {
    cut_keeping(text, columns, columns.saturating_sub(1) / 3)
}

fn cut_keeping(text: &str, columns: usize, tail: usize) -> String {
    if width(text) <= columns {
        return text.into();
    }
    let Some(room) = columns.checked_sub(1) else { return String::new() };
    let tail: String = fitting(text.chars().rev(), tail).chars().rev().collect();
    fitting(text.chars(), room - width(&tail)) + "…" + &tail
}

/// As many characters as fit.
fn fitting(characters: impl Iterator<Item = char>, columns: usize) -> String {
    let mut left = columns;
    let fits = |&character: &char| {
        let rest = left.checked_sub(character.width().unwrap_or(0));
        left = rest.unwrap_or(left);
        rest.is_some()
    };
    characters.take_while(fits).collect()
}

/// A text in lines of so many columns, broken between words where that is possible.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let mut word = word.to_string();
        let line = lines.last().map_or(0, |line| width(line));
        let space = usize::from(line > 0);
        if line + space + width(&word) > columns && line > 0 {
            lines.push(String::new());
        }
        while width(&word) > columns.max(2) {
            let part = fitting(word.chars(), columns.max(2));
            word.drain(..part.len());
            lines.last_mut().expect("there is one").push_str(&part);
            lines.push(String::new());
        }
        let line = lines.last_mut().expect("there is one");
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
    }
    lines
}

/// As many pieces as fit into so many columns, the first ones, with something between two.
pub fn join_fitting(pieces: &[String], between: &str, columns: usize) -> String {
    let mut line = String::new();
    for piece in pieces {
        let longer =
            if line.is_empty() { piece.clone() } else { format!("{line}{between}{piece}") };
        if width(&longer) > columns {
            break;
        }
        line = longer;
    }
    line
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

    #[test]
    fn rates_take_six_characters() {
        for (rate, words) in [
            (0.0, "0/s"),
            (0.25, "0.2/s"),
            (1.0, "1/s"),
            (9.97, "10/s"),
            (999.4, "999/s"),
            (999.6, "1.0k/s"),
            (12_345.0, "12k/s"),
            (999_999.0, "1.0M/s"),
            (1e12, ">1T/s"),
        ] {
            assert_eq!(super::rate(rate), words);
        }
    }

    #[test]
    fn numbers_in_names_count_as_numbers() {
        let mut names =
            ["a10", "a2", "a1", "b", "a", "a02", "a2b", "", "a99999999999999999999999999999", "A1"];
        names.sort_by(|one, other| natural_order(one.as_bytes(), other.as_bytes()));
        let expected =
            ["", "A1", "a", "a1", "a02", "a2", "a2b", "a10", "a99999999999999999999999999999", "b"];
        assert_eq!(names, expected);
    }

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("abcdef", 0), "");
        assert_eq!(cut_in_the_middle("/jobs-of-the-night-17", 12), "/jobs-of…-17");
        // Wide characters take two columns.
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
    }

    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh ij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrap("", 4), [""]);
        let pieces = ["one".to_string(), "two".into(), "three".into()];
        assert_eq!(join_fitting(&pieces, ", ", 8), "one, two");
    }
}
