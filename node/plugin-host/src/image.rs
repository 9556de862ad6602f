//! Compiled images that a component carries, for nodes that have no compiler.
//!
//! An image is native code, and native code that is wrong has the whole process. So the signature of the
//! component, which vouches for what runs in a sandbox, says nothing about its images: each is signed by
//! itself, by who compiled it, and covers everything it depends on.
//!
//! ```text
//! section 0 "activestore.image": version 1 u8 | target, wasmtime, settings: (length u8, text) each
//!     | SHA-256 of the component 32 | length of the image u32 LE | public key 32 | signature 64
//!     | the image, zstd
//! signed: "activestore plugin image signature 1\0" | SHA-256 of all before the public key
//!     | SHA-256 of the compressed image
//! ```
//!
//! Images travel in the component's own bytes, so whatever moves components moves them: the upload, the
//! store of blobs, the sync to edges, a backup. Compressed they are about as large as the component.

use std::fmt;
use std::str::FromStr;

use activestore_types::{Error, Result};
use ring::digest::{self, SHA256, digest};

use crate::engine::{SETTINGS, WASMTIME};
#[cfg(feature = "compiler")]
use crate::sections::custom;
#[cfg(feature = "compiler")]
use crate::signature::SigningKey;
use crate::signature::{SIGNATURE_BYTES, Signed, SignerKey};

pub(crate) const SECTION: &[u8] = b"activestore.image";
const CONTEXT: &[u8] = b"activestore plugin image signature 1\0";
const VERSION: u8 = 1;
/// Bytes that an image may have when it is decompressed.
const IMAGE_BYTES_MAX: usize = 256 << 20;
/// How hard zstd tries: images are made once and travel often.
#[cfg(feature = "compiler")]
const COMPRESSION: i32 = 12;

/// What machine an image is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ImageTarget {
    /// Linux on 64-bit x86, with SSE 4.2 and POPCNT.
    X86_64,
    /// Linux on 64-bit ARM.
    Aarch64,
    /// The interpreter on any 32-bit machine, as armv7 is.
    Pulley32,
    /// The interpreter on any 64-bit machine.
    Pulley64,
}

impl ImageTarget {
    const ALL: [ImageTarget; 4] = [
        ImageTarget::X86_64,
        ImageTarget::Aarch64,
        ImageTarget::Pulley32,
        ImageTarget::Pulley64,
    ];

    /// What this machine runs best.
    pub fn of_this_machine() -> Self {
        if cfg!(all(target_arch = "x86_64", target_os = "linux")) {
            ImageTarget::X86_64
        } else if cfg!(all(target_arch = "aarch64", target_os = "linux")) {
            ImageTarget::Aarch64
        } else {
            ImageTarget::interpreter()
        }
    }

    /// The interpreter of this machine's width.
    pub fn interpreter() -> Self {
        if cfg!(target_pointer_width = "64") {
            ImageTarget::Pulley64
        } else {
            ImageTarget::Pulley32
        }
    }

    /// Its name: a target triple, or the interpreter's.
    pub fn name(self) -> &'static str {
        match self {
            ImageTarget::X86_64 => "x86_64-unknown-linux-gnu",
            ImageTarget::Aarch64 => "aarch64-unknown-linux-gnu",
            ImageTarget::Pulley32 => "pulley32",
            ImageTarget::Pulley64 => "pulley64",
        }
    }
}

impl fmt::Display for ImageTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ImageTarget {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        // No compiler of ours makes code for 32-bit ARM: it interprets.
        if text == "armv7-unknown-linux-gnueabihf" {
            return Ok(ImageTarget::Pulley32);
        }
        let mut all = ImageTarget::ALL.into_iter();
        all.find(|target| target.name() == text).ok_or_else(|| {
            Error::invalid(format!("'{text}' is not a target for plugins")).with_hint(
                "x86_64-unknown-linux-gnu, aarch64-unknown-linux-gnu, armv7-unknown-linux-gnueabihf, \
                 pulley32 and pulley64 are",
            )
        })
    }
}

