//! Linux with glibc: one file for each C header; `proc` and `process` for what only Linux tells;
//! `files`, `mqueue_fs` and `records` for where objects and their records are.

pub(crate) mod byte_lock;
mod conv;
mod dirent;
pub(crate) mod eventfd;
pub(crate) mod fcntl;
pub(crate) mod files;
pub(crate) mod flock;
pub(crate) mod fork;
pub(crate) mod futex;
pub(crate) mod mman;
pub(crate) mod mqueue;
pub(crate) mod mqueue_fs;
pub(crate) mod poll;
pub(crate) mod proc;
pub(crate) mod process;
pub(crate) mod random;
pub(crate) mod records;
pub(crate) mod resource;
pub(crate) mod ring;
pub(crate) mod sched;
pub(crate) mod semaphore;
pub(crate) mod signal;
pub(crate) mod stat;
pub(crate) mod time;
pub(crate) mod unistd;
pub(crate) mod xattr;

use std::ffi::CStr;

pub(crate) use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Where glibc keeps segments and semaphores.
pub(crate) const SHM_DIRECTORY: &CStr = c"/dev/shm/";

/// The largest value of a semaphore (`SEM_VALUE_MAX` of glibc).
pub(crate) const SEM_VALUE_MAX: u32 = i32::MAX as u32;

/// Priorities of messages are below this (`MQ_PRIO_MAX` of Linux).
pub(crate) const PRIORITY_LIMIT: u32 = 32_768;

/// The largest number of a signal.
pub(crate) const MAX_SIGNAL: i32 = 64;
