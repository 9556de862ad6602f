//! Between two attempts: what waits in the outbox decides how long.

use std::sync::Arc;

use activestore_sync_proto::{Outbox, OutboxChain};
use activestore_types::{Epoch, SyncClass};

use super::Inner;

/// What waits for the cloud.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Waiting {
    /// Whether anything does.
    pub(super) rows: bool,
    /// The last sealed alarm, while one waits.
    alarm: Option<(Epoch, u64)>,
}

impl Waiting {
    fn of(chains: &[OutboxChain]) -> Waiting {
        let mut alarms = chains
            .iter()
            .filter(|chain| chain.class == SyncClass::Alarm && chain.waits());
        Waiting {
            rows: chains.iter().any(OutboxChain::waits),
            alarm: alarms
                .next()
                .map(|chain| (chain.epoch, chain.position.last_sealed)),
        }
    }

    /// As the outbox has it now.
    pub(super) async fn look(outbox: &Arc<dyn Outbox>) -> Waiting {
        let outbox = outbox.clone();
        let looked = tokio::task::spawn_blocking(move || Waiting::of(&outbox.chains())).await;
        looked.unwrap_or_else(|error| {
            tracing::warn!("the outbox could not be asked what waits: {error}");
            Waiting::default()
        })
    }

    /// Returns once an alarm waits that did not then.
    pub(super) async fn new_alarm(&self, inner: &Inner) {
        loop {
            let now = Waiting::look(&inner.options.outbox).await;
            if now.alarm.is_some() && now.alarm != self.alarm {
                return;
            }
            // A session looks for itself at all that was sealed before it, so nothing is missed by taking this.
            inner.sealed.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    //! What chains say.
    use activestore_sync_proto::{ChainHash, OutboxPosition};

    use super::*;

    fn chain(class: SyncClass, first_unacked: u64, last_sealed: u64) -> OutboxChain {
        OutboxChain {
            class,
            epoch: Epoch(7),
            position: OutboxPosition {
                first_unacked,
                last_sealed,
                acked_hash: ChainHash::GENESIS,
            },
        }
    }

    #[test]
    fn rows_and_alarms_wait_by_themselves() {
        let done = chain(SyncClass::Live, 4, 3);
        assert_eq!(Waiting::of(&[done]), Waiting::default());
        let live = Waiting::of(&[chain(SyncClass::Live, 3, 3), chain(SyncClass::Alarm, 2, 1)]);
        assert!(live.rows && live.alarm.is_none());
        let before = Waiting::of(&[done, chain(SyncClass::Alarm, 2, 2)]);
        let after = Waiting::of(&[done, chain(SyncClass::Alarm, 2, 3)]);
        assert!(before.rows && before.alarm.is_some());
        assert_ne!(before.alarm, after.alarm);
    }
}
