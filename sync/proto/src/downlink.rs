//! The cloud's end of one connection: answers the greeting with what is durable, applies segments in
//! order through its host, acknowledges what the host made durable, offers definitions and serves
//! their blobs.
//!
//! Invariants: nothing is acknowledged that the [`crate::Inbox`] did not report as applied; segments
//! are applied one at a time, those of a lane in order, each following the hash of the one before; at most
//! a window of segments of each lane waits.

mod attesting;
mod lane;
mod lanes;
mod output;
mod port;
mod serving;
mod streaming;

use std::collections::VecDeque;
use std::time::Duration;

use activestore_types::{Epoch, NodeId, Result};

use crate::Now;
use crate::call::{CloudCall, CloudReply};
use crate::digest::{Exchange, Exchanged, TableDigest};
use crate::flow::Verdict;
use crate::frame::{Frame, Hello, LaneOffer, Welcome};
use crate::host::{PeerStatus, Progress};
use crate::limits::{
    HEALTH_VERSION, LANES_VERSION, OLDEST_PROTOCOL_VERSION, PROTOCOL_VERSION, RECEIPTS_VERSION,
    RECONCILE_VERSION, ROWS_DOWN_VERSION, cut_reason,
};
use crate::reconcile::Answer;
use attesting::Attesting;
use lanes::Lanes;
pub use output::{CloudEvent, CloudOutput, DownlinkOptions};
use serving::Serving;
use streaming::Streaming;

/// Status is told to the host at most this often while nothing but progress changes.
const STATUS_EVERY: Duration = Duration::from_secs(1);

type Outputs = VecDeque<CloudOutput>;

#[derive(Debug)]
enum Phase {
    /// No hello yet.
    Waiting,
    /// The host looks up the progress.
    Greeting,
    /// Receiving.
    Live,
    /// The epoch does not fit; the edge was told.
    Quarantined { reason: String },
    /// Over.
    Closed,
}

/// The cloud's machine. See the module's text.
#[derive(Debug)]
pub struct Downlink {
    options: DownlinkOptions,
    node: NodeId,
    phase: Phase,
    hello: Option<Hello>,
    /// Whether the edge follows another cloud.
    apart: bool,
    lanes: Lanes,
    serving: Serving,
    streaming: Streaming,
    attesting: Attesting,
    /// Whether the host works on an answer to the edge.
    answering: bool,
    exchange: Exchange,
    status_calling: bool,
    status_wanted: bool,
    status_urgent: bool,
    status_at: Option<Duration>,
    refused_definitions: Option<(u64, String)>,
    last_error: Option<String>,
    out: Outputs,
}

impl Downlink {
    /// The machine of a new connection from `node`, as its certificate says.
    pub fn new(options: DownlinkOptions, node: NodeId) -> Self {
        Downlink {
            node,
            phase: Phase::Waiting,
            hello: None,
            apart: false,
            lanes: Lanes::new(options, node),
            serving: Serving::new(options, node),
            streaming: Streaming::new(options, node),
            attesting: Attesting::new(options, node),
            answering: false,
            exchange: Exchange::default(),
            status_calling: false,
            status_wanted: false,
            status_urgent: false,
            status_at: None,
            refused_definitions: None,
            last_error: None,
            out: VecDeque::new(),
            options,
        }
    }

    /// What to do next; `None` when everything is done for now.
    pub fn poll(&mut self) -> Option<CloudOutput> {
        self.out.pop_front()
    }

