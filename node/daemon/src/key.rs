//! The key of an encrypted data directory: where it comes from, and `activestore rotate-key`, which
//! replaces it. A key is never printed and never written.

use std::path::Path;
use std::process::ExitCode;

use activestore_env::{Env, Keyring, MasterKey};
use activestore_types::{Error, Result};

use crate::cli::RotateKeyArgs;

/// The variable that may hold the key itself.
pub const KEY_VARIABLE: &str = "ACTIVESTORE_ENCRYPTION_KEY";

/// The key from [`KEY_VARIABLE`], or from the file if there is one; `None` for a plain directory.
///
/// # Errors
/// `Invalid` for a file that cannot be read and for what is no key, naming where it comes from.
pub fn find(file: Option<&Path>) -> Result<Option<MasterKey>> {
    from(std::env::var_os(KEY_VARIABLE), file)
}

fn from(variable: Option<std::ffi::OsString>, file: Option<&Path>) -> Result<Option<MasterKey>> {
    if let Some(text) = variable.filter(|text| !text.is_empty()) {
        return MasterKey::parse(text.to_string_lossy().trim().as_bytes())
            .map(Some)
            .map_err(|error| error.context(KEY_VARIABLE));
    }
    file.map(read).transpose()
}

fn read(file: &Path) -> Result<MasterKey> {
    let context = format!("the encryption key file {}", file.display());
    let bytes = std::fs::read(file)
        .map_err(|error| Error::invalid(format!("{context} cannot be read: {error}")))?;
    MasterKey::parse(&bytes).map_err(|error| error.context(context))
}

/// Wraps the data keys of a directory under another key.
///
/// # Errors
/// `NotFound` where the directory is not an encrypted one; `Denied` for a wrong key; `Conflict`
/// where a node is running on it.
pub fn rotate(args: &RotateKeyArgs) -> Result<ExitCode> {
    let dir = args.data_dir.as_path();
    let old = find(args.key.encryption_key_file.as_deref())?.ok_or_else(|| {
        Error::invalid("the present key is missing").with_hint("name it with --encryption-key-file")
    })?;
    let new = read(&args.new_key_file)?;
    if !dir.is_dir() {
        return Err(
            Error::not_found(format!("{} is not a directory", dir.display()))
                .with_hint("name it with --data-dir"),
        );
    }
    let env = Env::real(dir)?;
    if !Keyring::exists(env.disk.as_ref()) {
        return Err(Error::not_found(format!(
            "the data directory {} is not encrypted",
            dir.display()
        )));
    }
    Keyring::rotate(&env, &old, &new, args.new_data_key)?;
    println!(
        "{} is sealed with key {} now; start the node with it. Copies of the directory made before still open with key {}.",
        dir.display(),
        new.fingerprint()?,
        old.fingerprint()?
    );
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests;
