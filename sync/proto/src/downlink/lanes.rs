//! The cloud's end of the edge's lanes: each chain is looked up, agreed on, received and set aside by itself.
//!
//! An edge of version 3 goes ahead of the answer, so segments may come before their lane is known or its
//! progress was read: a bounded number of them is kept until then. The host applies one segment of an edge at
//! a time, whichever lane it is of; the most urgent goes first.

use std::time::Duration;

use activestore_types::{Epoch, NodeId, Result, SyncClass};

use super::attesting::Durable;
use super::lane::{Lane, Stage, misfit};
use super::port::{FromEdge, Ready};
use super::{CloudOutput, DownlinkOptions, Outputs};
use crate::call::CloudCall;
use crate::flow::{Early, Receiving, ReceivingOptions, Verdict};
use crate::frame::{Frame, LaneOffer, SegmentFrame};
use crate::host::{LaneStanding, Progress};
use crate::limits::{EARLY, Limits, MAX_LANES, WAITING_WINDOWS};

#[derive(Debug)]
pub(super) struct Lanes {
    options: DownlinkOptions,
    node: NodeId,
    /// What both ends can take, once the edge has greeted.
    window: Limits,
    /// The first is the one that was greeted with.
    lanes: Vec<Lane>,
    early: Early,
    ready: Vec<Ready>,
    applying: bool,
}

impl Lanes {
    pub(super) fn new(options: DownlinkOptions, node: NodeId) -> Self {
        Lanes {
            node,
            window: options.limits,
            lanes: Vec::new(),
            early: Early::new(EARLY),
            ready: Vec::new(),
            applying: false,
            options,
        }
    }

    fn by_epoch(&mut self, epoch: Epoch) -> Option<&mut Lane> {
        self.lanes.iter_mut().find(|lane| lane.offer.epoch == epoch)
    }

    /// What is durable of the lane that was greeted with.
    pub(super) fn durable(&self) -> Progress {
        self.lanes
            .first()
            .map_or_else(Progress::default, |lane| lane.receiving.durable())
    }

    /// The highest sequence the edge said it sealed in the lane that was greeted with.
    pub(super) fn last_sealed(&self) -> u64 {
        self.lanes.first().map_or(0, Lane::last_sealed)
    }

    pub(super) fn standings(&self) -> Vec<LaneStanding> {
        let lanes = self.lanes.iter().map(|lane| LaneStanding {
            class: lane.offer.class,
            epoch: lane.offer.epoch,
            behind: lane
                .last_sealed()
                .saturating_sub(lane.receiving.durable_seq()),
        });
        lanes.collect()
    }

    /// How far each chain is that is received.
    pub(super) fn durables(&self) -> Vec<Durable> {
        let lanes = self.lanes.iter();
        let lanes = lanes.filter(|lane| matches!(lane.stage, Stage::Receiving));
        lanes.map(Lane::durable).collect()
    }

