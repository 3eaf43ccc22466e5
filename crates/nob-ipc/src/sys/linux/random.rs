//! `<sys/random.h>`: bits that nobody can guess.

use super::conv::check;
use crate::sys::{Errno, Result};

/// 128 random bits ([getrandom(2)](https://man7.org/linux/man-pages/man2/getrandom.2.html)).
pub(crate) fn bits() -> Result<u128> {
    let mut bytes = [0_u8; 16];
    // SAFETY: `bytes` is writable for its length. So few bytes always come whole.
    let got = check(|| unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) })?;
    if usize::try_from(got) == Ok(bytes.len()) {
        Ok(u128::from_ne_bytes(bytes))
    } else {
        Err(Errno::INTR)
    }
}
