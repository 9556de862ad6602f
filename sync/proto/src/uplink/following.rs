//! The edge in the cloud's stream: says where it stands, fetches the tables where the stream does not go
//! on from there, and then takes segment by segment.
//!
//! Every question carries a number that counts up, and only the answer to the last one counts; a question
//! without an answer is repeated. So what is lost, repeated or late changes nothing. At most a window
//! of segments and one piece of rows are held.

use std::time::Duration;

use activestore_types::{Epoch, Error, Result};
use bytes::Bytes;

use super::port::FromAbove;
use super::{EdgeEvent, EdgeOutput, Outputs, UplinkOptions};
use crate::call::{EdgeCall, EdgeReply};
use crate::flow::{Early, Receiving, ReceivingOptions, Verdict};
use crate::frame::{self, Follow, Frame, Rows, RowsRequest, SegmentFrame, StartOver};
use crate::host::DownPosition;
use crate::limits::Limits;

/// How long a segment that could not be applied waits for its second try, at most.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// How often the wait doubles after rows that could not be applied: they cross the link again each time.
const DOUBLINGS_MAX: u32 = 6;

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    /// The conversation knows no stream, or is not live yet.
    Off,
    /// The replica looks up where it stands.
    Locating,
    /// The cloud was told; its answer is due.
    Asked { at: Duration },
    /// The replica notes that it starts over.
    Starting,
    /// The cloud agreed: rows are fetched, or segments come, or nothing flows down.
    Agreed,
    /// A host failed; looked up again at that time.
    Pause { until: Duration },
}

/// The fetching of the tables.
#[derive(Debug)]
struct Fetch {
    id: u64,
    /// When the request under way was sent; `None` while its rows are applied.
    asked_at: Option<Duration>,
    /// Rows could not be applied: asked for again at that time.
    paused_until: Option<Duration>,
}

#[derive(Debug)]
pub(super) struct Following {
    options: UplinkOptions,
    window: Limits,
    stage: Stage,
    /// The number of the last question, of either kind.
    id: u64,
    follow_id: u64,
    position: DownPosition,
    fetch: Option<Fetch>,
    receiving: Option<Receiving>,
    /// What overtook the answer to the last question: the cloud sends it once that is on its way.
    early: Early,
    last_sealed: u64,
    /// Failures since fetched rows were applied last.
    failures: u32,
}

impl Following {
    pub(super) fn new(options: UplinkOptions) -> Self {
        Following {
            window: options.limits,
            stage: Stage::Off,
            id: 0,
            follow_id: 0,
            position: DownPosition::default(),
            fetch: None,
            receiving: None,
            early: Early::new(options.limits),
            last_sealed: 0,
            failures: 0,
            options,
        }
    }

    /// The handshake is done.
    pub(super) fn begin(&mut self, window: Limits, out: &mut Outputs) {
        self.window = window;
        self.locate(out);
    }

    pub(super) fn waiting(&self) -> (usize, usize) {
        self.receiving.as_ref().map_or((0, 0), Receiving::waiting)
    }

    /// A frame of the stream came.
    pub(super) fn frame(&mut self, now: Duration, frame: Frame, out: &mut Outputs) -> Verdict {
        match frame {
            Frame::Segment(frame) => return self.segment(now, frame, out),
            Frame::Following(following) => return self.agreed(now, following, out),
            Frame::StartOver(start) => self.told_to_start_over(start, out),
            Frame::Rows(rows) => self.rows(rows, out),
            other => {
                return Verdict::Close(format!("a {} frame does not belong here", other.name()));
            }
        }
        Verdict::Fine
    }

    /// The replica answered.
    pub(super) fn reply(&mut self, now: Duration, reply: EdgeReply, out: &mut Outputs) -> Verdict {
        match reply {
            EdgeReply::DownPosition(position) => return self.located(now, position, out),
            EdgeReply::StartedOver(start, result) => self.started_over(now, start, result, out),
            EdgeReply::DownApplied { seq, result } => {
                let last_sealed = self.last_sealed;
                if let Some(receiving) = &mut self.receiving {
                    let verdict =
                        receiving.applied(seq, result, &mut FromAbove { out, last_sealed });
                    self.position.progress = receiving.durable();
                    return verdict;
                }
            }
            EdgeReply::RowsApplied { next, result } => self.rows_applied(now, next, result, out),
            _ => {}
        }
        Verdict::Fine
    }

