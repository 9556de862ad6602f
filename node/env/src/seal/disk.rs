//! Encrypted files behind the disk port, for files that are written once, front to back, and read
//! anywhere: who writes and reads them sees the plain bytes at their plain positions.
//!
//! ```text
//! magic "ACTSEAL" 01 | key header 32 | zeros up to 64 | block 0 | block 1 …
//! block = ciphertext | tag 16, together up to the next multiple of 2048 bytes in the file
//! ```
//!
//! A block's nonce is its number, and for the file's last one a mark beside it, so that a file that was
//! cut is noticed. The last block is written by `sync_data`, after which the file takes no more; a
//! file that was not synced cannot be read. Lengths, names and all other operations pass through.

use std::io;
use std::sync::{Arc, OnceLock};

use activestore_types::Error;
use parking_lot::Mutex;

use super::cipher::TAG_BYTES;
use super::file::{FILE_HEADER_BYTES, FileSealer, fields};
use super::keyring::Keyring;
use crate::{Disk, DiskFile};

const MAGIC: &[u8; 8] = b"ACTSEAL\x01";
const HEAD_BYTES: u64 = 64;
/// Bytes of a block in the file, with its tag. Short, so that a point read decrypts little.
const BLOCK_BYTES: u64 = 2048;
/// Set in the position of a file's last block.
const LAST: u64 = 1 << 63;

/// The disk on which new files are encrypted, and files that are not are refused; `disk` itself
/// without a keyring. `domain` says what kind of files these are.
pub fn sealed_disk(
    disk: &Arc<dyn Disk>,
    keyring: Option<&Arc<Keyring>>,
    domain: &'static str,
) -> Arc<dyn Disk> {
    match keyring {
        None => Arc::clone(disk),
        Some(keyring) => Arc::new(SealedDisk {
            disk: Arc::clone(disk),
            keyring: Arc::clone(keyring),
            domain,
            own: None,
        }),
    }
}

/// The same disk, on which new files take a key of their own, see [`Keyring::add_own`].
pub fn sealed_disk_under(
    disk: &Arc<dyn Disk>,
    keyring: &Arc<Keyring>,
    domain: &'static str,
    own: u32,
) -> Arc<dyn Disk> {
    Arc::new(SealedDisk {
        disk: Arc::clone(disk),
        keyring: Arc::clone(keyring),
        domain,
        own: Some(own),
    })
}

/// The number of the data key that an encrypted file was written under, which need not be there any
/// more. `disk` is the one below, that does not decrypt.
///
/// # Errors
/// `Corrupt` for a file that is not encrypted or was cut short; as the disk.
pub fn data_key_of(disk: &Arc<dyn Disk>, path: &str) -> activestore_types::Result<u32> {
    Ok(fields(&header_of(disk.open(path)?.as_ref())?)?.0)
}

struct SealedDisk {
    disk: Arc<dyn Disk>,
    keyring: Arc<Keyring>,
    domain: &'static str,
    /// The data key of new files, where it is not the common one.
    own: Option<u32>,
}

fn header_of(file: &dyn DiskFile) -> io::Result<[u8; FILE_HEADER_BYTES]> {
    let mut head = [0; HEAD_BYTES as usize];
    let read = file.read_at(0, &mut head)?;
    let header: Option<[u8; FILE_HEADER_BYTES]> = head
        .strip_prefix(MAGIC)
        .filter(|_| read == head.len())
        .and_then(|rest| rest.first_chunk().copied());
    // In an encrypted directory, a file that is not was not written by the node.
    header.ok_or_else(|| {
        inside(Error::corrupt(
            "the file is not encrypted, or was cut short",
        ))
    })
}

impl Disk for SealedDisk {
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let (header, sealer) = self
            .keyring
            .new_file(self.domain, self.own)
            .map_err(inside)?;
        let file = self.disk.create(path)?;
        let mut ready = MAGIC.to_vec();
        ready.extend(header);
        ready.resize(HEAD_BYTES as usize, 0);
        let writing = Writing {
            ready,
            ..Writing::default()
        };
        Ok(Arc::new(SealedFile {
            file,
            sealer,
            writing: Some(Mutex::new(writing)),
            stored: OnceLock::new(),
        }))
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.open(path)?;
        let stored = file.len()?;
        let header = header_of(file.as_ref())?;
        let sealer = self.keyring.file(self.domain, &header).map_err(inside)?;
        plain_length(stored)?;
        Ok(Arc::new(SealedFile {
            file,
            sealer,
            writing: None,
            stored: OnceLock::from(stored),
        }))
    }

    fn exists(&self, path: &str) -> bool {
        self.disk.exists(path)
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn create_dir_all(&self, dir: &str) -> io::Result<()> {
        self.disk.create_dir_all(dir)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes()
    }
}

struct SealedFile {
    file: Arc<dyn DiskFile>,
    sealer: FileSealer,
    /// `None` for a file that was opened: it is read only.
    writing: Option<Mutex<Writing>>,
    /// The file's real length, once all of it is written.
    stored: OnceLock<u64>,
}

#[derive(Default)]
struct Writing {
    /// Plain bytes taken so far.
    taken: u64,
    /// Plain bytes that wait for their block to be full, and for one more: it may be the last.
    waiting: Vec<u8>,
    /// Bytes to be written next: the head, then sealed blocks.
    ready: Vec<u8>,
    /// Where `ready` goes.
    stored: u64,
    blocks: u64,
    /// Ended, well or not: a place that may have been written is not written again.
    ended: bool,
}

