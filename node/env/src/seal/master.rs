//! The user's key. It encrypts one thing, the keyring, and is never kept on the disk that it guards.

use std::fmt;

use activestore_types::{Error, Result};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

use super::cipher::{Cipher, KEY_BYTES, derive};

/// 32 secret bytes from the user.
#[derive(Clone)]
pub struct MasterKey([u8; KEY_BYTES]);

impl MasterKey {
    /// The content of a key file or a variable: 32 bytes as they are, or as 64 hex digits, or in
    /// base64, then with white space around them.
    ///
    /// # Errors
    /// `Invalid` for anything else; the message does not repeat what was given.
    pub fn parse(content: &[u8]) -> Result<MasterKey> {
        if let Ok(key) = content.try_into() {
            return Ok(MasterKey(key));
        }
        std::str::from_utf8(content)
            .ok()
            .and_then(|text| from_text(text.trim()))
            .map(MasterKey)
            .ok_or_else(|| {
                Error::invalid(format!(
                    "an encryption key is 32 bytes, and {} were given that are not 32 in hex or base64 either",
                    content.len()
                ))
                .with_hint("make one with: openssl rand -hex 32 > FILE")
            })
    }

    /// What tells keys apart without giving anything of them away, as hex digits.
    ///
    /// # Errors
    /// None in practice.
    pub fn fingerprint(&self) -> Result<String> {
        Ok(hex(&self.mark()?))
    }

    pub(crate) fn mark(&self) -> Result<[u8; 8]> {
        derive(&self.0, &[b"activestore key fingerprint 1"])
    }

    /// The key of one version of the keyring.
    pub(crate) fn wrapping(&self, salt: &[u8]) -> Result<Cipher> {
        Cipher::derived(&self.0, &[b"activestore keyring 1", salt])
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_text(text: &str) -> Option<[u8; KEY_BYTES]> {
    if text.len() == 2 * KEY_BYTES {
        let mut key = [0; KEY_BYTES];
        for (at, byte) in key.iter_mut().enumerate() {
            let digits = text.get(2 * at..2 * at + 2)?;
            if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return None;
            }
            *byte = u8::from_str_radix(digits, 16).ok()?;
        }
        return Some(key);
    }
    [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD]
        .iter()
        .find_map(|alphabet| alphabet.decode(text).ok()?.try_into().ok())
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}
