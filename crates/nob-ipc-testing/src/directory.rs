//! Directories of the tests' own.

use std::env;
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use crate::unique::Unique;

/// A new directory. It is removed when it is dropped, with all that is in it.
pub struct Directory(PathBuf);

impl Directory {
    /// Makes one.
    #[expect(clippy::new_without_default, reason = "each is another")]
    pub fn new() -> Directory {
        Directory::within(&env::temp_dir())
    }

    /// Makes one in another directory.
    pub fn within(directory: &Path) -> Directory {
        let path = directory.join(Unique::new().bare());
        fs::create_dir(&path).expect("the name is free");
        Directory(path)
    }
}

impl Deref for Directory {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("cannot remove {}: {error}", self.0.display());
        }
    }
}
