//! `plugin keygen` and `plugin sign`.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use activestore_plugin_host::{SigningKey, Trust};
use activestore_types::{Error, Result};

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
    let bytes = std::fs::read(wasm).map_err(|error| Error::from(error).context(wasm.display()))?;
    let signed = key
        .sign(&bytes)
        .map_err(|error| error.context(wasm.display()))?;
    Trust::Signers(vec![key.public()]).check(&signed)?;
    // Whole or not at all: it may be the file that was read.
    let part = output.with_extension("wasm.part");
    std::fs::write(&part, &signed)
        .and_then(|()| std::fs::rename(&part, output))
        .map_err(|error| Error::from(error).context(output.display()))?;
    println!("{} is signed by {}", output.display(), key.public());
    Ok(())
}
