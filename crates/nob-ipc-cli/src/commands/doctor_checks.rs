//! What `nob-ipc doctor` looks at.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::libc::O_TMPFILE;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::unistd::Uid;
use nob_ipc::registry::{self, Coverage, Measure, SquattedRecords};
use nob_ipc::{Kind, registry::Listing};
use nob_ipc_redis::{Connection, ServerCheck};
use serde::Serialize;

use crate::room::Room;
use crate::text;

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub struct Check {
    #[serde(rename = "check")]
    pub what: &'static str,
    pub value: String,
    /// Whether it is likely to hurt.
    pub hurts: bool,
    /// What it means.
    pub meaning: String,
    /// The command that mends it, where there is one.
    pub mend: Option<String>,
}

impl Check {
    /// Something that is as it should be.
    pub fn fine(what: &'static str, value: impl Into<String>, meaning: &str) -> Check {
        let (value, meaning) = (value.into(), meaning.into());
        Check { what, value, hurts: false, meaning, mend: None }
    }

    /// The same, but likely to hurt if `hurts`.
    pub fn hurts_if(mut self, hurts: bool) -> Check {
        self.hurts = hurts;
        self
    }

    /// What mends, or raises, it.
    pub fn mended_by(mut self, command: impl Into<String>) -> Check {
        self.mend = Some(command.into());
        self
    }
}

/// All checks, those of a kind together.
pub fn all() -> Vec<Check> {
    let listing = registry::list(&Kind::ALL);
    let listing = listing.as_ref();
    let mut checks = shm();
    checks.extend(marks());
    checks.extend(squatted_records());
    checks.extend(memory_limit());
    checks.extend(queue_limits(listing.ok()));
    checks.push(queue_memory(listing.ok()));
    checks.push(queue_mount());
    checks.extend(process_limits());
    checks.extend(removal_at_logout());
    checks.extend(proc());
    match listing {
        Ok(listing) => checks.extend(visibility(listing)),
        Err(error) => checks
            .push(Check::fine("objects", "cannot be listed", &error.to_string()).hurts_if(true)),
    }
    checks
}

/// The checks of a server.
pub fn of_server(url: &str) -> nob_ipc::Result<Vec<Check>> {
    let server = match Connection::open(url) {
        Ok(server) => server,
        Err(error) if error.raw_os_error() == Some(nix::libc::ENOTSUP) => {
            let why = error.to_string();
            return Ok(vec![Check::fine("server", "does not suit", &why).hurts_if(true)]);
        }
        Err(error) => return Err(error),
    };
    let reached = Check::fine("server", server.url(), "it answers, and lets this user in");
    let check = |check: ServerCheck| {
        let hurts = check.objection.or(check.finding);
        let meaning = hurts.as_deref().unwrap_or(check.meaning);
        Check::fine(check.what, check.value, meaning).hurts_if(hurts.is_some())
    };
    Ok([reached].into_iter().chain(server.checks()?.into_iter().map(check)).collect())
}

/// A file that holds one number.
fn number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// What is mounted at a place: the type and the options of the last mount there.
fn mount_at(place: &str) -> Option<(String, String)> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let fields = |line: &str| -> Option<(String, String)> {
        let mut fields = line.split(' ').skip(1);
        (fields.next()? == place)
            .then(|| Some((fields.next()?.to_string(), fields.next()?.to_string())))?
    };
    mounts.lines().rev().find_map(fields)
}

/// `/dev/shm`: there, a tmpfs, writable for all, and with room.
fn shm() -> Vec<Check> {
    const MOUNT: &str =
        "mkdir -p /dev/shm && mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs /dev/shm";
    // What hides the directory does not hide the mount.
    let metadata = fs::metadata("/dev/shm");
    let mounted = mount_at("/dev/shm");
    let kind = match (&metadata, &mounted) {
        (Err(_), _) => "not there",
        (Ok(_), None) => "not mounted",
        (Ok(_), Some((kind, _))) => kind,
    };
    let mut checks = vec![
        Check::fine("/dev/shm", kind, "all objects but queues live here; it has to be a tmpfs")
            .hurts_if(kind != "tmpfs")
            .mended_by(MOUNT),
    ];
    let Ok(metadata) = metadata else { return checks };
    let mode = metadata.mode() & 0o7777;
    let read_only =
        mounted.is_some_and(|(_, options)| options.split(',').any(|option| option == "ro"));
    checks.push(
        Check::fine(
            "/dev/shm mode",
            format!("{mode:o}{}", if read_only { ", read-only" } else { "" }),
            "with 1777 every user can create objects and remove only the own",
        )
        .hurts_if(mode != 0o1777 || read_only)
        .mended_by("mount -o remount,rw,mode=1777 /dev/shm"),
    );
    let Some(Room { total, free, files, free_files }) = Room::of_shm() else { return checks };
    // What container engines give, and too little for many programs.
    let small = total > 0 && total <= 64 << 20;
    let full = free < total / 10;
    let value = match total {
        0 => "without bound".into(),
        _ => format!("{} of {} free", text::size(free), text::size(total)),
    };
    checks.push(
        Check::fine(
            "/dev/shm room",
            value,
            "all segments together; a container gets 64 MiB unless told otherwise (--shm-size=1g)",
        )
        .hurts_if(small || full)
        .mended_by("mount -o remount,size=1G /dev/shm"),
    );
    if files > 0 {
        checks.push(
            Check::fine(
                "/dev/shm files",
                format!("{free_files} of {files} free"),
                "each object but a queue takes one",
            )
            .hurts_if(free_files < files / 10)
            .mended_by("mount -o remount,nr_inodes=1000000 /dev/shm"),
        );
    }
    checks
}

