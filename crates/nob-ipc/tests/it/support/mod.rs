//! What the tests of this crate share beside `nob_ipc_testing`: an object of any kind, what a refusal has
//! to look like, and races between processes.

mod new;
pub mod object;
mod race;
mod refusal;

pub use new::{new_queue, new_segment, new_semaphore};
pub use object::{EXISTENCES, Object, can_be_marked};
pub use race::{for_the_race, on_your_marks, race, start_together};
pub use refusal::{assert_refused, assert_words, refused};
