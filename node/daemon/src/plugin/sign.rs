//! `plugin keygen`, `plugin sign` and `plugin precompile`.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use activestore_plugin_host::{ImageTarget, SigningKey, Trust, precompile as compile};
use activestore_types::{Error, Result};

use crate::figures::size;

/// Makes a key where there is none, and prints the public half of the one that is there.
///
/// # Errors
/// `Invalid` where the file holds something else; what the disk says.
pub fn keygen(path: &Path) -> Result<()> {
    let (key, pem) = SigningKey::generate()?;
    let public = match create(path) {
        Ok(mut file) => {
            file.write_all(pem.as_bytes())?;
            file.sync_all()?;
            eprintln!("wrote {}: keep it secret", path.display());
            key.public()
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => read(path)?.public(),
        Err(error) => return Err(Error::from(error).context(path.display())),
    };
    println!("{public}");
    Ok(())
}

/// Makes a file for its owner's eyes.
fn create(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn read(path: &Path) -> Result<SigningKey> {
    let pem = std::fs::read_to_string(path)
        .map_err(|error| Error::from(error).context(path.display()))?;
    SigningKey::parse(&pem).map_err(|error| error.context(path.display()))
}

/// Signs a component.
///
/// # Errors
/// `Invalid` for what is no component or no key; what the disk says.
pub fn run(wasm: &Path, key: &Path, output: &Path) -> Result<()> {
    let key = read(key)?;
    let signed = key
        .sign(&bytes(wasm)?)
        .map_err(|error| error.context(wasm.display()))?;
    Trust::Signers(vec![key.public()]).check(&signed)?;
    replace(output, &signed)?;
    println!("{} is signed by {}", output.display(), key.public());
    Ok(())
}

/// Compiles a component for each target, and signs it all.
///
/// # Errors
/// `Invalid` for what is no component or no key, and in a program without the compiler; what the disk says.
pub fn precompile(wasm: &Path, targets: &[ImageTarget], key: &Path, output: &Path) -> Result<()> {
    let key = read(key)?;
    let mut component = bytes(wasm)?;
    for target in targets {
        let before = component.len();
        component =
            compile(&component, *target, &key).map_err(|error| error.context(wasm.display()))?;
        let more = component.len().saturating_sub(before);
        println!("{target}: {}", size(more as u64));
    }
    replace(output, &component)?;
    println!(
        "{}: {}, signed by {}",
        output.display(),
        size(component.len() as u64),
        key.public()
    );
    Ok(())
}

fn bytes(wasm: &Path) -> Result<Vec<u8>> {
    std::fs::read(wasm).map_err(|error| Error::from(error).context(wasm.display()))
}

/// Whole or not at all: it may be the file that was read.
fn replace(output: &Path, component: &[u8]) -> Result<()> {
    let part = output.with_extension("wasm.part");
    std::fs::write(&part, component)
        .and_then(|()| std::fs::rename(&part, output))
        .map_err(|error| Error::from(error).context(output.display()))
}
