//! Signatures of components: Ed25519 over the component's hash, carried in the component itself, so that
//! whoever gets the bytes, by whatever way, can tell who vouches for them.
//!
//! A signature is a custom section at the end of the component. What it covers is everything before
//! the first of them, so that several may sign one after the other:
//!
//! ```text
//! component … | section 0 "activestore.signature": version 1 u8 | public key 32 | signature 64 | …
//! signed: "activestore plugin signature 1\0" | SHA-256 of all before the first signature
//! ```

use std::fmt;
use std::str::FromStr;

use activestore_types::{Error, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use crate::componentize::{WasmForm, wasm_form};

const SECTION: &[u8] = b"activestore.signature";
const CONTEXT: &[u8] = b"activestore plugin signature 1\0";
const VERSION: u8 = 1;
const PREFIX: &str = "ed25519:";
const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";

/// Whose signature it is, as settings and lists write it: `ed25519:` and base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SignerKey([u8; 32]);

impl FromStr for SignerKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bytes = text
            .trim()
            .strip_prefix(PREFIX)
            .and_then(|digits| STANDARD.decode(digits).ok());
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .map(SignerKey)
            .ok_or_else(|| {
                Error::invalid(format!("'{text}' is not a public key"))
                    .with_hint("activestore plugin keygen prints one: ed25519:…")
            })
    }
}

impl fmt::Display for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", STANDARD.encode(self.0))
    }
}

/// The secret key that components are signed with.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// A new key and its file: PKCS #8 in PEM, as `openssl genpkey -algorithm ed25519` writes it too.
    ///
    /// # Errors
    /// `Internal` where the system has no random numbers.
    pub fn generate() -> Result<(SigningKey, String)> {
        let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
            .map_err(|_| Error::internal("the system gives no random numbers"))?;
        let mut pem = format!("{PEM_BEGIN}\n");
        for line in STANDARD.encode(made.as_ref()).as_bytes().chunks(64) {
            pem.extend(line.iter().map(|byte| char::from(*byte)));
            pem.push('\n');
        }
        pem.push_str(PEM_END);
        pem.push('\n');
        Ok((SigningKey::parse(&pem)?, pem))
    }

    /// The key in a file.
    ///
    /// # Errors
    /// `Invalid` for anything that is not an Ed25519 key in PEM; the message does not repeat it.
    pub fn parse(pem: &str) -> Result<SigningKey> {
        let inside = pem
            .split_once(PEM_BEGIN)
            .and_then(|(_, rest)| rest.split_once(PEM_END));
        let digits: Option<String> = inside.map(|(digits, _)| digits.split_whitespace().collect());
        digits
            .and_then(|digits| STANDARD.decode(digits).ok())
            .and_then(|der| Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).ok())
            .map(SigningKey)
            .ok_or_else(|| {
                Error::invalid("the file holds no Ed25519 key in PEM")
                    .with_hint("make one with: activestore plugin keygen FILE")
            })
    }

    /// What its signatures are verified with.
    pub fn public(&self) -> SignerKey {
        let mut key = [0; 32];
        for (to, from) in key.iter_mut().zip(self.0.public_key().as_ref()) {
            *to = *from;
        }
        SignerKey(key)
    }

    /// The component with this key's signature added; one that has it already stays as it is.
    ///
    /// # Errors
    /// `Invalid` for bytes that are no component; `Denied` where a signature that is there is wrong.
    pub fn sign(&self, component: &[u8]) -> Result<Vec<u8>> {
        let signed = Signed::read(component)?;
        if signed.signers()?.contains(&self.public()) {
            return Ok(component.to_vec());
        }
        let mut content = vec![SECTION.len() as u8];
        content.extend(SECTION);
        content.push(VERSION);
        content.extend(self.public().0);
        content.extend(self.0.sign(&signed.message()).as_ref());
        // Shorter than 128, so that its length is one byte.
        let mut out = component.to_vec();
        out.extend([0, content.len() as u8]);
        out.extend(content);
        Ok(out)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public())
    }
}

/// Whose components a host runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Anybody's, signed or not. A signature that is there has to be right all the same.
    #[default]
    Anybody,
    /// Those that one of these has signed.
    Signers(Vec<SignerKey>),
}

