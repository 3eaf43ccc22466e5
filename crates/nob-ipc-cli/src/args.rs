//! The command line: each command with its help beside it. Parsing gives plain data.

use std::ffi::OsString;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use nob_ipc::{BoundedSemaphore, Kind, Name, Semaphore};

use crate::values;

/// See, use, repair and watch named POSIX IPC: semaphores, shared memory, message queues, and locks.
///
/// Semaphores, shared memory and message queues are the operating system's own, the same that C programs
/// reach with sem_open, shm_open and mq_open. Locks and permits, which survive their holders, are those
/// of nob.ipc. An object stays until it is removed or the machine ends, whoever made it.
#[derive(Debug, Parser)]
#[command(
    name = "nob-ipc",
    bin_name = "nob-ipc",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = "A NAME may have its leading slash. An ADDRESS is a kind and a name: sem:/name, \
                  shm:/name, mq:/name, lock:/name, permits:/name or channel:/name. A TIME is a \
                  number of seconds, or has units: 1.5, 300ms, 10m, 1h30m, 7d; inf is for ever.\n\n\
                  Exit status: 0 done, 1 failed, 2 wrong usage, 3 no such object, 4 it exists \
                  (--exclusive), 124 the time was over, 130 Ctrl-C. A command that was \
                  run: its own status, 127 if it is missing, 126 if it cannot be run.\n\n\
                  Example: what is there, and who uses it?\n  nob-ipc ls"
)]
pub struct Arguments {
    /// Work on the Redis or Valkey server of this URL, not on this machine; env: on that of $NOB_IPC_URL
    ///
    /// For ls, show, rm, doctor, top, sem, lock, permits and mq. Who may see processes can read a password on
    /// the command line: put it into $NOB_IPC_PASSWORD, or the URL into $NOB_IPC_URL.
    #[arg(long, global = true, value_name = "URL")]
    pub at: Option<OsString>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List objects: what they hold, whose they are, who uses them
    ///
    /// STATUS is `in use` (a process uses it), `orphan` (its creator owned its name and is dead, or it is
    /// shared and nobody uses it), `unused` (nobody uses it and nobody owns its name), `awaited` (nobody
    /// uses it, but its creator lives and will remove it) or `?` (not all processes may be looked at).
    #[command(after_help = "Example: all queues, for a program\n  nob-ipc ls mq --json")]
    Ls {
        /// Only these kinds
        #[arg(value_name = "KIND", value_parser = values::kind())]
        kinds: Vec<Kind>,
        /// Print one array of JSON objects
        #[arg(long)]
        json: bool,
    },

    /// Show all there is to know about one object
    #[command(after_help = "Example:\n  nob-ipc show mq:/jobs")]
    Show {
        /// The object: sem:/name, shm:/name, mq:/name, lock:/name, permits:/name or channel:/name
        #[arg(value_parser = values::address())]
        address: Name,
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },

    /// Remove objects by name
    ///
    /// Processes that hold one go on using it; the name is free at once.
    #[command(after_help = "Example:\n  nob-ipc rm mq:/jobs sem:/printer")]
    Rm {
        /// The objects: sem:/name, shm:/name, mq:/name, lock:/name, permits:/name or channel:/name
        #[arg(value_parser = values::address(), value_name = "ADDRESS", required = true)]
        addresses: Vec<Name>,
        /// A missing object is no error
        #[arg(long, short)]
        force: bool,
    },

