//! Compiled images on disk, so that a plugin is compiled once per machine and not once per start.
//!
//! An image is native code, so a file is mapped only when its message authentication code, made with
//! this directory's key over the image, the hash of what it was made of (the component, or the signed
//! image in it) and the engine's settings, is right.
//! Anything else in its place is removed and compiled anew. A cache that cannot be written is only
//! slow: problems here are counted and never fail a load.
//!
//! Files: `key` (32 random bytes, readable by the owner), `<component>-<engine>.image`, and beside it
//! `.mac`.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use wasmtime::Engine;
use wasmtime::component::Component;

/// Images kept; the least recently written goes first.
const IMAGES_MAX: usize = 32;
const KEY_BYTES: usize = 32;
const PIECE_BYTES: usize = 64 * 1024;
const MAC_CONTEXT: &[u8] = b"activestore plugin image 1";

/// The cache in one directory.
pub(crate) struct Cache {
    dir: PathBuf,
    key: hmac::Key,
    /// What an image depends on beside the component: wasmtime's version, target, settings.
    engine: [u8; 32],
    pub(crate) hits: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) failures: AtomicU64,
}

impl Cache {
    /// Opens the directory, making it and its key when they are missing.
    pub(crate) fn open(dir: &Path, engine: [u8; 32]) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let key = key(&dir.join("key"))?;
        Ok(Cache {
            dir: dir.to_owned(),
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            engine,
            hits: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        })
    }

    /// The image made of what has this hash, when one is there and is ours.
    pub(crate) fn load(&self, engine: &Engine, sha256: &[u8; 32]) -> Option<Component> {
        let path = self.image(sha256);
        let image = fs::File::open(&path).ok()?;
        let tag = fs::read(path.with_extension("mac")).unwrap_or_default();
        let authentic = self.tag(sha256, image).is_ok_and(|expected| {
            // Compared through another code, in constant time.
            let tag = hmac::sign(&self.key, &tag);
            hmac::verify(&self.key, expected.as_ref(), tag.as_ref()).is_ok()
        });
        if !authentic {
            self.refuse(&path, "it does not authenticate");
            return None;
        }
        #[expect(
            unsafe_code,
            reason = "an image is native code; this one was made by this node's engine, as its \
                      authentication code says, and is replaced by renaming, never written in place"
        )]
        // SAFETY: the file holds what `Component::serialize` gave for this engine.
        let component = unsafe { Component::deserialize_file(engine, &path) };
        match component {
            Ok(component) => {
                self.hits.fetch_add(1, Ordering::Relaxed);
                Some(component)
            }
            Err(error) => {
                self.refuse(&path, &error.to_string());
                None
            }
        }
    }

    /// Keeps an image for the next start.
    pub(crate) fn store(&self, sha256: &[u8; 32], image: &[u8]) {
        let path = self.image(sha256);
        let stored = self.tag(sha256, image).and_then(|tag| {
            replace(&path.with_extension("mac"), tag.as_ref())?;
            replace(&path, image)?;
            self.trim()
        });
        if let Err(error) = stored {
            self.failures.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(%error, "a compiled plugin could not be kept; it is compiled anew at the next start");
        }
    }

    fn refuse(&self, path: &Path, reason: &str) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(file = %path.display(), reason, "a compiled plugin is not used and removed");
        let _gone = fs::remove_file(path);
        let _gone = fs::remove_file(path.with_extension("mac"));
    }

    fn image(&self, sha256: &[u8; 32]) -> PathBuf {
        let engine: String = hex(&self.engine).chars().take(16).collect();
        self.dir.join(format!("{}-{engine}.image", hex(sha256)))
    }

    /// The authentication code of an image, read piece by piece: images are large.
    fn tag(&self, sha256: &[u8; 32], mut image: impl Read) -> io::Result<hmac::Tag> {
        let mut code = hmac::Context::with_key(&self.key);
        code.update(MAC_CONTEXT);
        code.update(&self.engine);
        code.update(sha256);
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let read = image.read(&mut piece)?;
            match piece.get(..read) {
                Some(bytes) if !bytes.is_empty() => code.update(bytes),
                _ => return Ok(code.sign()),
            }
        }
    }

    fn trim(&self) -> io::Result<()> {
        let mut images = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.path().extension().is_some_and(|end| end == "image") {
                images.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        images.sort();
        for (_, path) in images.iter().take(images.len().saturating_sub(IMAGES_MAX)) {
            fs::remove_file(path)?;
            fs::remove_file(path.with_extension("mac"))?;
        }
        Ok(())
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

fn key(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    match fs::read(path) {
        Ok(bytes) if bytes.len() == KEY_BYTES => {
            key.copy_from_slice(&bytes);
            return Ok(key);
        }
        // A torn key authenticates nothing: a new one makes every image compile anew.
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    SystemRandom::new()
        .fill(&mut key)
        .map_err(|_| io::Error::other("the system gives no random bytes"))?;
    replace(path, &key)?;
    Ok(key)
}

/// Puts a whole file in the place of another, readable by the owner only.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension(format!("new-{}", std::process::id()));
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(&new, path)
}
