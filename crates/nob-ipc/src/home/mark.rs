//! The creator's mark: which process owns the name of an object, so that what a dead one left can be
//! told from what is meant to stay.
//!
//! A file in `/dev/shm` carries it in the extended attribute `user.nob-ipc` (tmpfs has them since
//! Linux 6.6). A queue cannot, so a record in a private directory of the user stands for it. Where
//! neither can be made there is no mark, and no error.

use std::fmt;
use std::str::FromStr;

use crate::sys;
use crate::sys::fork::PerProcess;

/// Names one process of one boot: a pid that is used again does not deceive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub pid: u32,
    /// In clock ticks since boot.
    pub start_time: u64,
    /// The inode of the pid namespace in which `pid` counts.
    pub pid_namespace: u64,
    /// The inode of the time namespace in which `start_time` counts.
    pub time_namespace: u64,
    pub boot_id: String,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mark { pid, start_time, pid_namespace, time_namespace, boot_id } = self;
        write!(f, "2 {pid} {start_time} {pid_namespace} {time_namespace} {boot_id}")
    }
}

impl Mark {
    /// Whether the process that it names lives; `None` where that cannot be told from here: its
    /// numbers count in another namespace, or come from another boot or machine, or a process of this pid
    /// has begun at another time in a namespace that cannot be looked at. A pid that is used again does
    /// not deceive: it has another start time.
    pub(crate) fn is_alive(&self) -> Option<bool> {
        let same = sys::proc::boot_id()? == self.boot_id
            && sys::proc::pid_namespace()? == self.pid_namespace
            && sys::proc::time_namespace()? == self.time_namespace;
        if same { sys::process::is_alive(self.pid, self.start_time) } else { None }
    }
}

impl FromStr for Mark {
    type Err = ();

    fn from_str(text: &str) -> Result<Mark, ()> {
        let mut fields = text.split_ascii_whitespace();
        let mut field = || fields.next().ok_or(());
        if field()? != "2" {
            return Err(());
        }
        Ok(Mark {
            pid: field()?.parse().map_err(|_| ())?,
            start_time: field()?.parse().map_err(|_| ())?,
            pid_namespace: field()?.parse().map_err(|_| ())?,
            time_namespace: field()?.parse().map_err(|_| ())?,
            boot_id: field()?.to_string(),
        })
    }
}

/// The mark of this process; `None` where `/proc` does not tell who it is.
pub(crate) fn own() -> Option<&'static str> {
    static OWN: PerProcess<Option<String>> = PerProcess::new();
    OWN.get(|_| {
        let pid = std::process::id();
        let mark = Mark {
            pid,
            start_time: sys::process::start_time(pid)?,
            pid_namespace: sys::proc::pid_namespace()?,
            time_namespace: sys::proc::time_namespace()?,
            boot_id: sys::proc::boot_id()?,
        };
        Some(mark.to_string())
    })
    .as_deref()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_mark_reads_back() {
        let own = own().unwrap();
        let mark: Mark = own.parse().unwrap();
        assert_eq!(mark.to_string(), own);
        assert_eq!(mark.pid, std::process::id());
        assert_eq!(Some(mark.start_time), sys::process::start_time(mark.pid));
    }

    #[test]
    fn a_mark_of_another_namespace_or_boot_tells_nothing() {
        let own: Mark = own().unwrap().parse().unwrap();
        assert_eq!(own.is_alive(), Some(true));
        assert_eq!(Mark { start_time: own.start_time + 1, ..own.clone() }.is_alive(), Some(false));
        for other in [
            Mark { pid_namespace: own.pid_namespace + 1, ..own.clone() },
            Mark { time_namespace: own.time_namespace + 1, ..own.clone() },
            Mark { boot_id: "another".into(), ..own.clone() },
        ] {
            assert_eq!(other.is_alive(), None, "{other:?}");
        }
    }

    #[test]
    fn what_is_no_mark_is_refused() {
        for text in
            ["", "2", "1 1 1 1 x", "3 1 1 1 1 x", "2 a 1 1 1 x", "2 1 1 1 1", "2 -1 1 1 1 x"]
        {
            assert_eq!(text.parse::<Mark>(), Err(()), "{text:?}");
        }
    }

    prop_compose! {
        fn marks()(
            pid: u32,
            start_time: u64,
            pid_namespace: u64,
            time_namespace: u64,
            boot_id in "[!-~]{1,40}",
        ) -> Mark {
            Mark { pid, start_time, pid_namespace, time_namespace, boot_id }
        }
    }

    proptest! {
        #[test]
        fn every_mark_reads_back(mark in marks()) {
            let text = mark.to_string();
            // An attribute is read into a buffer of 256 bytes, and a record has it on one line.
            prop_assert!(text.len() < 256 && !text.contains('\n'));
            prop_assert_eq!(text.parse(), Ok(mark));
        }

        /// Whatever somebody has written where a mark belongs: it is refused, or it is a mark.
        #[test]
        fn anything_can_be_read(text in "\\PC{0,60}|2( [0-9]{1,25}){0,5}( \\PC{0,10})?") {
            if let Ok(mark) = text.parse::<Mark>() {
                prop_assert_eq!(mark.to_string().parse(), Ok(mark));
            }
        }
    }
}
