//! Files by the hash of their content: plugins' components and models' artifacts. A blob is written
//! once, synced, renamed into place and checked against its name whenever it is read. In an encrypted
//! directory it is kept encrypted under that name.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use activestore_env::{Keyring, ValueSealer};
use activestore_types::{Error, Result};
use ring::digest;

/// The most one blob may hold, in bytes.
pub const BLOB_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A directory of blobs.
#[derive(Debug)]
pub struct Blobs {
    dir: PathBuf,
    sealer: Option<ValueSealer>,
}

impl Blobs {
    /// Opens the directory, making it where it is missing. Leftovers of an interrupted write go.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(dir: &Path, keyring: Option<&Arc<Keyring>>) -> Result<Self> {
        fs::create_dir_all(dir)?;
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "part")
            {
                fs::remove_file(path)?;
            }
        }
        Ok(Blobs {
            dir: dir.to_owned(),
            sealer: keyring.map(|keyring| keyring.values("blob")),
        })
    }

    /// Stores the bytes and returns their hash; durable when it returns.
    ///
    /// # Errors
    /// `Invalid` above [`BLOB_BYTES_MAX`]; what the file system says otherwise.
    pub fn put(&self, bytes: &[u8]) -> Result<[u8; 32]> {
        if bytes.len() > BLOB_BYTES_MAX {
            return Err(Error::invalid(format!(
                "the file holds {} bytes; at most {BLOB_BYTES_MAX} are taken",
                bytes.len()
            )));
        }
        let hash = sha256(bytes);
        let path = self.path(&hash);
        if path.exists() {
            return Ok(hash);
        }
        let part = path.with_extension("part");
        let mut file = File::create(&part)?;
        match &self.sealer {
            Some(sealer) => file.write_all(&sealer.sealed(&hash, bytes)?)?,
            None => file.write_all(bytes)?,
        }
        file.sync_all()?;
        fs::rename(&part, &path)?;
        File::open(&self.dir)?.sync_all()?;
        Ok(hash)
    }

    /// The bytes with this hash; `None` when they are not here.
    ///
    /// # Errors
    /// `Corrupt` when the file does not hold what its name says.
    pub fn get(&self, hash: &[u8; 32]) -> Result<Option<Vec<u8>>> {
        let path = self.path(hash);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let bytes = match &self.sealer {
            Some(sealer) => sealer
                .open_vec(hash, bytes)
                .map_err(|error| error.context(path.display()))?,
            None => bytes,
        };
        if sha256(&bytes) != *hash {
            return Err(Error::corrupt(format!(
                "the stored file {} does not match its hash",
                hex(hash)
            ))
            .with_hint("remove it and deploy the plugin or model again"));
        }
        Ok(Some(bytes))
    }

    /// Whether the bytes with this hash are here.
    pub fn holds(&self, hash: &[u8; 32]) -> bool {
        self.path(hash).exists()
    }

    fn path(&self, hash: &[u8; 32]) -> PathBuf {
        self.dir.join(hex(hash))
    }
}

/// The SHA-256 of the bytes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0_u8; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

/// Bytes as lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The hash that a file is named by; `None` for any other name.
pub(crate) fn unhex(name: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    let digits = name.as_bytes();
    if digits.len() != 2 * hash.len() {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    (hex(&hash) == name).then_some(hash)
}
