//! Data keys that were destroyed after a backup was made must not live on in it: the next backup to its
//! place gives it the keyring of today, where that has all the other keys that it needs.
//!
//! Steps: 1. remove the objects of keyrings with keys that were destroyed; 2. name today's in the indexes
//! of their backups. After a crash between them such a backup lacks its keyring until the next backup.

use std::collections::BTreeSet;

use activestore_env::seal::KEYRING_FILE;
use activestore_types::Result;

use super::index::{self, Index};
use super::object;
use super::target::Target;

/// Takes the keys that are among `destroyed` out of the backups of `newest`'s node, the backup just made;
/// how many had some.
///
/// # Errors
/// What the place says; the next backup tries again.
pub(super) fn forget_destroyed(
    target: &dyn Target,
    newest: &Index,
    destroyed: &[u32],
) -> Result<u64> {
    let Some(keyring) = newest.file(KEYRING_FILE).filter(|_| !destroyed.is_empty()) else {
        return Ok(0);
    };
    let live: BTreeSet<u32> = newest.keys.iter().copied().collect();
    let mut stale = Vec::new();
    for id in index::ids(target)? {
        match Index::read(target, &id) {
            Ok(index) => {
                let gone = |key: &u32| destroyed.contains(key);
                if index.node != newest.node || !index.keys.iter().any(gone) {
                    continue;
                }
                // A restored node may not know what was made after the backup that it came from.
                if index.keys.iter().all(|key| gone(key) || live.contains(key)) {
                    stale.push(index);
                } else {
                    tracing::warn!(
                        backup = id,
                        "holds keys that were destroyed, and others that this node lacks: remove it if nobody needs it"
                    );
                }
            }
            // Nobody restores it; its keyring cannot be found.
            Err(error) => tracing::warn!(%error, "the keys of a backup could not be looked at"),
        }
    }
    let old: BTreeSet<&str> = stale
        .iter()
        .filter_map(|index| index.file(KEYRING_FILE))
        .map(|file| file.sha256.as_str())
        .filter(|sha256| *sha256 != keyring.sha256)
        .collect();
    for sha256 in old {
        target.remove(&object(sha256))?;
    }
    for index in &mut stale {
        for file in &mut index.files {
            if file.path == KEYRING_FILE {
                *file = keyring.clone();
            }
        }
        index.keys.retain(|key| live.contains(key));
        index.write(target)?;
    }
    Ok(stale.len() as u64)
}