/// An image that somebody signed whom the host trusts.
#[derive(Debug)]
pub(crate) struct Image<'a> {
    compressed: &'a [u8],
    bytes: usize,
    /// SHA-256 of its section: what a cache knows it by. Not that of the component, of which another
    /// signer's image may be in the cache.
    pub(crate) sha256: [u8; 32],
}

impl<'a> Image<'a> {
    /// The component's image for this target.
    ///
    /// # Errors
    /// `Invalid` where it carries none, or one that another wasmtime or other settings made; `Denied`
    /// where none of `signers` signed it, or something was changed since.
    pub(crate) fn find(
        component: &Signed<'a>,
        target: ImageTarget,
        signers: &[SignerKey],
    ) -> Result<Self> {
        let parsed = component.images.iter().map(|content| {
            Parsed::read(content).ok_or_else(|| Error::invalid("one of its images is torn"))
        });
        let parsed = parsed.collect::<Result<Vec<_>>>()?;
        let mut first = None;
        for image in parsed.iter().filter(|image| image.target == target.name()) {
            match image.check(component, target, signers) {
                Ok(found) => return Ok(found),
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(first.unwrap_or_else(|| {
            let names: Vec<&str> = parsed.iter().map(|image| image.target).collect();
            let carried = match names.as_slice() {
                [] => "no compiled image".to_owned(),
                names => format!("compiled images for {} only", names.join(", ")),
            };
            Error::invalid(format!(
                "it carries {carried}, and this node, which runs {target}, does not compile plugins"
            ))
            .with_hint(what_to_run(target))
        }))
    }

    /// The image itself.
    ///
    /// # Errors
    /// `Invalid` where it does not decompress to what it said.
    pub(crate) fn decompress(&self) -> Result<Vec<u8>> {
        zstd::bulk::decompress(self.compressed, self.bytes)
            .ok()
            .filter(|image| image.len() == self.bytes)
            .ok_or_else(|| Error::invalid("its compiled image is damaged"))
    }
}

fn what_to_run(target: ImageTarget) -> String {
    format!(
        "run on a machine whose program has the compiler: activestore plugin precompile FILE --target {target} \
         --key KEY, and deploy that file"
    )
}

/// What a section says, before anything of it is believed.
struct Parsed<'a> {
    target: &'a str,
    wasmtime: &'a str,
    settings: &'a str,
    component: &'a [u8],
    bytes: usize,
    /// All of the above.
    head: &'a [u8],
    signer: SignerKey,
    signature: &'a [u8],
    compressed: &'a [u8],
    content: &'a [u8],
}

impl<'a> Parsed<'a> {
    fn read(content: &'a [u8]) -> Option<Self> {
        let mut rest = content.strip_prefix(&[VERSION])?;
        let mut text = || {
            let (length, after) = rest.split_first()?;
            let (text, after) = after.split_at_checked(usize::from(*length))?;
            rest = after;
            std::str::from_utf8(text).ok()
        };
        let (target, wasmtime, settings) = (text()?, text()?, text()?);
        let (component, rest) = rest.split_at_checked(32)?;
        let (bytes, rest) = rest.split_first_chunk::<4>()?;
        let head = content.get(..content.len() - rest.len())?;
        let (signer, rest) = rest.split_first_chunk::<32>()?;
        let (signature, compressed) = rest.split_at_checked(SIGNATURE_BYTES)?;
        Some(Parsed {
            target,
            wasmtime,
            settings,
            component,
            bytes: usize::try_from(u32::from_le_bytes(*bytes)).ok()?,
            head,
            signer: SignerKey::of(*signer),
            signature,
            compressed,
            content,
        })
    }

