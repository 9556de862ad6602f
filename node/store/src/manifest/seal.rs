//! The manifest's values at rest. Numbers, and keys that are numbers, stay plain; everything that a
//! user gave (names in schemas, keys in summaries and tombstones, notes) is encrypted under the
//! place that it stands in. A note's key is a secret too: a pseudonym stands for it, and the key itself
//! lies with the value.

use std::borrow::Cow;
use std::sync::Arc;

use activestore_env::{Keyring, ValueSealer};
use activestore_types::{Error, Result};

use super::corrupt;

/// Encrypts values, or leaves them as they are.
#[derive(Debug)]
pub(crate) struct EntrySealer(Option<ValueSealer>);

impl EntrySealer {
    pub(crate) fn new(keyring: Option<&Arc<Keyring>>) -> Self {
        EntrySealer(keyring.map(|keyring| keyring.values("manifest")))
    }

    pub(super) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// A value as it is stored in `table` under `key`.
    pub(super) fn seal(&self, table: &str, key: (u32, u64), value: Vec<u8>) -> Result<Vec<u8>> {
        let Some(sealer) = &self.0 else {
            return Ok(value);
        };
        let mut value = value;
        sealer.seal(&place(table, key), &mut value, 0)?;
        Ok(value)
    }

    /// A stored value as it was.
    ///
    /// # Errors
    /// `Corrupt` for another value than was stored there.
    pub(super) fn open<'a>(
        &self,
        table: &str,
        key: (u32, u64),
        value: &'a [u8],
    ) -> Result<Cow<'a, [u8]>> {
        let Some(sealer) = &self.0 else {
            return Ok(Cow::Borrowed(value));
        };
        let opened = sealer
            .open_vec(&place(table, key), value.to_vec())
            .map_err(in_manifest)?;
        Ok(Cow::Owned(opened))
    }

    /// What stands for a note's key.
    pub(super) fn note_key<'a>(&self, key: &'a [u8]) -> Result<Cow<'a, [u8]>> {
        Ok(match &self.0 {
            Some(sealer) => Cow::Owned(sealer.pseudonym(key)?.to_vec()),
            None => Cow::Borrowed(key),
        })
    }

    /// A note's value as it is stored under `stored_key`.
    pub(super) fn seal_note<'a>(
        &self,
        stored_key: &[u8],
        key: &[u8],
        value: &'a [u8],
    ) -> Result<Cow<'a, [u8]>> {
        let Some(sealer) = &self.0 else {
            return Ok(Cow::Borrowed(value));
        };
        let mut both = postcard::to_stdvec(&(key, value))
            .map_err(|error| Error::internal(format!("a note cannot be encoded: {error}")))?;
        sealer.seal(stored_key, &mut both, 0)?;
        Ok(Cow::Owned(both))
    }

    /// A stored note.
    ///
    /// # Errors
    /// `Corrupt` for another one than was stored there.
    pub(super) fn open_note(&self, stored_key: &[u8], value: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
        let Some(sealer) = &self.0 else {
            return Ok((stored_key.to_vec(), value.to_vec()));
        };
        let both = sealer
            .open_vec(stored_key, value.to_vec())
            .map_err(in_manifest)?;
        postcard::from_bytes(&both).map_err(corrupt)
    }
}

fn in_manifest(error: Error) -> Error {
    error.context("the manifest")
}

fn place(table: &str, (first, second): (u32, u64)) -> Vec<u8> {
    let mut name = table.as_bytes().to_vec();
    name.push(0);
    name.extend(first.to_le_bytes());
    name.extend(second.to_le_bytes());
    name
}
