//! Python arguments into the core's words. Everything that does not fit is an invalid argument.

use std::time::Duration;

use nob_ipc::{Direction, Existence, Kind, MessageQueue, MessageQueueOptions, Name};
use nob_ipc_redis::Durability;
use pyo3::Borrowed;
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyString};

use crate::convert::error::{invalid_argument, raise};
use crate::once::intern;

/// An argument as it was given, or not: `None` that was given is told from what was left out.
#[derive(Clone, Copy)]
pub(crate) struct Arg<'a, 'py>(pub Option<Borrowed<'a, 'py, PyAny>>);

impl Arg<'_, '_> {
    pub(crate) const NOTHING: Self = Arg(None);

    /// Whether it was left out, or given as `None`.
    pub(crate) fn is_none(self) -> bool {
        self.0.is_none_or(|value| value.is_none())
    }
}

impl<'a, 'py> FromPyObject<'a, 'py> for Arg<'a, 'py> {
    type Error = PyErr;

    #[inline]
    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        Ok(Arg(Some(value)))
    }
}

/// What kind of thing a value is, for a sentence.
fn described(value: &Bound<'_, PyAny>) -> String {
    let kind = value.get_type().name().map_or_else(|_| "?".into(), |name| name.to_string());
    match value.repr() {
        Ok(repr) if kind != "NoneType" => {
            let repr = repr.to_string();
            let short: String = repr.chars().take(60).collect();
            let dots = if short.len() < repr.len() { "..." } else { "" };
            format!("{short}{dots} ({kind})")
        }
        _ => "None".into(),
    }
}

fn mismatch<T>(what: &str, wanted: &str, value: &Bound<'_, PyAny>) -> PyResult<T> {
    // A flag where the class has another argument: as if the flag always came second.
    let advice = match flag(value) {
        Ok(Some(_)) => {
            let member = value.getattr(intern!(value.py(), "_name_"))?;
            format!("; give the flag by name: handle_existence=Flags.{member}")
        }
        // A time where the classes of others have it.
        _ if what == "blocking" && (is_index(value) || value.is_instance_of::<PyFloat>()) => {
            "; give a time by name: timeout=SECONDS".into()
        }
        _ => String::new(),
    };
    Err(invalid_argument(format!("{what} must be {wanted}, not {}{advice}", described(value))))
}

/// A switch: `True` or `False` and nothing that merely counts as one.
pub(crate) fn switch(what: &str, value: Arg<'_, '_>, default: bool) -> PyResult<bool> {
    match value.0 {
        None => Ok(default),
        Some(value) => match value.cast::<PyBool>() {
            Ok(switch) => Ok(switch.is_true()),
            Err(_) => mismatch(what, "True or False", &value),
        },
    }
}

/// A switch that may be left to the default by `None`.
pub(crate) fn optional_switch(what: &str, value: Arg<'_, '_>) -> PyResult<Option<bool>> {
    if value.is_none() {
        return Ok(None);
    }
    match value.0.map(|value| value.cast::<PyBool>().map(|switch| switch.is_true())) {
        Some(Ok(switch)) => Ok(Some(switch)),
        _ => match value.0 {
            Some(value) => mismatch(what, "True, False or None", &value),
            None => Ok(None),
        },
    }
}

/// An integer of 64 signed bits: anything with `__index__`, except `bool`.
fn integer(what: &str, value: &Bound<'_, PyAny>) -> PyResult<i64> {
    if value.is_instance_of::<PyBool>() || !is_index(value) {
        return mismatch(what, "an integer", value);
    }
    let number = index(value)?;
    match number.extract::<i64>() {
        Ok(number) => Ok(number),
        Err(_) => mismatch(what, "an integer of 64 signed bits", value),
    }
}

/// An integer within bounds.
pub(crate) fn bounded(
    what: &str,
    value: Arg<'_, '_>,
    default: i64,
    (least, most): (i64, i64),
) -> PyResult<i64> {
    let Some(value) = value.0 else { return Ok(default) };
    let number = integer(what, &value)?;
    if (least..=most).contains(&number) {
        return Ok(number);
    }
    Err(invalid_argument(if most == i64::MAX {
        format!("{what} must be at least {least}, not {number}")
    } else {
        format!("{what} must be {least} to {most}, not {number}")
    }))
}

fn is_index(value: &Bound<'_, PyAny>) -> bool {
    value.is_instance_of::<PyInt>()
        || value.get_type().hasattr(intern!(value.py(), "__index__")).unwrap_or(false)
}

fn index<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyInt>> {
    if let Ok(number) = value.cast::<PyInt>() {
        return Ok(number.clone());
    }
    let number = value.call_method0(intern!(value.py(), "__index__"))?;
    Ok(number.cast_into::<PyInt>()?)
}

/// Seconds: an `int`, a `float`, anything with `__index__` or `__float__`; `None` waits for ever.
pub(crate) fn timeout(value: Arg<'_, '_>) -> PyResult<Option<Duration>> {
    seconds("timeout", value)
}

