//! An object on a server: its keys.

use nob_ipc::{Kind, Name};

/// An object of one generation. Its data are under keys of that generation, so handles to it go on
/// when the name goes or belongs to another.
#[derive(Debug)]
pub(crate) struct Object {
    pub name: Name,
    pub generation: String,
    /// The key of the name. What is in braces decides on the slot, so all keys of an object have
    /// one.
    pub name_key: Vec<u8>,
    /// The key of the data; all other keys and the channels begin with it.
    pub data: Vec<u8>,
}

/// The letter of a kind within keys.
pub(crate) fn letter(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::MessageQueue => Some("q"),
        Kind::Semaphore => Some("s"),
        Kind::Lock => Some("l"),
        Kind::BoundedSemaphore => Some("b"),
        _ => None,
    }
}

impl Object {
    pub(crate) fn new(namespace: &str, name: &Name, letter: &str, generation: &str) -> Object {
        let bare = &name.as_bytes()[1..];
        let name_key = [namespace.as_bytes(), b":{", letter.as_bytes(), b"/", bare, b"}"].concat();
        let data = [&name_key[..], b":", generation.as_bytes()].concat();
        Object { name: name.clone(), generation: generation.into(), name_key, data }
    }

    /// The same name, with another generation.
    pub(crate) fn of_generation(&self, generation: &str) -> Object {
        let data = [&self.name_key[..], b":", generation.as_bytes()].concat();
        Object {
            name: self.name.clone(),
            generation: generation.into(),
            name_key: self.name_key.clone(),
            data,
        }
    }

    /// The key that a letter in the table of scripts stands for.
    pub(crate) fn key(&self, letter: u8, slot: &[u8], token: &[u8]) -> Vec<u8> {
        let data = &self.data[..];
        match letter {
            b'N' => self.name_key.clone(),
            b'Z' => [data, b":z"].concat(),
            b'W' => [data, b":w"].concat(),
            b'S' => [data, b":s"].concat(),
            b'D' => [data, b":d:", slot].concat(),
            b'T' => [data, b":t:", token].concat(),
            _ => data.to_vec(),
        }
    }

    /// Where a client hears that it may look again.
    pub(crate) fn channel(&self, client: &str) -> Vec<u8> {
        [&self.data[..], b":c:", client.as_bytes()].concat()
    }
}