    /// Remove what dead processes left behind
    ///
    /// An object is removed only when nobody uses it, and its creator, who owned its name, is proven
    /// dead; a shared object, when nobody uses it. When in doubt it is left, and the reason is printed.
    /// Without --yes nothing is removed: what would be is printed.
    #[command(after_help = "Example: every night, what is a day old\n  \
                            nob-ipc reap --older-than 1d --yes\n\
                            Example: the queues of one program\n  \
                            nob-ipc reap mq --name 'jobs-*' --yes")]
    Reap {
        /// Only these kinds
        #[arg(value_name = "KIND", value_parser = values::kind())]
        kinds: Vec<Kind>,
        /// Only names that match: `*` stands for any characters, `?` for one
        #[arg(long, value_name = "PATTERN")]
        name: Option<String>,
        /// Only objects of this user: a name or a number
        #[arg(long, value_name = "USER", value_parser = values::user)]
        user: Option<u32>,
        /// Do it, instead of saying what would be done
        #[arg(long)]
        yes: bool,
        /// Only what has not changed for this long
        #[arg(long, value_name = "TIME", value_parser = values::time)]
        older_than: Option<Duration>,
        /// Also what nobody holds and nobody is due to remove; it may be meant to stay
        #[arg(long, requires = "older_than")]
        unused: bool,
    },

    /// Check limits, mounts, free space and permissions, and say what mends them
    ///
    /// What is likely to hurt is shown, and how much was looked at.
    #[command(after_help = "Example: before a service starts\n  \
                            nob-ipc doctor --check || echo 'this machine needs a hand'")]
    Doctor {
        /// Show also what is as it should be, and what changes it
        #[arg(long, short, visible_short_alias = 'v')]
        all: bool,
        /// End with status 1 if something is likely to hurt
        #[arg(long)]
        check: bool,
        /// Print all that was looked at, as one array of JSON objects
        #[arg(long, conflicts_with = "all")]
        json: bool,
    },

    /// Watch objects live in the terminal
    ///
    /// Above the list are totals; RATE is what a second brings: messages sent through a channel,
    /// acquisitions of a lock, and - where nobody counts. On a narrow terminal the columns that matter
    /// least give way first, and the names last.
    ///
    /// On a server (--at) RATE is messages sent through a queue, WAITING how many stand in line, and LEASE how
    /// long a hold lasts unless it is renewed. One that does not answer is tried again, and the age of what is
    /// shown is told.
    ///
    /// Keys: ? explains them all, arrows or j and k move, s sorts by the next column, r reverses, / filters,
    /// Enter shows details, d removes (and asks before), q quits.
    #[command(after_help = "Example: twice a second\n  nob-ipc top --interval 500ms")]
    Top {
        /// The time between two looks
        #[arg(long, value_name = "TIME", default_value = "1", value_parser = values::time)]
        interval: Duration,
    },

    /// Use a semaphore: a number of permits that processes share
    #[command(
        after_help = "Example: at most four at once\n  nob-ipc sem run builds --create 4 -- make"
    )]
    #[command(subcommand)]
    Sem(Sem),

    /// Use a lock: one at a time, and the next is told of a holder that died
    #[command(
        after_help = "Example: never two backups at once\n  nob-ipc lock run backup -- make backup"
    )]
    #[command(subcommand)]
    Lock(Lock),

    /// Use permits: a number of them, which come back when their holder dies
    #[command(after_help = "Example: at most four at once\n  \
                            nob-ipc permits run builds --value 4 -- make")]
    #[command(subcommand)]
    Permits(Permits),

    /// Use shared memory: a segment of bytes that processes share
    #[command(after_help = "Example: look at the first line\n  nob-ipc shm dump frame --length 16")]
    #[command(subcommand)]
    Shm(Shm),

    /// Use a message queue: whole messages, the most urgent first
    #[command(after_help = "Example:\n  nob-ipc mq send jobs 'paint the door' --priority 5")]
    #[command(subcommand)]
    Mq(Mq),

    /// Create channels, and send and receive messages of any size
    #[command(after_help = "Example:\n  nob-ipc channel send jobs 'paint the door'")]
    #[command(subcommand)]
    Channel(Channel),

    /// Print a completion script for a shell
    #[command(after_help = "Example: a line of ~/.bashrc\n  source <(nob-ipc completions bash)")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// How an object is created.
