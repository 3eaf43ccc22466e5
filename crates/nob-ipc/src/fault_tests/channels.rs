//! Messages over channels, turns that a dead or a living process has, and descriptors for event loops.

use std::fs::File;
use std::io::Read;
use std::iter;
use std::os::fd::AsFd;
use std::time::Duration;

use super::channel_steps::killed_at;
use super::traces::{Traces, unique};
use super::{Case, ERRNOS, Subject, alone, in_child, sweep, sweep_with};
use crate::sys::fault::inject;
use crate::sys::{self, Errno, poll};
use crate::{Channel, Deadline, Existence, Readiness, Result};

const CAPACITY: u32 = 3;

/// A wait looks dozens of times before it ends, so not each errno is tried on each.
const WAITING: &[Errno] = &[Errno::INTR, Errno::NOMEM];

/// A time that is over soon.
fn short() -> Deadline {
    Deadline::after(Duration::from_micros(300))
}

/// A handle, and another one.
struct Ground {
    handle: Channel,
    other: Channel,
}

impl Ground {
    fn new(name: &str, messages: u32) -> Ground {
        let handle = Channel::create(name, CAPACITY);
        let other = Channel::open(name, Existence::Link, 1).expect("it is there");
        let ground = Ground { handle, other };
        ground.fill(messages);
        ground
    }

    fn messages(&self) -> u32 {
        let messages = self.other.current_messages().expect("it is whole");
        messages.try_into().expect("small channels")
    }

    fn fill(&self, messages: u32) {
        while self.messages() > messages {
            self.other.receive().expect("a message");
        }
        while self.messages() < messages {
            self.other.send(b"before", 0).expect("there is room");
        }
    }

    /// Somebody has waited for a message, and somebody for room: a wake-up is due to them.
    fn wait_in_vain(&self, messages: u32) {
        self.fill(0);
        assert!(!self.other.wait_for_message(short()).expect("no call fails"));
        self.fill(CAPACITY);
        assert!(!self.other.send_until(b"x", 0, short()).expect("no call fails"));
        self.fill(messages);
    }

    /// A process dies while it has its turn, on both sides.
    fn leave_turns(&self) {
        let lost = || self.handle.try_send(b"lost", 0).map(|_| ());
        assert!(killed_at(1, || lost().expect("it does not come so far")));
        let lost = || self.handle.try_receive(&mut [0; 8]).map(|_| ());
        let messages = self.messages();
        if messages > 0 {
            assert!(killed_at(1, || lost().expect("it does not come so far")));
        }
        assert_eq!(self.messages(), messages);
    }
}

/// An operation, and how many messages there are before and after it.
type Step<'a> = (u32, u32, &'a dyn Fn(&Channel) -> Result<u32>);

/// What sends or takes at once, and says how many.
fn steps(work: &dyn Fn(Step<'_>)) {
    let batch: [&[u8]; 2] = [b"one", b"two"];
    work((1, 2, &|channel| channel.try_send(b"x", 0).map(u32::from)));
    work((1, 2, &|channel| channel.send_until(b"x", 0, Deadline::NEVER).map(u32::from)));
    work((1, 3, &|channel| Ok(channel.send_many(&batch, 0, Deadline::NOW)?.try_into().unwrap())));
    work((2, 3, &|channel| Ok(channel.try_send_many(batch, 0)?.try_into().unwrap())));
    work((1, 0, &|channel| Ok(channel.try_receive(&mut [0; 8])?.is_some().into())));
    work((3, 2, &|channel| {
        Ok(channel.receive_until(&mut [0; 8], Deadline::NEVER)?.is_some().into())
    }));
    work((3, 1, &|channel| Ok(channel.receive_many(2, Deadline::NOW)?.len().try_into().unwrap())));
    work((3, 0, &|channel| Ok(channel.receive_many(9, Deadline::NOW)?.len().try_into().unwrap())));
}

/// That nobody could be woken is no failure: those who sleep look again.
#[test]
fn waking() {
    alone(|| {
        let failures = std::cell::Cell::new(0);
        steps(&|(before, after, run)| {
            let ground = |name: &str| {
                let ground = Ground::new(name, before);
                ground.wait_in_vain(before);
                ground
            };
            let more = sweep(&Case {
                ground: &ground,
                run: &|ground: &Ground| run(&ground.handle),
                done: &|ground, count| {
                    assert_eq!((ground.messages(), *count), (after, before.abs_diff(after)));
                    ground.wait_in_vain(before);
                },
                undone: &|_, failure| panic!("{}", failure.error),
                goes_on_after_signals: false,
            });
            failures.set(failures.get() + more);
        });
        assert!(failures.get() > 0);
    });
}

/// A turn that a dead process had is taken over, or nothing has happened.
#[test]
fn turns_of_the_dead() {
    alone(|| {
        steps(&|(before, after, run)| {
            let ground = |name: &str| {
                let ground = Ground::new(name, before);
                ground.leave_turns();
                ground
            };
            let failures = sweep(&Case {
                ground: &ground,
                run: &|ground: &Ground| run(&ground.handle),
                done: &|ground, count| {
                    assert_eq!((ground.messages(), *count), (after, before.abs_diff(after)));
                    ground.fill(before);
                    ground.leave_turns();
                },
                undone: &|ground, _| assert_eq!(ground.messages(), before),
                goes_on_after_signals: true,
            });
            assert!(failures > 5, "it asked the system {failures} times");
        });
    });
}

/// Another's copy does not end in time.
#[test]
fn turns_of_the_living() {
    alone(|| {
        let failures = sweep_with(
            WAITING,
            &Case {
                ground: &|name| Ground::new(name, 1),
                run: &|ground: &Ground| {
                    let mut meanwhile = Ok(true);
                    let none = iter::from_fn(|| {
                        meanwhile = ground.handle.try_send(b"x", 0);
                        None::<&[u8]>
                    });
                    assert_eq!(ground.other.try_send_many(none, 0)?, 0);
                    meanwhile
                },
                done: &|ground, sent| assert!(!*sent && ground.messages() == 1),
                undone: &|ground, _| assert_eq!(ground.messages(), 1),
                goes_on_after_signals: true,
            },
        );
        assert!(failures > 0);
    });
}

/// In vain, until the time is over.
#[test]
fn waiting() {
    alone(|| {
        type Wait<'a> = (u32, &'a dyn Fn(&Channel, Deadline) -> Result<bool>);
        let waits: [Wait<'_>; 4] = [
            (0, &|channel, deadline| Ok(channel.receive_until(&mut [0; 8], deadline)?.is_some())),
            (0, &|channel, deadline| channel.wait_for_message(deadline)),
            (0, &|channel, deadline| Ok(!channel.receive_many(2, deadline)?.is_empty())),
            (CAPACITY, &|channel, deadline| channel.send_until(b"x", 0, deadline)),
        ];
        for (messages, wait) in waits {
            for checked in [false, true] {
                let deadline = || {
                    let short = short();
                    if checked { short.checked_every(Deadline::CHECK_INTERVAL) } else { short }
                };
                sweep_with(
                    WAITING,
                    &Case {
                        ground: &|name| Ground::new(name, messages),
                        run: &|ground: &Ground| wait(&ground.handle, deadline()),
                        done: &|ground, served| {
                            assert!(!*served && ground.messages() == messages);
                        },
                        undone: &|ground, _| assert_eq!(ground.messages(), messages),
                        goes_on_after_signals: false,
                    },
                );
            }
        }
    });
}

