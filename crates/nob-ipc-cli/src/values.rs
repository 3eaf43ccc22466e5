//! What a value on the command line means: names, addresses, sizes, modes, times.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use clap::builder::{OsStringValueParser, PossibleValue, PossibleValuesParser, TypedValueParser};
use nob_ipc::registry;
use nob_ipc::{ErrorKind, Kind, Name};

use crate::text;

type Refusal = Box<dyn std::error::Error + Send + Sync>;

/// A legal name of one kind.
pub fn name_of(kind: Kind) -> impl TypedValueParser<Value = Name> {
    OsStringValueParser::new().try_map(move |name: OsString| Name::new(kind, name))
}

/// `KIND:NAME`.
pub fn address() -> impl TypedValueParser<Value = Name> {
    OsStringValueParser::new().try_map(|address: OsString| parse_address(&address))
}

fn parse_address(address: &OsStr) -> Result<Name, Refusal> {
    let bytes = address.as_bytes();
    let split = bytes.iter().position(|&byte| byte == b':').map(|colon| bytes.split_at(colon));
    let kind = split.and_then(|(word, rest)| {
        let kind = Kind::ALL.into_iter().find(|kind| kind.short_word().as_bytes() == word)?;
        Some((kind, rest.get(1..)?))
    });
    let Some((kind, name)) = kind else { return Err(without_kind(address)) };
    Ok(Name::new(kind, OsStr::from_bytes(name))?)
}

/// What is wrong with an address that has no kind: with what has that name, if something has.
fn without_kind(address: &OsStr) -> Refusal {
    let names = Kind::ALL.into_iter().filter_map(|kind| Name::new(kind, address).ok());
    // What has a name, but may not be looked at, is meant, too.
    let is_there = |name: &Name| match registry::find(name) {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::PermissionDenied,
    };
    let there: Vec<String> = names
        .filter(is_there)
        .map(|name| format!("{}:{}", name.kind().short_word(), text::escape(name.as_bytes())))
        .collect();
    match &*there {
        [] => {
            let words = Kind::ALL.map(|kind| format!("{}:", kind.short_word()));
            let words = words.join(" ");
            format!("an address begins with one of {words}, for example mq:/jobs").into()
        }
        [one] => format!("an address begins with its kind; on this machine there is {one}").into(),
        [some @ .., last] => {
            let some = some.join(", ");
            format!("an address begins with its kind; on this machine there are {some} and {last}")
                .into()
        }
    }
}

/// The short word for a kind.
pub fn kind() -> impl TypedValueParser<Value = Kind> {
    let words = Kind::ALL.map(|kind| {
        PossibleValue::new(kind.short_word()).help(format!("Only objects of the kind {kind}"))
    });
    PossibleValuesParser::new(words).try_map(|word: String| {
        Kind::ALL.into_iter().find(|kind| kind.short_word() == word).ok_or("it is no kind")
    })
}

/// A user, by name or number.
pub fn user(text: &str) -> Result<u32, Refusal> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    match nix::unistd::User::from_name(text) {
        Ok(Some(user)) => Ok(user.uid.as_raw()),
        Ok(None) => Err(format!("there is no user {text:?}").into()),
        Err(errno) => Err(errno.desc().into()),
    }
}

/// A number of bytes.
pub fn size(text: &str) -> Result<u64, Refusal> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit {
        "" | "B" => 1,
        "K" | "k" | "KiB" => 1 << 10,
        "M" | "MiB" => 1 << 20,
        "G" | "GiB" => 1 << 30,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => {
            let units = "K, M, G, KiB, MiB, GiB (powers of 1024), KB, MB, GB (powers of 1000)";
            return Err(format!("a size is a number and one of {units}").into());
        }
    };
    let number: u64 = number.parse().map_err(|_| "a size begins with a number")?;
    let size = number.checked_mul(factor).filter(|&size| i64::try_from(size).is_ok());
    size.ok_or_else(|| format!("a size is at most {} bytes", i64::MAX).into())
}

/// Permission bits.
pub fn mode(text: &str) -> Result<u32, Refusal> {
    match u32::from_str_radix(text.strip_prefix("0o").unwrap_or(text), 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("a mode is three octal digits, for example 660".into()),
    }
}

/// A time: a number of seconds, such as `90` or `1.5`; units, such as `300ms`, `1h30m` or `1d 12h`; or `inf`,
/// which is for ever.
pub fn time(text: &str) -> Result<Duration, Refusal> {
    const SUCH_AS: &str = "a time is a number of seconds, such as 1.5, or has units, such as 300ms, 10m, \
                           1h30m or 7d; inf is for ever";
    let Ok(seconds) = text.parse::<f64>() else {
        return humantime::parse_duration(text).map_err(|_| SUCH_AS.into());
    };
    if seconds.is_nan() || seconds < 0.0 {
        return Err(SUCH_AS.into());
    }
    // What is longer than any clock counts is for ever.
    Ok(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [
            ("4096", 4096),
            ("64K", 65_536),
            ("10MiB", 10 << 20),
            ("2G", 2 << 30),
            ("1KB", 1000),
            ("3MB", 3_000_000),
            ("1GB", 1_000_000_000),
            ("0", 0),
        ] {
            assert_eq!(size(text).unwrap(), bytes, "{text}");
        }
        for text in
            ["", "K", "-1", "1X", "1.5M", "99999999999999999999", "9223372036854775808", "9G1"]
        {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_have_a_kind() {
        for (text, kind) in [
            ("sem:/a", Kind::Semaphore),
            ("shm:a", Kind::SharedMemory),
            ("mq:/a", Kind::MessageQueue),
            ("lock:/a", Kind::Lock),
            ("permits:/a", Kind::BoundedSemaphore),
            ("channel:/a", Kind::Channel),
        ] {
            assert_eq!(parse_address(OsStr::new(text)).unwrap(), Name::new(kind, "/a").unwrap());
        }
        for text in ["/a", "a:/b", "sem:", "sem:/a/b"] {
            assert!(parse_address(OsStr::new(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn modes_are_octal() {
        assert_eq!(mode("660").unwrap(), 0o660);
        assert_eq!(mode("0600").unwrap(), 0o600);
        for text in ["", "8", "1000", "rw", "-1"] {
            assert!(mode(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_seconds_or_have_units() {
        for (text, milliseconds) in [
            ("0", 0),
            ("90", 90_000),
            ("1.5", 1500),
            (".5", 500),
            ("300ms", 300),
            ("2s", 2000),
            ("1.5h", 5_400_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1d 12h", 129_600_000),
        ] {
            assert_eq!(time(text).unwrap(), Duration::from_millis(milliseconds), "{text}");
        }
        for text in ["inf", "1e300"] {
            assert_eq!(time(text).unwrap(), Duration::MAX);
        }
        for text in ["-1", "-1s", "nan", "", "soon", "1x", "s", "1h-5m"] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
