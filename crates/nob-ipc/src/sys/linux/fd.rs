//! What has a descriptor to poll, to map or to pass on.

use std::os::fd::{AsFd, BorrowedFd};

use crate::{Bell, MessageQueue, SharedMemory};

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor()
    }
}

impl AsFd for SharedMemory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor()
    }
}

impl AsFd for MessageQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor()
    }
}
