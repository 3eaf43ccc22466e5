//! Files that are this user's alone.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The directory of this user's records, made if it is missing. Others can neither write nor read
/// it; one that they could is not used.
pub(crate) fn directory() -> Option<PathBuf> {
    let user = super::unistd::effective_user();
    let runtime = PathBuf::from(format!("/run/user/{user}"));
    let directory = if is_private(&runtime, user) {
        runtime.join("nob-ipc")
    } else {
        PathBuf::from(format!("/tmp/nob-ipc-{user}"))
    };
    // That it is there already is the usual case; anything else shows below.
    let _ = fs::DirBuilder::new().mode(0o700).create(&directory);
    is_private(&directory, user).then_some(directory)
}

/// The permission bits of everybody but the owner.
const OTHERS: u32 = 0o077;

fn is_private(directory: &Path, user: u32) -> bool {
    fs::symlink_metadata(directory).is_ok_and(|metadata| {
        metadata.is_dir() && metadata.uid() == user && metadata.mode() & OTHERS == 0
    })
}

/// Writes a file that must not exist yet; what cannot be written does not stay behind.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes).inspect_err(|_| {
        // There is nothing better to do about it than to say that the record was not written.
        let _ = fs::remove_file(path);
    })
}
