//! The edge's lanes: one for each chain of segments that it ships, each agreed on with the cloud by itself.
//! The first one is greeted with, the others are offered behind the greeting.
//!
//! From version 3 on an edge goes ahead: the first segments of alarms, control and live rows follow their
//! offer without waiting for the answer, within a small window. The cloud finds out by their hashes whether
//! they follow what it has, as it does with every segment, so going ahead saves a round trip and risks
//! nothing but the bytes. Of backlogs one is open at a time, the oldest.

use std::time::Duration;

use activestore_types::{Epoch, Result, SyncClass};

use super::lane::{Lane, Outcome, Stage};
use super::{EdgeOutput, Outputs, UplinkOptions};
use crate::call::EdgeCall;
use crate::frame::{Frame, LaneHeld, LaneOffer, Reject};
use crate::host::OutboxChain;
use crate::limits::{AHEAD_WINDOW, LANES_VERSION, Limits, MAX_LANES};
use crate::segment::SealedSegment;

#[derive(Debug)]
pub(super) struct Lanes {
    options: UplinkOptions,
    /// What both ends can take, once the cloud has said.
    window: Limits,
    lanes: Vec<Lane>,
    opened: usize,
    /// Segments that wait in chains without a lane.
    elsewhere: u64,
    /// Whether only urgent rows go for now.
    urgent_only: bool,
}

impl Lanes {
    pub(super) fn new(options: UplinkOptions) -> Self {
        Lanes {
            window: options.limits,
            lanes: Vec::new(),
            opened: 0,
            elsewhere: 0,
            urgent_only: false,
            options,
        }
    }

    fn by_epoch(&mut self, epoch: Epoch) -> Option<&mut Lane> {
        self.lanes.iter_mut().find(|lane| lane.offer.epoch == epoch)
    }

    /// The epoch that was greeted with.
    pub(super) fn first(&self) -> Option<Epoch> {
        self.lanes.first().map(|lane| lane.offer.epoch)
    }

