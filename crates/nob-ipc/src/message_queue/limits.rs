//! The limits of queues: which one stands in the way, what its value is, and how to raise it.
//!
//! Source: [mq_overview(7)](https://man7.org/linux/man-pages/man7/mq_overview.7.html) and
//! [getrlimit(2)](https://man7.org/linux/man-pages/man2/getrlimit.2.html).

use crate::error::{Error, ErrorKind, Operation, Result};
use crate::name::Name;
use crate::sys::proc::{may_exceed_queue_limits, queue_limit};
use crate::sys::{self, Capacity, Errno, resource};

/// What no privilege exceeds.
const HARD_MAX_MESSAGES: u64 = 65_536;
const HARD_MAX_MESSAGE_SIZE: u64 = 16 << 20;

/// What the kernel keeps for a message, and for a priority in use, beside the bytes.
const MESSAGE_OVERHEAD: u128 = 48;
const PRIORITY_OVERHEAD: u128 = 48;

/// The capacity of a queue for which none, or only one half of it, was asked for.
pub(crate) fn with_defaults(max_messages: Option<u64>, max_message_size: Option<u64>) -> Capacity {
    let default = |name, limit, fallback| {
        let limit = queue_limit(limit).unwrap_or(fallback);
        queue_limit(name).unwrap_or(fallback).min(limit)
    };
    Capacity {
        max_messages: max_messages.unwrap_or_else(|| default("msg_default", "msg_max", 10)),
        max_message_size: max_message_size
            .unwrap_or_else(|| default("msgsize_default", "msgsize_max", 8192)),
    }
}

/// How many bytes the kernel charges the user for a queue.
fn charge(capacity: Capacity) -> u128 {
    let messages = u128::from(capacity.max_messages);
    let priorities = messages.min(u128::from(sys::PRIORITY_LIMIT));
    messages
        .saturating_mul(u128::from(capacity.max_message_size) + MESSAGE_OVERHEAD)
        .saturating_add(priorities * PRIORITY_OVERHEAD)
}

/// Refuses a queue that the limits exclude, whatever else exists.
pub(crate) fn check(name: &Name, capacity: Capacity) -> Result<()> {
    match too_large(name, capacity).or_else(|| {
        let limit = resource::queue_memory()?;
        (charge(capacity) > u128::from(limit)).then(|| too_much_memory(name, capacity))
    }) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// Why the system refused to create a queue.
pub(crate) fn explain(name: &Name, errno: Errno, capacity: Capacity) -> Error {
    let plain = || Error::from_errno(Operation::Create, name, errno);
    match errno {
        Errno::INVAL | Errno::OVERFLOW => too_large(name, capacity)
            .or_else(|| exceeds(name, capacity, &Bounds::of_system()))
            .unwrap_or_else(plain),
        Errno::MFILE if descriptors_are_left() => too_much_memory(name, capacity),
        Errno::NOSPC => {
            let limit = limit_words(queue_limit("queues_max"));
            let why = format!(
                "the system has as many queues as it may (queues_max is {limit}); unlink some, or \
                 raise the sysctl fs.mqueue.queues_max"
            );
            Error::new(Operation::Create, name, ErrorKind::OutOfSpace, Some(errno), why)
        }
        Errno::NOSYS => {
            let why = "this kernel was built without POSIX message queues (CONFIG_POSIX_MQUEUE)";
            Error::new(Operation::Create, name, ErrorKind::Unsupported, Some(errno), why)
        }
        _ => plain(),
    }
}

/// The bounds of a queue's capacity, each with what raises it.
struct Bounds {
    max_messages: Option<u64>,
    max_message_size: Option<u64>,
    hard: bool,
}

impl Bounds {
    fn of_system() -> Bounds {
        Bounds {
            max_messages: queue_limit("msg_max"),
            max_message_size: queue_limit("msgsize_max"),
            hard: false,
        }
    }

    fn hard() -> Bounds {
        Bounds {
            max_messages: Some(HARD_MAX_MESSAGES),
            max_message_size: Some(HARD_MAX_MESSAGE_SIZE),
            hard: true,
        }
    }
}

fn too_large(name: &Name, capacity: Capacity) -> Option<Error> {
    let bounds = if may_exceed_queue_limits() { Bounds::hard() } else { Bounds::of_system() };
    exceeds(name, capacity, &bounds)
}

fn exceeds(name: &Name, capacity: Capacity, bounds: &Bounds) -> Option<Error> {
    let over = |what: &str, wanted: u64, sysctl: &str, limit: Option<u64>| {
        let limit = limit.filter(|&limit| wanted > limit)?;
        Some(if bounds.hard {
            format!("{what} is {wanted}, and the kernel allows {limit} at the most; ask for less")
        } else {
            format!(
                "{what} is {wanted}, and the system's limit {sysctl} is {limit}; ask for less, or \
                 raise the sysctl fs.mqueue.{sysctl}"
            )
        })
    };
    let why = over("max_messages", capacity.max_messages, "msg_max", bounds.max_messages).or_else(
        || {
            let size = capacity.max_message_size;
            over("max_message_size", size, "msgsize_max", bounds.max_message_size)
        },
    )?;
    let kind = ErrorKind::LimitExceeded;
    Some(Error::new(Operation::Create, name, kind, Some(Errno::INVAL), why))
}

fn too_much_memory(name: &Name, capacity: Capacity) -> Error {
    let limit = limit_words(resource::queue_memory());
    let why = format!(
        "a queue of {} messages of {} bytes takes {} bytes, and all queues of this user may take \
         {limit} (RLIMIT_MSGQUEUE); unlink some, ask for less, or raise the limit (ulimit -q)",
        capacity.max_messages,
        capacity.max_message_size,
        charge(capacity),
    );
    Error::new(Operation::Create, name, ErrorKind::LimitExceeded, Some(Errno::MFILE), why)
}

fn limit_words(limit: Option<u64>) -> String {
    limit.map_or_else(|| "unknown".to_string(), |limit| limit.to_string())
}

/// Tells the two meanings of `EMFILE` apart.
fn descriptors_are_left() -> bool {
    sys::fcntl::spare().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;

    #[test]
    fn the_charge_is_the_kernels() {
        let charge =
            |max_messages, max_message_size| charge(Capacity { max_messages, max_message_size });
        // Nine queues of the default size fit the default limit of 819,200 bytes, ten do not.
        assert_eq!(charge(10, 8192), 82_880);
        assert_eq!(charge(65_536, 1), 65_536 * 49 + 32_768 * 48);
        assert!(charge(u64::MAX, u64::MAX) > u128::from(u64::MAX));
    }

    #[test]
    fn what_no_privilege_exceeds_is_refused() {
        let name = Name::new(Kind::MessageQueue, "/limits").unwrap();
        let capacity = Capacity { max_messages: HARD_MAX_MESSAGES + 1, max_message_size: 1 };
        let error = check(&name, capacity).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::INVAL.0));
        assert!(error.to_string().contains("max_messages is 65537"), "{error}");
    }
}
