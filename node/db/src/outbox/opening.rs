//! Opens a queue of what goes up, and starts to seal.

use std::path::Path;
use std::sync::Arc;

use activestore_env::Keyring;
use activestore_types::Result;

use super::queue::Queue;
use super::{Addressee, Sealer, Sources};
use crate::identity::Identity;
use crate::options::{DbOptions, Role};

/// What waits for the node's own cloud, in the data directory.
pub(crate) const OUTBOX_FILE: &str = "outbox.redb";

/// The outbox of a node for its own cloud, where it ships to one.
///
/// # Errors
/// As [`open_outbox`].
pub(crate) fn open_own(
    dir: &Path,
    options: &DbOptions,
    identity: &Identity,
    sources: &Sources,
    keyring: Option<&Arc<Keyring>>,
) -> Result<Option<Arc<Sealer>>> {
    if !options.outbox {
        return Ok(None);
    }
    // A gateway's rows are refused where it is full, and never let go.
    let bytes_max = options.outbox_bytes_max;
    let addressee = Addressee::own_cloud(bytes_max.filter(|_| options.role == Role::Edge));
    let path = dir.join(OUTBOX_FILE);
    let sources = sources.clone();
    open_outbox(&path, addressee, options, identity, sources, keyring)
        .map(|outbox| Some(Arc::new(outbox)))
}

/// An outbox of a node, in the file `path`.
///
/// # Errors
/// `Corrupt` where its file is damaged, `Io` where it cannot be written.
pub(crate) fn open_outbox(
    path: &Path,
    addressee: Addressee,
    options: &DbOptions,
    identity: &Identity,
    sources: Sources,
    keyring: Option<&Arc<Keyring>>,
) -> Result<Sealer> {
    let queue = Queue::open(
        path,
        identity.node,
        &sources.env.rng,
        sources.store.first_log_lsn(),
        keyring,
    )?;
    if let Some(keyring) = keyring
        && queue.lacks_a_key(keyring)?
    {
        // The key of a partition was destroyed while nothing shipped: what waits of it is gone, and the
        // rest makes a new chain.
        tracing::warn!("segments that waited to be shipped were erased; new epochs start");
        queue.restart_all()?;
    }
    Sealer::start(
        addressee,
        identity.node,
        options.name.clone(),
        sources,
        queue,
        options.seal_after,
    )
}
