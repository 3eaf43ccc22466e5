//! What the tests of this crate share beside `nob_ipc_testing`: an object of any kind, what a refusal has
//! to look like, and races between processes.

mod kill_loop;
mod new;
pub mod object;
mod owned;
mod race;
mod refusal;

pub use kill_loop::{Workers, random, shared_words};
pub use new::{new_channel, new_lock, new_permits, new_queue, new_segment, new_semaphore};
pub use object::{EXISTENCES, Object, can_be_marked};
pub use owned::{OWNED, Owned, life_bytes};
pub use race::{for_the_race, on_your_marks, race, start_together};
pub use refusal::{assert_refused, assert_words, refused};
