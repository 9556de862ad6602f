//! How the edge's end goes by what may cross the link.

use std::sync::Arc;

use super::Inner;
use super::worker::Worker;
use crate::allowance::LOOK_EVERY;
use crate::lanes::stopped;

/// Looks again and again what may cross the link; never returns.
pub(super) async fn look(inner: &Arc<Inner>) {
    let Some(allowance) = &inner.allowance else {
        return std::future::pending().await;
    };
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let (allowance, crossed) = (allowance.clone(), inner.crossed.bytes());
        let looked = tokio::task::spawn_blocking(move || allowance.look(crossed)).await;
        if looked.is_err() {
            tracing::error!("a look at what may be sent failed");
        }
    }
}

/// What is known at an orderly end is written.
pub(super) async fn end(inner: &Arc<Inner>) {
    if let Some(allowance) = inner.allowance.clone() {
        let crossed = inner.crossed.bytes();
        // A task that panicked has nothing left to write.
        let _ = tokio::task::spawn_blocking(move || allowance.close(crossed)).await;
    }
}

impl Worker {
    /// Waits while nothing may cross the link; false where it was to be stopped meanwhile.
    pub(super) async fn may_connect(&self) -> bool {
        let Some(allowance) = &self.inner.allowance else {
            return true;
        };
        let mut passes = allowance.watch();
        if let Some(waits) = passes.borrow_and_update().held() {
            self.inner.failed(waits);
        }
        let mut stop = self.inner.stop.subscribe();
        tokio::select! {
            may = passes.wait_for(|passes| passes.anything) => may.is_ok(),
            () = stopped(&mut stop) => false,
        }
    }
}
