//! Sizes, mappings and growth of segments.

use std::cell::Cell;
use std::fs;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;

use super::{Case, ERRNOS, Subject, alone, sweep, sweep_with};
use crate::sys::Errno;
use crate::{Access, Existence, Reservation, Result, SharedMemory};

const BEFORE: u32 = 5000;

fn allocated(segment: &SharedMemory) -> u64 {
    let path = format!("/proc/self/fd/{}", segment.as_fd().as_raw_fd());
    fs::metadata(path).expect("it is open").blocks()
}

/// A segment, and the memory it had in the beginning.
struct Ground {
    segment: SharedMemory,
    allocated: Cell<u64>,
}

impl Ground {
    fn new(name: &str, reservation: Reservation) -> Ground {
        let mut options = SharedMemory::options();
        options.size(BEFORE.into()).reservation(reservation).existence(Existence::Create);
        let segment = options.open(name).expect("a new segment");
        let allocated = Cell::new(allocated(&segment));
        Ground { segment, allocated }
    }

    fn restore(&self) {
        self.segment.resize(BEFORE.into()).expect("it fits");
        self.allocated.set(allocated(&self.segment));
    }
}

/// Goes on after a few signals, and then ends.
fn on_step() -> impl FnMut() -> ControlFlow<()> {
    let mut calls = 0;
    move || {
        calls += 1;
        if calls > 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

fn operate<T>(reservation: Reservation, after: u32, run: &dyn Fn(&Ground) -> Result<T>) {
    operate_with(&ERRNOS, reservation, after, run);
}

fn operate_with<T>(
    errnos: &[Errno],
    reservation: Reservation,
    after: u32,
    run: &dyn Fn(&Ground) -> Result<T>,
) {
    let failures = sweep_with(
        errnos,
        &Case {
            ground: &|name| Ground::new(name, reservation),
            run: &|ground| run(ground),
            done: &|ground, _| {
                assert_eq!(ground.segment.measure(), after);
                if reservation == Reservation::Reserved {
                    assert!(allocated(&ground.segment) * 512 >= after.into());
                }
                ground.restore();
            },
            undone: &|ground, failure| {
                assert_eq!(ground.segment.measure(), BEFORE, "{}", failure.error);
                // What tidies up fails, too, if all calls do.
                if !failure.persistent {
                    assert_eq!(
                        allocated(&ground.segment),
                        ground.allocated.get(),
                        "{}",
                        failure.error
                    );
                }
                ground.restore();
            },
            goes_on_after_signals: false,
        },
    );
    assert!(failures > 0);
}

#[test]
fn growing() {
    alone(|| {
        for reservation in [Reservation::Reserved, Reservation::Sparse] {
            operate(reservation, 50_001, &|ground| {
                ground.segment.resize_with(50_001, &mut on_step())
            });
        }
    });
}

#[test]
fn shrinking() {
    alone(|| {
        for reservation in [Reservation::Reserved, Reservation::Sparse] {
            operate(reservation, 100, &|ground| ground.segment.resize(100));
        }
    });
}

#[test]
fn growing_when_linking() {
    alone(|| {
        for unlink in [false, true] {
            for reservation in [Reservation::Reserved, Reservation::Sparse] {
                operate(reservation, 50_001, &|ground| {
                    let name = ground.segment.ownership().name();
                    let mut options = SharedMemory::options();
                    options.size(50_001).reservation(reservation).unlink_on_drop(unlink);
                    let linked = options.open_with(name, &mut on_step());
                    // What it was to unlink has to be there for the next round.
                    linked.and_then(|linked| linked.ownership().set_unlink_on_drop(false))
                });
            }
        }
    });
}

/// Memory of several steps: the first is given back when the second fails.
#[test]
fn growing_in_steps() {
    const LARGE: u32 = 65 << 20;
    alone(|| {
        let room = crate::sys::stat::room(crate::sys::SHM_DIRECTORY).expect("it is there");
        if room.available < 2 * u64::from(LARGE) {
            eprintln!("skipped: /dev/shm is too small");
            return;
        }
        operate_with(&[Errno::NOSPC, Errno::INTR], Reservation::Reserved, LARGE, &|ground| {
            ground.segment.resize_with(LARGE.into(), &mut on_step())
        });
    });
}

#[test]
fn mapping() {
    alone(|| {
        let maps = |ground: &Ground| {
            let mapping = ground.segment.map()?;
            assert_eq!(mapping.len(), 5000);
            mapping.write(4999, b"x")
        };
        operate(Reservation::Reserved, BEFORE, &maps);
        operate(Reservation::Reserved, BEFORE, &|ground| ground.segment.size());
    });
}

/// A handle for reading to what is new.
#[test]
fn creating_for_reading() {
    alone(|| {
        sweep(&Case {
            ground: &str::to_string,
            run: &|name: &String| {
                let mut options = SharedMemory::options();
                options.size(0).access(Access::ReadOnly);
                options.existence(Existence::LinkOrCreate).open(name)
            },
            done: &|name, segment| {
                assert!(segment.ownership().created());
                assert_eq!(
                    SharedMemory::open(name, Existence::Link, 0).expect("there").measure(),
                    0
                );
            },
            undone: &|name, _| assert_eq!(SharedMemory::measure_of(name), None),
            goes_on_after_signals: false,
        });
    });
}
