//! What the constructors and calls of `posix_ipc` take.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use nob_ipc::{Existence, Kind, Name};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyString};

use super::error::refuse;
use crate::convert::error::invalid_argument;
use crate::convert::{self, Arg};
use crate::once::Once;

/// What every constructor is told.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) name: Name,
    /// The name as it was given, with a slash or without.
    pub(super) given: OsString,
    pub(super) existence: Existence,
    pub(super) truncate: bool,
    pub(super) nonblocking: bool,
    /// As it was given; only its permission bits count.
    pub(super) mode: u32,
}

impl Request {
    pub(super) fn new(
        py: Python<'_>,
        kind: Kind,
        name: Arg<'_, '_>,
        flags: Arg<'_, '_>,
        mode: Arg<'_, '_>,
    ) -> PyResult<Request> {
        let known = OpenFlags::of_system(py)?;
        let flags = convert::bounded("flags", flags, 0, (0, i64::from(u32::MAX)))?;
        let has = |flag: i64| flags & flag != 0;
        let existence = match (has(known.create), has(known.exclusive)) {
            (false, false) => Existence::Link,
            (true, false) => Existence::LinkOrCreate,
            (true, true) => Existence::Create,
            (false, true) => {
                let message =
                    "O_EXCL asks for a new object: combine it with O_CREAT, as O_CREX does";
                return Err(invalid_argument(message.into()));
            }
        };
        let mode = convert::bounded("mode", mode, 0o600, (0, i64::from(u32::MAX)))?;
        let (name, given) = match name.0.filter(|name| !name.is_none()) {
            Some(name) => {
                let given = given_name(&name)?;
                (self::name(kind, &given, py)?, given)
            }
            None if existence == Existence::Create => {
                let name = Name::random(kind).map_err(|error| refuse(py, &error))?;
                let given = OsStr::from_bytes(name.as_bytes()).to_owned();
                (name, given)
            }
            None => {
                let message = "name None makes a random name, and only with O_CREX";
                return Err(invalid_argument(message.into()));
            }
        };
        Ok(Request {
            name,
            given,
            existence,
            truncate: has(known.truncate),
            nonblocking: has(known.nonblocking),
            mode: convert::narrow(mode)?,
        })
    }

    /// The permission bits of a new object.
    pub(super) fn permissions(&self) -> u32 {
        self.mode & 0o777
    }
}

/// The numbers of the flags, as the module `os` has them.
struct OpenFlags {
    create: i64,
    exclusive: i64,
    truncate: i64,
    nonblocking: i64,
}

impl OpenFlags {
    fn of_system(py: Python<'_>) -> PyResult<&OpenFlags> {
        static FLAGS: Once<OpenFlags> = Once::new();
        FLAGS.get_or_make(py, || {
            let os = py.import("os")?;
            let flag = |name: &str| os.getattr(name)?.extract::<i64>();
            Ok(OpenFlags {
                create: flag("O_CREAT")?,
                exclusive: flag("O_EXCL")?,
                truncate: flag("O_TRUNC")?,
                nonblocking: flag("O_NONBLOCK")?,
            })
        })
    }
}

/// A name as Python gives it: `str`, in the encoding of file names, or `bytes`.
pub(super) fn given_name(value: &Bound<'_, PyAny>) -> PyResult<OsString> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(OsStr::from_bytes(bytes.as_bytes()).to_owned());
    }
    if value.is_instance_of::<PyString>() {
        return value.extract();
    }
    let kind = value.get_type().name()?;
    Err(invalid_argument(format!("name must be None, a str or bytes, not {kind}")))
}

/// Any name that the system takes.
pub(super) fn name(kind: Kind, given: &OsStr, py: Python<'_>) -> PyResult<Name> {
    Name::new(kind, given).map_err(|error| refuse(py, &error))
}

/// What counts as true, where `posix_ipc` takes anything.
pub(super) fn truth(value: Arg<'_, '_>, default: bool) -> PyResult<bool> {
    value.0.map_or(Ok(default), |value| value.is_truthy())
}

/// Seconds; also `False` and `True`, which are the numbers 0 and 1 there.
#[inline]
pub(super) fn timeout(value: Arg<'_, '_>) -> PyResult<Option<Duration>> {
    match value.0.map(|value| value.cast::<PyBool>().map(|seconds| seconds.is_true())) {
        Some(Ok(seconds)) => Ok(Some(Duration::from_secs(seconds.into()))),
        _ => convert::timeout(value),
    }
}