/// A number of seconds; what never ends is `None`, as what was left out or given as `None`.
fn seconds(what: &str, value: Arg<'_, '_>) -> PyResult<Option<Duration>> {
    const WANTED: &str = "a number of seconds, 0 or more, or None";
    let Some(value) = value.0.filter(|value| !value.is_none()) else {
        return Ok(None);
    };
    if let Ok(seconds) = value.cast::<PyFloat>() {
        return float_seconds(seconds.value()).map_or_else(|| mismatch(what, WANTED, &value), Ok);
    }
    if value.is_instance_of::<PyBool>() || value.is_instance_of::<PyString>() {
        return mismatch(what, WANTED, &value);
    }
    let py = value.py();
    let is_float = value.get_type().hasattr(intern!(py, "__float__"))?;
    if is_index(&value) {
        match index(&value) {
            Ok(seconds) if seconds.lt(0)? => return mismatch(what, WANTED, &value),
            Ok(seconds) => {
                // More than 64 bits of seconds: nobody sees the end of it.
                return Ok(seconds.extract::<u64>().ok().map(Duration::from_secs));
            }
            // An array of numpy has both methods, and works with the one that fits its element.
            Err(error) if is_float && error.is_instance_of::<PyTypeError>(py) => {}
            Err(error) => return Err(error),
        }
    }
    if is_float {
        let seconds = match value.call_method0(intern!(py, "__float__")) {
            // A fraction or decimal that is larger than every float.
            Err(error) if error.is_instance_of::<PyOverflowError>(py) && value.gt(0)? => {
                return Ok(None);
            }
            Err(error) if error.is_instance_of::<PyOverflowError>(py) => None,
            seconds => seconds?.cast::<PyFloat>().ok().and_then(|f| float_seconds(f.value())),
        };
        if let Some(timeout) = seconds {
            return Ok(timeout);
        }
    }
    mismatch(what, WANTED, &value)
}

/// How long the owner of a lock may be silent before a server takes it for dead.
pub(crate) fn lease(value: Arg<'_, '_>) -> PyResult<Duration> {
    const WANTED: &str = "a finite number of seconds, 1 or more";
    let Some(given) = value.0 else { return Ok(Duration::from_secs(10)) };
    match seconds("lease", value) {
        Ok(Some(lease)) if lease >= Duration::from_secs(1) => Ok(lease),
        _ => mismatch("lease", WANTED, &given),
    }
}

/// How long a call goes on trying to reach a server, if that is said.
pub(crate) fn patience(value: Arg<'_, '_>) -> PyResult<Option<Duration>> {
    const WANTED: &str = "a number of seconds, 0 or more and finite, or None";
    let Some(given) = value.0.filter(|value| !value.is_none()) else { return Ok(None) };
    match seconds("patience", value) {
        Ok(Some(patience)) => Ok(Some(patience)),
        _ => mismatch("patience", WANTED, &given),
    }
}

/// A `str`, or `None`.
pub(crate) fn optional_text(what: &str, value: Arg<'_, '_>) -> PyResult<Option<String>> {
    let Some(value) = value.0.filter(|value| !value.is_none()) else { return Ok(None) };
    match value.cast::<PyString>() {
        Ok(text) => match text.to_str() {
            Ok(text) => Ok(Some(text.into())),
            Err(_) => mismatch(what, "a str that UTF-8 can express", &value),
        },
        Err(_) => mismatch(what, "a str or None", &value),
    }
}

/// What has to be done on a server before a call returns.
pub(crate) fn durability(value: Arg<'_, '_>) -> PyResult<Option<Durability>> {
    let Some(word) = optional_text("durability", value)? else { return Ok(None) };
    match (word.parse(), value.0) {
        (Err(_), Some(value)) => {
            mismatch("durability", "\"memory\", \"replica\", \"fsync\" or None", &value)
        }
        (durability, _) => Ok(durability.ok()),
    }
}

/// Rounded up to a nanosecond, or for ever; the outer `None` for what is no time to wait.
#[expect(clippy::option_option, reason = "what is no time is told from what never ends")]
fn float_seconds(seconds: f64) -> Option<Option<Duration>> {
    if seconds.is_nan() || seconds < 0.0 {
        return None;
    }
    // Fails only for more seconds than 64 bits hold, infinity among them.
    let Ok(nearest) = Duration::try_from_secs_f64(seconds) else {
        return Some(None);
    };
    let up = u64::from(nearest.as_secs_f64() < seconds);
    Some(Some(nearest.saturating_add(Duration::from_nanos(up))))
}

/// Permission bits.
pub(crate) fn mode(value: Arg<'_, '_>) -> PyResult<u32> {
    let Some(value) = value.0 else { return Ok(0o600) };
    let mode = integer("mode", &value)?;
    if !(0..=0o777).contains(&mode) {
        // In octal, as permissions are read.
        let sign = if mode < 0 { "-" } else { "" };
        let message = format!("mode must be 0o0 to 0o777, not {sign}{:#o}", mode.unsigned_abs());
        return Err(invalid_argument(message));
    }
    narrow(mode)
}

