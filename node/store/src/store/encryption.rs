//! Whether a directory is encrypted: decided once, when it is made, and checked before anything else
//! of it is touched. A directory does not change from one to the other in place; rows are brought
//! over by loading them into a new one.

use std::sync::Arc;

use activestore_env::{Disk, Env, Keyring, MasterKey};
use activestore_types::{Error, Result};

use crate::manifest;

/// The keys of `env`'s directory, for [`crate::StoreOptions::encryption`]. With a master key, a new
/// directory becomes an encrypted one; `holds_data` says whether it has files beside the store's
/// that were written without.
///
/// # Errors
/// `Denied` when the directory is encrypted and `master` is missing or another one; `Conflict` when
/// it holds unencrypted data and `master` was given; `Corrupt` for a damaged keyring. Nothing was
/// written then.
pub fn open_keyring(
    env: &Env,
    master: Option<&MasterKey>,
    holds_data: bool,
) -> Result<Option<Arc<Keyring>>> {
    let sealed = Keyring::exists(env.disk.as_ref());
    match master {
        None if sealed => Err(no_key()),
        None => Ok(None),
        Some(_) if !sealed && (holds_data || manifest::exists(&env.disk)) => Err(not_encrypted()),
        Some(master) => Keyring::open_or_create(env, master).map(Some),
    }
}

/// That a store's options fit its directory.
pub(super) fn check(disk: &Arc<dyn Disk>, keyring: Option<&Arc<Keyring>>) -> Result<()> {
    match (Keyring::exists(disk.as_ref()), keyring) {
        (true, None) => Err(no_key()),
        (false, Some(_)) => Err(not_encrypted()),
        _ => Ok(()),
    }
}

fn no_key() -> Error {
    Error::denied("the data directory is encrypted, and no key was given")
        .with_hint("name the key's file in [storage] encryption_key_file")
}

fn not_encrypted() -> Error {
    Error::conflict("a key was given, but the data directory is not encrypted").with_hint(
        "start without the key, or load the rows into a new data directory that is made with it",
    )
}
