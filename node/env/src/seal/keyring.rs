//! The keyring: the data keys, in one small file that is replaced whole. It is opened before anything
//! else of the directory is read, so that a wrong key is one error and touches nothing.
//!
//! ```text
//! magic "ACTSKEY" | version 8 bits | fingerprint of the master key 8 | salt 32 | count u32
//! count × (id u32, key 32), encrypted | tag 16 | CRC32C u32 of all before
//! ```
//!
//! There are two kinds of data keys. The *common* ones take everything that has none of its own; the
//! youngest is written with. The *own* ones, numbered from 2^31 on, each belong to one thing whose user
//! may want to be rid of it: they are added and destroyed while the directory is in use. A keyring
//! that has some is of version 2, so that a release that knows one kind only does not write with them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use activestore_types::{Error, Result};
use parking_lot::{Mutex, RwLock};
use ring::hmac;

use super::cipher::{Cipher, KEY_BYTES, NonceBytes, TAG_BYTES, derive};
use super::master::{MasterKey, hex};
use crate::{Disk, DiskFile, Env, Rng};

/// The keyring's path; where it exists, the directory is encrypted.
pub const KEYRING_FILE: &str = "keyring";
const NEW_FILE: &str = "keyring.new";

const MAGIC: &[u8; 7] = b"ACTSKEY";
/// Common keys only.
const VERSION: u8 = 1;
/// Own keys among them.
const VERSION_OWN: u8 = 2;
const SALT_BYTES: usize = 32;
const HEAD_BYTES: usize = 8 + 8 + SALT_BYTES + 4;
const ENTRY_BYTES: usize = 4 + KEY_BYTES;
/// A keyring that claims more is not believed, and no more are added.
const KEYS_MAX: usize = 4096;
/// Kept for common keys.
const COMMON_KEYS_MAX: usize = 96;
/// The first number of an own key.
const OWN: u32 = 1 << 31;

type Keys = BTreeMap<u32, [u8; KEY_BYTES]>;

/// The data keys of one directory.
pub struct Keyring {
    env: Env,
    master: MasterKey,
    keys: RwLock<Keys>,
    /// The youngest common one: what is written with.
    active: (u32, [u8; KEY_BYTES]),
    /// Held while the file is replaced.
    changing: Mutex<()>,
}

impl Keyring {
    /// Whether the directory is encrypted.
    pub fn exists(disk: &dyn Disk) -> bool {
        disk.exists(KEYRING_FILE)
    }

    /// Opens the directory's keyring.
    ///
    /// # Errors
    /// `Denied` for another key than the one that it was last wrapped under; `NotFound` where there
    /// is none; `Corrupt` for a damaged one; as the disk.
    pub fn open(env: &Env, master: &MasterKey) -> Result<Arc<Keyring>> {
        let keys = read(env.disk.as_ref(), master)?;
        // Of a change that was cut off; it may hold keys that were destroyed since.
        wipe_new(env.disk.as_ref())?;
        let (id, key) = youngest(&keys).ok_or_else(damaged)?;
        Ok(Arc::new(Keyring {
            env: env.clone(),
            master: master.clone(),
            active: (*id, *key),
            keys: RwLock::new(keys),
            changing: Mutex::new(()),
        }))
    }

    /// Opens the keyring, or makes one with a data key. Only the caller knows whether the directory
    /// holds anything unencrypted already; then it must not call this.
    ///
    /// # Errors
    /// As [`Keyring::open`].
    pub fn open_or_create(env: &Env, master: &MasterKey) -> Result<Arc<Keyring>> {
        if !Keyring::exists(env.disk.as_ref()) {
            let keys = BTreeMap::from([(1, new_key(env.rng.as_ref()))]);
            write(env, master, &keys)?;
        }
        Keyring::open(env, master)
    }

    /// Wraps the data keys under another master key. No data is read or written; what the old file
    /// held is overwritten. With `renew`, what is written from the next start on takes a new data key.
    ///
    /// # Errors
    /// As [`Keyring::open`] for `old`; `Invalid` where there would be too many data keys.
    pub fn rotate(env: &Env, old: &MasterKey, new: &MasterKey, renew: bool) -> Result<()> {
        let mut keys = read(env.disk.as_ref(), old)?;
        if renew {
            let last = youngest(&keys).map_or(0, |(id, _)| *id);
            let id = last
                .checked_add(1)
                .filter(|id| *id < OWN && keys.len() < KEYS_MAX)
                .ok_or_else(|| Error::invalid(format!("{KEYS_MAX} data keys are the most")))?;
            keys.insert(id, new_key(env.rng.as_ref()));
        }
        replace(env, new, &keys).map_err(|error| {
            error.context("the new key is in place, but the old keyring's bytes stay")
        })
    }