    pub(super) fn next_timeout(&self) -> Option<Duration> {
        let stage = match self.stage {
            Stage::Asked { at } => Some(at + self.options.ask_again),
            Stage::Pause { until } => Some(until),
            _ => None,
        };
        let fetch = self.fetch.as_ref().and_then(|fetch| {
            fetch
                .paused_until
                .or(fetch.asked_at.map(|at| at + self.options.ask_again))
        });
        [stage, fetch].into_iter().flatten().min()
    }

    pub(super) fn handle_timeout(&mut self, now: Duration, out: &mut Outputs) {
        match self.stage {
            Stage::Asked { at } if now >= at + self.options.ask_again => self.repeat(now, out),
            Stage::Pause { until } if now >= until => self.locate(out),
            _ => {}
        }
        let again = self.options.ask_again;
        if let Some(fetch) = &self.fetch {
            let paused = fetch.paused_until.is_some_and(|until| now >= until);
            let unanswered = fetch.asked_at.is_some_and(|at| now >= at + again);
            if paused {
                self.request(now, out);
            } else if unanswered && fetch.paused_until.is_none() {
                self.repeat_request(now, out);
            }
        }
    }

    /// Asks the host where it stands, and the cloud where that goes on.
    pub(super) fn locate(&mut self, out: &mut Outputs) {
        self.stage = Stage::Locating;
        self.receiving = None;
        self.fetch = None;
        out.push_back(EdgeOutput::Call(EdgeCall::DownPosition));
    }

    fn pause(&mut self, now: Duration, error: Error, out: &mut Outputs) {
        self.stage = Stage::Pause {
            until: now + self.options.retry_after,
        };
        out.push_back(EdgeOutput::Event(EdgeEvent::Trouble(error)));
    }

    fn located(
        &mut self,
        now: Duration,
        position: Result<DownPosition>,
        out: &mut Outputs,
    ) -> Verdict {
        if self.stage == Stage::Locating {
            match position {
                Ok(position) => {
                    self.position = position;
                    self.tell(now, out);
                }
                Err(error) => {
                    let error = error.context("the place in the cloud's stream");
                    self.pause(now, error, out);
                }
            }
            return Verdict::Fine;
        }
        let last_sealed = self.last_sealed;
        match &mut self.receiving {
            Some(receiving) => {
                let progress = position.map(|position| Some(position.progress));
                receiving.looked_up(progress, &mut FromAbove { out, last_sealed })
            }
            None => Verdict::Fine,
        }
    }

    /// Tells the cloud where this node stands now.
    fn tell(&mut self, now: Duration, out: &mut Outputs) {
        self.id += 1;
        self.follow_id = self.id;
        self.early = Early::new(self.window);
        self.repeat(now, out);
    }

    fn repeat(&mut self, now: Duration, out: &mut Outputs) {
        self.stage = Stage::Asked { at: now };
        out.push_back(EdgeOutput::Send(Frame::Follow(Follow {
            id: self.follow_id,
            epoch: self.position.epoch,
            seq: self.position.progress.seq,
            hash: self.position.progress.hash,
            fetching: self.position.cursor.is_some(),
        })));
    }

    fn agreed(&mut self, now: Duration, answer: frame::Following, out: &mut Outputs) -> Verdict {
        if answer.id != self.follow_id || !matches!(self.stage, Stage::Asked { .. }) {
            return Verdict::Fine; // of a question before this one
        }
        self.stage = Stage::Agreed;
        if answer.epoch == Epoch::default() {
            return Verdict::Fine; // nothing flows down
        }
        if answer.epoch != self.position.epoch {
            return Verdict::Close(
                "the cloud goes on with another stream than was asked for".to_owned(),
            );
        }
        self.last_sealed = answer.last_sealed;
        if self.position.cursor.is_some() {
            self.request(now, out);
            return Verdict::Fine;
        }
        let options = ReceivingOptions {
            limits: self.window,
            // Mostly rows that came a moment before the definition of their table.
            retry_after: self.options.retry_after.min(FIRST_WAIT),
            doublings_max: DOUBLINGS_MAX + 2,
            wanted_again: self.options.wanted_again,
        };
        let mut receiving = Receiving::new(options, self.position.node);
        receiving.begin(self.position.epoch, self.position.progress, self.window);
        self.receiving = Some(receiving);
        out.push_back(EdgeOutput::Event(EdgeEvent::Following {
            seq: self.position.progress.seq,
            last_sealed: answer.last_sealed,
        }));
        self.take_early(now, out)
    }

