//! One lane of the edge: a chain of segments, from its offer until both ends agree on where it goes on, and its
//! shipping.

use std::time::Duration;

use activestore_types::{Epoch, Result};

use super::port::ToCloud;
use super::{EdgeOutput, Outputs, UplinkOptions};
use crate::call::EdgeCall;
use crate::flow::{Shipping, ShippingOptions, Start};
use crate::frame::{LaneHeld, LaneOffer, Reject};
use crate::limits::Limits;
use crate::segment::{ChainHash, SealedSegment};

#[derive(Debug)]
pub(super) enum Stage {
    /// The cloud was told of it.
    Offered { at: Duration },
    /// Comparing our segment at the cloud's position with what the cloud has there.
    Checking(LaneHeld),
    /// Both ends have one history.
    Agreed,
    /// They do not: the host gives the chain a new epoch.
    SetAside,
    /// It could not; again at that time.
    Pause { until: Duration },
}

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) offer: LaneOffer,
    pub(super) stage: Stage,
    /// Whether shipping began before the cloud answered.
    pub(super) ahead: bool,
    pub(super) shipping: Shipping,
    /// What was acknowledged before both ends had agreed.
    pub(super) early_ack: u64,
    /// The first segment that the cloud asked for before both ends had agreed: it asks once.
    pub(super) early_wanted: Option<u64>,
    /// What it refused before that.
    pub(super) early_reject: Option<Reject>,
}

/// What became of a lane.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Nothing for the whole machine to do.
    Fine,
    /// The chain's history is not the one the cloud knows.
    Misfit(Epoch, String),
    /// The connection is of no use.
    Broken(String),
}

impl Lane {
    /// A lane whose offer is still to be sent.
    pub(super) fn new(options: UplinkOptions, offer: LaneOffer) -> Self {
        Lane {
            offer,
            stage: Stage::SetAside,
            ahead: false,
            shipping: Shipping::new(ShippingOptions {
                limits: options.limits,
                resend_after: options.resend_after,
                retry_after: options.retry_after,
            }),
            early_ack: 0,
            early_wanted: None,
            early_reject: None,
        }
    }

    /// Ships before the cloud has answered.
    pub(super) fn go_ahead(&mut self, now: Duration, window: Limits, out: &mut Outputs) {
        self.ahead = true;
        let start = self.start(self.offer.acked());
        let mut port = self.port(out);
        self.shipping.begin(now, start, window, &mut port);
    }

    /// Sends nothing more for now, or goes on.
    pub(super) fn hold(&mut self, now: Duration, held: bool, out: &mut Outputs) {
        if self.ahead || matches!(self.stage, Stage::Agreed) {
            let mut port = self.port(out);
            self.shipping.hold(now, held, &mut port);
        } else {
            self.shipping.set_held(held);
        }
    }

    fn start(&self, durable: u64) -> Start {
        Start {
            epoch: self.offer.epoch,
            durable,
            told: self.offer.acked(),
            last_sealed: self.offer.last_sealed,
        }
    }

    /// The cloud said where it goes on from.
    pub(super) fn held(
        &mut self,
        now: Duration,
        held: LaneHeld,
        window: Limits,
        out: &mut Outputs,
    ) -> Outcome {
        if !matches!(self.stage, Stage::Offered { .. }) {
            return Outcome::Fine; // the answer to a repeated offer
        }
        let (durable, acked) = (held.durable_seq, self.offer.acked());
        let sealed = self.offer.last_sealed.max(self.shipping.last_sealed());
        if durable < acked {
            Outcome::Misfit(
                held.epoch,
                format!("the cloud holds segments up to {durable} and had acknowledged {acked}"),
            )
        } else if durable > sealed {
            Outcome::Misfit(
                held.epoch,
                format!(
                    "the cloud holds segments up to {durable} and this node sealed only {sealed}: \
                     its data directory is a copy or an older image"
                ),
            )
        } else if durable == acked {
            self.settle(now, held, self.offer.acked_hash, window, out)
        } else {
            self.stage = Stage::Checking(held);
            out.push_back(EdgeOutput::Call(EdgeCall::Segment {
                epoch: held.epoch,
                seq: durable,
            }));
            Outcome::Fine
        }
    }

    /// The outbox answered with a segment.
    pub(super) fn fetched(
        &mut self,
        now: Duration,
        seq: u64,
        segment: Result<Option<SealedSegment>>,
        window: Limits,
        out: &mut Outputs,
    ) -> Outcome {
        let mut settled = Outcome::Fine;
        if let Stage::Checking(held) = self.stage
            && held.durable_seq == seq
        {
            settled = match &segment {
                Ok(Some(found)) => self.settle(now, held, found.hash, window, out),
                Ok(None) => Outcome::Broken("the outbox moved during the handshake".to_owned()),
                Err(error) => Outcome::Broken(format!("segment {seq} cannot be read: {error}")),
            };
            if !matches!(settled, Outcome::Fine) {
                return settled;
            }
        }
        // What was read to be compared may have been read to be sent as well.
        let mut port = self.port(out);
        match self.shipping.fetched(now, seq, segment, &mut port) {
            Ok(()) => settled,
            Err(reason) => Outcome::Broken(reason),
        }
    }

    pub(super) fn port<'a>(&self, out: &'a mut Outputs) -> ToCloud<'a> {
        ToCloud {
            out,
            class: self.offer.class,
            epoch: self.offer.epoch,
        }
    }

    /// Whether segments were sent of which the cloud may speak before both ends have agreed.
    pub(super) fn is_early(&self) -> bool {
        self.ahead && matches!(self.stage, Stage::Offered { .. } | Stage::Checking(_))
    }

    pub(super) fn is_drained(&self) -> bool {
        matches!(self.stage, Stage::Agreed) && self.shipping.behind() == 0
    }

    /// Both ends know where they stand; `ours` is our hash at the cloud's position.
    fn settle(
        &mut self,
        now: Duration,
        held: LaneHeld,
        ours: ChainHash,
        window: Limits,
        out: &mut Outputs,
    ) -> Outcome {
        if held.durable_seq > 0 && ours != held.durable_hash {
            return Outcome::Misfit(
                held.epoch,
                format!(
                    "segment {} is another one here than in the cloud: the data directory is a copy",
                    held.durable_seq
                ),
            );
        }
        self.stage = Stage::Agreed;
        let window = window.of_class(self.offer.class);
        let mut port = self.port(out);
        if self.ahead {
            self.shipping
                .agreed(now, held.durable_seq, window, &mut port);
        } else {
            let start = self.start(held.durable_seq);
            self.shipping.begin(now, start, window, &mut port);
        }
        let early = std::mem::take(&mut self.early_ack);
        let mut said = self.shipping.acked(now, held.epoch, early, &mut port);
        if let Some(seq) = self.early_wanted.take() {
            said = said.and_then(|()| self.shipping.wanted(now, held.epoch, seq, &mut port));
        }
        if let Some(reject) = self.early_reject.take() {
            self.shipping.rejected(now, reject, &mut port);
        }
        match said {
            Ok(()) => Outcome::Fine,
            Err(reason) => Outcome::Broken(reason),
        }
    }
}