#[derive(Args, Debug)]
pub struct Creation {
    /// Permission bits, exactly these whatever the umask is [default: 600]
    #[arg(long, value_name = "OCTAL", value_parser = values::mode)]
    pub mode: Option<u32>,
    /// Fail with status 4 if it exists; otherwise one that exists is left as it is, and what it has other
    /// than was asked for is told on standard error
    #[arg(long)]
    pub exclusive: bool,
}

/// A command that is run when its turn has come.
#[derive(Args, Debug)]
pub struct Job {
    /// Wait this long at the most, then fail with status 124
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    pub timeout: Option<Duration>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

#[derive(Debug, Subcommand)]
pub enum Sem {
    /// Create a semaphore, which stays until it is removed
    #[command(after_help = "Example: three permits, for the group too\n  \
                            nob-ipc sem create printers --value 3 --mode 660")]
    Create {
        /// The name of the semaphore; its leading slash may be left out
        #[arg(value_parser = values::name_of(Kind::Semaphore))]
        name: Name,
        /// How many permits there are at first [default: 1]
        #[arg(long, value_name = "N",
              value_parser = clap::value_parser!(u32).range(0..=i64::from(Semaphore::MAX_VALUE)))]
        value: Option<u32>,
        #[command(flatten)]
        creation: Creation,
    },

    /// Take a permit, waiting for it if there is none
    ///
    /// It stays taken when this command ends: `sem post` gives it back.
    #[command(after_help = "Example: go on only if it is free at once\n  \
                            nob-ipc sem wait printer --timeout 0 || echo busy")]
    Wait {
        /// The name of the semaphore; its leading slash may be left out
        #[arg(value_parser = values::name_of(Kind::Semaphore))]
        name: Name,
        /// Wait this long at the most, then fail with status 124
        #[arg(long, value_name = "TIME", value_parser = values::time)]
        timeout: Option<Duration>,
    },

    /// Give permits back
    #[command(after_help = "Example:\n  nob-ipc sem post printer --count 2")]
    Post {
        /// The name of the semaphore; its leading slash may be left out
        #[arg(value_parser = values::name_of(Kind::Semaphore))]
        name: Name,
        /// How many
        #[arg(long, value_name = "N", default_value_t = 1,
              value_parser = clap::value_parser!(u32).range(1..=i64::from(Semaphore::MAX_VALUE)))]
        count: u32,
    },

    /// Print how many permits there are
    #[command(after_help = "Example:\n  test \"$(nob-ipc sem value printer)\" -gt 0 && echo free")]
    Value {
        /// The name of the semaphore; its leading slash may be left out
        #[arg(value_parser = values::name_of(Kind::Semaphore))]
        name: Name,
    },

    /// Take a permit, run a command, give the permit back
    ///
    /// The exit status is the command's (128 + N if signal N ended it), 127 if there is no such program
    /// and 126 if it cannot be run. Signals that would end this program are passed on to the command, and
    /// the permit is given back whatever ended it; only a SIGKILL of this program itself leaves it taken.
    ///
    /// `permits run` is better where that must not happen: its permits come back by themselves, and
    /// nothing but a holder can give one back. `lock run` is better where one at a time may work, and the
    /// next has to know that the last died half-way. `sem run` is for semaphores that programs in C use,
    /// too, or that others post.
    #[command(after_help = "Example: at most four builds at once on this machine\n  \
                            nob-ipc sem run builds --create 4 -- make")]
    Run {
        /// The name of the semaphore; its leading slash may be left out
        #[arg(value_parser = values::name_of(Kind::Semaphore))]
        name: Name,
        /// Create the semaphore with N permits if it is missing
        #[arg(long, value_name = "N",
              value_parser = clap::value_parser!(u32).range(1..=i64::from(Semaphore::MAX_VALUE)))]
        create: Option<u32>,
        #[command(flatten)]
        job: Job,
    },
}

