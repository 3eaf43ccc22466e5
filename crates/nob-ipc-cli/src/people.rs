//! Names of users and groups.

use std::collections::HashMap;

use nix::unistd::{Gid, Group, Uid, User};

/// Looks each user up once.
#[derive(Default)]
pub struct Users(HashMap<u32, String>);

impl Users {
    /// The user's name; the number where there is none.
    pub fn name(&mut self, user: u32) -> &str {
        self.0.entry(user).or_insert_with(|| match User::from_uid(Uid::from_raw(user)) {
            Ok(Some(user)) => user.name,
            _ => user.to_string(),
        })
    }
}

/// The group's name; the number where there is none.
pub fn group(group: u32) -> String {
    match Group::from_gid(Gid::from_raw(group)) {
        Ok(Some(group)) => group.name,
        _ => group.to_string(),
    }
}
