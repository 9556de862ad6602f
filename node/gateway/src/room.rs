//! Room for what requests bring, and for what is made of it: bytes that all of them together may take.

use std::sync::Arc;
use std::time::Duration;

use activestore_types::{Error, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a request waits for room before it is turned away.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// What room is counted in: a kibibyte.
const UNIT: usize = 1024;

/// Room that many share.
pub(crate) struct Pool {
    units: usize,
    free: Arc<Semaphore>,
    wait_max: Duration,
}

impl Pool {
    pub(crate) fn new(bytes: usize) -> Self {
        let units = bytes.div_ceil(UNIT);
        Pool {
            units,
            free: Arc::new(Semaphore::new(units)),
            wait_max: WAIT_MAX,
        }
    }

    /// The same, where requests wait as long as they have to.
    #[cfg(test)]
    pub(crate) fn patient(bytes: usize) -> Self {
        Pool {
            wait_max: Duration::from_secs(600),
            ..Pool::new(bytes)
        }
    }

    /// Bytes that nobody holds.
    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.free.available_permits() * UNIT
    }

    /// Bytes of it in all.
    pub(crate) fn bytes(&self) -> usize {
        self.units.saturating_mul(UNIT)
    }

    /// Reserves so many bytes, or all of it where that is less.
    ///
    /// # Errors
    /// `Overloaded` when there is no room within the time that requests wait.
    pub(crate) async fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit> {
        let units = bytes.div_ceil(UNIT).min(self.units);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let room = self.free.clone().acquire_many_owned(units);
        match tokio::time::timeout(self.wait_max, room).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(
                Error::overloaded("the node is holding as many bodies of requests as it may")
                    .with_hint("send the request again in a second"),
            ),
        }
    }
}

/// Gives back what is held beyond so many bytes; what is left.
pub(crate) fn shrink(room: &mut OwnedSemaphorePermit, bytes: usize) -> usize {
    let over = room.num_permits().saturating_sub(bytes.div_ceil(UNIT));
    drop(room.split(over));
    room.num_permits().saturating_mul(UNIT)
}
