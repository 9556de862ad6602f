//! Segments on their way in: what comes next, what waits, what is being applied.
//!
//! `durable` is what the host reported; `tail` is the last segment accepted: durable, being applied
//! or waiting. Only a segment that follows `tail` in number and hash is accepted.

use std::collections::VecDeque;
use std::time::Duration;

use activestore_types::{Epoch, Error, ErrorKind, NodeId, Result};

use crate::frame::{Frame, Reject, SegmentFrame};
use crate::host::Progress;
use crate::limits::{Limits, cut_reason};
use crate::segment::SealedSegment;

/// What a receiver is set to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReceivingOptions {
    pub(crate) limits: Limits,
    /// How long the sender is asked to wait after a refusal.
    pub(crate) retry_after: Duration,
    /// How often that doubles while nothing is applied: a segment may be large and the link metered.
    pub(crate) doublings_max: u32,
    pub(crate) wanted_again: Duration,
}

/// What a receiver asks of its end.
pub(crate) trait ReceivePort {
    /// Sends a frame.
    fn send(&mut self, frame: Frame);
    /// Applies a segment; [`Receiving::applied`] says whether it is durable.
    fn apply(&mut self, node: NodeId, epoch: Epoch, segment: SealedSegment);
    /// Reads the progress; [`Receiving::looked_up`] takes it.
    fn look_up(&mut self, node: NodeId, epoch: Epoch);
    /// A segment is durable.
    fn applied(&mut self, seq: u64, rows: u64);
    /// A segment came that was durable already.
    fn repeated(&mut self, seq: u64);
    /// A segment was refused.
    fn refused(&mut self, seq: u64, error: Error);
}

/// What a receiver found, for the whole machine to act on.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Nothing more to do.
    Fine,
    /// Something became durable.
    Progressed,
    /// A segment was refused, for this reason.
    Refused(String),
    /// The histories do not fit.
    Misfit(String),
    /// The connection is of no use.
    Close(String),
}

#[derive(Debug)]
pub(crate) struct Receiving {
    options: ReceivingOptions,
    node: NodeId,
    epoch: Epoch,
    window: Limits,
    durable: Progress,
    tail: Progress,
    waiting: VecDeque<SealedSegment>,
    waiting_bytes: usize,
    /// Number, hash and rows of the segment the host applies.
    applying: Option<(Progress, u64)>,
    /// The host said that the segment does not follow; its progress is being read again.
    doubted: Option<(Progress, u64, Error)>,
    wanted: Option<(u64, Duration)>,
    /// Refusals since the last segment was applied.
    refusals: u32,
    last_sealed: u64,
}

