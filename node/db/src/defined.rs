//! What the directory of a node that is not running defines and keeps, for who examines or repairs
//! it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use activestore_catalog::Catalog;
use activestore_env::Keyring;
use activestore_types::{Error, Result, TableSchema};

use crate::blobs::{Blobs, unhex};

/// The tables that the catalog in `data_dir` defines; none where there is no catalog. `keyring` is
/// that of an encrypted directory.
///
/// # Errors
/// `Conflict` while a node has it open; `Corrupt` when it is damaged.
pub fn defined_tables(
    data_dir: &Path,
    keyring: Option<&Arc<Keyring>>,
) -> Result<Vec<Arc<TableSchema>>> {
    let path = data_dir.join("catalog.redb");
    if !path.exists() {
        return Ok(Vec::new());
    }
    let catalog = Catalog::open_with(&path, keyring)?;
    Ok(catalog.state().tables.values().cloned().collect())
}

/// Reads every component and model artifact and compares it with its name: how many are whole, and
/// what is wrong with the others, by file name.
///
/// # Errors
/// What the file system says of the folder.
pub fn check_blobs(
    data_dir: &Path,
    keyring: Option<&Arc<Keyring>>,
) -> Result<(u64, Vec<(String, Error)>)> {
    let dir = data_dir.join("blobs");
    if !dir.is_dir() {
        return Ok((0, Vec::new()));
    }
    let blobs = Blobs::open(&dir, keyring)?;
    let mut whole = 0;
    let mut damaged = Vec::new();
    for entry in fs::read_dir(&dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let read = match unhex(&name) {
            Some(hash) => blobs.get(&hash).map(drop),
            None => Err(Error::corrupt("the file is not named by a hash")
                .with_hint("nothing made it here: move it away")),
        };
        match read {
            Ok(()) => whole += 1,
            Err(error) => damaged.push((name, error)),
        }
    }
    damaged.sort_by(|(left, _), (right, _)| left.cmp(right));
    Ok((whole, damaged))
}
