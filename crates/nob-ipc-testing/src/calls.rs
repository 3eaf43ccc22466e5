//! What calls of the system return.

/// Fails with the error of the last call if that has returned -1.
#[track_caller]
pub(crate) fn check(returned: i32) -> i32 {
    assert_ne!(returned, -1, "{}", std::io::Error::last_os_error());
    returned
}
