//! The catalog's entries at rest. In an encrypted directory the name of an entry is a secret too: a
//! pseudonym stands for it in the file, and the name itself lies with the value. Only the entry that
//! says so stays plain.

use std::sync::Arc;

use activestore_env::{Keyring, ValueSealer};
use activestore_types::{Error, Result};

/// Encrypts entries, or leaves them as they are.
#[derive(Clone, Debug)]
pub(crate) struct EntrySealer(Option<Arc<ValueSealer>>);

impl EntrySealer {
    pub(crate) fn new(keyring: Option<&Arc<Keyring>>) -> Self {
        EntrySealer(keyring.map(|keyring| Arc::new(keyring.values("catalog"))))
    }

    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// What an entry is called in the file.
    pub(crate) fn name(&self, name: &str) -> Result<String> {
        let Some(sealer) = &self.0 else {
            return Ok(name.to_owned());
        };
        let bytes = sealer.pseudonym(name.as_bytes())?;
        Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// An entry's value as it stands in the file under `stored_name`.
    pub(crate) fn seal(&self, stored_name: &str, name: &str, value: &[u8]) -> Result<Vec<u8>> {
        let Some(sealer) = &self.0 else {
            return Ok(value.to_vec());
        };
        let mut both = postcard::to_stdvec(&(name, value))
            .map_err(|error| Error::internal(format!("a catalog entry: {error}")))?;
        sealer.seal(stored_name.as_bytes(), &mut both, 0)?;
        Ok(both)
    }

    /// Name and value of what stands in the file under `stored_name`.
    ///
    /// # Errors
    /// `Corrupt` for another entry than was stored there.
    pub(crate) fn open(&self, stored_name: &str, value: &[u8]) -> Result<(String, Vec<u8>)> {
        let Some(sealer) = &self.0 else {
            return Ok((stored_name.to_owned(), value.to_vec()));
        };
        let both = sealer
            .open_vec(stored_name.as_bytes(), value.to_vec())
            .map_err(|error| error.context("the catalog"))?;
        postcard::from_bytes(&both)
            .map_err(|error| Error::corrupt(format!("a catalog entry cannot be read: {error}")))
    }
}