    /// Whether the handshake is done.
    pub fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live)
    }

    /// The edge's greeting, once it came.
    pub fn hello(&self) -> Option<&Hello> {
        self.hello.as_ref()
    }

    /// Segments that wait to be applied: count and payload bytes.
    pub fn waiting(&self) -> (usize, usize) {
        self.lanes.waiting()
    }

    /// What is known of the edge now; `None` before its greeting.
    pub fn status(&self, now: Now, connected: bool) -> Option<PeerStatus> {
        let hello = self.hello.as_ref()?;
        Some(PeerStatus {
            node: self.node,
            name: hello.name.clone(),
            epoch: hello.epoch,
            connected,
            transport: None,
            durable_seq: self.lanes.durable().seq,
            last_sealed: self.lanes.last_sealed(),
            follows: hello.protocol >= ROWS_DOWN_VERSION && !self.apart,
            lanes: self.lanes.standings(),
            catalog_version: self.serving.held(),
            seen_wall_ms: now.wall_ms,
            refused_definitions: self.refused_definitions.clone(),
            last_error: self.last_error.clone(),
        })
    }

    /// The definitions changed to `version`.
    pub fn catalog_changed(&mut self, version: u64) {
        if self.is_live() {
            self.serving.wish(version, &mut self.out);
        }
    }

    /// The stream grew, or became another.
    pub fn down_sealed(&mut self) {
        if self.is_live() {
            self.streaming.sealed(&mut self.out);
        }
    }

    /// Segments of the stream sent and not yet acknowledged: count and payload bytes.
    pub fn down_in_flight(&self) -> (usize, usize) {
        self.streaming.in_flight()
    }

    /// Compares digests with the edge; ends in [`CloudEvent::Verified`] with this `id`.
    pub fn verify(&mut self, id: u64) {
        let request = self.exchange.begin(id);
        self.ask_digests();
        self.send(request);
    }

    /// Closes the connection in an orderly manner.
    pub fn close(&mut self, reason: &str) {
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        self.send(Frame::Goodbye {
            reason: cut_reason(reason),
        });
        self.disconnect(reason);
    }

    /// When [`Downlink::handle_timeout`] wants to be called, at the latest.
    pub fn next_timeout(&self) -> Option<Duration> {
        if !self.is_live() {
            return None;
        }
        let status = (self.status_wanted && !self.status_calling)
            .then(|| self.status_at.map(|at| at + STATUS_EVERY))
            .flatten();
        [
            self.serving.next_timeout(),
            self.streaming.next_timeout(),
            self.attesting.next_timeout(),
            status,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Now) {
        if self.is_live() {
            self.serving.handle_timeout(now.monotonic, &mut self.out);
            self.streaming.handle_timeout(now.monotonic, &mut self.out);
            self.attesting.handle_timeout(now.monotonic, &mut self.out);
            if self.status_wanted {
                self.tell_status(now, false);
            }
        }
    }

    /// A frame came.
    pub fn handle_frame(&mut self, now: Now, frame: Frame) {
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        match frame {
            Frame::Hello(hello) => self.greeted(now, hello),
            Frame::Ping { nonce } => self.send(Frame::Pong {
                nonce,
                wall_ms: now.wall_ms,
            }),
            Frame::Pong { .. } => {}
            Frame::Goodbye { reason } => {
                self.disconnect(&format!("the edge closed the connection: {reason}"));
            }
            Frame::DigestRequest { id, .. } => {
                self.exchange.requested(id);
                self.ask_digests();
            }
            Frame::DigestReply { id, tables, error } => {
                let exchanged = self.exchange.there(id, tables, error);
                self.verified(exchanged);
            }
            // Of an epoch that was set aside: the edge offers it again, in another.
            Frame::Segment(frame) if matches!(self.phase, Phase::Quarantined { .. }) => {
                // The edge has not heard of it.
                if let Phase::Quarantined { reason } = &self.phase
                    && self.greeted_with() == Some(frame.epoch)
                {
                    let (epoch, reason) = (frame.epoch, reason.clone());
                    self.send(Frame::NeedNewEpoch { epoch, reason });
                }
            }
            Frame::Segment(frame) => {
                let epoch = frame.epoch;
                let verdict = self.lanes.segment(now.monotonic, frame, &mut self.out);
                self.judge_lane(now, epoch, verdict);
            }
            Frame::Lane(offer) if self.speaks() >= LANES_VERSION => {
                // Before the greeting it overtook it: the edge offers it again.
                let live = self.is_live();
                if (live || matches!(self.phase, Phase::Greeting))
                    && let Err(reason) = self.lanes.offered(offer, live, &mut self.out)
                {
                    self.last_error = Some(reason.clone());
                    self.close(&reason);
                }
            }
            Frame::Apart if self.speaks() >= LANES_VERSION => {
                self.apart = true;
                if self.is_live() {
                    self.tell_status(now, true);
                }
            }
            Frame::LaneDone { epoch } if self.speaks() >= LANES_VERSION => {
                self.lanes.done(epoch, &mut self.out);
            }
            Frame::CatalogApplied { version, error } => {
                self.serving.applied(version, error.is_none());
                let newest = self.serving.version();
                if error.is_none() && version != newest && self.is_live() {
                    // It had said that it holds more than it does.
                    self.serving.wish(newest, &mut self.out);
                }
                self.refused_definitions = error.clone().map(|error| (version, error));
                if let Some(error) = &error {
                    self.last_error = Some(format!("definitions {version}: {error}"));
                }
                self.event(CloudEvent::CatalogApplied { version, error });
                self.tell_status(now, true);
            }
            Frame::BlobRequest {
                sha256,
                offset,
                length,
            } => self
                .serving
                .requested(sha256, offset, length as usize, &mut self.out),
            Frame::Health(health) if self.speaks() >= HEALTH_VERSION => {
                // What overtook the greeting is told again when something changes.
                if self.is_live() {
                    let node = self.node;
                    let call = CloudCall::Health { node, health };
                    self.out.push_back(CloudOutput::Call(call));
                }
            }
            frame @ (Frame::Follow(_)
            | Frame::RowsRequest(_)
            | Frame::Ack { .. }
            | Frame::Wanted { .. }
            | Frame::Reject(_))
                if self.speaks() >= ROWS_DOWN_VERSION =>
            {
                // Before the handshake it overtook the greeting: the edge asks again.
                if self.is_live() {
                    let verdict = self.streaming.frame(now.monotonic, frame, &mut self.out);
                    self.judge(now, verdict);
                }
            }
            Frame::Question(question) if self.speaks() >= RECONCILE_VERSION => {
                // One at a time: an answer may take the host a while.
                if std::mem::replace(&mut self.answering, true) {
                    return self.send(Frame::Answer(Answer {
                        id: question.id,
                        found: Err("another question is being answered".to_owned()),
                    }));
                }
                self.out.push_back(CloudOutput::Call(CloudCall::Answer {
                    node: self.node,
                    question,
                }));
            }
            other => self.close(&format!("a {} frame does not belong here", other.name())),
        }
    }

    /// The version of the conversation.
    fn speaks(&self) -> u16 {
        self.hello
            .as_ref()
            .map_or(PROTOCOL_VERSION, |hello| hello.protocol)
    }

    /// The host answered.
    pub fn handle_reply(&mut self, now: Now, reply: CloudReply) {
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        match reply {
            CloudReply::Progress {
                epoch,
                progress,
                catalog_version,
            } => match self.phase {
                Phase::Greeting => self.positioned(now, progress, catalog_version),
                Phase::Live => {
                    let lanes = &mut self.lanes;
                    let verdict = lanes.located(now.monotonic, epoch, progress, &mut self.out);
                    self.judge_lane(now, epoch, verdict);
                }
                _ => {}
            },
            CloudReply::Applied { epoch, seq, result } => {
                let verdict = self
                    .lanes
                    .applied(now.monotonic, epoch, seq, result, &mut self.out);
                self.judge_lane(now, epoch, verdict);
            }
            CloudReply::Bundle(result) => {
                self.serving.bundle(now.monotonic, result, &mut self.out);
            }
            CloudReply::Blob { sha256, bytes } => {
                self.serving.blob(sha256, bytes, &mut self.out);
            }
            CloudReply::Digests(result) => self.digests_here(result),
            CloudReply::Forgotten(Ok(())) => {}
            CloudReply::Forgotten(Err(error)) => self.event(CloudEvent::Trouble(error)),
            CloudReply::Attested { epoch, receipt } => {
                self.attesting.attested(epoch, receipt, &mut self.out);
            }
            CloudReply::Answered(answer) => {
                self.answering = false;
                self.send(Frame::Answer(answer));
            }
            CloudReply::PeerNoted => {
                self.status_calling = false;
                self.status_at = Some(now.monotonic);
                if self.status_urgent {
                    self.tell_status(now, true);
                }
            }
            CloudReply::HealthNoted => {}
            reply => {
                if self.is_live() {
                    let verdict = self.streaming.reply(now.monotonic, reply, &mut self.out);
                    self.judge(now, verdict);
                }
            }
        }
    }

    fn greeted(&mut self, now: Now, hello: Hello) {
        if !(OLDEST_PROTOCOL_VERSION..=PROTOCOL_VERSION).contains(&hello.protocol) {
            return self.close(&format!(
                "the edge speaks version {} of the protocol and the cloud \
                 {OLDEST_PROTOCOL_VERSION} to {PROTOCOL_VERSION}",
                hello.protocol
            ));
        }
        if hello.node != self.node {
            return self.close(&format!(
                "the edge's certificate names {} and its greeting {}",
                self.node, hello.node
            ));
        }
        match &self.phase {
            Phase::Waiting => {
                self.phase = Phase::Greeting;
                let offer = LaneOffer::from(&hello);
                self.lanes.greeted(offer, &mut self.out);
                self.hello = Some(hello);
            }
            // A repeated greeting: our answer was lost.
            Phase::Live => self.welcome(now),
            Phase::Quarantined { reason } => {
                let reason = reason.clone();
                self.send(Frame::NeedNewEpoch {
                    epoch: hello.epoch,
                    reason,
                });
            }
            Phase::Greeting | Phase::Closed => {}
        }
    }

    fn positioned(&mut self, now: Now, progress: Result<Option<Progress>>, catalog_version: u64) {
        let Some(hello) = self.hello.clone() else {
            return;
        };
        let progress = match progress {
            Ok(progress) => progress.unwrap_or_default(),
            Err(error) => {
                self.event(CloudEvent::Trouble(error.clone()));
                return self.close(&format!("the cloud cannot tell where it stands: {error}"));
            }
        };
        let window = hello.limits.lower_of(self.options.limits);
        if let Err(reason) = self.lanes.begin(window, progress) {
            return self.quarantine(now, reason);
        }
        self.phase = Phase::Live;
        self.serving.begin(hello.catalog_version);
        self.streaming.begin(window);
        self.event(CloudEvent::Live {
            epoch: hello.epoch,
            durable_seq: progress.seq,
        });
        self.welcome(now);
        self.serving.wish(catalog_version, &mut self.out);
        let verdict = self.lanes.go_on(now.monotonic, &mut self.out);
        self.judge_lane(now, hello.epoch, verdict);
        self.attest(now);
        self.tell_status(now, true);
    }

    /// Something is durable: the edge may be owed a receipt.
    fn attest(&mut self, now: Now) {
        if self.speaks() < RECEIPTS_VERSION {
            return;
        }
        let all = self.lanes.durables();
        self.attesting
            .progressed(now.monotonic, &all, &mut self.out);
    }

    fn welcome(&mut self, now: Now) {
        let durable = self.lanes.durable();
        let frame = Frame::Welcome(Welcome {
            epoch: self.greeted_with().unwrap_or_default(),
            durable_seq: durable.seq,
            durable_hash: durable.hash,
            catalog_version: self.serving.version(),
            wall_ms: now.wall_ms,
            limits: self.options.limits,
        });
        self.send(frame);
    }

    /// The epoch of the edge's greeting.
    fn greeted_with(&self) -> Option<Epoch> {
        self.hello.as_ref().map(|hello| hello.epoch)
    }

    /// Acts on what became of a lane: where it does not fit, the others go on, unless it is the one that was
    /// greeted with.
    fn judge_lane(&mut self, now: Now, epoch: Epoch, verdict: Verdict) {
        match verdict {
            Verdict::Misfit(reason) if self.greeted_with() != Some(epoch) => {
                self.set_aside(epoch, &reason);
                self.tell_status(now, true);
            }
            verdict => self.judge(now, verdict),
        }
    }

    fn set_aside(&mut self, epoch: Epoch, reason: &str) {
        self.lanes.set_aside(epoch, &cut_reason(reason));
        self.send(Frame::NeedNewEpoch {
            epoch,
            reason: cut_reason(reason),
        });
        self.event(CloudEvent::Quarantined {
            epoch,
            reason: reason.to_owned(),
        });
        self.last_error = Some(format!("epoch set aside: {reason}"));
    }

    fn judge(&mut self, now: Now, verdict: Verdict) {
        match verdict {
            Verdict::Fine => {}
            Verdict::Progressed => {
                self.attest(now);
                self.tell_status(now, false);
            }
            Verdict::Refused(reason) => {
                self.last_error = Some(reason);
                self.tell_status(now, true);
            }
            Verdict::Misfit(reason) => self.quarantine(now, reason),
            Verdict::Close(reason) => {
                self.last_error = Some(reason.clone());
                self.close(&reason);
            }
        }
    }

    fn quarantine(&mut self, now: Now, reason: String) {
        let Some(epoch) = self.greeted_with() else {
            return;
        };
        self.set_aside(epoch, &reason);
        self.phase = Phase::Quarantined {
            reason: cut_reason(&reason),
        };
        self.tell_status(now, true);
    }

    /// Tells the host what is known of the edge: now when `urgent`, else at most every second.
    fn tell_status(&mut self, now: Now, urgent: bool) {
        self.status_wanted = true;
        self.status_urgent |= urgent;
        let due = self.status_urgent
            || self
                .status_at
                .is_none_or(|at| now.monotonic >= at + STATUS_EVERY);
        if !due || self.status_calling {
            return;
        }
        if let Some(status) = self.status(now, true) {
            self.status_wanted = false;
            self.status_urgent = false;
            self.status_calling = true;
            self.out
                .push_back(CloudOutput::Call(CloudCall::PeerSeen(status)));
        }
    }

    fn ask_digests(&mut self) {
        if self.exchange.calls() {
            self.out
                .push_back(CloudOutput::Call(CloudCall::Digests { origin: self.node }));
        }
    }

    fn digests_here(&mut self, result: Result<Vec<TableDigest>>) {
        let (reply, exchanged) = self.exchange.here(result);
        self.out.extend(reply.map(CloudOutput::Send));
        self.verified(exchanged);
    }

    fn verified(&mut self, exchanged: Option<Exchanged>) {
        if let Some(Exchanged { id, here, there }) = exchanged {
            self.event(CloudEvent::Verified { id, here, there });
        }
    }

    fn send(&mut self, frame: Frame) {
        self.out.push_back(CloudOutput::Send(frame));
    }

    fn event(&mut self, event: CloudEvent) {
        self.out.push_back(CloudOutput::Event(event));
    }

    fn disconnect(&mut self, reason: &str) {
        self.phase = Phase::Closed;
        self.out.push_back(CloudOutput::Disconnect {
            reason: reason.to_owned(),
        });
    }
}
