//! The command as a person uses it: real processes, pipes, terminals and signals.

mod bare;
mod channel;
mod doctor;
mod help;
mod hostile;
mod lock;
mod mq;
mod objects;
mod permits;
mod planted;
mod reap;
mod recipes;
mod run;
mod sem;
mod server;
mod shm;
mod support;
mod top;

/// What a child of a test runs; see `nob_ipc_testing::play`.
#[test]
#[ignore = "other tests start it as their child process"]
fn role() {
    nob_ipc_testing::play(&[
        support::each::ROLES,
        bare::ROLES,
        hostile::ROLES,
        objects::ROLES,
        planted::ROLES,
        reap::ROLES,
    ]);
}