    fn check(
        &self,
        component: &Signed<'_>,
        target: ImageTarget,
        signers: &[SignerKey],
    ) -> Result<Image<'a>> {
        if !signers.contains(&self.signer) {
            return Err(Error::denied(format!(
                "its image for {target} is signed by {}, whom this node does not trust",
                self.signer
            ))
            .with_hint("an image is native code: add the key to [plugins] trusted_keys if you trust who holds it with the machine"));
        }
        if !self
            .signer
            .verifies(&message(self.head, self.compressed), self.signature)
        {
            return Err(Error::denied(format!(
                "its image for {target} is not what {} signed: it was changed afterwards",
                self.signer
            ))
            .with_hint(what_to_run(target)));
        }
        if self.component != component.body_sha256() {
            return Err(Error::denied(format!(
                "its image for {target} was made of another component"
            ))
            .with_hint(what_to_run(target)));
        }
        if (self.wasmtime, self.settings) != (WASMTIME, SETTINGS) {
            return Err(Error::invalid(format!(
                "its image for {target} was made by wasmtime {} with {}; this node runs wasmtime {WASMTIME} with {SETTINGS}",
                self.wasmtime, self.settings
            ))
            .with_hint(format!("{}; use the program of this node's release", what_to_run(target))));
        }
        if self.bytes > IMAGE_BYTES_MAX {
            return Err(Error::invalid(format!(
                "its image for {target} holds {} bytes where {IMAGE_BYTES_MAX} are allowed",
                self.bytes
            )));
        }
        Ok(Image {
            compressed: self.compressed,
            bytes: self.bytes,
            sha256: sha256(self.content),
        })
    }
}

/// The component with an image for a target added, in the place of those that it carried for it.
///
/// # Errors
/// `Invalid` for bytes that are no component, or an image that is too large.
#[cfg(feature = "compiler")]
pub(crate) fn attach(
    component: &[u8],
    target: ImageTarget,
    image: &[u8],
    key: &SigningKey,
) -> Result<Vec<u8>> {
    attach_as(component, [target.name(), WASMTIME, SETTINGS], image, key)
}

#[cfg(feature = "compiler")]
fn attach_as(
    component: &[u8],
    texts: [&str; 3],
    image: &[u8],
    key: &SigningKey,
) -> Result<Vec<u8>> {
    let [target, ..] = texts;
    let length = u32::try_from(image.len())
        .ok()
        .filter(|_| image.len() <= IMAGE_BYTES_MAX)
        .ok_or_else(|| {
            Error::invalid(format!(
                "the image for {target} holds {} bytes where {IMAGE_BYTES_MAX} are allowed",
                image.len()
            ))
        })?;
    let signed = Signed::read(component)?;
    let mut head = vec![VERSION];
    for text in texts {
        let length = u8::try_from(text.len())
            .map_err(|_| Error::internal("a setting of more than 255 bytes"))?;
        head.push(length);
        head.extend(text.as_bytes());
    }
    head.extend(signed.body_sha256());
    head.extend(length.to_le_bytes());
    let compressed = zstd::bulk::compress(image, COMPRESSION)?;
    let signature = key.signature(&message(&head, &compressed));
    let vouched = component.get(..signed.images_at).unwrap_or(component);
    let mut out = vouched.to_vec();
    for other in &signed.images {
        if Parsed::read(other).is_some_and(|other| other.target != target) {
            out.extend(custom(SECTION, &[other])?);
        }
    }
    let public = key.public();
    let content: [&[u8]; 4] = [&head, public.bytes(), &signature, &compressed];
    out.extend(custom(SECTION, &content)?);
    Ok(out)
}

fn message(head: &[u8], compressed: &[u8]) -> Vec<u8> {
    [CONTEXT, &sha256(head), &sha256(compressed)].concat()
}

fn sha256(bytes: &[u8]) -> [u8; digest::SHA256_OUTPUT_LEN] {
    let mut sha256 = [0; digest::SHA256_OUTPUT_LEN];
    sha256.copy_from_slice(digest(&SHA256, bytes).as_ref());
    sha256
}

#[cfg(test)]
mod tests;
