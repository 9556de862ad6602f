//! Opens the queue of what goes up, and starts to seal.

use std::path::Path;
use std::sync::Arc;

use activestore_env::Keyring;
use activestore_types::Result;

use super::queue::Queue;
use super::{Direction, Sealer, Sources};
use crate::identity::Identity;
use crate::options::{DbOptions, Role};

/// The outbox of a node.
///
/// # Errors
/// `Corrupt` where its file is damaged, `Io` where it cannot be written.
pub(crate) fn open_outbox(
    dir: &Path,
    options: &DbOptions,
    identity: &Identity,
    sources: Sources,
    keyring: Option<&Arc<Keyring>>,
) -> Result<Sealer> {
    let queue = Queue::open(
        &dir.join("outbox.redb"),
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
        Direction::Up,
        identity.node,
        options.name.clone(),
        sources,
        queue,
        options.seal_after,
        options
            .outbox_bytes_max
            .filter(|_| options.role == Role::Edge),
    )
}
