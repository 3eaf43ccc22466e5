//! Creating an object of any kind: with exactly the mode that was asked for, and with a word about what one
//! that exists has other than was asked for.

use std::fmt::{self, Display};

use nix::sys::stat::{Mode, umask};
use nob_ipc::registry;
use nob_ipc::{Existence, Name, Ownership};
use nob_ipc_redis::Handle;

use crate::args::Creation;
use crate::output::complain;

/// The permission bits of a new object, where none are asked for.
pub const DEFAULT_MODE: u32 = 0o600;

/// While it lives, the umask takes nothing from the mode of what is created.
pub struct Exactly(Mode);

pub fn exactly() -> Exactly {
    Exactly(umask(Mode::empty()))
}

impl Drop for Exactly {
    fn drop(&mut self) {
        umask(self.0);
    }
}

impl Creation {
    pub fn mode(&self) -> u32 {
        self.mode.unwrap_or(DEFAULT_MODE)
    }

    pub fn existence(&self) -> Existence {
        if self.exclusive { Existence::Create } else { Existence::LinkOrCreate }
    }
}

/// Permission bits, as they are written.
#[derive(Clone, Copy, PartialEq)]
struct Octal(u32);

impl Display for Octal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

/// What an object that was linked to has other than was asked for. Of one that was created there is nothing
/// to tell.
pub struct Differences<'a> {
    name: &'a Name,
    created: bool,
    found: Vec<String>,
}

impl<'a> Differences<'a> {
    pub fn of(ownership: &'a Ownership) -> Differences<'a> {
        Differences { name: ownership.name(), created: ownership.created(), found: Vec::new() }
    }

    /// Of an object on a server.
    pub fn of_remote(handle: &'a Handle) -> Differences<'a> {
        Differences { name: handle.name(), created: handle.created(), found: Vec::new() }
    }

    /// Something that was asked for, if it was, and what there is.
    pub fn compare<T: Copy + PartialEq + Display>(
        mut self,
        what: &str,
        asked: Option<T>,
        has: T,
    ) -> Differences<'a> {
        if let Some(asked) = asked.filter(|asked| *asked != has) {
            self.found.push(format!("its {what} is {has}, not {asked}"));
        }
        self
    }

    /// The permission bits that were asked for.
    pub fn compare_mode(self, asked: Option<u32>) -> Differences<'a> {
        // To look takes time, and what is gone has no mode.
        let has = match asked {
            Some(_) if !self.created => registry::find(self.name).ok(),
            _ => None,
        };
        match has {
            Some(object) => self.compare("mode", asked.map(Octal), Octal(object.mode())),
            None => self,
        }
    }

    /// Says them on standard error.
    pub fn tell(self) {
        if self.created || self.found.is_empty() {
            return;
        }
        let name = self.name;
        complain(&format!(
            "the {} \"{name}\" exists and was left as it is: {}",
            name.kind(),
            self.found.join(", ")
        ));
    }
}
