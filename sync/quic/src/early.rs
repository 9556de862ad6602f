//! What goes with the first packets of a resumed TLS session, before the cloud has answered (0-RTT): the greeting and the
//! first rows are there a round trip sooner.
//!
//! Early data may be replayed by whoever caught it. Here that changes nothing: a segment is known by node, epoch and
//! number and its place in the chain of hashes, and one that was applied before is acknowledged and not applied again; a
//! greeting only says where the edge stands. The cloud's tickets are good for one use and live in its memory, so a
//! replay to the same process is not even early data, and one that is held back and let go later meets a chain that has
//! gone on. Joining and renewing are never early: those have a protocol of their own, which has no session to resume.
//! What a replay could do is to take the place of the edge's real connection, so a greeting that came early ends no other
//! connection before the handshake is done, which only the edge can do (`server/reception.rs`).
//!
//! A resumed session shows the certificate of the full one, and its validity and the list of members are looked at as
//! always. The edge sees the cloud's only with the answer, and looks at it then; what went before went to whoever holds the
//! secret of the session before, and is a few kilobytes.

use std::sync::atomic::{AtomicUsize, Ordering};

use quinn::ZeroRttAccepted;
use tokio::sync::watch;
use tokio::time::Instant;

/// So much is sent early at most: where nobody is there it is lost, and metered links charge for it all the same. The
/// greeting and some alarms fit.
const EARLY_BYTES: usize = 4 << 10;

/// Bounds what is sent before the cloud has answered.
pub(crate) struct Early {
    /// The version that was spoken in the session that is resumed; early data is taken for the same one alone.
    version: u16,
    left: AtomicUsize,
    answered: watch::Sender<bool>,
}

impl Early {
    pub(crate) fn new(version: u16) -> Early {
        Early {
            version,
            left: AtomicUsize::new(EARLY_BYTES),
            answered: watch::Sender::new(false),
        }
    }

    pub(crate) fn version(&self) -> u16 {
        self.version
    }

    /// Returns when so many bytes may go.
    pub(crate) async fn pass(&self, bytes: usize) {
        let take = |left: usize| left.checked_sub(bytes);
        let order = Ordering::AcqRel;
        if self
            .left
            .fetch_update(order, Ordering::Acquire, take)
            .is_ok()
        {
            return;
        }
        // The sender lives as long as this does.
        let _ = self
            .answered
            .subscribe()
            .wait_for(|answered| *answered)
            .await;
    }

    /// The cloud answered: everything may go.
    pub(crate) fn answered(&self) {
        self.answered.send_replace(true);
    }
}

/// A connection that has not been answered yet.
pub(crate) struct Unanswered {
    /// Whether the cloud took what was sent early.
    pub(crate) taken: ZeroRttAccepted,
    /// It is waited for no longer than until then.
    pub(crate) until: Instant,
}

/// Whether the cloud took what was sent early, once it has answered; `None` where it did not in time. Never returns where
/// nothing was.
pub(crate) async fn answer(unanswered: &mut Option<Unanswered>) -> Option<bool> {
    match unanswered {
        Some(Unanswered { taken, until }) => tokio::time::timeout_at(*until, taken).await.ok(),
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    //! A little goes, the rest waits for the answer.
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn what_is_beyond_the_bound_waits_for_the_answer() {
        let early = Early::new(3);
        early.pass(EARLY_BYTES - 10).await;
        let soon = Duration::from_millis(20);
        let large = tokio::time::timeout(soon, early.pass(11)).await;
        assert!(large.is_err(), "it went");
        early.pass(10).await;
        early.answered();
        early.pass(1 << 20).await;
        assert_eq!(early.version(), 3);
    }
}