#[derive(Debug, Subcommand)]
pub enum Lock {
    /// Take a lock, run a command, give the lock up
    ///
    /// The lock is created if it is missing, and stays. The exit status is the command's (128 + N if
    /// signal N ended it), 127 if there is no such program, 126 if it cannot be run, and 125 if the
    /// command of --on-death failed. Signals that would end this program are passed on to the command.
    ///
    /// If a signal ends the command, or a SIGKILL ends this program, the holder has died: a warning on
    /// standard error tells each who follows, until --on-death or `lock repaired` says that all is well.
    /// With this program the kernel kills the command. What a killed command has started holds the lock
    /// until it has ended.
    #[command(after_help = "Example: never two backups at once, and none upon a half one\n  \
                            nob-ipc lock run backup --on-death 'rm -f /backup/partial' -- \
                            make backup")]
    Run {
        /// The name of the lock; its leading slash may be left out
        #[arg(value_parser = values::name_of(Kind::Lock))]
        name: Name,
        /// If a holder has died, first run this with `sh -c`, while the lock is held
        ///
        /// If it succeeds, all is well again, and the command is run. If not, the command is not run, the
        /// status is 125, and who follows is told again.
        #[arg(long, value_name = "COMMAND")]
        on_death: Option<OsString>,
        /// Permission bits if the lock is created, exactly these whatever the umask is [default: 600]
        #[arg(long, value_name = "OCTAL", value_parser = values::mode)]
        mode: Option<u32>,
        #[command(flatten)]
        job: Job,
    },

    /// Say that what a dead holder left is in order, so that nobody is told any more
    ///
    /// Only a holder may say that: the lock is taken first, and given up at once.
    #[command(after_help = "Example:\n  nob-ipc lock repaired backup")]
    Repaired {
        /// The name of the lock; its leading slash may be left out
        #[arg(value_parser = values::name_of(Kind::Lock))]
        name: Name,
        /// Wait this long for the lock at the most, then fail with status 124
        #[arg(long, value_name = "TIME", value_parser = values::time)]
        timeout: Option<Duration>,
    },

    /// Show who holds a lock, since when, who waits, and how many holders died
    ///
    /// The same as `show lock:/name`.
    #[command(after_help = "Example:\n  nob-ipc lock show backup")]
    Show {
        /// The name of the lock; its leading slash may be left out
        #[arg(value_parser = values::name_of(Kind::Lock))]
        name: Name,
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum Permits {
    /// Take a permit, run a command, give the permit back
    ///
    /// The permits are created if they are missing, and stay. The exit status is the command's (128 + N if
    /// signal N ended it), 127 if there is no such program, and 126 if it cannot be run. Signals that would
    /// end this program are passed on to the command. When a SIGKILL ends this program, the kernel kills the
    /// command, and the permit is free when all that the command has started has ended.
    #[command(after_help = "Example: at most four builds at once on this machine\n  \
                            nob-ipc permits run builds --value 4 -- make")]
    Run {
        /// The name of the permits; its leading slash may be left out
        #[arg(value_parser = values::name_of(Kind::BoundedSemaphore))]
        name: Name,
        /// How many there are if they are created; those that exist keep their number [default: 1]
        #[arg(long, value_name = "N",
              value_parser = clap::value_parser!(u32).range(1..=i64::from(BoundedSemaphore::MAX_BOUND)))]
        value: Option<u32>,
        /// Permission bits if the permits are created, exactly these whatever the umask is [default: 600]
        #[arg(long, value_name = "OCTAL", value_parser = values::mode)]
        mode: Option<u32>,
        #[command(flatten)]
        job: Job,
    },

