//! The only lines that touch `ring`: deriving a key, sealing and opening a buffer in place. Nonces
//! are the callers' matter, and so is that none is used twice under one key.

use activestore_types::{Error, Result};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk};

/// Bytes that sealing adds.
pub(crate) const TAG_BYTES: usize = 16;

/// Bytes of a key.
pub(crate) const KEY_BYTES: usize = 32;

pub(crate) type NonceBytes = [u8; NONCE_LEN];

/// An AES-256-GCM key.
pub(crate) struct Cipher(LessSafeKey);

struct Bytes(usize);

impl KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF-SHA256's expansion of `key`, which is uniformly random, so that its extraction may be left
/// out (RFC 5869, 3.3).
pub(crate) fn derive<const N: usize>(key: &[u8; KEY_BYTES], info: &[&[u8]]) -> Result<[u8; N]> {
    let mut out = [0; N];
    Prk::new_less_safe(HKDF_SHA256, key)
        .expand(info, Bytes(N))
        .and_then(|okm| okm.fill(&mut out))
        .map_err(|_| Error::internal("a key cannot be derived"))?;
    Ok(out)
}

impl Cipher {
    /// The key that [`derive`] gives.
    pub(crate) fn derived(key: &[u8; KEY_BYTES], info: &[&[u8]]) -> Result<Cipher> {
        let key: [u8; KEY_BYTES] = derive(key, info)?;
        UnboundKey::new(&AES_256_GCM, &key)
            .map(|key| Cipher(LessSafeKey::new(key)))
            .map_err(|_| Error::internal("a key cannot be used"))
    }

    /// Encrypts the bytes from `from` on and appends their tag.
    pub(crate) fn seal(
        &self,
        nonce: NonceBytes,
        aad: &[u8],
        bytes: &mut Vec<u8>,
        from: usize,
    ) -> Result<()> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let plain = bytes.get_mut(from..).unwrap_or_default();
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce, Aad::from(aad), plain)
            .map_err(|_| Error::internal("bytes cannot be encrypted"))?;
        bytes.extend_from_slice(tag.as_ref());
        Ok(())
    }

    /// Decrypts in place what [`Cipher::seal`] made; the bytes without the tag, or `None` for
    /// bytes, a name or a place that are not those that were sealed.
    pub(crate) fn open<'a>(
        &self,
        nonce: NonceBytes,
        aad: &[u8],
        bytes: &'a mut [u8],
    ) -> Option<&'a mut [u8]> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0.open_in_place(nonce, Aad::from(aad), bytes).ok()
    }
}
