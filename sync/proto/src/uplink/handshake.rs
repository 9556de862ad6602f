//! The edge's part of the handshake: do both ends have one history? If not, the chain starts a new epoch
//! and nothing more of it is sent in the old one.

use std::time::Duration;

use activestore_types::{Epoch, Result};

use super::lane::Outcome;
use super::{EdgeEvent, EdgeOutput, Phase, Reconnect, Uplink};
use crate::call::EdgeCall;
use crate::frame::{Frame, Hello, LaneHeld, Welcome};
use crate::host::OutboxChain;
use crate::limits::{LANES_VERSION, MAX_NAME_BYTES, RECONCILE_VERSION, ROWS_DOWN_VERSION, cut};

impl Uplink {
    /// Greets, offers the other chains behind it without waiting, and goes ahead.
    pub(super) fn greet(
        &mut self,
        now: Duration,
        name: &str,
        catalog_version: u64,
        chains: &[OutboxChain],
    ) {
        let (Some(node), Some(first)) = (self.node, self.lanes.choose(chains)) else {
            return self.disconnect("the outbox has no chain", Reconnect::AfterBackoff);
        };
        let offer = self.lanes.open(first);
        let hello = Hello {
            protocol: self.options.protocol,
            node,
            name: cut(name, MAX_NAME_BYTES),
            epoch: offer.epoch,
            first_unacked: offer.first_unacked,
            last_sealed: offer.last_sealed,
            acked_hash: offer.acked_hash,
            catalog_version,
            limits: self.options.limits,
        };
        self.send(Frame::Hello(hello.clone()));
        if !self.options.follows && self.options.protocol >= LANES_VERSION {
            self.send(Frame::Apart);
        }
        self.phase = Phase::Greeting {
            hello,
            sent_at: now,
            times: 1,
        };
        self.lanes.offered(now, &mut self.out);
        if let Err(reason) = self.lanes.positioned(now, chains, &mut self.out) {
            self.disconnect(&reason, Reconnect::Now);
        }
    }

    pub(super) fn welcomed(&mut self, now: Duration, welcome: Welcome) {
        let Phase::Greeting { hello, sent_at, .. } = &self.phase else {
            return; // the answer to a repeated greeting
        };
        if welcome.epoch != hello.epoch {
            return;
        }
        self.out.push_back(EdgeOutput::Call(EdgeCall::ObserveClock {
            server_wall_ms: welcome.wall_ms,
            rtt: now.saturating_sub(*sent_at),
        }));
        let window = self.options.limits.lower_of(welcome.limits);
        self.lanes.take_window(window);
        let outcome = self
            .lanes
            .held(now, LaneHeld::from(&welcome), &mut self.out);
        if !matches!(outcome, Outcome::Fine) {
            return self.conclude(outcome);
        }
        self.phase = Phase::Live;
        self.event(EdgeEvent::Live {
            durable_seq: welcome.durable_seq,
            catalog_version: welcome.catalog_version,
        });
        for held in std::mem::take(&mut self.early_held) {
            let outcome = self.lanes.held(now, held, &mut self.out);
            self.conclude(outcome);
        }
        if self.options.follows {
            if self.options.protocol >= ROWS_DOWN_VERSION {
                self.following.begin(window, &mut self.out);
            }
            self.watch_plugins(now);
        }
        if self.options.protocol >= RECONCILE_VERSION {
            self.comparison.begin(now);
        }
        if self.position_again {
            self.ask_position();
        }
    }

    /// Acts on what became of a lane.
    pub(super) fn conclude(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Fine => {}
            Outcome::Misfit(epoch, reason) => self.set_aside(epoch, &reason),
            Outcome::Broken(reason) => self.disconnect(&reason, Reconnect::AfterBackoff),
        }
    }

    /// The chain of that epoch gets another one. The one that was greeted with is greeted with anew, in another
    /// connection; any other is offered again in this one.
    pub(super) fn set_aside(&mut self, epoch: Epoch, reason: &str) {
        if !matches!(self.phase, Phase::Greeting { .. } | Phase::Live)
            || !self.lanes.set_aside(epoch)
        {
            return;
        }
        self.event(EdgeEvent::EpochSetAside {
            reason: reason.to_owned(),
        });
        if self.lanes.first() == Some(epoch) {
            self.phase = Phase::StartingEpoch;
        }
        self.out
            .push_back(EdgeOutput::Call(EdgeCall::StartEpoch { epoch }));
    }

    /// The outbox gave a chain another epoch, or could not.
    pub(super) fn epoch_started(&mut self, now: Duration, epoch: Epoch, result: Result<()>) {
        let again = now + self.options.retry_after;
        let is_first = self.lanes.first() == Some(epoch);
        match result {
            Ok(()) if is_first => self.disconnect("a new epoch was started", Reconnect::Now),
            Ok(()) => {
                self.lanes.epoch_started(epoch, None);
                self.sealed();
            }
            Err(error) => {
                self.event(EdgeEvent::Trouble(error));
                self.lanes.epoch_started(epoch, Some(again));
                if is_first {
                    self.phase = Phase::EpochPause;
                }
            }
        }
    }
}
