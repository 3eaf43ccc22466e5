//! Other processes, as `/proc` shows them: whether one lives, and who holds what.
//!
//! Source: [proc(5)](https://man7.org/linux/man-pages/man5/proc.5.html).

use std::collections::{HashMap, HashSet};
use std::ffi::CString;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;

use super::conv::check;
use super::stat::file_behind;
use crate::sys::details::HoldingProcess;
use crate::sys::{Credentials, Errno, FileId, Processes, UnlinkedFile};

/// The fields of `/proc/PID/stat` that tell what is behind a pid.
///
/// They are read where the first thread has them, with the same values. Of its own process, qemu-user
/// invents the other file, with a start that differs from thread to thread: a mark made of that would tell
/// everybody else that its living creator is dead.
struct Stat {
    state: u8,
    flags: u64,
    threads: u64,
    start_time: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read(format!("/proc/{pid}/task/{pid}/stat")).ok()?;
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
    let stat = stat(pid)?;
    match stat.start_time == start_time {
        _ if stat.is_zombie() => Some(false),
        true => Some(true),
        false => shares_time_namespace(pid).then_some(false),
    }
}

/// Whether a process is known to count its time as this one does. One that was restored from a checkpoint
/// began anew, in a time namespace of its own that hides that from it.
fn shares_time_namespace(pid: u32) -> bool {
    match super::proc::namespace(&pid.to_string(), "time") {
        Ok(namespace) => super::proc::time_namespace() == Some(namespace),
        Err(_) => super::proc::time_namespace() == Some(super::proc::NO_NAMESPACE),
    }
}

/// Whether `/proc` counts pids as this process does.
fn shows_own_namespace() -> bool {
    fs::read_link("/proc/self")
        .is_ok_and(|link| link.as_os_str().as_bytes() == std::process::id().to_string().as_bytes())
}

/// Looks at all processes once, for descriptors and mappings of the objects in `wanted`, and of files on
/// these devices that have lost their names.
pub(crate) fn scan(wanted: &HashSet<FileId>, devices: &[u64]) -> Processes {
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
        match held(pid, wanted, devices) {
            Ok((held, unlinked)) if held.is_empty() && unlinked.is_empty() => {}
            Ok((held, unlinked)) => {
                let command = command(pid);
                found.holding.push(HoldingProcess { pid, command, held, unlinked });
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                found.hidden.extend(credentials_if_real(pid));
            }
            // It has ended meanwhile.
            Err(_) => {}
        }
    }
    found
}

/// Which objects a process has open or mapped, and which files that have lost their names, each once.
fn held(
    pid: u32,
    wanted: &HashSet<FileId>,
    devices: &[u64],
) -> io::Result<(Vec<FileId>, Vec<UnlinkedFile>)> {
    let folder = folder(pid);
    let mut held = HashSet::new();
    let mut unlinked: HashMap<FileId, UnlinkedFile> = HashMap::new();
    for entry in fs::read_dir(format!("{folder}/fd"))? {
        let path = entry?.path();
        let target = match fs::read_link(&path) {
            // Closed meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            target => target?,
        };
        let target = target.as_os_str().as_bytes();
        // Sockets, pipes and the like are no files.
        if !target.starts_with(b"/") {
            continue;
        }
        let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { continue };
        match file_behind(&path) {
            Ok((file, _)) if wanted.contains(&file) => {
                held.insert(file);
            }
            Ok((file, size)) if devices.contains(&file.device) => {
                if let Some(name) = lost_name(target) {
                    unlinked.insert(file, UnlinkedFile { file, name, size: Some(size) });
                }
            }
            Err(Errno::ACCES) => return Err(ErrorKind::PermissionDenied.into()),
            _ => {}
        }
    }
    for (file, path) in mappings(&folder)? {
        if wanted.contains(&file) {
            held.insert(file);
        } else if devices.contains(&file.device)
            && let Some(name) = lost_name(&path)
        {
            unlinked.entry(file).or_insert(UnlinkedFile { file, name, size: None });
        }
    }
    Ok((held.into_iter().collect(), unlinked.into_values().collect()))
}

/// The name that a file had, from a path as `/proc` shows it; `None` if it has it still, or never had one.
fn lost_name(path: &[u8]) -> Option<Vec<u8>> {
    let path = path.strip_suffix(b" (deleted)")?;
    let name = path.rsplit(|&byte| byte == b'/').next()?;
    // A file that was made without a name is called after its inode.
    (!name.is_empty() && !name.starts_with(b"#")).then(|| name.to_vec())
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
    mappings("/proc/thread-self")
        .map_or(true, |mapped| mapped.iter().any(|(mapped, _)| *mapped == file))
}

/// The files that a process has mapped, by its folder, with their paths.
fn mappings(folder: &str) -> io::Result<Vec<(FileId, Vec<u8>)>> {
    let maps = fs::read(format!("{folder}/maps"))?;
    Ok(maps.split(|&byte| byte == b'\n').filter_map(mapped).collect())
}

/// The file of one line of `/proc/PID/maps`: `FROM-TO RIGHTS OFFSET MAJOR:MINOR INODE PATH`.
fn mapped(line: &[u8]) -> Option<(FileId, Vec<u8>)> {
    let mut fields = line.splitn(6, |&byte| byte == b' ').skip(3);
    let device = std::str::from_utf8(fields.next()?).ok()?;
    let inode =
        std::str::from_utf8(fields.next()?).ok()?.parse().ok().filter(|&inode| inode != 0)?;
    let path = fields.next().unwrap_or_default().trim_ascii_start().to_vec();
    let (major, minor) = device.split_once(':')?;
    let number = |text| u32::from_str_radix(text, 16).ok();
    Some((FileId { device: libc::makedev(number(major)?, number(minor)?), inode }, path))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_maps_are_understood() {
        let line = b"7f00-7f01 rw-s 00000000 00:1a 5678       /dev/shm/sem.a b (deleted)";
        let file = FileId { device: libc::makedev(0, 0x1a), inode: 5678 };
        let path = b"/dev/shm/sem.a b (deleted)".to_vec();
        assert_eq!(mapped(line), Some((file, path.clone())));
        assert_eq!(lost_name(&path), Some(b"sem.a b".to_vec()));
        assert_eq!(mapped(b"7f00-7f01 rw-p 00000000 00:00 0 "), None);
        for path in [&b"/dev/shm/a"[..], b"/dev/shm/#123 (deleted)", b"/ (deleted)", b""] {
            assert_eq!(lost_name(path), None);
        }
    }
}