    /// Show how many permits are free, who has the others, and who waits
    ///
    /// The same as `show permits:/name`.
    #[command(after_help = "Example:\n  nob-ipc permits show builds")]
    Show {
        /// The name of the permits; its leading slash may be left out
        #[arg(value_parser = values::name_of(Kind::BoundedSemaphore))]
        name: Name,
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum Shm {
    /// Create a segment, zeroed, which stays until it is removed
    ///
    /// Its memory is reserved at once.
    #[command(after_help = "Example:\n  nob-ipc shm create frame 10MiB")]
    Create {
        /// The name of the segment; its leading slash may be left out
        #[arg(value_parser = values::name_of(Kind::SharedMemory))]
        name: Name,
        /// How large: 4096, 64K, 10MiB
        #[arg(value_parser = values::size)]
        size: u64,
        #[command(flatten)]
        creation: Creation,
    },

    /// Copy bytes of a segment to standard output
    #[command(after_help = "Example: the second page, into a file\n  \
                            nob-ipc shm read frame --offset 4K --length 4K > page")]
    Read {
        /// The name of the segment; its leading slash may be left out
        #[arg(value_parser = values::name_of(Kind::SharedMemory))]
        name: Name,
        #[command(flatten)]
        range: Range,
    },

    /// Copy standard input into a segment
    ///
    /// What would go beyond its end is an error, and nothing is written then.
    #[command(after_help = "Example:\n  printf hello | nob-ipc shm write frame --offset 100")]
    Write {
        /// The name of the segment; its leading slash may be left out
        #[arg(value_parser = values::name_of(Kind::SharedMemory))]
        name: Name,
        /// Where to begin
        #[arg(long, value_name = "N", default_value = "0", value_parser = values::size)]
        offset: u64,
    },

    /// Show bytes of a segment in hexadecimal and as text, as `hexdump -C` does
    #[command(after_help = "Example:\n  nob-ipc shm dump frame --length 64")]
    Dump {
        /// The name of the segment; its leading slash may be left out
        #[arg(value_parser = values::name_of(Kind::SharedMemory))]
        name: Name,
        #[command(flatten)]
        range: Range,
    },

    /// Change the size of a segment
    ///
    /// New bytes are zero. Making it smaller cuts bytes off under processes that use them.
    #[command(after_help = "Example:\n  nob-ipc shm resize frame 20MiB")]
    Resize {
        /// The name of the segment; its leading slash may be left out
        #[arg(value_parser = values::name_of(Kind::SharedMemory))]
        name: Name,
        /// The new size: 4096, 64K, 10MiB
        #[arg(value_parser = values::size)]
        size: u64,
    },
}

/// A part of a segment.
#[derive(Args, Clone, Copy, Debug)]
pub struct Range {
    /// Where to begin
    #[arg(long, value_name = "N", default_value = "0", value_parser = values::size)]
    pub offset: u64,
    /// How many bytes at the most; without it, to the end
    #[arg(long, value_name = "N", value_parser = values::size)]
    pub length: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub enum Mq {
    /// Create a queue, which stays until it is removed
    ///
    /// Without sizes the system's defaults apply; `nob-ipc doctor` shows them and their limits. For more or
    /// larger messages than these allow, `nob-ipc channel` is the better choice.
    #[command(after_help = "Example:\n  \
                            nob-ipc mq create jobs --max-messages 5 --max-message-size 1K")]
    Create {
        /// The name of the queue; its leading slash may be left out
        #[arg(value_parser = values::name_of(Kind::MessageQueue))]
        name: Name,
        /// How many messages it holds
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        max_messages: Option<u64>,
        /// How many bytes a message may have
        #[arg(long, value_name = "N", value_parser = values::size)]
        max_message_size: Option<u64>,
        #[command(flatten)]
        creation: Creation,
    },

    /// Send a message, waiting for room if the queue is full
    ///
    /// Without MESSAGE the whole standard input is one message. If that is empty, nothing is sent.
    #[command(after_help = "Example: a message for each line of a file\n  \
                            nob-ipc mq send jobs --lines < jobs.txt")]
    Send {
        /// The name of the queue; its leading slash may be left out
        #[arg(value_parser = values::name_of(Kind::MessageQueue))]
        name: Name,
        /// More urgent messages are received first: 0 to 32767
        #[arg(long, short, value_name = "P", default_value_t = 0,
              value_parser = clap::value_parser!(u32).range(0..=32767))]
        priority: u32,
        #[command(flatten)]
        sending: Sending,
    },

    /// Receive a message, waiting for one if the queue is empty
    ///
    /// It is printed as it is; a newline follows on a terminal, and with --count or --follow. A message
    /// that was taken but cannot be written is printed, escaped, on standard error, and is a failure.
    #[command(after_help = "Example: work for ever\n  \
                            nob-ipc mq receive jobs --follow | while read -r job; do echo \"$job\"; done")]
    Receive {
        /// The name of the queue; its leading slash may be left out
        #[arg(value_parser = values::name_of(Kind::MessageQueue))]
        name: Name,
        #[command(flatten)]
        receiving: Receiving,
    },
}

