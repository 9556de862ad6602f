//! The disk port: a directory tree of files with explicit durability.
//!
//! Paths are relative to the disk's root and '/'-separated. The contract is POSIX at its weakest:
//! - written bytes are durable once `sync_data` has returned without an error, not before; without
//!   it, any subset of the 512-byte sectors may survive a power cut;
//! - a failed `sync_data` leaves the unsynced bytes in an unknown state, and a later one that
//!   succeeds says nothing about them;
//! - a creation, renaming or removal is durable once `sync_dir` of its directory has returned;
//! - `rename` is atomic; directories are durable when `create_dir_all` returns.

use std::io;
use std::sync::Arc;

/// A directory tree.
pub trait Disk: Send + Sync {
    /// Makes a new, empty file.
    ///
    /// # Errors
    /// `AlreadyExists` when there is one; what the system says otherwise.
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Whether there is a file or directory of this name.
    fn exists(&self, path: &str) -> bool;

    /// The names of the files in a directory, sorted; a missing directory has none.
    ///
    /// # Errors
    /// What the system says.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;

    /// Removes a file; one that is open stays readable through its handles.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Gives a file another name in one step, replacing what has that name. Durable after
    /// `sync_dir` of the new name's directory.
    ///
    /// # Errors
    /// `NotFound` when there is no such file.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Makes a directory and those above it; they are durable on return.
    ///
    /// # Errors
    /// What the system says.
    fn create_dir_all(&self, dir: &str) -> io::Result<()>;

    /// Makes the creations, renamings and removals in a directory durable; "" is the root.
    ///
    /// # Errors
    /// What the system says; the names are then in an unknown state.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;

    /// How many bytes can still be written.
    ///
    /// # Errors
    /// What the system says.
    fn free_bytes(&self) -> io::Result<u64>;
}

/// An open file. Positions are bytes from the start.
pub trait DiskFile: Send + Sync {
    /// The file's length in bytes.
    ///
    /// # Errors
    /// What the system says.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file holds no bytes.
    ///
    /// # Errors
    /// What the system says.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts the file, or lengthens it with zeros that may take no space yet.
    ///
    /// # Errors
    /// What the system says.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Reads up to `out.len()` bytes and returns how many; fewer only at the end of the file.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize>;

    /// As [`DiskFile::read_at`], into memory of its own, for large reads: memory that is fresh is
    /// not filled twice.
    ///
    /// # Errors
    /// What the system says.
    fn read_vec(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let read = self.read_at(offset, &mut bytes)?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// Fills `out`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends before.
    fn read_exact_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut done = 0;
        while done < out.len() {
            let rest = out.get_mut(done..).unwrap_or_default();
            let read = self.read_at(offset + done as u64, rest)?;
            if read == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!("the file ends before byte {}", offset + out.len() as u64),
                ));
            }
            done += read;
        }
        Ok(())
    }

    /// Writes all of `bytes`, lengthening the file as needed.
    ///
    /// # Errors
    /// What the system says; any part of the bytes may then have been written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes everything written so far durable, the length included.
    ///
    /// # Errors
    /// What the system says; what was not durable before is then lost or not, unknowably.
    fn sync_data(&self) -> io::Result<()>;

    /// Lengthens the file to `len` with zeros that are really written, so that later writes inside
    /// it need neither space nor metadata. A file that is longer keeps its length.
    ///
    /// # Errors
    /// `StorageFull` when there is no space.
    fn allocate(&self, len: u64) -> io::Result<()> {
        static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
        let mut at = self.len()?;
        while at < len {
            let piece = (len - at).min(ZEROS.len() as u64);
            let zeros = usize::try_from(piece)
                .ok()
                .and_then(|piece| ZEROS.get(..piece))
                .unwrap_or(&ZEROS);
            self.write_at(at, zeros)?;
            at += piece;
        }
        Ok(())
    }

    /// As [`DiskFile::allocate`], where waiting for the zeros would cost more than what they save: the space is set
    /// aside and reads as zeros, but the first write to it may need metadata.
    ///
    /// # Errors
    /// `StorageFull` when there is no space.
    fn reserve(&self, len: u64) -> io::Result<()> {
        self.allocate(len)
    }
}