fn marks() -> Option<Check> {
    // Where no file can be made, nobody can tell; why that is, other checks say.
    OpenOptions::new().write(true).mode(0o600).custom_flags(O_TMPFILE).open("/dev/shm").ok()?;
    let kept = registry::marks_are_kept();
    let value = if kept { "kept" } else { "not kept" };
    let meaning = "the mark on the file of an object tells whether a dead process left it; tmpfs \
                   keeps it since Linux 6.6";
    Some(Check::fine("creator's marks", value, meaning).hurts_if(!kept))
}

/// In `/tmp` anybody can take the place of another user's records.
fn squatted_records() -> Vec<Check> {
    let check = |squatted: SquattedRecords| {
        let path = squatted.path.display();
        let (value, mend) = if squatted.owner == squatted.user {
            (format!("{path} is open to others"), format!("chmod 700 {path}"))
        } else {
            (format!("{path} belongs to user {}", squatted.owner), format!("rm -r {path}"))
        };
        let meaning = "it has the place of a user's records of queues and is not that user's alone, so \
                       none are kept: what dead processes left cannot be told";
        Check::fine("records of queues", value, meaning).hurts_if(true).mended_by(mend)
    };
    registry::squatted_records().into_iter().map(check).collect()
}

/// Shared memory counts as memory of the control group that first touches it.
fn memory_limit() -> Option<Check> {
    let path = fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = path.lines().find_map(|line| line.strip_prefix("0::"))?;
    let limit = number(&format!("/sys/fs/cgroup{}/memory.max", group.trim_end_matches('/')))?;
    let total = Room::of_shm()?.total;
    Some(
        Check::fine(
            "memory of the container",
            text::size(limit),
            "shared memory counts, too: a segment larger than this is the end of its process, even \
             if /dev/shm has room",
        )
        .hurts_if(limit < total || total == 0)
        .mended_by(format!("mount -o remount,size={limit} /dev/shm")),
    )
}

fn queue_limits(listing: Option<&Listing>) -> Vec<Check> {
    let limit = |name: &str| number(&format!("/proc/sys/fs/mqueue/{name}"));
    let mut checks = Vec::new();
    for (check, name, meaning, raised) in [
        ("messages in a queue", "msg_max", "how many a queue may hold, but for root", 1000),
        ("size of a message", "msgsize_max", "how many bytes one may have, but for root", 65_536),
    ] {
        if let Some(value) = limit(name) {
            checks.push(
                Check::fine(check, value.to_string(), meaning)
                    .mended_by(format!("sysctl fs.mqueue.{name}={raised}")),
            );
        }
    }
    if let (Some(messages), Some(size)) = (limit("msg_default"), limit("msgsize_default")) {
        checks.push(
            Check::fine(
                "size of a queue",
                format!("{messages} messages of {size} bytes"),
                "what a queue gets whose creator does not say",
            )
            .mended_by("sysctl fs.mqueue.msg_default=10 fs.mqueue.msgsize_default=8192"),
        );
    }
    if let Some(limit) = limit("queues_max") {
        let queues = listing.filter(|listing| listing.queues == Coverage::All).map(|listing| {
            let objects = listing.objects.iter();
            objects.filter(|object| object.kind() == Kind::MessageQueue).count() as u64
        });
        let value = match queues {
            Some(queues) => format!("{queues} of {limit}"),
            None => format!("at most {limit}"),
        };
        checks.push(
            Check::fine("queues", value, "how many there may be of all users")
                .hurts_if(queues.is_some_and(|queues| queues + limit / 10 >= limit))
                .mended_by(format!("sysctl fs.mqueue.queues_max={}", limit.saturating_mul(4))),
        );
    }
    checks
}

/// What the kernel charges for a queue, besides its messages' bytes.
const MESSAGE_OVERHEAD: u64 = 96;