/// A number from 1 on, if there is one.
pub(crate) fn optional_count(what: &str, value: Arg<'_, '_>) -> PyResult<Option<i64>> {
    if value.is_none() {
        return Ok(None);
    }
    bounded(what, value, 1, (1, i64::MAX)).map(Some)
}

/// The capacity of a new queue, as far as it is asked for.
pub(crate) fn capacity(
    options: &mut MessageQueueOptions,
    max_messages: Option<i64>,
    max_message_size: Option<i64>,
) -> PyResult<()> {
    if let Some(count) = max_messages {
        options.max_messages(narrow(count)?);
    }
    if let Some(size) = max_message_size {
        options.max_message_size(narrow(size)?);
    }
    Ok(())
}

/// What a queue is opened for.
pub(crate) fn direction(read: bool, write: bool) -> PyResult<Direction> {
    match (read, write) {
        (true, true) => Ok(Direction::Both),
        (true, false) => Ok(Direction::Receive),
        (false, true) => Ok(Direction::Send),
        (false, false) => {
            let message = "read and write are both False: a queue is opened for one at least";
            Err(invalid_argument(message.into()))
        }
    }
}

/// The priority of a message.
pub(crate) fn priority(value: Arg<'_, '_>) -> PyResult<u32> {
    narrow(bounded("priority", value, 0, (0, i64::from(MessageQueue::MAX_PRIORITY)))?)
}

/// The number of a signal, from what may also be a callable with its argument.
pub(crate) fn signal(value: &Bound<'_, PyAny>) -> PyResult<i32> {
    let most = MessageQueue::MAX_SIGNAL;
    if value.is_instance_of::<PyBool>() || !is_index(value) {
        let wanted = format!("a signal from 1 to {most}, (callable, argument) or None");
        return mismatch("notification", &wanted, value);
    }
    let signal = integer("notification", value)?;
    i32::try_from(signal).ok().filter(|signal| (1..=most).contains(signal)).ok_or_else(|| {
        invalid_argument(format!("notification must be a signal from 1 to {most}, not {signal}"))
    })
}

/// A number whose bounds were checked.
pub(crate) fn narrow<T: TryFrom<i64>>(number: i64) -> PyResult<T> {
    T::try_from(number).map_err(|_| invalid_argument(format!("{number} is out of range")))
}

/// What to do about an object that exists or not: a member of `Flags`.
pub(crate) fn existence(value: Arg<'_, '_>) -> PyResult<Existence> {
    const WANTED: &str = "a member of nob.ipc.Flags, such as Flags.LINK_OR_CREATE";
    let Some(value) = value.0 else { return Ok(Existence::Link) };
    flag(&value)?.map_or_else(|| mismatch("handle_existence", WANTED, &value), Ok)
}

/// What a member of `Flags` means; `None` for what is none.
fn flag(value: &Bound<'_, PyAny>) -> PyResult<Option<Existence>> {
    const MEANINGS: [(&str, Existence); 4] = [
        ("RAISE_IF_EXISTS", Existence::Create),
        ("RAISE_IF_NOT_EXISTS", Existence::Link),
        ("LINK_OR_CREATE", Existence::LinkOrCreate),
        ("UNLINK_AND_CREATE", Existence::UnlinkAndCreate),
    ];
    // By name, since a module that is imported again has other members.
    let class = value.get_type();
    let module = class.getattr(intern!(value.py(), "__module__"))?;
    if class.name()? != "Flags" || !module.eq(intern!(value.py(), "nob.ipc.flags"))? {
        return Ok(None);
    }
    let name = value.getattr(intern!(value.py(), "_name_"))?;
    let name = name.cast::<PyString>()?.to_str()?;
    Ok(MEANINGS.iter().find(|(member, _)| *member == name).map(|(_, meaning)| *meaning))
}

/// A name that Python takes; `None` for a random free one where the object is to be new.
pub(crate) fn name(kind: Kind, value: Arg<'_, '_>, existence: Existence) -> PyResult<Name> {
    let Some(value) = value.0 else {
        return Err(invalid_argument("the name is missing".into()));
    };
    if value.is_none() {
        if existence == Existence::Create {
            return Name::random(kind).map_err(|error| raise(value.py(), &error));
        }
        return Err(invalid_argument(
            "name must be a str; None makes a random name only with Flags.RAISE_IF_EXISTS".into(),
        ));
    }
    given_name(kind, &value)
}

/// A name that must be one.
pub(crate) fn given_name(kind: Kind, value: &Bound<'_, PyAny>) -> PyResult<Name> {
    let Ok(text) = value.cast::<PyString>() else {
        return mismatch("name", "a str", value);
    };
    let Ok(text) = text.to_str() else {
        return mismatch("name", "a str that UTF-8 can express", value);
    };
    Name::portable(kind, text).map_err(|error| raise(value.py(), &error))
}
