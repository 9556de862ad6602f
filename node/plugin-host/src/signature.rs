//! Signatures of components: Ed25519 over the component's hash, carried in the component itself, so that
//! whoever gets the bytes, by whatever way, can tell who vouches for them.
//!
//! A signature is a custom section at the end of the component. What it covers is everything before
//! the first of them, so that several may sign one after the other. Compiled images, which are signed by
//! themselves, follow the signatures:
//!
//! ```text
//! component … | section 0 "activestore.signature": version 1 u8 | public key 32 | signature 64 | …
//!             | section 0 "activestore.image": as `image.rs` says | …
//! signed: "activestore plugin signature 1\0" | SHA-256 of all before the first of either
//! ```

use std::fmt;
use std::str::FromStr;

use activestore_types::{Error, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use crate::image;
use crate::sections::{self, sections};

const SECTION: &[u8] = b"activestore.signature";
const CONTEXT: &[u8] = b"activestore plugin signature 1\0";
const VERSION: u8 = 1;
/// Signatures and images that a component may carry: each signature costs time to verify.
const SECTIONS_MAX: usize = 32;
/// Bytes of a signature.
pub(crate) const SIGNATURE_BYTES: usize = 64;
const PREFIX: &str = "ed25519:";
/// What to do where nobody is trusted.
const TO_BE_RUN: &str = "to try it, start the node with --dev; to keep it, sign it (activestore plugin keygen KEY, activestore plugin sign FILE --key KEY) and name the key that keygen prints in [plugins] trusted_keys";
const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";

/// Whose signature it is, as settings and lists write it: `ed25519:` and base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SignerKey([u8; 32]);

impl SignerKey {
    pub(crate) fn of(bytes: [u8; 32]) -> Self {
        SignerKey(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether the signature is this key's, of this message.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0)
            .verify(message, signature)
            .is_ok()
    }
}

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
        let signature = self.signature(&signed.message());
        let public = self.public();
        let section = sections::custom(SECTION, &[&[VERSION], public.bytes(), &signature])?;
        let (vouched, images) = component
            .split_at_checked(signed.images_at)
            .ok_or_else(|| Error::internal("images begin behind the component"))?;
        Ok([vouched, &section, images].concat())
    }

    /// This key's signature of a message.
    pub(crate) fn signature(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let mut bytes = [0; SIGNATURE_BYTES];
        for (to, from) in bytes.iter_mut().zip(self.0.sign(message).as_ref()) {
            *to = *from;
        }
        bytes
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
        self.check_signed(&Signed::read(component)?)
    }

    pub(crate) fn check_signed(&self, component: &Signed<'_>) -> Result<Option<SignerKey>> {
        let signers = component.signers()?;
        let Trust::Signers(trusted) = self else {
            return Ok(signers.first().copied());
        };
        let known = signers.iter().find(|signer| trusted.contains(signer));
        match (known, signers.first()) {
            (Some(signer), _) => Ok(Some(*signer)),
            (None, None) if trusted.is_empty() => {
                Err(Error::denied("it is not signed").with_hint(TO_BE_RUN))
            }
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

/// A component, the signatures at its end, and the images behind them.
pub(crate) struct Signed<'a> {
    /// The component itself.
    pub(crate) body: &'a [u8],
    signatures: Vec<(SignerKey, &'a [u8])>,
    /// What the sections of images hold, in their order.
    pub(crate) images: Vec<&'a [u8]>,
    /// Where they begin; the file's length where there are none.
    pub(crate) images_at: usize,
}

impl<'a> Signed<'a> {
    /// Finds signatures and images, without checking them.
    ///
    /// # Errors
    /// `Invalid` where the bytes are not sections from end to end; `Denied` where something else follows a
    /// signature or an image.
    pub(crate) fn read(component: &'a [u8]) -> Result<Self> {
        let (mut body_to, mut images_at) = (None, None);
        let (mut signatures, mut images) = (Vec::new(), Vec::new());
        for section in sections(component)? {
            let section = section?;
            if signatures.len() + images.len() > SECTIONS_MAX {
                return Err(Error::invalid(format!(
                    "it carries more than {SECTIONS_MAX} signatures and images"
                )));
            }
            if let Some(content) = section.custom(image::SECTION) {
                body_to.get_or_insert(section.place.start);
                images_at.get_or_insert(section.place.start);
                images.push(content);
                continue;
            }
            match section.custom(SECTION).and_then(signature) {
                Some(signature) if images.is_empty() => {
                    body_to.get_or_insert(section.place.start);
                    signatures.push(signature);
                }
                // What follows would not be covered.
                _ if body_to.is_some() => {
                    return Err(Error::denied("something was added behind its signature"));
                }
                _ => {}
            }
        }
        let body = component
            .get(..body_to.unwrap_or(component.len()))
            .ok_or_else(|| Error::internal("a section begins behind its end"))?;
        Ok(Signed {
            body,
            signatures,
            images,
            images_at: images_at.unwrap_or(component.len()),
        })
    }

    /// SHA-256 of the component itself.
    pub(crate) fn body_sha256(&self) -> [u8; 32] {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest(&SHA256, self.body).as_ref());
        sha256
    }

    fn message(&self) -> Vec<u8> {
        let mut message = CONTEXT.to_vec();
        message.extend(self.body_sha256());
        message
    }

    /// Who has signed.
    ///
    /// # Errors
    /// `Denied` where a signature is not right.
    fn signers(&self) -> Result<Vec<SignerKey>> {
        let message = self.message();
        let verified = self.signatures.iter().map(|(key, signature)| {
            if key.verifies(&message, signature) {
                return Ok(*key);
            }
            Err(Error::denied(format!(
                "its signature by {key} is not right: it was changed after it was signed"
            ))
            .with_hint("sign what was built, and deploy that file"))
        });
        verified.collect()
    }
}

/// The key and the signature in a section of signatures.
fn signature(content: &[u8]) -> Option<(SignerKey, &[u8])> {
    let content = content.strip_prefix(&[VERSION])?;
    let (key, signature) = content.split_first_chunk::<32>()?;
    (signature.len() == SIGNATURE_BYTES).then_some((SignerKey(*key), signature))
}

#[cfg(test)]
mod tests;