impl Receiving {
    pub(crate) fn new(options: ReceivingOptions, node: NodeId) -> Self {
        Receiving {
            node,
            epoch: Epoch::default(),
            window: options.limits,
            durable: Progress::default(),
            tail: Progress::default(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            applying: None,
            doubted: None,
            wanted: None,
            refusals: 0,
            last_sealed: 0,
            options,
        }
    }

    pub(crate) fn begin(&mut self, epoch: Epoch, progress: Progress, window: Limits) {
        self.epoch = epoch;
        self.durable = progress;
        self.tail = progress;
        self.window = window;
    }

    /// Takes nothing more; what the host is applying it finishes.
    pub(crate) fn stop(&mut self) {
        self.waiting.clear();
        self.waiting_bytes = 0;
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether nothing waits or is being applied.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.applying.is_none() && self.doubted.is_none()
    }

    pub(crate) fn durable(&self) -> Progress {
        self.durable
    }

    pub(crate) fn durable_seq(&self) -> u64 {
        self.durable.seq
    }

    pub(crate) fn last_sealed(&self) -> u64 {
        self.last_sealed
    }

    pub(crate) fn waiting(&self) -> (usize, usize) {
        (self.waiting.len(), self.waiting_bytes)
    }

    pub(crate) fn segment(
        &mut self,
        now: Duration,
        frame: SegmentFrame,
        out: &mut impl ReceivePort,
    ) -> Verdict {
        let SegmentFrame {
            last_sealed,
            segment,
            ..
        } = frame;
        self.last_sealed = self.last_sealed.max(last_sealed);
        let seq = segment.seq;
        if seq <= self.durable.seq {
            if seq == self.durable.seq && segment.hash != self.durable.hash {
                return Verdict::Misfit(format!(
                    "segment {seq} came again with other content: two copies of one data \
                     directory are shipping"
                ));
            }
            out.repeated(seq);
            self.acknowledge(out);
            return Verdict::Fine;
        }
        if seq <= self.tail.seq {
            return Verdict::Fine; // accepted already; it is acknowledged when it is durable
        }
        if seq > self.tail.seq + 1 {
            self.want(now, out);
            return Verdict::Fine;
        }
        let full = self.waiting.len() >= self.window.window_segments as usize
            || (!self.waiting.is_empty()
                && self.waiting_bytes >= self.window.window_bytes as usize);
        if full {
            return Verdict::Fine; // beyond the window it was given; it is offered again later
        }
        if segment.prev_hash != self.tail.hash {
            return Verdict::Misfit(format!(
                "segment {seq} does not follow the segment {} known here",
                self.tail.seq
            ));
        }
        if !segment.verify(self.node, self.epoch) {
            return Verdict::Close(format!("segment {seq} has not the hash it claims"));
        }
        self.tail = Progress {
            seq,
            hash: segment.hash,
        };
        self.waiting_bytes += segment.payload.len();
        self.waiting.push_back(segment);
        self.apply_next(out);
        Verdict::Fine
    }

    pub(crate) fn applied(
        &mut self,
        seq: u64,
        result: Result<()>,
        out: &mut impl ReceivePort,
    ) -> Verdict {
        let Some((progress, rows)) = self.applying.take() else {
            return Verdict::Fine;
        };
        debug_assert_eq!(progress.seq, seq, "one segment is applied at a time");
        match result {
            Ok(()) => {
                self.progressed(progress, rows, out);
                Verdict::Progressed
            }
            Err(error) if error.kind() == ErrorKind::Conflict => {
                self.doubted = Some((progress, rows, error));
                out.look_up(self.node, self.epoch);
                Verdict::Fine
            }
            Err(error) => self.refuse(progress.seq, error, out),
        }
    }

    /// The progress as the host has it, after it said that a segment does not follow.
    pub(crate) fn looked_up(
        &mut self,
        progress: Result<Option<Progress>>,
        out: &mut impl ReceivePort,
    ) -> Verdict {
        let Some((segment, rows, error)) = self.doubted.take() else {
            return Verdict::Fine;
        };
        let found = match progress {
            Ok(found) => found.unwrap_or_default(),
            Err(error) => return Verdict::Close(error.to_string()),
        };
        if found == segment {
            // The connection before this one finished applying it.
            self.progressed(segment, rows, out);
            Verdict::Progressed
        } else if found == self.durable {
            self.refuse(segment.seq, error, out)
        } else if found.seq == segment.seq {
            Verdict::Misfit(format!(
                "segment {} is already here with other content: two copies of one data directory \
                 are shipping",
                found.seq
            ))
        } else {
            Verdict::Close("the epoch moved on by another connection".to_owned())
        }
    }

    fn progressed(&mut self, progress: Progress, rows: u64, out: &mut impl ReceivePort) {
        self.durable = progress;
        self.refusals = 0;
        out.applied(progress.seq, rows);
        self.acknowledge(out);
        self.apply_next(out);
    }

    fn acknowledge(&self, out: &mut impl ReceivePort) {
        out.send(Frame::Ack {
            epoch: self.epoch,
            seq: self.durable.seq,
        });
    }

    fn apply_next(&mut self, out: &mut impl ReceivePort) {
        if self.applying.is_some() || self.doubted.is_some() {
            return;
        }
        if let Some(segment) = self.waiting.pop_front() {
            self.waiting_bytes -= segment.payload.len();
            let progress = Progress {
                seq: segment.seq,
                hash: segment.hash,
            };
            self.applying = Some((progress, segment.rows));
            out.apply(self.node, self.epoch, segment);
        }
    }

    fn refuse(&mut self, seq: u64, error: Error, out: &mut impl ReceivePort) -> Verdict {
        self.stop();
        self.tail = self.durable;
        let retryable = !matches!(
            error.kind(),
            ErrorKind::Invalid
                | ErrorKind::Corrupt
                | ErrorKind::Conflict
                | ErrorKind::NotFound
                | ErrorKind::Denied
        );
        let wait = self.options.retry_after * 2_u32.pow(self.refusals);
        self.refusals = (self.refusals + 1).min(self.options.doublings_max);
        let reason = error.to_string();
        out.send(Frame::Reject(Reject {
            epoch: self.epoch,
            seq,
            reason: cut_reason(&reason),
            retryable,
            retry_after_ms: wait.as_millis() as u64,
        }));
        out.refused(seq, error);
        Verdict::Refused(format!("segment {seq}: {reason}"))
    }

    /// Asks for the segment after the tail, not more often than the settings say.
    pub(crate) fn want(&mut self, now: Duration, out: &mut impl ReceivePort) {
        let seq = self.tail.seq + 1;
        let recently = self
            .wanted
            .is_some_and(|(asked, at)| asked == seq && now < at + self.options.wanted_again);
        if !recently {
            self.wanted = Some((seq, now));
            out.send(Frame::Wanted {
                epoch: self.epoch,
                seq,
            });
        }
    }
}
