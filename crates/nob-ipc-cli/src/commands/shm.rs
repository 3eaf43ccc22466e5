//! `nob-ipc shm`.
//!
//! Bytes are read and written through the descriptor, not through a mapping: a segment that another
//! process shrinks meanwhile is then shorter, and no bus error.

use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use nob_ipc::{Access, ErrorKind, Existence, Name, SharedMemory};

use super::creation::{Differences, exactly};
use crate::args::{Creation, Range, Shm};
use crate::failure::{Failure, Result, cannot};
use crate::output::Output;

pub fn run(command: Shm) -> Result<()> {
    match command {
        Shm::Create { name, size, creation } => create(&name, size, &creation),
        Shm::Read { name, range } => {
            let output = Output::new();
            each_block(&name, range, |_, bytes| output.write(bytes))
        }
        Shm::Write { name, offset } => write(&name, offset),
        Shm::Dump { name, range } => dump(&name, range),
        Shm::Resize { name, size } => Ok(link(&name, Access::ReadWrite)?.resize(size)?),
    }
}

fn link(name: &Name, access: Access) -> Result<SharedMemory> {
    Ok(SharedMemory::options().access(access).open_named(name)?)
}

fn create(name: &Name, size: u64, creation: &Creation) -> Result<()> {
    let _exactly = exactly();
    loop {
        // Not link-or-create, which lets a segment that exists grow.
        let created = SharedMemory::options()
            .size(size)
            .mode(creation.mode())
            .existence(Existence::Create)
            .unlink_on_drop(false)
            .open_named(name);
        match created {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && !creation.exclusive => {}
            created => return Ok(created.map(drop)?),
        }
        // What has the name has to be a segment; if it is gone by now, the name is free.
        match SharedMemory::options().access(Access::ReadOnly).open_named(name) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            linked => {
                let segment = linked?;
                Differences::of(segment.ownership())
                    .compare("size", Some(size), segment.size()?)
                    .compare_mode(creation.mode)
                    .tell();
                return Ok(());
            }
        }
    }
}

fn file_of(segment: &SharedMemory) -> Result<File> {
    let descriptor = segment.as_fd().try_clone_to_owned();
    descriptor.map(File::from).map_err(|error| cannot("open the segment again", error))
}

/// Calls `work` with the offset and the bytes of each block of a range, up to its end or that of the
/// segment. All blocks but the last are of the same size.
fn each_block(
    name: &Name,
    range: Range,
    mut work: impl FnMut(u64, &[u8]) -> Result<()>,
) -> Result<()> {
    let segment = link(name, Access::ReadOnly)?;
    let size = segment.size()?;
    let Some(left) = size.checked_sub(range.offset) else {
        return Err(beyond(name, range.offset, size));
    };
    let file = file_of(&segment)?;
    let end = range.offset + range.length.map_or(left, |length| length.min(left));
    let mut offset = range.offset;
    let mut block = vec![0; 64 << 10];
    while offset < end {
        let wanted = usize::try_from(end - offset).unwrap_or(block.len()).min(block.len());
        match read_block(&file, &mut block[..wanted], offset) {
            // It was shrunk meanwhile.
            Ok(0) => return Ok(()),
            Ok(length) => {
                work(offset, &block[..length])?;
                offset += length as u64;
            }
            Err(error) => return Err(cannot(&format!("read the segment \"{name}\""), error)),
        }
    }
    Ok(())
}

/// Reads until the block is full or the file ends.
fn read_block(file: &File, block: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut length = 0;
    while length < block.len() {
        match file.read_at(&mut block[length..], offset + length as u64) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

fn beyond(name: &Name, offset: u64, size: u64) -> Failure {
    Failure::because(format!(
        "the offset {offset} lies beyond the end of the segment \"{name}\", which has {size} bytes"
    ))
}

fn write(name: &Name, offset: u64) -> Result<()> {
    let segment = link(name, Access::ReadWrite)?;
    let size = segment.size()?;
    let Some(room) = size.checked_sub(offset) else {
        return Err(beyond(name, offset, size));
    };
    let mut bytes = Vec::new();
    // One more than there is room for tells whether it fits.
    let read = io::stdin().lock().take(room.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|error| cannot("read standard input", error))?;
    if bytes.len() as u64 > room {
        return Err(Failure::because(format!(
            "standard input has more than the {room} bytes that the segment \"{name}\" has from \
             offset {offset} on; nothing was written; give less, or resize it"
        )));
    }
    let written = file_of(&segment)?.write_all_at(&bytes, offset);
    written.map_err(|error| cannot(&format!("write to the segment \"{name}\""), error))
}

fn dump(name: &Name, range: Range) -> Result<()> {
    let output = Output::new();
    let mut dump = Dump::default();
    let mut end = range.offset;
    each_block(name, range, |offset, bytes| {
        let mut lines = String::new();
        for (index, line) in bytes.chunks(Dump::WIDTH).enumerate() {
            dump.line(&mut lines, offset + (index * Dump::WIDTH) as u64, line);
        }
        end = offset + bytes.len() as u64;
        output.write(lines.as_bytes())
    })?;
    if end > range.offset { output.line(&format!("{end:08x}")) } else { Ok(()) }
}

/// The format of `hexdump -C`: lines that repeat are an asterisk.
#[derive(Default)]
struct Dump {
    last: Vec<u8>,
    repeating: bool,
}

impl Dump {
    const WIDTH: usize = 16;

    fn line(&mut self, lines: &mut String, offset: u64, bytes: &[u8]) {
        if bytes == self.last {
            if !self.repeating {
                lines.push_str("*\n");
            }
            self.repeating = true;
            return;
        }
        self.repeating = false;
        self.last = bytes.to_vec();
        let half = |range: &[u8]| -> String {
            let hex: Vec<String> = range.iter().map(|byte| format!("{byte:02x}")).collect();
            hex.join(" ")
        };
        let (left, right) = bytes.split_at(bytes.len().min(Self::WIDTH / 2));
        let shown = |&byte: &u8| if (0x20..0x7f).contains(&byte) { char::from(byte) } else { '.' };
        let shown: String = bytes.iter().map(shown).collect();
        let (left, right) = (half(left), half(right));
        // Writing to a string cannot fail.
        let _ = writeln!(lines, "{offset:08x}  {left:<23}  {right:<23}  |{shown}|");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_looks_like_hexdumps() {
        let mut lines = String::new();
        let mut dump = Dump::default();
        for offset in 0..3 {
            dump.line(&mut lines, offset * 16, &[0; 16]);
        }
        dump.line(&mut lines, 48, b"hello\n\x1b[0m~");
        assert_eq!(
            lines,
            "00000000  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|\n*\n\
             00000030  68 65 6c 6c 6f 0a 1b 5b  30 6d 7e                 |hello..[0m~|\n"
        );
    }
}
