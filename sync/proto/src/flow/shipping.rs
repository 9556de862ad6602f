//! Shipping of segments: which one goes next, what is in flight, what to send again. Knows nothing of
//! the handshake around it, nor which of the two ends it serves.
//!
//! `acked < next`, and everything in flight lies in `acked + 1 .. next`, in order. Payloads are not
//! kept: what is sent again is read again.

use std::collections::VecDeque;
use std::time::Duration;

use activestore_types::{Epoch, Error, Result, SyncClass};

use crate::frame::{Frame, Reject, SegmentFrame};
use crate::limits::{Limits, MAX_FRAME_BYTES};
use crate::segment::SealedSegment;

/// The wait before a segment is sent again grows to this many times the first.
const MAX_RESEND_FACTOR: u32 = 8;

/// What a shipper is set to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShippingOptions {
    pub(crate) limits: Limits,
    pub(crate) resend_after: Duration,
    pub(crate) retry_after: Duration,
}

/// Where shipping begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    pub(crate) epoch: Epoch,
    /// What the receiver holds.
    pub(crate) durable: u64,
    /// What the host knows of that.
    pub(crate) told: u64,
    /// The highest sealed sequence.
    pub(crate) last_sealed: u64,
}

/// What a shipper asks of its end.
pub(crate) trait ShipPort {
    /// Sends a frame.
    fn send(&mut self, frame: Frame);
    /// Reads a segment; [`Shipping::fetched`] takes it.
    fn fetch(&mut self, epoch: Epoch, seq: u64);
    /// Notes what is durable at the receiver; [`Shipping::told`] says whether it was.
    fn tell(&mut self, epoch: Epoch, seq: u64);
    /// It was noted.
    fn acknowledged(&mut self, seq: u64);
    /// A segment was refused.
    fn refused(&mut self, reject: Reject);
    /// The host failed; it is tried again.
    fn trouble(&mut self, error: Error);
}

#[derive(Debug)]
pub(crate) struct Shipping {
    options: ShippingOptions,
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
    /// Whether nothing more is to be sent for now; what is in flight stays so.
    held: bool,
}

impl Shipping {
    pub(crate) fn new(options: ShippingOptions) -> Self {
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
            held: false,
            options,
        }
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(crate) fn in_flight(&self) -> (usize, usize) {
        (self.in_flight.len(), self.in_flight_bytes)
    }

    /// Whether this segment is being read and goes next.
    pub(crate) fn awaits(&self, seq: u64) -> bool {
        self.fetching == Some(seq) && self.next == seq
    }

    pub(crate) fn behind(&self) -> u64 {
        self.last_sealed.saturating_sub(self.acked)
    }

    /// Both ends agree on where it goes on.
    pub(crate) fn begin(
        &mut self,
        now: Duration,
        start: Start,
        window: Limits,
        out: &mut impl ShipPort,
    ) {
        self.epoch = start.epoch;
        self.window = window;
        self.last_sealed = start.last_sealed;
        self.acked = start.durable;
        self.told = start.told;
        self.next = start.durable + 1;
        self.highest_sent = start.durable;
        self.progress_at = now;
        self.tell(out);
        self.pump(now, out);
    }

    /// The receiver said where it stands, to a shipper that went ahead of that: what it holds needs no sending
    /// any more, what is in flight stays so.
    pub(crate) fn agreed(
        &mut self,
        now: Duration,
        durable: u64,
        window: Limits,
        out: &mut impl ShipPort,
    ) {
        self.window = window;
        self.highest_sent = self.highest_sent.max(durable);
        self.forward(now, durable.max(self.acked));
        self.tell(out);
        self.pump(now, out);
    }

    /// Whether nothing more is to be sent for now; before it begins.
    pub(crate) fn set_held(&mut self, held: bool) {
        self.held = held;
    }

    /// Sends nothing more for now, or goes on.
    pub(crate) fn hold(&mut self, now: Duration, held: bool, out: &mut impl ShipPort) {
        self.held = held;
        self.pump(now, out);
    }

    /// The highest sealed sequence that is known.
    pub(crate) fn last_sealed(&self) -> u64 {
        self.last_sealed
    }