impl Trust {
    /// Checks a component's signatures; returns who vouches for it: a trusted signer where some are
    /// named, else the first.
    ///
    /// # Errors
    /// `Denied` where no trusted signer does, or a signature is not right; `Invalid` for bytes that
    /// are no component.
    pub fn check(&self, component: &[u8]) -> Result<Option<SignerKey>> {
        let signers = Signed::read(component)?.signers()?;
        let Trust::Signers(trusted) = self else {
            return Ok(signers.first().copied());
        };
        let known = signers.iter().find(|signer| trusted.contains(signer));
        match (known, signers.first()) {
            (Some(signer), _) => Ok(Some(*signer)),
            (None, None) => Err(Error::denied("it is not signed").with_hint(
                "sign it with: activestore plugin sign FILE --key KEY, with a key that [plugins] trusted_keys names",
            )),
            (None, Some(signer)) => Err(Error::denied(format!(
                "it is signed by {signer}, whom this node does not trust"
            ))
            .with_hint("add the key to [plugins] trusted_keys if you trust who holds it")),
        }
    }
}

/// A component and the signatures at its end.
struct Signed<'a> {
    body: &'a [u8],
    signatures: Vec<(SignerKey, &'a [u8])>,
}

impl<'a> Signed<'a> {
    /// Finds the signatures, without checking them.
    ///
    /// # Errors
    /// `Invalid` where the bytes are not sections from end to end, or something follows a signature.
    fn read(component: &'a [u8]) -> Result<Self> {
        let broken =
            || Error::invalid("it is not a valid component: its sections do not end where it does");
        if wasm_form(component) != WasmForm::Component {
            return Err(Error::invalid("it is not a component"));
        }
        let mut at = 8;
        let mut body = None;
        let mut signatures = Vec::new();
        while at < component.len() {
            let begin = at;
            let id = *component.get(at).ok_or_else(broken)?;
            let (length, size) =
                leb(component.get(at + 1..).unwrap_or_default()).ok_or_else(broken)?;
            let from = at + 1 + size;
            let to = from.checked_add(length).ok_or_else(broken)?;
            let content = component.get(from..to).ok_or_else(broken)?;
            at = to;
            match signature(id, content) {
                Some(found) => {
                    body.get_or_insert(begin);
                    signatures.push(found);
                }
                // What follows would not be covered.
                None if body.is_some() => {
                    return Err(Error::denied("something was added behind its signature"));
                }
                None => {}
            }
        }
        let body = component.get(..body.unwrap_or(at)).ok_or_else(broken)?;
        Ok(Signed { body, signatures })
    }

    fn message(&self) -> Vec<u8> {
        let mut message = CONTEXT.to_vec();
        message.extend(digest(&SHA256, self.body).as_ref());
        message
    }

    /// Who has signed.
    ///
    /// # Errors
    /// `Denied` where a signature is not right.
    fn signers(&self) -> Result<Vec<SignerKey>> {
        let message = self.message();
        let verified = self.signatures.iter().map(|(key, signature)| {
            let public = UnparsedPublicKey::new(&ED25519, key.0);
            match public.verify(&message, signature) {
                Ok(()) => Ok(*key),
                Err(_) => Err(Error::denied(format!(
                    "its signature by {key} is not right: it was changed after it was signed"
                ))
                .with_hint("sign what was built, and deploy that file")),
            }
        });
        verified.collect()
    }
}

/// The key and the signature in a section, if it is one of these.
fn signature(id: u8, content: &[u8]) -> Option<(SignerKey, &[u8])> {
    let content = content
        .strip_prefix(&[SECTION.len() as u8])?
        .strip_prefix(SECTION)?
        .strip_prefix(&[VERSION])?;
    let (key, signature) = content.split_first_chunk::<32>()?;
    (id == 0 && signature.len() == 64).then_some((SignerKey(*key), signature))
}

/// A length in LEB128, of 32 bits at most, and how many bytes it takes.
fn leb(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0_usize;
    for (at, byte) in bytes.iter().take(5).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests;
