//! Values that are written again and again under a name, in any order: log records, entries of a
//! database. Each carries what opens it in a trailer, and opens only under its name.
//!
//! ```text
//! ciphertext | tag 16 | data key u32 | session salt 16 | nonce 12
//! ```
//!
//! A *session* is a key derived from a data key and a random salt, new with every sealer and after
//! [`SESSION_USES_MAX`] values. Its nonces are random: of 2^30 of them, two are the same with a
//! probability below 2^-37, also where a machine was copied while it ran and both copies go on.

use std::fmt;
use std::sync::Arc;

use activestore_types::{Error, Result};
use parking_lot::Mutex;

use super::cipher::{Cipher, NonceBytes, TAG_BYTES};
use super::keyring::Keyring;

/// Values sealed under one session's key.
const SESSION_USES_MAX: u32 = 1 << 30;

const SALT_BYTES: usize = 16;
const TRAILER_BYTES: usize = 4 + SALT_BYTES + 12;

/// Bytes that sealing adds to a value.
pub const VALUE_OVERHEAD_BYTES: usize = TAG_BYTES + TRAILER_BYTES;

#[derive(Clone)]
struct Session {
    id: [u8; 4],
    salt: [u8; SALT_BYTES],
    cipher: Arc<Cipher>,
}

/// Encrypts and decrypts values of one kind. Shared between threads.
pub struct ValueSealer {
    keyring: Arc<Keyring>,
    domain: &'static str,
    /// What is sealed with, and how often it was.
    writing: Mutex<Option<(Session, u32)>>,
    /// What a value was last opened with.
    reading: Mutex<Option<Session>>,
}

impl Keyring {
    /// A sealer for values of a kind; one kind's values do not open as another's.
    pub fn values(self: &Arc<Self>, domain: &'static str) -> ValueSealer {
        ValueSealer {
            keyring: Arc::clone(self),
            domain,
            writing: Mutex::new(None),
            reading: Mutex::new(None),
        }
    }
}

impl ValueSealer {
    /// Encrypts the bytes of `value` from `from` on, to be stored by `name`, and appends
    /// [`VALUE_OVERHEAD_BYTES`] bytes.
    ///
    /// # Errors
    /// None in practice.
    pub fn seal(&self, name: &[u8], value: &mut Vec<u8>, from: usize) -> Result<()> {
        self.seal_in(&self.session()?, name, value, from)
    }

    /// [`ValueSealer::seal`] under a key of its own, see [`Keyring::add_own`].
    ///
    /// # Errors
    /// `Denied` where that key was destroyed.
    pub fn seal_under(
        &self,
        own: u32,
        name: &[u8],
        value: &mut Vec<u8>,
        from: usize,
    ) -> Result<()> {
        self.seal_in(&self.new_session(own)?, name, value, from)
    }

    fn seal_in(
        &self,
        session: &Session,
        name: &[u8],
        value: &mut Vec<u8>,
        from: usize,
    ) -> Result<()> {
        let mut nonce = NonceBytes::default();
        self.keyring.rng().fill(&mut nonce);
        session.cipher.seal(nonce, name, value, from)?;
        value.extend_from_slice(&session.id);
        value.extend_from_slice(&session.salt);
        value.extend_from_slice(&nonce);
        Ok(())
    }

    /// A value sealed, as a copy.
    ///
    /// # Errors
    /// None in practice.
    pub fn sealed(&self, name: &[u8], value: &[u8]) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(value.len() + VALUE_OVERHEAD_BYTES);
        bytes.extend_from_slice(value);
        self.seal(name, &mut bytes, 0)?;
        Ok(bytes)
    }

    /// Decrypts in place a value that was stored by `name`; returns how many bytes it has, at the
    /// front of `value`.
    ///
    /// # Errors
    /// `Corrupt` where it is not a value that was sealed under this name; `Denied` where its data
    /// key is not in the keyring.
    pub fn open(&self, name: &[u8], value: &mut [u8]) -> Result<usize> {
        let broken = || {
            Error::corrupt("an encrypted value is not the one that was stored by its name")
                .with_hint("the file was changed; restore the node from a backup or its peer")
        };
        let body = value.len().checked_sub(TRAILER_BYTES).ok_or_else(broken)?;
        let (bytes, trailer) = value.split_at_mut_checked(body).ok_or_else(broken)?;
        let (id, rest) = trailer.split_first_chunk::<4>().ok_or_else(broken)?;
        let (salt, nonce) = rest.split_first_chunk::<SALT_BYTES>().ok_or_else(broken)?;
        let nonce = NonceBytes::try_from(nonce).map_err(|_| broken())?;
        let session = self.session_of(*id, *salt)?;
        let opened = session.cipher.open(nonce, name, bytes).ok_or_else(broken)?;
        Ok(opened.len())
    }

    /// The number of the data key that a value was sealed under; `None` for bytes that are none.
    pub fn data_key_of(value: &[u8]) -> Option<u32> {
        let trailer = value.get(value.len().checked_sub(TRAILER_BYTES)?..)?;
        trailer.first_chunk().map(|id| u32::from_le_bytes(*id))
    }

    /// [`ValueSealer::open`] of a value on its own.
    ///
    /// # Errors
    /// As [`ValueSealer::open`].
    pub fn open_vec(&self, name: &[u8], mut value: Vec<u8>) -> Result<Vec<u8>> {
        let length = self.open(name, &mut value)?;
        value.truncate(length);
        Ok(value)
    }

    /// What stands for a name that is itself secret, always the same for the same one.
    ///
    /// # Errors
    /// None in practice.
    pub fn pseudonym(&self, name: &[u8]) -> Result<[u8; 32]> {
        self.keyring.pseudonym(self.domain, name)
    }

    fn session(&self) -> Result<Session> {
        let mut writing = self.writing.lock();
        if let Some((session, uses)) = writing.as_mut()
            && *uses < SESSION_USES_MAX
        {
            *uses += 1;
            return Ok(session.clone());
        }
        let session = self.new_session(self.keyring.active().0)?;
        *writing = Some((session.clone(), 1));
        Ok(session)
    }

    fn new_session(&self, id: u32) -> Result<Session> {
        let mut salt = [0; SALT_BYTES];
        self.keyring.rng().fill(&mut salt);
        self.derive(id.to_le_bytes(), salt)
    }

    fn session_of(&self, id: [u8; 4], salt: [u8; SALT_BYTES]) -> Result<Session> {
        let mut reading = self.reading.lock();
        if let Some(session) = reading.as_ref()
            && session.id == id
            && session.salt == salt
        {
            return Ok(session.clone());
        }
        let session = self.derive(id, salt)?;
        // One under a key of its own seals a single value, and must not outlive the key.
        if !Keyring::is_own(u32::from_le_bytes(id)) {
            *reading = Some(session.clone());
        }
        Ok(session)
    }

    fn derive(&self, id: [u8; 4], salt: [u8; SALT_BYTES]) -> Result<Session> {
        let key = self.keyring.key(u32::from_le_bytes(id))?;
        let info: [&[u8]; 4] = [
            b"activestore value 1 ",
            self.domain.as_bytes(),
            b"\0",
            &salt,
        ];
        Ok(Session {
            id,
            salt,
            cipher: Arc::new(Cipher::derived(&key, &info)?),
        })
    }
}

impl fmt::Debug for ValueSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ValueSealer({})", self.domain)
    }
}