/// What is sent.
#[derive(Args, Debug)]
pub struct Sending {
    /// The message
    pub message: Option<OsString>,
    /// Wait this long for room at the most, for each message, then fail with status 124
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    pub timeout: Option<Duration>,
    /// Send each line of standard input, without its end, as one message
    #[arg(long, conflicts_with = "message")]
    pub lines: bool,
    /// Send a message without bytes if standard input is empty; otherwise that is a failure
    #[arg(long, conflicts_with_all = ["message", "lines"])]
    pub empty: bool,
}

/// What is received, and how it is printed.
#[derive(Args, Debug)]
pub struct Receiving {
    /// Wait this long for each message at the most, then fail with status 124
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    pub timeout: Option<Duration>,
    /// Receive N messages
    #[arg(long, value_name = "N", conflicts_with = "follow",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Receive messages until something ends it
    #[arg(long)]
    pub follow: bool,
    /// Print each message and its priority as one line of JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum Channel {
    /// Create a channel, which stays until it is removed
    ///
    /// Unlike a queue it has no limits of the system's: what it takes is memory.
    #[command(after_help = "Example: 64 MiB of messages, two priorities\n  \
                            nob-ipc channel create frames --capacity 64M --priorities 2")]
    Create {
        /// The name of the channel; its leading slash may be left out
        #[arg(value_parser = values::name_of(Kind::Channel))]
        name: Name,
        #[command(flatten)]
        room: Room,
        #[command(flatten)]
        creation: Creation,
    },

    /// Send a message, waiting for room if the channel is full
    ///
    /// Without MESSAGE the whole standard input is one message. If that is empty, nothing is sent.
    #[command(after_help = "Example: a message for each line of a file\n  \
                            nob-ipc channel send frames --lines < jobs.txt")]
    Send {
        /// The name of the channel; its leading slash may be left out
        #[arg(value_parser = values::name_of(Kind::Channel))]
        name: Name,
        /// More urgent messages are received first: 0 to one less than the channel has
        #[arg(long, short, value_name = "P", default_value_t = 0)]
        priority: u32,
        #[command(flatten)]
        sending: Sending,
    },

    /// Receive a message, waiting for one if the channel is empty
    ///
    /// It is printed as it is; a newline follows on a terminal, and with --count or --follow. A message
    /// that was taken but cannot be written is printed, escaped, on standard error, and is a failure.
    #[command(after_help = "Example: work for ever\n  \
                            nob-ipc channel receive jobs --follow | while read -r job; do echo \"$job\"; done")]
    Receive {
        /// The name of the channel; its leading slash may be left out
        #[arg(value_parser = values::name_of(Kind::Channel))]
        name: Name,
        #[command(flatten)]
        receiving: Receiving,
    },
}

/// The room of a channel.
#[derive(Args, Debug)]
pub struct Room {
    /// Bytes of messages that each priority has room for, rounded up to a power of two; 1 MiB unless
    /// the two limits below ask for something else
    #[arg(long, value_name = "N", value_parser = values::size)]
    pub capacity: Option<u64>,
    /// How many messages it holds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_messages: Option<u64>,
    /// How many bytes a message may have
    #[arg(long, value_name = "N", value_parser = values::size)]
    pub max_message_size: Option<u64>,
    /// How many priorities it has, 1 to 8 [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=8))]
    pub priorities: Option<u32>,
}