    /// Segments that wait to be applied: count and payload bytes.
    pub(super) fn waiting(&self) -> (usize, usize) {
        let each = self.lanes.iter().map(|lane| lane.receiving.waiting());
        each.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    fn look_up(&mut self, index: usize, out: &mut Outputs) {
        if let Some(lane) = self.lanes.get_mut(index) {
            lane.stage = Stage::Asking;
            out.push_back(CloudOutput::Call(CloudCall::Progress {
                node: self.node,
                epoch: lane.offer.epoch,
            }));
        }
    }

    fn push(&mut self, offer: LaneOffer) {
        let options = ReceivingOptions {
            limits: self.options.limits,
            retry_after: self.options.retry_after,
            doublings_max: 0,
            wanted_again: self.options.wanted_again,
        };
        self.lanes.push(Lane {
            offer,
            stage: Stage::Offered,
            receiving: Receiving::new(options, self.node),
            passed_over: false,
        });
    }

    /// The edge greets with this chain.
    pub(super) fn greeted(&mut self, offer: LaneOffer, out: &mut Outputs) {
        // One that was offered before overtook the greeting; the edge offers it again.
        self.lanes.clear();
        self.push(offer);
        self.look_up(0, out);
    }

    /// The edge offers another chain.
    pub(super) fn offered(
        &mut self,
        offer: LaneOffer,
        live: bool,
        out: &mut Outputs,
    ) -> Result<(), String> {
        if let Some(lane) = self.by_epoch(offer.epoch) {
            match &lane.stage {
                Stage::Receiving => {
                    let held = lane.held();
                    out.push_back(CloudOutput::Send(Frame::LaneHeld(held)));
                }
                Stage::SetAside { reason } => {
                    let (epoch, reason) = (offer.epoch, reason.clone());
                    out.push_back(CloudOutput::Send(Frame::NeedNewEpoch { epoch, reason }));
                }
                Stage::Offered | Stage::Asking => {}
            }
            return Ok(());
        }
        if self.lanes.len() >= MAX_LANES {
            return Err(format!("the edge opens more than {MAX_LANES} lanes"));
        }
        self.push(offer);
        if live {
            self.look_up(self.lanes.len() - 1, out);
        }
        Ok(())
    }

    /// The greeting's chain was looked up. An `Err` says why it does not follow.
    pub(super) fn begin(&mut self, window: Limits, progress: Progress) -> Result<(), String> {
        self.window = window;
        let Some(lane) = self.lanes.first_mut() else {
            return Ok(());
        };
        if let Some(reason) = misfit(&lane.offer, progress) {
            return Err(reason);
        }
        lane.begin(window, progress);
        Ok(())
    }

    /// The greeting is answered: what came behind it is looked at.
    pub(super) fn go_on(&mut self, now: Duration, out: &mut Outputs) -> Verdict {
        for index in 1..self.lanes.len() {
            self.look_up(index, out);
        }
        match self.lanes.first().map(|lane| lane.offer.epoch) {
            Some(epoch) => self.take_early(now, epoch, out),
            None => Verdict::Fine,
        }
    }

    /// The host said how far a chain is.
    pub(super) fn located(
        &mut self,
        now: Duration,
        epoch: Epoch,
        progress: Result<Option<Progress>>,
        out: &mut Outputs,
    ) -> Verdict {
        let window = self.window;
        let Lanes { lanes, ready, .. } = self;
        let Some(lane) = lanes.iter_mut().find(|lane| lane.offer.epoch == epoch) else {
            return Verdict::Fine;
        };
        if matches!(lane.stage, Stage::Receiving) {
            let class = lane.offer.class;
            let verdict = lane
                .receiving
                .looked_up(progress, &mut FromEdge { out, ready, class });
            self.dispatch(out);
            return verdict;
        }
        if !matches!(lane.stage, Stage::Asking) {
            return Verdict::Fine;
        }
        let progress = match progress {
            Ok(progress) => progress.unwrap_or_default(),
            Err(error) => {
                return Verdict::Close(format!("the cloud cannot tell where it stands: {error}"));
            }
        };
        if let Some(reason) = misfit(&lane.offer, progress) {
            return Verdict::Misfit(reason);
        }
        lane.begin(window, progress);
        out.push_back(CloudOutput::Send(Frame::LaneHeld(lane.held())));
        self.take_early(now, epoch, out)
    }

    /// Takes what came of a chain before it was known where it goes on.
    fn take_early(&mut self, now: Duration, epoch: Epoch, out: &mut Outputs) -> Verdict {
        for frame in self.early.take(epoch) {
            match self.segment(now, frame, out) {
                Verdict::Fine => {}
                verdict => return verdict,
            }
        }
        let lost = self.early.has_lost();
        let Lanes { lanes, ready, .. } = self;
        if lost && let Some(lane) = lanes.iter_mut().find(|lane| lane.offer.epoch == epoch) {
            let class = lane.offer.class;
            let port = &mut FromEdge { out, ready, class };
            lane.receiving.want(now, port);
        }
        Verdict::Fine
    }

    /// A segment came.
    pub(super) fn segment(
        &mut self,
        now: Duration,
        frame: SegmentFrame,
        out: &mut Outputs,
    ) -> Verdict {
        let (_, waiting) = self.waiting();
        let most = (self.window.window_bytes as usize).saturating_mul(WAITING_WINDOWS);
        let Lanes { lanes, ready, .. } = self;
        let Some(lane) = lanes
            .iter_mut()
            .find(|lane| lane.offer.epoch == frame.epoch)
        else {
            self.early.keep(frame); // it overtook its offer
            return Verdict::Fine;
        };
        match lane.stage {
            Stage::Offered | Stage::Asking => {
                self.early.keep(frame);
                Verdict::Fine
            }
            Stage::SetAside { ref reason } => {
                // The edge has not heard of it.
                let (epoch, reason) = (frame.epoch, reason.clone());
                out.push_back(CloudOutput::Send(Frame::NeedNewEpoch { epoch, reason }));
                Verdict::Fine
            }
            // Honest edges do not send so much: it is asked for when there is room.
            Stage::Receiving if waiting > most => {
                lane.passed_over = true;
                Verdict::Fine
            }
            Stage::Receiving => {
                let class = lane.offer.class;
                let port = &mut FromEdge { out, ready, class };
                let verdict = lane.receiving.segment(now, frame, port);
                self.dispatch(out);
                verdict
            }
        }
    }

    /// The host applied a segment, or could not.
    pub(super) fn applied(
        &mut self,
        now: Duration,
        epoch: Epoch,
        seq: u64,
        result: Result<()>,
        out: &mut Outputs,
    ) -> Verdict {
        self.applying = false;
        let Lanes { lanes, ready, .. } = self;
        let lane = lanes.iter_mut().find(|lane| lane.offer.epoch == epoch);
        let verdict = lane.map_or(Verdict::Fine, |lane| {
            let class = lane.offer.class;
            let port = &mut FromEdge { out, ready, class };
            lane.receiving.applied(seq, result, port)
        });
        self.dispatch(out);
        self.ask_for_passed_over(now, out);
        verdict
    }

    /// Asks for what there was no room for, once there is: whoever sent it would wait long for an answer.
    fn ask_for_passed_over(&mut self, now: Duration, out: &mut Outputs) {
        if self.waiting().1 > self.window.window_bytes as usize {
            return;
        }
        let Lanes { lanes, ready, .. } = self;
        for lane in lanes.iter_mut().filter(|lane| lane.passed_over) {
            lane.passed_over = false;
            let class = lane.offer.class;
            let port = &mut FromEdge { out, ready, class };
            lane.receiving.want(now, port);
        }
    }

    /// Has the host apply the most urgent segment whose turn it is.
    fn dispatch(&mut self, out: &mut Outputs) {
        if self.applying {
            return;
        }
        let first = (0..self.ready.len()).min_by_key(|at| self.ready.get(*at).map(|one| one.class));
        if let Some(at) = first {
            let Ready { epoch, segment, .. } = self.ready.remove(at);
            self.applying = true;
            out.push_back(CloudOutput::Call(CloudCall::Apply {
                node: self.node,
                epoch,
                segment,
            }));
        }
    }

    /// The edge has nothing more of a chain. The host may forget how far it is: should the edge forget that it
    /// is done, the chain fits no more and what waits of it comes again under another epoch.
    pub(super) fn done(&mut self, epoch: Epoch, out: &mut Outputs) {
        let is_done = |lane: &Lane| {
            matches!(lane.stage, Stage::Receiving)
                && lane.offer.class == SyncClass::Backlog
                && lane.receiving.is_idle()
                && lane.receiving.durable_seq() >= lane.last_sealed()
        };
        let at = self.lanes.iter().position(|lane| lane.offer.epoch == epoch);
        if let Some(at) = at.filter(|at| *at > 0 && self.lanes.get(*at).is_some_and(is_done)) {
            let lane = self.lanes.remove(at);
            if lane.receiving.durable_seq() > 0 {
                out.push_back(CloudOutput::Call(CloudCall::Forget {
                    node: self.node,
                    epoch,
                }));
            }
        }
    }

    /// Takes nothing more of a chain; what the host is applying it finishes.
    pub(super) fn set_aside(&mut self, epoch: Epoch, reason: &str) {
        self.ready.retain(|one| one.epoch != epoch);
        if let Some(lane) = self.by_epoch(epoch) {
            lane.receiving.stop();
            lane.stage = Stage::SetAside {
                reason: reason.to_owned(),
            };
        }
    }
}
