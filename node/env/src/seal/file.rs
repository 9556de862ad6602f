//! Files that are written once, front to back: each has a key of its own, derived from a data key and
//! the salt in its header, so that a block's place in the file can be its nonce. Nothing beside the
//! tag is stored with a block, and a block opens nowhere else.

use std::fmt;

use activestore_types::{Error, Result};

use super::cipher::{Cipher, KEY_BYTES, NonceBytes};
use super::keyring::Keyring;

/// Bytes that a file's header takes: data key u32, salt, CRC32C of both, little-endian.
pub(crate) const FILE_HEADER_BYTES: usize = 32;

pub(crate) const SALT_BYTES: usize = 24;

/// Encrypts and decrypts the blocks of one file.
///
/// The caller promises that a file under one header is written once: no two different blocks ever
/// begin at the same position. A file that is begun again takes a new header.
pub(crate) struct FileSealer {
    cipher: Cipher,
}

impl Keyring {
    /// Begins a file: the header that has to stand in it, and its sealer. `domain` says what kind
    /// of file it is; one kind's blocks do not open as another's. `own` is the key of its own that
    /// it takes, if any.
    ///
    /// # Errors
    /// `Denied` where that key was destroyed.
    pub(crate) fn new_file(
        &self,
        domain: &str,
        own: Option<u32>,
    ) -> Result<([u8; FILE_HEADER_BYTES], FileSealer)> {
        let mut salt = [0; SALT_BYTES];
        self.rng().fill(&mut salt);
        let (id, key) = match own {
            None => self.active(),
            Some(own) => (own, self.key(own)?),
        };
        let mut header = [0; FILE_HEADER_BYTES];
        let fields = id.to_le_bytes().into_iter().chain(salt);
        for (to, from) in header.iter_mut().zip(fields) {
            *to = from;
        }
        let crc = checksum(&header);
        for (to, from) in header.iter_mut().skip(4 + SALT_BYTES).zip(crc) {
            *to = from;
        }
        Ok((header, FileSealer::derived(&key, domain, &salt)?))
    }

    /// The sealer of a file that has this header.
    ///
    /// # Errors
    /// `Corrupt` for bytes that are no header; `Denied` where its data key is not in the keyring.
    pub(crate) fn file(
        &self,
        domain: &str,
        header: &[u8; FILE_HEADER_BYTES],
    ) -> Result<FileSealer> {
        let (id, salt) = fields(header)?;
        let key = self.key(id)?;
        FileSealer::derived(&key, domain, salt)
    }
}

/// The data key and the salt of a header.
///
/// # Errors
/// `Corrupt` for bytes that are no header.
pub(crate) fn fields(header: &[u8; FILE_HEADER_BYTES]) -> Result<(u32, &[u8])> {
    let broken = || Error::corrupt("the encryption header is not what was written");
    let (id, rest) = header.split_first_chunk::<4>().ok_or_else(broken)?;
    let (salt, crc) = rest.split_at_checked(SALT_BYTES).ok_or_else(broken)?;
    if crc != checksum(header) {
        return Err(broken());
    }
    Ok((u32::from_le_bytes(*id), salt))
}

fn checksum(header: &[u8; FILE_HEADER_BYTES]) -> [u8; 4] {
    let fields = header.get(..4 + SALT_BYTES).unwrap_or_default();
    crc32c::crc32c(fields).to_le_bytes()
}

impl FileSealer {
    fn derived(key: &[u8; KEY_BYTES], domain: &str, salt: &[u8]) -> Result<FileSealer> {
        let info: [&[u8]; 4] = [b"activestore file 1 ", domain.as_bytes(), b"\0", salt];
        Ok(FileSealer {
            cipher: Cipher::derived(key, &info)?,
        })
    }

    /// Encrypts the bytes of `block` from `from` on, which will stand at `position` in the file, and
    /// appends [`super::TAG_BYTES`] bytes.
    ///
    /// # Errors
    /// None in practice.
    pub(crate) fn seal(&self, position: u64, block: &mut Vec<u8>, from: usize) -> Result<()> {
        self.cipher.seal(nonce(position), &[], block, from)
    }

    /// Decrypts in place a block that stands at `position`; returns it without its tag.
    ///
    /// # Errors
    /// `Corrupt` where it is not the block that was written there under this file's header.
    pub(crate) fn open<'a>(&self, position: u64, block: &'a mut [u8]) -> Result<&'a mut [u8]> {
        self.cipher
            .open(nonce(position), &[], block)
            .ok_or_else(|| {
                Error::corrupt(format!(
                    "the encrypted block at byte {position} is not the one that was written there"
                ))
                .with_hint("the file was changed or exchanged; restore it from a peer or a backup")
            })
    }
}

fn nonce(position: u64) -> NonceBytes {
    let mut nonce = NonceBytes::default();
    for (to, from) in nonce.iter_mut().zip(position.to_le_bytes()) {
        *to = from;
    }
    nonce
}

impl fmt::Debug for FileSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileSealer(…)")
    }
}
