//! What runs on the server: scripts, each of which is one atomic step.

use crate::object::Object;

/// A script: its text, and what it needs to be called.
pub(crate) struct Text {
    pub body: &'static str,
    /// Which keys it is given, by the letters of [`Object::key`].
    keys: &'static str,
    /// Whether its first argument is the number of the request, by which a repetition is
    /// recognised.
    pub numbered: bool,
    /// Whether it is told, first of all, that another copy of the request may be under way, which
    /// is to do nothing once this one has been answered.
    pub repeated: bool,
    /// Whether it changes what is promised to last.
    pub changes: bool,
}

macro_rules! text {
    (look $file:literal) => {
        concat!("#!lua flags=no-writes,allow-oom\n", include_str!($file))
    };
    // Out of memory, a server goes on with what needs no more of it.
    (change $file:literal) => {
        concat!("#!lua flags=allow-oom\n", include_str!("common.lua"), include_str!($file))
    };
    (grow $file:literal) => {
        concat!("#!lua\n", include_str!("common.lua"), include_str!($file))
    };
}

macro_rules! scripts {
    ($(
        $(#[$meta:meta])*
        $name:ident $mode:ident $file:literal $keys:literal $numbered:literal $repeated:literal
            $changes:literal;
    )*) => {
        /// A script of ours.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Script { $($(#[$meta])* $name,)* }

        const ALL: &[Text] = &[$(Text {
            body: text!($mode $file),
            keys: $keys,
            numbered: $numbered,
            repeated: $repeated,
            changes: $changes,
        },)*];
    };
}

// Keys: N name, M data, Z set of messages or permits, W line, S line of senders, D slot, T end of a
// token, or of a creation. Then: whether it is numbered, whether it is told of repetitions, whether it
// changes what lasts.
scripts! {
    Open grow "open.lua" "" false true true;
    /// Only links, which needs no memory.
    Link change "open.lua" "" false true false;
    Look look "look.lua" "NM" false false false;
    Unlink change "unlink.lua" "NMZWST" false false true;
    Send grow "send.lua" "MZWSD" true true true;
    Receive change "receive.lua" "MZWSD" true true true;
    Putback change "putback.lua" "MZWSD" true false false;
    Acquire change "acquire.lua" "MWD" true true true;
    Release change "release.lua" "MWD" true true true;
    Giveback change "giveback.lua" "MWD" true false false;
    Lock change "lock.lua" "MWT" false true true;
    Unlock change "unlock.lua" "MWDT" true false true;
    Renew change "renew.lua" "M" false false false;
    Repair change "repair.lua" "M" false false true;
    Owner look "owner.lua" "M" false false false;
    Take change "take.lua" "MZWT" false true true;
    Give change "give.lua" "MZWDT" true false true;
    Keep change "keep.lua" "MZ" false false false;
    Holders look "holders.lua" "MZ" false false false;
    Count look "count.lua" "MZ" false false false;
    Glance look "glance.lua" "NMZWS" false false false;
    /// For those who wait to receive or to acquire.
    Leave change "leave.lua" "MW" false false false;
    /// For those who wait to send.
    LeaveSenders change "leave.lua" "MS" false false false;
}

/// Says which commands this user may run; called with none of the keys.
pub(crate) const RIGHTS: &str = text!(look "rights.lua");

impl Script {
    pub(crate) fn text(self) -> &'static Text {
        &ALL[self as usize]
    }

    /// The script that leaves the line of those who wait for this one.
    pub(crate) fn leave(self) -> Script {
        if self == Script::Send { Script::LeaveSenders } else { Script::Leave }
    }

    /// The keys that it needs to work on an object.
    pub(crate) fn keys(self, object: &Object, slot: &[u8], token: &[u8]) -> Vec<Vec<u8>> {
        self.text().keys.bytes().map(|letter| object.key(letter, slot, token)).collect()
    }
}

/// The texts of all.
#[cfg(test)]
pub(crate) fn texts() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|script| script.body)
}

/// The digests by which a server knows the scripts.
pub(crate) fn digests() -> Vec<String> {
    ALL.iter().map(|script| sha1_smol::Sha1::from(script.body).digest().to_string()).collect()
}