    pub(crate) fn sealed_up_to(
        &mut self,
        now: Duration,
        last_sealed: u64,
        out: &mut impl ShipPort,
    ) {
        // What was neither sent nor asked for may be gone from the end.
        let known = self.highest_sent.max(self.fetching.unwrap_or_default());
        self.last_sealed = last_sealed.max(known).max(self.acked);
        self.pump(now, out);
    }

    pub(crate) fn acked(
        &mut self,
        now: Duration,
        epoch: Epoch,
        seq: u64,
        out: &mut impl ShipPort,
    ) -> Result<(), String> {
        if epoch != self.epoch || seq <= self.acked {
            return Ok(());
        }
        if seq > self.highest_sent {
            return Err(format!(
                "segment {seq} was acknowledged and had not been sent"
            ));
        }
        self.forward(now, seq);
        self.tell(out);
        self.pump(now, out);
        Ok(())
    }

    /// Everything up to `seq` is durable at the receiver.
    fn forward(&mut self, now: Duration, seq: u64) {
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
    }

    pub(crate) fn wanted(
        &mut self,
        now: Duration,
        epoch: Epoch,
        seq: u64,
        out: &mut impl ShipPort,
    ) -> Result<(), String> {
        if epoch != self.epoch || seq >= self.next {
            return Ok(());
        }
        if seq <= self.acked {
            // A late frame asks for what has been acknowledged since; a receiver that really went
            // back is found out by the next handshake.
            return Ok(());
        }
        self.rewind(seq);
        self.pump(now, out);
        Ok(())
    }

    pub(crate) fn rejected(&mut self, now: Duration, reject: Reject, out: &mut impl ShipPort) {
        if reject.epoch != self.epoch || reject.seq <= self.acked || reject.seq > self.highest_sent
        {
            return;
        }
        let asked = Duration::from_millis(reject.retry_after_ms.min(600_000));
        self.paused_until = Some(now + asked.max(self.options.retry_after));
        self.rewind(reject.seq);
        out.refused(reject);
    }

    /// The outbox answered with a segment.
    pub(crate) fn fetched(
        &mut self,
        now: Duration,
        seq: u64,
        segment: Result<Option<SealedSegment>>,
        out: &mut impl ShipPort,
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
                out.trouble(error.context(format!("segment {seq}")));
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
        out.send(Frame::Segment(SegmentFrame {
            epoch: self.epoch,
            last_sealed: self.last_sealed,
            segment,
            class: SyncClass::Live,
        }));
        self.pump(now, out);
        Ok(())
    }

    /// The outbox noted an acknowledgement, or failed to.
    pub(crate) fn told(
        &mut self,
        now: Duration,
        seq: u64,
        result: Result<()>,
        out: &mut impl ShipPort,
    ) {
        self.telling = false;
        match result {
            Ok(()) => {
                self.told = self.told.max(seq);
                out.acknowledged(seq);
                self.tell(out);
            }
            Err(error) => {
                self.tell_again_at = Some(now + self.options.retry_after);
                out.trouble(error.context("an acknowledgement could not be noted"));
            }
        }
    }

    pub(crate) fn next_timeout(&self) -> Option<Duration> {
        let resend = (!self.in_flight.is_empty()).then(|| self.resend_at());
        [resend, self.paused_until, self.tell_again_at]
            .into_iter()
            .flatten()
            .min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Duration, out: &mut impl ShipPort) {
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
    fn pump(&mut self, now: Duration, out: &mut impl ShipPort) {
        let segments_max = if self.probing {
            1
        } else {
            self.window.window_segments as usize
        };
        let room = self.in_flight.is_empty()
            || (self.in_flight.len() < segments_max
                && self.in_flight_bytes < self.window.window_bytes as usize);
        let paused = self.paused_until.is_some_and(|until| now < until);
        let goes = room && !paused && !self.held;
        if self.fetching.is_none() && goes && self.next <= self.last_sealed {
            self.fetching = Some(self.next);
            out.fetch(self.epoch, self.next);
        }
    }

    /// Tells the outbox what is durable, one call at a time.
    fn tell(&mut self, out: &mut impl ShipPort) {
        if !self.telling && self.told < self.acked {
            self.telling = true;
            out.tell(self.epoch, self.acked);
        }
    }
}
