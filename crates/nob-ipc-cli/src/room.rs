//! The room in `/dev/shm`.

use nix::sys::statvfs::statvfs;

/// What a file system has: bytes, and files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// 0: without bound.
    pub total: u64,
    pub free: u64,
    /// 0: without bound.
    pub files: u64,
    pub free_files: u64,
}

impl Room {
    /// That of `/dev/shm`, if it is there.
    pub fn of_shm() -> Option<Room> {
        let room = statvfs("/dev/shm").ok()?;
        Some(Room {
            total: room.blocks().saturating_mul(room.fragment_size()),
            free: room.blocks_available().saturating_mul(room.fragment_size()),
            files: room.files(),
            free_files: room.files_available(),
        })
    }

    pub fn used(self) -> u64 {
        self.total.saturating_sub(self.free)
    }
}