fn queue_memory(listing: Option<&Listing>) -> Check {
    const MEANING: &str = "what all queues of this user may take; one of the default size takes some \
                           80 KiB";
    let check = "memory of queues";
    let mend =
        "ulimit -q unlimited (as root), or in /etc/security/limits.conf: * - msgqueue unlimited";
    let Ok((limit, _)) = getrlimit(Resource::RLIMIT_MSGQUEUE) else {
        return Check::fine(check, "unknown", MEANING);
    };
    if limit == RLIM_INFINITY {
        return Check::fine(check, "without bound", MEANING);
    }
    let user = Uid::effective().as_raw();
    let taken: u64 = listing.map_or(0, |listing| {
        let own = listing.objects.iter().filter(|object| object.owner() == user);
        own.filter_map(|object| match object.measure() {
            Measure::Depth(depth) => depth,
            _ => None,
        })
        .map(|depth| depth.max_messages.saturating_mul(depth.max_message_size + MESSAGE_OVERHEAD))
        .sum()
    });
    let value = format!("about {} of {} taken", text::size(taken), text::size(limit));
    Check::fine(check, value, MEANING)
        .hurts_if(limit.saturating_sub(taken) < 10 * (8192 + MESSAGE_OVERHEAD))
        .mended_by(mend)
}

fn queue_mount() -> Check {
    let mounted = registry::queues_are_mounted();
    let value = if mounted { "mounted" } else { "not mounted" };
    let meaning = "without it only root can list queues; using them is possible all the same";
    Check::fine("/dev/mqueue", value, meaning)
        .hurts_if(!mounted && !Uid::effective().is_root())
        .mended_by("mkdir -p /dev/mqueue && mount -t mqueue none /dev/mqueue")
}

fn process_limits() -> Vec<Check> {
    let words = |limit: u64| {
        if limit == RLIM_INFINITY { "without bound".to_string() } else { limit.to_string() }
    };
    let mut checks = Vec::new();
    if let Ok((limit, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        checks.push(
            Check::fine(
                "descriptors",
                words(limit),
                "each open object but a semaphore takes one or two",
            )
            .hurts_if(limit < 256)
            .mended_by(format!("ulimit -n {}", words(hard))),
        );
    }
    if let Ok((limit, _)) = getrlimit(Resource::RLIMIT_FSIZE) {
        checks.push(
            Check::fine("size of a file", words(limit), "no segment can be larger")
                .hurts_if(limit != RLIM_INFINITY)
                .mended_by("ulimit -f unlimited"),
        );
    }
    checks
}

/// systemd removes what a user leaves behind at logout, whoever uses it.
fn removal_at_logout() -> Option<Check> {
    const FIRST_PERSON: u32 = 1000;
    Path::new("/run/systemd/system").exists().then_some(())?;
    let user = Uid::effective().as_raw();
    let setting = logind_setting().unwrap_or(true);
    let lingers = nix::unistd::User::from_uid(Uid::from_raw(user))
        .ok()
        .flatten()
        .is_some_and(|user| Path::new("/var/lib/systemd/linger").join(user.name).exists());
    let meaning = "with yes, systemd removes all objects of an ordinary user at the last logout, also \
                   those that services of that user need";
    Some(
        Check::fine("RemoveIPC", if setting { "yes" } else { "no" }, meaning)
            .hurts_if(setting && user >= FIRST_PERSON && !lingers)
            .mended_by("loginctl enable-linger, or RemoveIPC=no in /etc/systemd/logind.conf"),
    )
}

/// What the configuration says; the last word counts.
fn logind_setting() -> Option<bool> {
    let mut files = vec!["/etc/systemd/logind.conf".into()];
    for directory in ["/usr/lib/systemd/logind.conf.d", "/etc/systemd/logind.conf.d"] {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let mut drop_ins: Vec<_> = entries.map(|entry| entry.path()).collect();
        drop_ins.sort();
        files.extend(drop_ins);
    }
    files.into_iter().rev().find_map(|file: PathBuf| {
        let text = fs::read_to_string(file).ok()?;
        let value = text.lines().rev().find_map(|line| line.trim().strip_prefix("RemoveIPC="));
        value.map(|value| matches!(value.trim(), "yes" | "true" | "on" | "1"))
    })
}

/// `/proc`: who a process is, who holds an object, and on older kernels the name of a new file are told
/// there.
fn proc() -> Option<Check> {
    let mounted = Path::new("/proc/self").exists();
    let meaning = "without it nobody can tell who holds an object, nor is any marked; before Linux 6.10 no \
                   object but a queue can be created";
    let check = Check::fine("/proc", "not mounted", meaning);
    (!mounted).then(|| check.hurts_if(true).mended_by("mount -t proc proc /proc"))
}

/// Whether enough of the other processes can be seen to tell who holds what.
fn visibility(listing: &Listing) -> Vec<Check> {
    let hidden = mount_at("/proc").is_some_and(|(_, options)| options.contains("hidepid="));
    let value = match listing.unseen_processes {
        0 => "all".to_string(),
        unseen => format!("all but {}", text::count(unseen, "process", "processes")),
    };
    let mut checks = vec![Check::fine(
        "processes",
        value,
        "those whose descriptors and mappings can be looked at; root sees more",
    )];
    if hidden {
        checks.push(
            Check::fine("/proc", "hides processes", "whether anybody holds an object is not known")
                .hurts_if(!Uid::effective().is_root())
                .mended_by("mount -o remount,hidepid=0 /proc"),
        );
    }
    checks
}