    /// Segments and bytes that were sent and are not acknowledged.
    pub(super) fn in_flight(&self) -> (usize, usize) {
        let each = self.lanes.iter().map(|lane| lane.shipping.in_flight());
        each.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    /// Sealed segments that are not acknowledged, as far as known.
    pub(super) fn behind(&self) -> u64 {
        let shipping = self.lanes.iter().map(|lane| lane.shipping.behind());
        shipping.sum::<u64>() + self.elsewhere
    }

    /// The chain to greet with. An old cloud knows one chain in a connection: first what is left of the others.
    pub(super) fn choose<'a>(&self, chains: &'a [OutboxChain]) -> Option<&'a OutboxChain> {
        let others = chains.get(1..).unwrap_or_default();
        let left = others.iter().find(|chain| chain.waits());
        let left = left.filter(|_| self.options.protocol < LANES_VERSION);
        left.or_else(|| chains.first())
    }

    /// Opens a lane; its offer is for the caller to send.
    pub(super) fn open(&mut self, chain: &OutboxChain) -> LaneOffer {
        let offer = LaneOffer {
            class: chain.class,
            epoch: chain.epoch,
            first_unacked: chain.position.first_unacked,
            last_sealed: chain.position.last_sealed,
            acked_hash: chain.position.acked_hash,
        };
        self.opened += 1;
        let mut lane = Lane::new(self.options, offer);
        let held = self.urgent_only && !chain.class.is_urgent();
        lane.shipping.set_held(held);
        self.lanes.push(lane);
        offer
    }

    /// From now on only urgent rows are sent, or all; what is in flight stays so. An old cloud's one lane is not urgent.
    pub(super) fn urgent_only(&mut self, now: Duration, only: bool, out: &mut Outputs) {
        self.urgent_only = only;
        for lane in &mut self.lanes {
            if !lane.offer.class.is_urgent() {
                lane.hold(now, only, out);
            }
        }
    }

    /// The last lane's offer is on its way; goes ahead where that is allowed.
    pub(super) fn offered(&mut self, now: Duration, out: &mut Outputs) {
        let Some(lane) = self.lanes.last_mut() else {
            return;
        };
        lane.stage = Stage::Offered { at: now };
        if self.options.protocol < LANES_VERSION || lane.offer.class == SyncClass::Backlog {
            return;
        }
        let window = self.options.limits.lower_of(AHEAD_WINDOW);
        lane.go_ahead(now, window, out);
    }

    /// Where the outbox stands: what was sealed is shipped, and chains that are new are offered. An `Err` says
    /// why another connection is needed.
    pub(super) fn positioned(
        &mut self,
        now: Duration,
        chains: &[OutboxChain],
        out: &mut Outputs,
    ) -> Result<(), String> {
        let old = self.options.protocol < LANES_VERSION;
        let drained = self.lanes.first().is_some_and(Lane::is_drained);
        match (self.first(), self.choose(chains)) {
            (Some(first), Some(chosen)) if old && drained && first != chosen.epoch => {
                return Err("another chain of segments waits".to_owned());
            }
            (Some(first), _) if !chains.iter().any(|chain| chain.epoch == first) && !drained => {
                return Err("the outbox started a new epoch".to_owned());
            }
            _ => {}
        }
        let mut position = 0;
        self.lanes.retain(|lane| {
            position += 1;
            let epoch = lane.offer.epoch;
            let stays = position == 1 || chains.iter().any(|chain| chain.epoch == epoch);
            if !stays && lane.is_drained() {
                out.push_back(EdgeOutput::Send(Frame::LaneDone { epoch }));
            }
            stays
        });
        for chain in chains {
            let is_new = match self.by_epoch(chain.epoch) {
                Some(lane) => {
                    if lane.ahead || matches!(lane.stage, Stage::Agreed) {
                        let mut port = lane.port(out);
                        let last_sealed = chain.position.last_sealed;
                        lane.shipping.sealed_up_to(now, last_sealed, &mut port);
                    }
                    false
                }
                None => !old && chain.waits() && self.has_room_for(chain.class),
            };
            if is_new {
                if self.opened >= MAX_LANES {
                    return Err("this connection has opened all the lanes that it may".to_owned());
                }
                let offer = self.open(chain);
                out.push_back(EdgeOutput::Send(Frame::Lane(offer)));
                self.offered(now, out);
            }
        }
        let lanes = &self.lanes;
        let elsewhere = chains.iter().filter(|chain| {
            let mut open = lanes.iter();
            !open.any(|lane| lane.offer.epoch == chain.epoch)
        });
        self.elsewhere = elsewhere.map(OutboxChain::behind).sum();
        Ok(())
    }

    fn has_room_for(&self, class: SyncClass) -> bool {
        let mut open = self.lanes.iter().filter(|lane| !lane.is_drained());
        class != SyncClass::Backlog || !open.any(|lane| lane.offer.class == class)
    }

    /// What both ends can take.
    pub(super) fn take_window(&mut self, window: Limits) {
        self.window = window;
    }

    /// The cloud said where a lane goes on from.
    pub(super) fn held(&mut self, now: Duration, held: LaneHeld, out: &mut Outputs) -> Outcome {
        let window = self.window;
        match self.by_epoch(held.epoch) {
            Some(lane) => lane.held(now, held, window, out),
            None => Outcome::Fine,
        }
    }

    /// The outbox answered with a segment.
    pub(super) fn fetched(
        &mut self,
        now: Duration,
        epoch: Epoch,
        seq: u64,
        segment: Result<Option<SealedSegment>>,
        out: &mut Outputs,
    ) -> Outcome {
        let window = self.window;
        match self.by_epoch(epoch) {
            Some(lane) => lane.fetched(now, seq, segment, window, out),
            None => Outcome::Fine,
        }
    }

    /// The cloud acknowledged.
    pub(super) fn acked(
        &mut self,
        now: Duration,
        epoch: Epoch,
        seq: u64,
        out: &mut Outputs,
    ) -> Result<(), String> {
        let Some(lane) = self.by_epoch(epoch) else {
            return Ok(());
        };
        match lane.stage {
            Stage::Agreed => {
                let mut port = lane.port(out);
                lane.shipping.acked(now, epoch, seq, &mut port)
            }
            Stage::Offered { .. } | Stage::Checking(_) if lane.ahead => {
                lane.early_ack = lane.early_ack.max(seq);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The cloud lacks a segment.
    pub(super) fn wanted(
        &mut self,
        now: Duration,
        epoch: Epoch,
        seq: u64,
        out: &mut Outputs,
    ) -> Result<(), String> {
        match self.by_epoch(epoch) {
            Some(lane) if matches!(lane.stage, Stage::Agreed) => {
                let mut port = lane.port(out);
                lane.shipping.wanted(now, epoch, seq, &mut port)
            }
            Some(lane) if lane.is_early() => {
                let before = lane.early_wanted.unwrap_or(seq);
                lane.early_wanted = Some(before.min(seq));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The cloud refused a segment.
    pub(super) fn rejected(&mut self, now: Duration, reject: Reject, out: &mut Outputs) {
        let Some(lane) = self.by_epoch(reject.epoch) else {
            return;
        };
        if matches!(lane.stage, Stage::Agreed) {
            let mut port = lane.port(out);
            lane.shipping.rejected(now, reject, &mut port);
        } else if lane.is_early() {
            lane.early_reject = Some(reject);
        }
    }

    /// The outbox noted an acknowledgement, or failed to. Returns whether to look what else waits.
    pub(super) fn told(
        &mut self,
        now: Duration,
        epoch: Epoch,
        seq: u64,
        result: Result<()>,
        out: &mut Outputs,
    ) -> bool {
        let old = self.options.protocol < LANES_VERSION;
        let noted = result.is_ok();
        let Some(lane) = self.by_epoch(epoch) else {
            return false;
        };
        let mut port = lane.port(out);
        lane.shipping.told(now, seq, result, &mut port);
        noted && lane.is_drained() && (old || lane.offer.class == SyncClass::Backlog)
    }

    /// The chain of that epoch is set aside, unless it is so already. Returns whether it is one of these.
    pub(super) fn set_aside(&mut self, epoch: Epoch) -> bool {
        match self.by_epoch(epoch) {
            Some(lane) if !matches!(lane.stage, Stage::SetAside | Stage::Pause { .. }) => {
                lane.stage = Stage::SetAside;
                true
            }
            _ => false,
        }
    }

    /// The chain has another epoch, under which it is offered anew; or that failed.
    pub(super) fn epoch_started(&mut self, epoch: Epoch, failed_until: Option<Duration>) {
        match failed_until {
            None => self.lanes.retain(|lane| lane.offer.epoch != epoch),
            Some(until) => {
                if let Some(lane) = self.by_epoch(epoch) {
                    lane.stage = Stage::Pause { until };
                }
            }
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Duration> {
        let first = self.first();
        let of = |lane: &Lane| match lane.stage {
            // The greeting is repeated by who sent it.
            Stage::Offered { at } => {
                (Some(lane.offer.epoch) != first).then(|| at + self.options.ask_again)
            }
            Stage::Agreed => lane.shipping.next_timeout(),
            Stage::Pause { until } => Some(until),
            Stage::Checking(_) | Stage::SetAside => None,
        };
        self.lanes.iter().filter_map(of).min()
    }

    pub(super) fn handle_timeout(&mut self, now: Duration, out: &mut Outputs) {
        let first = self.first();
        for lane in &mut self.lanes {
            let epoch = lane.offer.epoch;
            match lane.stage {
                Stage::Offered { at }
                    if Some(epoch) != first && now >= at + self.options.ask_again =>
                {
                    lane.stage = Stage::Offered { at: now };
                    out.push_back(EdgeOutput::Send(Frame::Lane(lane.offer)));
                }
                Stage::Agreed => {
                    let mut port = lane.port(out);
                    lane.shipping.handle_timeout(now, &mut port);
                }
                Stage::Pause { until } if now >= until => {
                    lane.stage = Stage::SetAside;
                    out.push_back(EdgeOutput::Call(EdgeCall::StartEpoch { epoch }));
                }
                _ => {}
            }
        }
    }
}