    /// Adds an own key; it is durable on return. Its number never was and never will be another's,
    /// by chance of one in two thousand millions a key.
    ///
    /// # Errors
    /// `Overloaded` where there would be too many; as the disk.
    pub fn add_own(&self) -> Result<u32> {
        let _turn = self.changing.lock();
        let mut keys = self.keys.read().clone();
        if keys.range(OWN..).count() >= KEYS_MAX - COMMON_KEYS_MAX {
            return Err(Error::overloaded("the keyring has no room for another key")
                .with_hint("a table that is dropped gives back the keys of its partitions"));
        }
        let id = loop {
            let id = OWN | self.env.rng.next_u64() as u32;
            if !keys.contains_key(&id) {
                break id;
            }
        };
        keys.insert(id, new_key(self.env.rng.as_ref()));
        // What the old file holds may be destroyed next: its bytes go with it.
        replace(&self.env, &self.master, &keys)?;
        *self.keys.write() = keys;
        Ok(id)
    }

    /// Destroys own keys, on the disk and in memory: what was written under them is gone on return,
    /// wherever it lies. Those that are not there are no error.
    ///
    /// # Errors
    /// As the disk; it is to be called again then. Where the power goes in the middle, the bytes of the
    /// replaced file may stay in space that the file system has freed, under the master key.
    pub fn destroy_own(&self, ids: &[u32]) -> Result<()> {
        let _turn = self.changing.lock();
        let mut keys = self.keys.read().clone();
        keys.retain(|id, _| *id < OWN || !ids.contains(id));
        replace(&self.env, &self.master, &keys)?;
        *self.keys.write() = keys;
        Ok(())
    }

    /// Whether it holds a data key.
    pub fn holds(&self, id: u32) -> bool {
        self.keys.read().contains_key(&id)
    }

    /// The numbers of all keys.
    pub fn key_numbers(&self) -> Vec<u32> {
        self.keys.read().keys().copied().collect()
    }

    /// The numbers of all own keys.
    pub fn own_keys(&self) -> Vec<u32> {
        self.keys.read().range(OWN..).map(|(id, _)| *id).collect()
    }

    /// Whether a number is an own key's.
    pub fn is_own(id: u32) -> bool {
        id >= OWN
    }

    pub(crate) fn rng(&self) -> &dyn Rng {
        self.env.rng.as_ref()
    }

    /// The data key that is written with.
    pub(crate) fn active(&self) -> (u32, [u8; KEY_BYTES]) {
        self.active
    }

    /// A data key by its number.
    ///
    /// # Errors
    /// `Denied` where it is not here.
    pub(crate) fn key(&self, id: u32) -> Result<[u8; KEY_BYTES]> {
        self.keys.read().get(&id).copied().ok_or_else(|| {
            if Keyring::is_own(id) {
                Error::denied(format!("the data key {id:#x} was destroyed"))
                    .with_hint("what was written under it was erased on purpose")
            } else {
                Error::denied(format!("the keyring has no data key {id}"))
                    .with_hint("put back the keyring that belongs to these files")
            }
        })
    }

    /// HMAC-SHA256 of a name, under the first data key: it stays through every rotation.
    pub(crate) fn pseudonym(&self, domain: &str, name: &[u8]) -> Result<[u8; 32]> {
        let first = self.keys.read().values().next().copied();
        let first = first.ok_or_else(|| Error::internal("an empty keyring"))?;
        let info: [&[u8]; 2] = [b"activestore name 1 ", domain.as_bytes()];
        let key: [u8; KEY_BYTES] = derive(&first, &info)?;
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), name);
        tag.as_ref()
            .try_into()
            .map_err(|_| Error::internal("a tag of another length"))
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring of {} data keys", self.keys.read().len())
    }
}

fn new_key(rng: &dyn Rng) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    rng.fill(&mut key);
    key
}

/// The youngest common key.
fn youngest(keys: &Keys) -> Option<(&u32, &[u8; KEY_BYTES])> {
    keys.range(..OWN).next_back()
}

/// Replaces the file, and overwrites what the old one held.
fn replace(env: &Env, master: &MasterKey, keys: &Keys) -> Result<()> {
    let before = env.disk.open(KEYRING_FILE)?;
    write(env, master, keys)?;
    // The name is the new file's now; what the old one's bytes open goes with them.
    Ok(wipe(before.as_ref())?)
}

