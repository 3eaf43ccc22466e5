//! A process is killed at each step of sending, receiving and waiting: nothing is lost, torn or received
//! twice, and the others go on.

use std::time::Duration;

use nob_ipc_testing::forks;

use super::alone;
use super::traces::unique;
use crate::sys::fault::kill_at;
use crate::{Channel, Deadline, Existence};

/// The last of the steps, each of which is a `kill_point` in `channel`.
const STEPS: u32 = 9;

/// Far more than what the others may be delayed by.
const LIMIT: Duration = Duration::from_secs(20);

fn message(number: u32) -> Vec<u8> {
    let length = 100 + (number as usize * 977) % 3000;
    let mut message = vec![(number % 251) as u8; length];
    message[..4].copy_from_slice(&number.to_ne_bytes());
    message
}

/// Works in a child that is killed at a step; whether it came there.
pub(super) fn killed_at(step: u32, work: impl FnOnce()) -> bool {
    use std::os::unix::process::ExitStatusExt;
    let child = forks::fork(|| {
        kill_at(step);
        work();
    });
    forks::wait_for(child).signal() == Some(libc::SIGKILL)
}

/// Returns when a child sleeps on a futex.
fn asleep(child: i32) {
    nob_ipc_testing::wait_until_in(child, child, &[libc::SYS_futex]);
}

fn create(name: &str) -> Channel {
    Channel::options()
        .capacity(16 << 10)
        .existence(Existence::Create)
        .open(name)
        .expect("a new channel")
}

fn receive_all(channel: &Channel) -> Vec<u32> {
    let messages = channel.receive_many(1000, Deadline::NOW).expect("it is whole");
    messages
        .into_iter()
        .map(|(bytes, _)| {
            let number = u32::from_ne_bytes(bytes[..4].try_into().expect("four bytes"));
            assert_eq!(bytes, message(number), "it is whole");
            number
        })
        .collect()
}

/// N3: at each step of sending.
#[test]
fn a_sender_is_killed() {
    alone(|| {
        for step in 1..=STEPS {
            let name = unique();
            let channel = create(&name);
            channel.send(&message(1), 0).expect("there is room");
            let killed = killed_at(step, || {
                let batch = [message(2), message(3)];
                let batch: Vec<&[u8]> = batch.iter().map(Vec::as_slice).collect();
                assert_eq!(
                    channel.try_send_many(batch.iter().copied(), 0).expect("it is whole"),
                    2
                );
            });
            // The steps of waiting are not on the way.
            assert_eq!(killed, step < 8, "{step}");
            // All of a batch is there, or nothing of it.
            channel.send_timeout(&message(4), 0, LIMIT).expect("it is whole");
            let expected: &[u32] = if step < 6 { &[1, 4] } else { &[1, 2, 3, 4] };
            assert_eq!(receive_all(&channel), expected, "{step}");
        }
    });
}

/// N3: the same where an empty channel goes back to the start of its ring for that message.
#[test]
fn a_sender_is_killed_who_goes_back() {
    alone(|| {
        for step in 1..8 {
            let name = unique();
            let channel = create(&name);
            let half = vec![0; channel.capacity() / 2];
            channel.send(&half, 0).expect("there is room");
            channel.receive().expect("it is whole");
            assert!(killed_at(step, || channel.send(&message(1), 0).expect("there is room")));
            channel.send_timeout(&message(2), 0, LIMIT).expect("it is whole");
            let expected: &[u32] = if step < 6 { &[2] } else { &[1, 2] };
            assert_eq!(receive_all(&channel), expected, "{step}");
            let full = vec![7; channel.max_message_size()];
            assert!(channel.try_send(&full, 0).expect("it is whole"), "{step}");
            assert_eq!(channel.receive().expect("it is whole").0, full, "{step}");
        }
    });
}

/// N3: at each step of receiving.
#[test]
fn a_receiver_is_killed() {
    alone(|| {
        for step in 1..=STEPS {
            let name = unique();
            let channel = create(&name);
            for number in 1..=3 {
                channel.send(&message(number), 0).expect("there is room");
            }
            let killed = killed_at(step, || {
                assert_eq!(channel.receive().expect("it is whole").0, message(1));
            });
            assert_eq!(killed, step < 8 && step != 6, "{step}");
            channel.send_timeout(&message(4), 0, LIMIT).expect("it is whole");
            // Once it is taken it is gone, with the one who took it.
            let expected: &[u32] = if step < 5 { &[1, 2, 3, 4] } else { &[2, 3, 4] };
            assert_eq!(receive_all(&channel), expected, "{step}");
        }
    });
}

/// N3, N5: one who sleeps gets what was sent by one who was killed before he could wake him.
#[test]
fn a_sleeper_gets_what_a_killed_sender_has_sent() {
    alone(|| {
        for step in [6, 7] {
            let name = unique();
            let channel = create(&name);
            let receiver = forks::fork(|| {
                let received = channel.receive_timeout(LIMIT).expect("it is whole");
                assert_eq!(received.expect("it comes").0, message(1));
            });
            asleep(receiver);
            assert!(killed_at(step, || {
                channel.send(&message(1), 0).expect("it is whole");
            }));
            assert!(forks::wait_for(receiver).success(), "{step}");
        }
    });
}

/// N3, N5: one who sleeps for room gets it from one who was killed before he could wake him.
#[test]
fn a_sleeper_gets_the_room_that_a_killed_receiver_has_made() {
    alone(|| {
        for step in [5, 7] {
            let name = unique();
            let channel = create(&name);
            let full = vec![0; channel.max_message_size()];
            channel.send(&full, 0).expect("there is room");
            let sender = forks::fork(|| {
                assert!(channel.send_timeout(&full, 0, LIMIT).expect("it is whole"));
            });
            asleep(sender);
            assert!(killed_at(step, || {
                channel.receive().expect("it is whole");
            }));
            assert!(forks::wait_for(sender).success(), "{step}");
        }
    });
}

/// N3: a waiter that is killed, before it sleeps or after it was woken, costs nobody his wake-up.
#[test]
fn a_waiter_is_killed() {
    alone(|| {
        for step in [8, 9] {
            let name = unique();
            let channel = create(&name);
            let waiter = forks::fork(|| {
                kill_at(step);
                // It looks by itself soon, and dies at the latest then.
                let _ = channel.receive_timeout(LIMIT);
            });
            assert!(!forks::wait_for(waiter).success());
            let receiver = forks::fork(|| {
                let received = channel.receive_timeout(LIMIT).expect("it is whole");
                assert_eq!(received.expect("it comes").0, message(7));
            });
            asleep(receiver);
            channel.send(&message(7), 0).expect("there is room");
            assert!(forks::wait_for(receiver).success(), "{step}");
        }
    });
}
