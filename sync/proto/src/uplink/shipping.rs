//! Shipping of segments: which one goes next, what is in flight, what to send again. Knows nothing of
//! the handshake around it.
//!
//! `acked < next`, and everything in flight lies in `acked + 1 .. next`, in order. Payloads are not
//! kept: what is sent again is read again.

use std::collections::VecDeque;
use std::time::Duration;

use activestore_types::{Epoch, Result};

use super::{EdgeEvent, EdgeOutput, Outputs, UplinkOptions};
use crate::call::EdgeCall;
use crate::frame::{Frame, Hello, Reject, SegmentFrame};
use crate::limits::{Limits, MAX_FRAME_BYTES};
use crate::segment::SealedSegment;

/// The wait before a segment is sent again grows to this many times the first.
const MAX_RESEND_FACTOR: u32 = 8;

#[derive(Debug)]
pub(super) struct Shipping {
    options: UplinkOptions,
    epoch: Epoch,
    window: Limits,
    acked: u64,
    last_sealed: u64,
    next: u64,
    highest_sent: u64,
    in_flight: VecDeque<(u64, usize)>,
    in_flight_bytes: usize,
    fetching: Option<u64>,
    /// After a stall, one segment at a time until there is progress.
    probing: bool,
    resend_factor: u32,
    progress_at: Duration,
    paused_until: Option<Duration>,
    told: u64,
    telling: bool,
    tell_again_at: Option<Duration>,
}