impl SealedFile {
    /// Seals what waits, up to the last block or with it, and writes it.
    fn write_blocks(&self, writing: &mut Writing, last: bool) -> io::Result<()> {
        let mut from = 0;
        loop {
            let room = room_of(writing.blocks);
            let rest = writing.waiting.get(from..).unwrap_or_default();
            let block = match rest.get(..room) {
                Some(block) if rest.len() > room => block,
                _ if last => rest,
                _ => break,
            };
            let ends = block.len() == rest.len();
            let position = writing.blocks | if ends { LAST } else { 0 };
            let begin = writing.ready.len();
            writing.ready.extend_from_slice(block);
            from += block.len();
            self.sealer
                .seal(position, &mut writing.ready, begin)
                .map_err(inside)?;
            writing.blocks += 1;
            if ends {
                break;
            }
        }
        writing.waiting.drain(..from);
        if from > 0 || last {
            self.file.write_at(writing.stored, &writing.ready)?;
            writing.stored += writing.ready.len() as u64;
            writing.ready.clear();
        }
        Ok(())
    }

    fn read_blocks(&self, stored: u64, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let end = offset
            .saturating_add(out.len() as u64)
            .min(plain_length(stored)?);
        if offset >= end {
            return Ok(0);
        }
        let (first, last) = (block_of(offset), block_of(end - 1));
        let from = first * BLOCK_BYTES;
        let to = ((last + 1) * BLOCK_BYTES).min(stored);
        let mut raw = vec![0; usize::try_from(to - from).map_err(io::Error::other)?];
        self.file.read_exact_at(from, &mut raw)?;
        let mut skip = usize::try_from(offset - start_of(first)).map_err(io::Error::other)?;
        let mut done = 0;
        for (number, block) in (first..).zip(raw.chunks_mut(BLOCK_BYTES as usize)) {
            let ends = (number + 1) * BLOCK_BYTES >= stored;
            let position = number | if ends { LAST } else { 0 };
            let head = if number == 0 { HEAD_BYTES as usize } else { 0 };
            let block = block.get_mut(head..).unwrap_or_default();
            let plain = self.sealer.open(position, block).map_err(inside)?;
            let plain = plain.get(skip..).unwrap_or_default();
            skip = 0;
            let rest = out.get_mut(done..).unwrap_or_default();
            for (to, from) in rest.iter_mut().zip(plain.iter()) {
                *to = *from;
            }
            done += rest.len().min(plain.len());
        }
        Ok(done)
    }
}

impl DiskFile for SealedFile {
    fn len(&self) -> io::Result<u64> {
        match (self.stored.get(), &self.writing) {
            (Some(stored), _) => plain_length(*stored),
            (None, Some(writing)) => Ok(writing.lock().taken),
            (None, None) => Ok(0),
        }
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(refused("an encrypted file is not cut or lengthened"))
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        match self.stored.get() {
            Some(stored) => self.read_blocks(*stored, offset, out),
            None => Err(refused(
                "an encrypted file is read only after it was synced",
            )),
        }
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let Some(writing) = &self.writing else {
            return Err(refused("an encrypted file is not written a second time"));
        };
        let mut writing = writing.lock();
        if writing.ended || offset != writing.taken {
            return Err(refused("an encrypted file is written once, front to back"));
        }
        writing.taken += bytes.len() as u64;
        writing.waiting.extend_from_slice(bytes);
        let written = self.write_blocks(&mut writing, false);
        writing.ended |= written.is_err();
        written
    }

    fn sync_data(&self) -> io::Result<()> {
        if let Some(writing) = &self.writing {
            let mut writing = writing.lock();
            if self.stored.get().is_none() {
                if writing.ended {
                    return Err(refused("an earlier write of the encrypted file failed"));
                }
                writing.ended = true;
                self.write_blocks(&mut writing, true)?;
                self.stored.get_or_init(|| writing.stored);
            }
        }
        self.file.sync_data()
    }

    fn allocate(&self, _: u64) -> io::Result<()> {
        Err(refused(
            "an encrypted file is not lengthened ahead of its bytes",
        ))
    }
}

/// Plain bytes that a block has room for.
fn room_of(block: u64) -> usize {
    let head = if block == 0 { HEAD_BYTES } else { 0 };
    (BLOCK_BYTES - head) as usize - TAG_BYTES
}

/// The first plain byte of a block.
fn start_of(block: u64) -> u64 {
    block
        .checked_sub(1)
        .map_or(0, |before| room_of(0) as u64 + before * room_of(1) as u64)
}

/// The block that a plain byte lies in.
fn block_of(plain: u64) -> u64 {
    plain
        .checked_sub(room_of(0) as u64)
        .map_or(0, |after| 1 + after / room_of(1) as u64)
}

/// The plain length of a file of `stored` bytes.
fn plain_length(stored: u64) -> io::Result<u64> {
    let last = stored.saturating_sub(1) / BLOCK_BYTES;
    let head = if last == 0 { HEAD_BYTES } else { 0 };
    (stored - last * BLOCK_BYTES)
        .checked_sub(head + TAG_BYTES as u64)
        .map(|plain| start_of(last) + plain)
        .ok_or_else(|| inside(Error::corrupt("the encrypted file was cut short")))
}

/// The whole error, for whoever turns it back.
fn inside(error: Error) -> io::Error {
    io::Error::other(error)
}

fn refused(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}