/// Signals that never end do not make a wait outlast its time.
#[test]
fn signals_without_end() {
    alone(|| {
        let name = unique();
        let ground = Ground::new(&name, 0);
        let timeout = Duration::from_millis(2);
        let (received, failed) =
            inject(1, true, Errno::INTR, || ground.handle.receive_timeout(timeout));
        assert!(received.expect("time is up").is_none() && failed > 0);
        ground.fill(CAPACITY);
        let (sent, failed) =
            inject(1, true, Errno::INTR, || ground.handle.send_timeout(b"x", 0, timeout));
        assert!(!sent.expect("time is up") && failed > 0);
        let batch = [&b"x"[..]; 2];
        let (sent, failed) = inject(1, true, Errno::INTR, || {
            ground.handle.send_many(&batch, 0, Deadline::after(timeout))
        });
        assert!(sent.expect("time is up") == 0 && failed > 0);
    });
}

/// A forked child needs a slot of its own; if it cannot get one, it sends and takes nothing, and it can try
/// again.
#[test]
fn first_use_in_a_child() {
    alone(|| {
        let name = unique();
        let ground = Ground::new(&name, 1);
        let before = Traces::take();
        let both: [(u32, &dyn Fn() -> Result<bool>); 2] = [
            (2, &|| ground.handle.try_send(b"x", 0)),
            (0, &|| Ok(ground.handle.try_receive(&mut [0; 8])?.is_some())),
        ];
        for (after, run) in both {
            for errno in ERRNOS {
                for persistent in [false, true] {
                    let mut nth = 1;
                    let mut more = true;
                    while more {
                        more = in_child(|| {
                            let own = Traces::take();
                            let (done, failed) = inject(nth, persistent, errno, run);
                            match done {
                                Ok(done) => assert!(done),
                                Err(error) => {
                                    assert_eq!(error.raw_os_error(), Some(errno.0), "{error}");
                                    assert_eq!(ground.messages(), 1);
                                    assert_eq!(
                                        Traces::take(),
                                        own,
                                        "call {nth}, errno {}",
                                        errno.0
                                    );
                                    assert!(run().expect("no call fails"));
                                }
                            }
                            failed > 0
                        });
                        assert_eq!(ground.messages(), after);
                        ground.fill(1);
                        nth += u32::from(more);
                    }
                    assert!(nth > 5, "the child asked the system {nth} times");
                }
            }
        }
        assert_eq!(Traces::take(), before);
    });
}

/// Without a descriptor, a mapping or a thread nothing is left of the try.
#[test]
fn descriptors_for_event_loops() {
    alone(|| {
        type Make = fn(&Channel) -> Result<Readiness>;
        let both: [Make; 2] = [Channel::readable, Channel::writable];
        for make in both {
            let failures = sweep(&Case {
                ground: &|name| Ground::new(name, 1),
                run: &|ground: &Ground| make(&ground.handle),
                done: &|_, readiness| {
                    readiness.want_room(1, 0);
                    assert_readable(readiness);
                },
                undone: &|_, _| {},
                goes_on_after_signals: false,
            });
            assert!(failures > 0);
        }
    });
}

/// Fails unless the descriptor becomes readable.
fn assert_readable(readiness: &Readiness) {
    let fd = readiness.as_fd();
    poll::wait(fd, sys::Readiness::Readable, Duration::from_secs(20)).expect("no call fails");
    let mut file = File::from(fd.try_clone_to_owned().expect("there are descriptors"));
    file.read_exact(&mut [0; 8]).expect("it is readable");
}