    fn take_early(&mut self, now: Duration, out: &mut Outputs) -> Verdict {
        for frame in self.early.take(self.position.epoch) {
            match self.segment(now, frame, out) {
                Verdict::Fine => {}
                verdict => return verdict,
            }
        }
        let last_sealed = self.last_sealed;
        if self.early.has_lost()
            && let Some(receiving) = &mut self.receiving
        {
            receiving.want(now, &mut FromAbove { out, last_sealed });
        }
        Verdict::Fine
    }

    fn segment(&mut self, now: Duration, frame: SegmentFrame, out: &mut Outputs) -> Verdict {
        let Some(receiving) = &mut self.receiving else {
            let asked = matches!(self.stage, Stage::Asked { .. });
            if asked && frame.epoch == self.position.epoch && self.position.cursor.is_none() {
                self.early.keep(frame);
            }
            return Verdict::Fine; // or of a stream that is not followed any more
        };
        if frame.epoch != receiving.epoch() {
            return Verdict::Fine;
        }
        self.last_sealed = self.last_sealed.max(frame.last_sealed);
        let last_sealed = self.last_sealed;
        receiving.segment(now, frame, &mut FromAbove { out, last_sealed })
    }

    fn told_to_start_over(&mut self, start: StartOver, out: &mut Outputs) {
        let due = matches!(self.stage, Stage::Asked { .. } | Stage::Agreed);
        if start.id != self.follow_id || !due {
            return; // it came before, or is late
        }
        self.receiving = None;
        self.fetch = None;
        self.stage = Stage::Starting;
        out.push_back(EdgeOutput::Event(EdgeEvent::StartedOver {
            reason: start.reason.clone(),
        }));
        out.push_back(EdgeOutput::Call(EdgeCall::StartOver(start)));
    }

    fn started_over(
        &mut self,
        now: Duration,
        start: StartOver,
        result: Result<u64>,
        out: &mut Outputs,
    ) {
        if self.stage != Stage::Starting {
            return;
        }
        match result {
            Ok(_) => {
                self.position.node = start.node;
                self.position.epoch = start.epoch;
                self.position.progress.seq = start.seq;
                self.position.progress.hash = start.hash;
                self.position.cursor = Some(Bytes::new());
                self.tell(now, out);
            }
            Err(error) => self.pause(now, error.context("starting over"), out),
        }
    }

    /// Asks for the rows at the cursor.
    fn request(&mut self, now: Duration, out: &mut Outputs) {
        self.id += 1;
        self.fetch = Some(Fetch {
            id: self.id,
            asked_at: None,
            paused_until: None,
        });
        self.repeat_request(now, out);
    }

    fn repeat_request(&mut self, now: Duration, out: &mut Outputs) {
        if let (Some(fetch), Some(cursor)) = (&mut self.fetch, &self.position.cursor) {
            fetch.asked_at = Some(now);
            out.push_back(EdgeOutput::Send(Frame::RowsRequest(RowsRequest {
                id: fetch.id,
                cursor: cursor.clone(),
            })));
        }
    }

    fn rows(&mut self, rows: Rows, out: &mut Outputs) {
        let (Some(fetch), Some(from)) = (&mut self.fetch, &self.position.cursor) else {
            return;
        };
        if fetch.id != rows.id || fetch.asked_at.is_none() {
            return; // they came before
        }
        fetch.asked_at = None;
        out.push_back(EdgeOutput::Call(EdgeCall::ApplyRows {
            epoch: self.position.epoch,
            from: from.clone(),
            payload: rows.payload,
            next: rows.next,
        }));
    }

    fn rows_applied(
        &mut self,
        now: Duration,
        next: Option<Bytes>,
        result: Result<()>,
        out: &mut Outputs,
    ) {
        let Some(fetch) = &mut self.fetch else {
            return;
        };
        if let Err(error) = result {
            let wait = self.options.retry_after * 2_u32.pow(self.failures);
            self.failures = (self.failures + 1).min(DOUBLINGS_MAX);
            fetch.paused_until = Some(now + wait);
            out.push_back(EdgeOutput::Event(EdgeEvent::Trouble(
                error.context("rows of the cloud's tables"),
            )));
            return;
        }
        self.failures = 0;
        self.position.cursor = next;
        if self.position.cursor.is_some() {
            self.request(now, out);
        } else {
            self.fetch = None;
            out.push_back(EdgeOutput::Event(EdgeEvent::TablesFetched));
            self.tell(now, out);
        }
    }
}
