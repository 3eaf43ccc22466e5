//! Other processes, as `/proc` shows them: whether one lives, and who holds what.
//!
//! Source: [proc(5)](https://man7.org/linux/man-pages/man5/proc.5.html).

use std::collections::HashSet;
use std::ffi::CString;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;

use super::conv::check;
use super::stat::file_behind;
use crate::sys::details::HoldingProcess;
use crate::sys::{Credentials, Errno, FileId, Processes};

/// The fields of `/proc/PID/stat` that tell what is behind a pid.
struct Stat {
    state: u8,
    flags: u64,
    threads: u64,
    start_time: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The command, field 2, may hold anything: fields count from the last parenthesis.
    let end = text.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(text.get(end + 1..)?).ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3).copied();
    Some(Stat {
        state: *field(3)?.as_bytes().first()?,
        flags: field(9)?.parse().ok()?,
        threads: field(20)?.parse().ok()?,
        start_time: field(22)?.parse().ok()?,
    })
}

impl Stat {
    /// It has ended and waits for its parent to notice.
    fn is_zombie(&self) -> bool {
        self.first_thread_has_ended() && self.threads <= 1
    }

    /// Others may go on.
    fn first_thread_has_ended(&self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }

    fn is_kernel_thread(&self) -> bool {
        const PF_KTHREAD: u64 = 0x0020_0000;
        self.flags & PF_KTHREAD != 0
    }
}

/// When the process started, in clock ticks since boot: with the pid it names one process of this
/// boot ([proc_pid_stat(5)](https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html)).
pub(crate) fn start_time(pid: u32) -> Option<u64> {
    stat(pid).map(|stat| stat.start_time)
}

/// Whether the process of this pid that started then lives; `None` where that cannot be told.
pub(crate) fn is_alive(pid: u32, start_time: u64) -> Option<bool> {
    let number = i32::try_from(pid).ok().filter(|&number| number > 0)?;
    // SAFETY: takes numbers; signal 0 only asks whether the process is there.
    if check(|| unsafe { libc::kill(number, 0) }) == Err(Errno(libc::ESRCH)) {
        return Some(false);
    }
    if !shows_own_namespace() {
        return None;
    }
    stat(pid).map(|stat| stat.start_time == start_time && !stat.is_zombie())
}

/// Whether `/proc` counts pids as this process does.
fn shows_own_namespace() -> bool {
    fs::read_link("/proc/self")
        .is_ok_and(|link| link.as_os_str().as_bytes() == std::process::id().to_string().as_bytes())
}

/// Looks at all processes once, for descriptors and mappings of the objects in `wanted`.
pub(crate) fn scan(wanted: &HashSet<FileId>) -> Processes {
    let mut found = Processes { incomplete: !shows_own_namespace(), ..Processes::default() };
    // Where the mount option `hidepid` hides processes, it hides the first one, too.
    found.incomplete |= fs::metadata("/proc/1").is_err();
    let Ok(entries) = fs::read_dir("/proc") else {
        found.incomplete = true;
        return found;
    };
    for entry in entries.flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(pid) = pid else { continue };
        match held(pid, wanted) {
            Ok(held) if held.is_empty() => {}
            Ok(held) => found.holding.push(HoldingProcess { pid, command: command(pid), held }),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                found.hidden.extend(credentials_if_real(pid));
            }
            // It has ended meanwhile.
            Err(_) => {}
        }
    }
    found
}

/// Which objects a process has open or mapped, each once.
fn held(pid: u32, wanted: &HashSet<FileId>) -> io::Result<Vec<FileId>> {
    let folder = folder(pid);
    let mut held = HashSet::new();
    for entry in fs::read_dir(format!("{folder}/fd"))? {
        let path = entry?.path();
        let target = match fs::read_link(&path) {
            // Closed meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            target => target?,
        };
        // Sockets, pipes and the like are no files.
        if !target.as_os_str().as_bytes().starts_with(b"/") {
            continue;
        }
        let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { continue };
        match file_behind(&path) {
            Ok(file) if wanted.contains(&file) => {
                held.insert(file);
            }
            Err(Errno::ACCES) => return Err(ErrorKind::PermissionDenied.into()),
            _ => {}
        }
    }
    held.extend(mappings(&folder)?.into_iter().filter(|it| wanted.contains(it)));
    Ok(held.into_iter().collect())
}

/// Where `/proc` shows what a process has open and mapped: with its first thread, or, once that has
/// ended, with another.
fn folder(pid: u32) -> String {
    let first = format!("/proc/{pid}");
    if stat(pid).is_none_or(|stat| !stat.first_thread_has_ended()) {
        return first;
    }
    let tasks = fs::read_dir(format!("{first}/task")).into_iter().flatten().flatten();
    let other = tasks.map(|task| task.file_name().to_string_lossy().into_owned());
    let other = other.filter(|task| *task != pid.to_string()).last();
    other.map_or(first, |task| format!("/proc/{pid}/task/{task}"))
}

/// Whether this process has the object mapped; also where that cannot be told.
pub(crate) fn has_mapped(file: FileId) -> bool {
    mappings("/proc/thread-self").map_or(true, |mapped| mapped.contains(&file))
}

/// The files that a process has mapped, by its folder.
fn mappings(folder: &str) -> io::Result<Vec<FileId>> {
    let maps = fs::read(format!("{folder}/maps"))?;
    Ok(maps.split(|&byte| byte == b'\n').filter_map(mapped).collect())
}

/// The file of one line of `/proc/PID/maps`: `FROM-TO RIGHTS OFFSET MAJOR:MINOR INODE PATH`.
fn mapped(line: &[u8]) -> Option<FileId> {
    let mut fields = line.split(|&byte| byte == b' ').skip(3);
    let device = std::str::from_utf8(fields.next()?).ok()?;
    let inode =
        std::str::from_utf8(fields.next()?).ok()?.parse().ok().filter(|&inode| inode != 0)?;
    let (major, minor) = device.split_once(':')?;
    let number = |text| u32::from_str_radix(text, 16).ok();
    Some(FileId { device: libc::makedev(number(major)?, number(minor)?), inode })
}

fn command(pid: u32) -> Vec<u8> {
    // A process that has ended meanwhile has no command any more.
    let mut command = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    if command.last() == Some(&b'\n') {
        command.pop();
    }
    command
}

/// Who the process is, unless it is one that can hold nothing.
fn credentials_if_real(pid: u32) -> Option<Credentials> {
    let stat = stat(pid)?;
    if stat.is_zombie() || stat.is_kernel_thread() {
        return None;
    }
    let status = fs::read(format!("/proc/{pid}/status")).ok()?;
    let status = String::from_utf8_lossy(&status);
    let numbers = |field: &str| -> Vec<u32> {
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
        line.split_ascii_whitespace().filter_map(|number| number.parse().ok()).collect()
    };
    let users = numbers("Uid:");
    let mut groups = numbers("Gid:");
    groups.extend(numbers("Groups:"));
    Some(Credentials { effective_user: *users.get(1)?, users, groups })
}
