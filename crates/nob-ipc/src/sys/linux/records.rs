//! The directories in which users keep the records of their queues (`private` makes them).

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// The bytes of a name as a name.
pub(crate) fn os_str(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes)
}

/// All directories of records that this user may read, each with the user whom it belongs to. One
/// that others could write to is not believed.
pub(crate) fn directories() -> Vec<(PathBuf, u32)> {
    let entries = |path: &str| fs::read_dir(path).into_iter().flatten().flatten();
    let number = |name: Option<&str>| name.and_then(|name| name.parse::<u32>().ok());
    let of_run = entries("/run/user").filter_map(|entry| {
        let user = number(entry.file_name().to_str())?;
        Some((entry.path().join("nob-ipc"), user))
    });
    let of_tmp = entries("/tmp").filter_map(|entry| {
        let user = number(entry.file_name().to_str()?.strip_prefix("nob-ipc-"))?;
        Some((entry.path(), user))
    });
    of_run
        .chain(of_tmp)
        .filter(|(path, user)| {
            fs::symlink_metadata(path).is_ok_and(|metadata| {
                metadata.is_dir() && metadata.uid() == *user && metadata.mode() & 0o022 == 0
            })
        })
        .collect()
}
