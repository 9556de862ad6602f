//! The edge's part of the handshake: do both ends have one history? If not, a new epoch is started
//! and nothing is sent in the old one.

use std::time::Duration;

use activestore_types::{Epoch, Result};

use super::{EdgeEvent, EdgeOutput, Phase, Reconnect, Uplink};
use crate::call::EdgeCall;
use crate::flow::Start;
use crate::frame::{Hello, Welcome};
use crate::limits::ROWS_DOWN_VERSION;
use crate::segment::{ChainHash, SealedSegment};

impl Uplink {
    pub(super) fn welcomed(&mut self, now: Duration, welcome: Welcome) {
        let Phase::Greeting { hello, sent_at, .. } = &self.phase else {
            return; // the answer to a repeated greeting
        };
        if welcome.epoch != hello.epoch {
            return;
        }
        let (hello, sent_at) = (hello.clone(), *sent_at);
        self.out.push_back(EdgeOutput::Call(EdgeCall::ObserveClock {
            server_wall_ms: welcome.wall_ms,
            rtt: now.saturating_sub(sent_at),
        }));
        let durable = welcome.durable_seq;
        let acked = hello.first_unacked - 1;
        if durable < acked {
            self.start_epoch(&format!(
                "the cloud holds segments up to {durable} and had acknowledged {acked}"
            ));
        } else if durable > hello.last_sealed {
            self.start_epoch(&format!(
                "the cloud holds segments up to {durable} and this node sealed only {}: its data \
                 directory is a copy or an older image",
                hello.last_sealed
            ));
        } else if durable == acked {
            self.settle(now, &welcome, &hello, hello.acked_hash);
        } else {
            self.out
                .push_back(EdgeOutput::Call(EdgeCall::Segment { seq: durable }));
            self.phase = Phase::Checking { welcome, hello };
        }
    }

    pub(super) fn checked(&mut self, now: Duration, segment: Result<Option<SealedSegment>>) {
        let Phase::Checking { welcome, hello } = &self.phase else {
            return;
        };
        let (welcome, hello) = (welcome.clone(), hello.clone());
        match segment {
            Ok(Some(segment)) => self.settle(now, &welcome, &hello, segment.hash),
            Ok(None) => self.disconnect(
                "the outbox moved during the handshake",
                Reconnect::AfterBackoff,
            ),
            Err(error) => {
                self.disconnect(
                    &format!("segment {} cannot be read: {error}", welcome.durable_seq),
                    Reconnect::AfterBackoff,
                );
            }
        }
    }

    /// Both ends know where they stand; `ours` is our hash at the cloud's position.
    fn settle(&mut self, now: Duration, welcome: &Welcome, hello: &Hello, ours: ChainHash) {
        if welcome.durable_seq > 0 && ours != welcome.durable_hash {
            return self.start_epoch(&format!(
                "segment {} is another one here than in the cloud: the data directory is a copy",
                welcome.durable_seq
            ));
        }
        self.phase = Phase::Live;
        self.event(EdgeEvent::Live {
            durable_seq: welcome.durable_seq,
            catalog_version: welcome.catalog_version,
        });
        let window = self.options.limits.lower_of(welcome.limits);
        let start = Start {
            epoch: hello.epoch,
            durable: welcome.durable_seq,
            told: hello.first_unacked - 1,
            last_sealed: hello.last_sealed,
        };
        self.shipping.begin(now, start, window, &mut self.out);
        if self.options.protocol >= ROWS_DOWN_VERSION {
            self.following.begin(window, &mut self.out);
        }
        if self.position_again {
            self.ask_position();
        }
    }

    pub(super) fn set_aside(&mut self, epoch: Epoch, reason: &str) {
        let ours = match &self.phase {
            Phase::Greeting { hello, .. } | Phase::Checking { hello, .. } => hello.epoch == epoch,
            Phase::Live => self.shipping.epoch() == epoch,
            _ => false,
        };
        if ours {
            self.start_epoch(reason);
        }
    }

    fn start_epoch(&mut self, reason: &str) {
        self.phase = Phase::StartingEpoch;
        self.event(EdgeEvent::EpochSetAside {
            reason: reason.to_owned(),
        });
        self.out.push_back(EdgeOutput::Call(EdgeCall::StartEpoch));
    }
}