/// Fills a file with zeros.
fn wipe(file: &dyn DiskFile) -> std::io::Result<()> {
    let zeros = vec![0; usize::try_from(file.len()?).unwrap_or(0)];
    file.write_at(0, &zeros)?;
    file.sync_data()
}

/// Removes what a change that was cut off has left, and its bytes.
fn wipe_new(disk: &dyn Disk) -> std::io::Result<()> {
    if disk.exists(NEW_FILE) {
        wipe(disk.open(NEW_FILE)?.as_ref())?;
        disk.remove(NEW_FILE)?;
    }
    Ok(())
}

fn write(env: &Env, master: &MasterKey, keys: &Keys) -> Result<()> {
    let mut salt = [0; SALT_BYTES];
    env.rng.fill(&mut salt);
    let mut bytes = MAGIC.to_vec();
    let own = keys.range(OWN..).next().is_some();
    bytes.push(if own { VERSION_OWN } else { VERSION });
    bytes.extend(master.mark()?);
    bytes.extend(salt);
    bytes.extend((keys.len() as u32).to_le_bytes());
    let head = bytes.clone();
    for (id, key) in keys {
        bytes.extend(id.to_le_bytes());
        bytes.extend(key);
    }
    // The salt makes a key for this one message, so that its nonce may be any.
    let cipher = master.wrapping(&salt)?;
    cipher.seal(NonceBytes::default(), &head, &mut bytes, HEAD_BYTES)?;
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    let disk = env.disk.as_ref();
    wipe_new(disk)?;
    let file: Arc<dyn DiskFile> = disk.create(NEW_FILE)?;
    file.write_at(0, &bytes)?;
    file.sync_data()?;
    disk.rename(NEW_FILE, KEYRING_FILE)?;
    Ok(disk.sync_dir("")?)
}

fn damaged() -> Error {
    Error::corrupt("the keyring is damaged").with_hint(
        "restore the file 'keyring' from a backup; without it nothing in the directory can be read",
    )
}

fn read(disk: &dyn Disk, master: &MasterKey) -> Result<Keys> {
    let file = disk
        .open(KEYRING_FILE)
        .map_err(|error| Error::from(error).context("the directory is not encrypted"))?;
    let longest = HEAD_BYTES + KEYS_MAX * ENTRY_BYTES + TAG_BYTES + 4;
    let length = usize::try_from(file.len()?)
        .ok()
        .filter(|length| *length <= longest)
        .ok_or_else(damaged)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(0, &mut bytes)?;
    let (body, crc) = bytes.split_last_chunk::<4>().ok_or_else(damaged)?;
    if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
        return Err(damaged());
    }
    let (head, sealed) = body.split_at_checked(HEAD_BYTES).ok_or_else(damaged)?;
    let (magic, rest) = head.split_first_chunk::<7>().ok_or_else(damaged)?;
    let (version, rest) = rest.split_first().ok_or_else(damaged)?;
    let (mark, rest) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
    let (salt, count) = rest.split_at_checked(SALT_BYTES).ok_or_else(damaged)?;
    if magic != MAGIC || !(VERSION..=VERSION_OWN).contains(version) {
        return Err(
            Error::corrupt("the keyring has a format that this program does not know")
                .with_hint("start the release that wrote it, or a newer one"),
        );
    }
    let given = master.mark()?;
    if *mark != given {
        return Err(Error::denied(format!(
            "the encryption key does not belong to this data directory: it is sealed with key {}, and key {} was given",
            hex(mark),
            hex(&given)
        ))
        .with_hint("give the key that the directory was made with or last rotated to"));
    }
    let mut sealed = sealed.to_vec();
    let cipher: Cipher = master.wrapping(salt)?;
    let entries = cipher
        .open(NonceBytes::default(), head, &mut sealed)
        .ok_or_else(damaged)?;
    let (entries, rest) = entries.as_chunks::<ENTRY_BYTES>();
    let mut keys = Keys::new();
    for entry in entries {
        let (id, key) = entry.split_first_chunk::<4>().ok_or_else(damaged)?;
        let key = <[u8; KEY_BYTES]>::try_from(key).map_err(|_| damaged())?;
        keys.insert(u32::from_le_bytes(*id), key);
    }
    let whole = rest.is_empty() && count == (keys.len() as u32).to_le_bytes();
    if !whole {
        return Err(damaged());
    }
    Ok(keys)
}
