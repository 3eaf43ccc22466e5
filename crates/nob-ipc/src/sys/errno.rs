//! The number by which the system says what went wrong.

/// A raw `errno` value. A newtype, not an enum: the system may return numbers that no list here
/// would hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Errno(pub i32);

pub(crate) type Result<T> = std::result::Result<T, Errno>;

impl Errno {
    pub(crate) const ACCES: Errno = Errno(libc::EACCES);
    pub(crate) const AGAIN: Errno = Errno(libc::EAGAIN);
    pub(crate) const BADF: Errno = Errno(libc::EBADF);
    pub(crate) const BUSY: Errno = Errno(libc::EBUSY);
    pub(crate) const EXIST: Errno = Errno(libc::EEXIST);
    pub(crate) const FBIG: Errno = Errno(libc::EFBIG);
    pub(crate) const FAULT: Errno = Errno(libc::EFAULT);
    pub(crate) const INTR: Errno = Errno(libc::EINTR);
    pub(crate) const INVAL: Errno = Errno(libc::EINVAL);
    pub(crate) const ISDIR: Errno = Errno(libc::EISDIR);
    pub(crate) const LOOP: Errno = Errno(libc::ELOOP);
    pub(crate) const MFILE: Errno = Errno(libc::EMFILE);
    pub(crate) const MSGSIZE: Errno = Errno(libc::EMSGSIZE);
    pub(crate) const NFILE: Errno = Errno(libc::ENFILE);
    pub(crate) const NOENT: Errno = Errno(libc::ENOENT);
    pub(crate) const NOMEM: Errno = Errno(libc::ENOMEM);
    pub(crate) const NOSPC: Errno = Errno(libc::ENOSPC);
    pub(crate) const NOSYS: Errno = Errno(libc::ENOSYS);
    pub(crate) const NXIO: Errno = Errno(libc::ENXIO);
    pub(crate) const OPNOTSUPP: Errno = Errno(libc::EOPNOTSUPP);
    pub(crate) const OVERFLOW: Errno = Errno(libc::EOVERFLOW);
    pub(crate) const PERM: Errno = Errno(libc::EPERM);
    pub(crate) const ROFS: Errno = Errno(libc::EROFS);
    pub(crate) const TIMEDOUT: Errno = Errno(libc::ETIMEDOUT);
    pub(crate) const UCLEAN: Errno = Errno(libc::EUCLEAN);

    /// The system's own words for this number, without the number.
    pub(crate) fn words(self) -> String {
        let text = std::io::Error::from_raw_os_error(self.0).to_string();
        match text.find(" (os error") {
            Some(end) => text[..end].to_string(),
            None => text,
        }
    }
}