impl Shipping {
    pub(super) fn new(options: UplinkOptions) -> Self {
        Shipping {
            epoch: Epoch::default(),
            window: options.limits,
            acked: 0,
            last_sealed: 0,
            next: 1,
            highest_sent: 0,
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            fetching: None,
            probing: false,
            resend_factor: 1,
            progress_at: Duration::ZERO,
            paused_until: None,
            told: 0,
            telling: false,
            tell_again_at: None,
            options,
        }
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(super) fn in_flight(&self) -> (usize, usize) {
        (self.in_flight.len(), self.in_flight_bytes)
    }

    pub(super) fn behind(&self) -> u64 {
        self.last_sealed.saturating_sub(self.acked)
    }

    /// The handshake agreed: the cloud holds everything up to `durable`.
    pub(super) fn begin(
        &mut self,
        now: Duration,
        hello: &Hello,
        durable: u64,
        window: Limits,
        out: &mut Outputs,
    ) {
        self.epoch = hello.epoch;
        self.window = window;
        self.last_sealed = hello.last_sealed;
        self.acked = durable;
        self.told = hello.first_unacked - 1;
        self.next = durable + 1;
        self.highest_sent = durable;
        self.progress_at = now;
        self.tell(out);
        self.pump(now, out);
    }

    pub(super) fn sealed_up_to(&mut self, now: Duration, last_sealed: u64, out: &mut Outputs) {
        self.last_sealed = self.last_sealed.max(last_sealed);
        self.pump(now, out);
    }

    pub(super) fn acked(
        &mut self,
        now: Duration,
        epoch: Epoch,
        seq: u64,
        out: &mut Outputs,
    ) -> Result<(), String> {
        if epoch != self.epoch || seq <= self.acked {
            return Ok(());
        }
        if seq > self.highest_sent {
            return Err(format!(
                "the cloud acknowledged segment {seq}, which was not sent"
            ));
        }
        self.acked = seq;
        while let Some((first, bytes)) = self.in_flight.front().copied() {
            if first > seq {
                break;
            }
            self.in_flight.pop_front();
            self.in_flight_bytes -= bytes;
        }
        self.next = self.next.max(seq + 1);
        self.progress_at = now;
        self.probing = false;
        self.resend_factor = 1;
        self.tell(out);
        self.pump(now, out);
        Ok(())
    }

    pub(super) fn wanted(
        &mut self,
        now: Duration,
        epoch: Epoch,
        seq: u64,
        out: &mut Outputs,
    ) -> Result<(), String> {
        if epoch != self.epoch || seq >= self.next {
            return Ok(());
        }
        if seq <= self.acked {
            // A late frame asks for what has been acknowledged since; a cloud that really went
            // back is found out by the next handshake.
            return Ok(());
        }
        self.rewind(seq);
        self.pump(now, out);
        Ok(())
    }

    pub(super) fn rejected(&mut self, now: Duration, reject: Reject, out: &mut Outputs) {
        if reject.epoch != self.epoch || reject.seq <= self.acked || reject.seq > self.highest_sent
        {
            return;
        }
        let asked = Duration::from_millis(reject.retry_after_ms.min(600_000));
        self.paused_until = Some(now + asked.max(self.options.retry_after));
        self.rewind(reject.seq);
        if !reject.retryable {
            out.push_back(EdgeOutput::Call(EdgeCall::Refused {
                seq: reject.seq,
                reason: reject.reason.clone(),
            }));
        }
        out.push_back(EdgeOutput::Event(EdgeEvent::Refused {
            seq: reject.seq,
            reason: reject.reason,
        }));
    }

    /// The outbox answered with a segment.
    pub(super) fn fetched(
        &mut self,
        now: Duration,
        seq: u64,
        segment: Result<Option<SealedSegment>>,
        out: &mut Outputs,
    ) -> Result<(), String> {
        if self.fetching != Some(seq) {
            return Ok(());
        }
        self.fetching = None;
        if seq != self.next {
            self.pump(now, out); // acknowledged or rewound meanwhile
            return Ok(());
        }
        let segment = match segment {
            Ok(Some(segment)) => segment,
            Ok(None) => return Err(format!("the outbox no longer has segment {seq}")),
            Err(error) => {
                self.paused_until = Some(now + self.options.retry_after);
                out.push_back(EdgeOutput::Event(EdgeEvent::Trouble(
                    error.context(format!("segment {seq}")),
                )));
                return Ok(());
            }
        };
        if segment.seq != seq || segment.payload.len() > MAX_FRAME_BYTES {
            return Err(format!(
                "the outbox gave segment {} of {} bytes for {seq}",
                segment.seq,
                segment.payload.len()
            ));
        }
        if self.in_flight.is_empty() {
            self.progress_at = now;
        }
        self.in_flight.push_back((seq, segment.payload.len()));
        self.in_flight_bytes += segment.payload.len();
        self.next = seq + 1;
        self.highest_sent = self.highest_sent.max(seq);
        out.push_back(EdgeOutput::Send(Frame::Segment(SegmentFrame {
            epoch: self.epoch,
            last_sealed: self.last_sealed,
            segment,
        })));
        self.pump(now, out);
        Ok(())
    }

    /// The outbox noted an acknowledgement, or failed to.
    pub(super) fn told(&mut self, now: Duration, seq: u64, result: Result<()>, out: &mut Outputs) {
        self.telling = false;
        match result {
            Ok(()) => {
                self.told = self.told.max(seq);
                out.push_back(EdgeOutput::Event(EdgeEvent::Acknowledged { seq }));
                self.tell(out);
            }
            Err(error) => {
                self.tell_again_at = Some(now + self.options.retry_after);
                out.push_back(EdgeOutput::Event(EdgeEvent::Trouble(
                    error.context("an acknowledgement could not be noted"),
                )));
            }
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Duration> {
        let resend = (!self.in_flight.is_empty()).then(|| self.resend_at());
        [resend, self.paused_until, self.tell_again_at]
            .into_iter()
            .flatten()
            .min()
    }

    pub(super) fn handle_timeout(&mut self, now: Duration, out: &mut Outputs) {
        if self.tell_again_at.is_some_and(|at| now >= at) {
            self.tell_again_at = None;
            self.tell(out);
        }
        if self.paused_until.is_some_and(|until| now >= until) {
            self.paused_until = None;
        }
        if !self.in_flight.is_empty() && now >= self.resend_at() {
            self.probing = true;
            self.resend_factor = (self.resend_factor * 2).min(MAX_RESEND_FACTOR);
            self.progress_at = now;
            self.rewind(self.acked + 1);
        }
        self.pump(now, out);
    }

    fn resend_at(&self) -> Duration {
        self.progress_at + self.options.resend_after * self.resend_factor
    }

    fn rewind(&mut self, seq: u64) {
        while let Some((last, bytes)) = self.in_flight.back().copied() {
            if last < seq {
                break;
            }
            self.in_flight.pop_back();
            self.in_flight_bytes -= bytes;
        }
        self.next = seq;
    }

    /// Asks for the next segment if there is one and the window has room.
    fn pump(&mut self, now: Duration, out: &mut Outputs) {
        let segments_max = if self.probing {
            1
        } else {
            self.window.window_segments as usize
        };
        let room = self.in_flight.is_empty()
            || (self.in_flight.len() < segments_max
                && self.in_flight_bytes < self.window.window_bytes as usize);
        let paused = self.paused_until.is_some_and(|until| now < until);
        if self.fetching.is_none() && room && !paused && self.next <= self.last_sealed {
            self.fetching = Some(self.next);
            out.push_back(EdgeOutput::Call(EdgeCall::Segment { seq: self.next }));
        }
    }

    /// Tells the outbox what is durable, one call at a time.
    fn tell(&mut self, out: &mut Outputs) {
        if !self.telling && self.told < self.acked {
            self.telling = true;
            out.push_back(EdgeOutput::Call(EdgeCall::Acknowledged {
                epoch: self.epoch,
                seq: self.acked,
            }));
        }
    }
}
