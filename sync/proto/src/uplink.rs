//! The edge's end of one connection: greets, ships segments within a window, notes what became
//! durable, fetches definitions, compares digests. One `Uplink` lives as long as its connection;
//! what must outlive it is in the [`crate::Outbox`], but for a blob in pieces, which
//! [`Uplink::into_carry`] hands to the next.
//!
//! The driver feeds [`Uplink::handle_frame`], [`Uplink::handle_reply`], [`Uplink::handle_timeout`]
//! and [`Uplink::sealed`], and after each drains [`Uplink::poll`].
//!
//! Invariants: nothing but a first small window of a lane is sent before both ends agreed on one history; at
//! most a window of segments of each lane is unacknowledged; an acknowledgement reaches the outbox only for
//! what was sent, and only once both ends agreed.

mod comparison;
mod definitions;
mod following;
mod handshake;
mod health;
mod lane;
mod lanes;
mod output;
mod port;
mod receipts;

use std::collections::VecDeque;
use std::time::Duration;

use activestore_types::{NodeId, Result};

use crate::blob::BlobAssembly;
use crate::call::{EdgeCall, EdgeReply};
use crate::digest::{Exchange, Exchanged, TableDigest};
use crate::flow::Verdict;
use crate::frame::{Frame, Hello, LaneHeld};
use crate::limits::{
    HEALTH_VERSION, LANES_VERSION, MAX_LANES, RECEIPTS_VERSION, ROWS_DOWN_VERSION, cut_reason,
};
use comparison::Comparison;
use definitions::Definitions;
use following::Following;
use health::Watching;
use lanes::Lanes;
pub use output::{EdgeEvent, EdgeOutput, Reconnect, UplinkOptions};
use receipts::Receipts;

/// A greeting is repeated this often before the connection is given up.
const MAX_GREETINGS: u32 = 6;

type Outputs = VecDeque<EdgeOutput>;

#[derive(Debug)]
enum Phase {
    /// Waiting for the outbox's position.
    Asking,
    /// Hello sent.
    Greeting {
        hello: Hello,
        sent_at: Duration,
        times: u32,
    },
    /// Shipping.
    Live,
    /// Waiting for the host to start a new epoch of the chain that was greeted with.
    StartingEpoch,
    /// It could not be started; the lane knows when to try again.
    EpochPause,
    /// Over.
    Closed,
}

/// The edge's machine. See the module's text.
#[derive(Debug)]
pub struct Uplink {
    options: UplinkOptions,
    node: Option<NodeId>,
    phase: Phase,
    lanes: Lanes,
    definitions: Definitions,
    following: Following,
    receipts: Receipts,
    watching: Watching,
    position_calling: bool,
    /// What the cloud said of lanes before its answer to the greeting came: it says it once in ten seconds.
    early_held: Vec<LaneHeld>,
    position_again: bool,
    comparison: Comparison,
    exchange: Exchange,
    heard_at: Duration,
    pinged_at: Duration,
    ping: Option<(u64, Duration)>,
    out: Outputs,
}

impl Uplink {
    /// The machine of a new connection. `carry` is what the one before left of a blob.
    pub fn new(options: UplinkOptions, now: Duration, carry: Option<BlobAssembly>) -> Self {
        let mut uplink = Uplink {
            node: None,
            phase: Phase::Asking,
            lanes: Lanes::new(options),
            definitions: Definitions::new(options, carry),
            following: Following::new(options),
            receipts: Receipts::default(),
            watching: Watching::new(options),
            position_calling: false,
            early_held: Vec::new(),
            position_again: false,
            comparison: Comparison::new(),
            exchange: Exchange::default(),
            heard_at: now,
            pinged_at: now,
            ping: None,
            out: VecDeque::new(),
            options,
        };
        uplink.call_position(Some(options.protocol));
        uplink
    }

    /// What is worth keeping for the next connection: a blob in pieces.
    pub fn into_carry(self) -> Option<BlobAssembly> {
        self.definitions.into_carry()
    }

    /// What to do next; `None` when everything is done for now.
    pub fn poll(&mut self) -> Option<EdgeOutput> {
        self.out.pop_front()
    }

    /// Whether the handshake is done.
    pub fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live)
    }

    /// Segments sent and not yet acknowledged: count and payload bytes.
    pub fn in_flight(&self) -> (usize, usize) {
        self.lanes.in_flight()
    }

    /// Sealed segments that are not acknowledged, as far as known.
    pub fn behind(&self) -> u64 {
        self.lanes.behind()
    }

    /// The outbox sealed something.
    pub fn sealed(&mut self) {
        if !self.is_live() || self.position_calling {
            self.position_again = true;
            return;
        }
        self.ask_position();
    }

    /// From now on only urgent rows are sent, or all. What is in flight stays so, and all else goes on.
    pub fn urgent_only(&mut self, now: Duration, only: bool) {
        self.lanes.urgent_only(now, only, &mut self.out);
    }

    /// Whether the cloud can compare row by row: then [`Uplink::compare`] does more than [`Uplink::verify`].
    pub fn can_compare(&self) -> bool {
        self.comparison.can()
    }

    /// Compares row by row with the cloud, and mends what differs if that is wanted; ends in
    /// [`EdgeEvent::Compared`] with this `id`. A later call replaces one under way.
    pub fn compare(&mut self, id: u64, repair: bool) {
        self.comparison.ask(id, repair, &mut self.out);
    }

    /// Compares digests with the cloud; ends in [`EdgeEvent::Verified`] with this `id`. A later
    /// call replaces one under way.
    pub fn verify(&mut self, id: u64) {
        let request = self.exchange.begin(id);
        self.ask_digests();
        self.send(request);
    }

    /// Segments of the cloud's stream that wait to be applied: count and payload bytes.
    pub fn down_waiting(&self) -> (usize, usize) {
        self.following.waiting()
    }

    /// Closes the connection in an orderly manner.
    pub fn close(&mut self, reason: &str) {
        self.send(Frame::Goodbye {
            reason: cut_reason(reason),
        });
        self.disconnect(reason, Reconnect::AfterBackoff);
    }

    /// When [`Uplink::handle_timeout`] wants to be called, at the latest.
    pub fn next_timeout(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Greeting { sent_at, .. } => Some(*sent_at + self.options.ask_again),
            Phase::EpochPause => self.lanes.next_timeout(),
            Phase::Live => [
                self.lanes.next_timeout(),
                self.definitions.next_timeout(),
                self.following.next_timeout(),
                self.watching.next_timeout(),
                self.comparison.next_timeout(),
                self.options.ping_every.map(|every| {
                    (self.heard_at.max(self.pinged_at) + every)
                        .min(self.heard_at + self.options.silent_after)
                }),
            ]
            .into_iter()
            .flatten()
            .min(),
            _ => None,
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Duration) {
        match &mut self.phase {
            Phase::Greeting {
                hello,
                sent_at,
                times,
            } => {
                if now < *sent_at + self.options.ask_again {
                    return;
                }
                if *times >= MAX_GREETINGS {
                    return self.disconnect("the cloud does not answer", Reconnect::AfterBackoff);
                }
                *times += 1;
                *sent_at = now;
                let frame = Frame::Hello(hello.clone());
                self.send(frame);
            }
            Phase::EpochPause => self.lanes.handle_timeout(now, &mut self.out),
            Phase::Live => {
                self.lanes.handle_timeout(now, &mut self.out);
                self.definitions.handle_timeout(now, &mut self.out);
                self.following.handle_timeout(now, &mut self.out);
                self.watching.handle_timeout(now, &mut self.out);
                let idle = self.lanes.behind() == 0;
                self.comparison.handle_timeout(now, idle, &mut self.out);
                self.watch_silence(now);
            }
            _ => {}
        }
    }

    /// A frame came.
    pub fn handle_frame(&mut self, now: Duration, frame: Frame) {
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        self.heard_at = now;
        match frame {
            Frame::Welcome(welcome) => self.welcomed(now, welcome),
            Frame::NeedNewEpoch { epoch, reason } => self.set_aside(epoch, &reason),
            Frame::Goodbye { reason } => self.disconnect(
                &format!("the cloud closed the connection: {reason}"),
                Reconnect::AfterBackoff,
            ),
            Frame::Ping { nonce } => self.send(Frame::Pong { nonce, wall_ms: 0 }),
            Frame::Pong { nonce, wall_ms } => self.ponged(now, nonce, wall_ms),
            Frame::DigestRequest { id, .. } => {
                self.exchange.requested(id);
                self.ask_digests();
            }
            Frame::DigestReply { id, tables, error } => {
                let exchanged = self.exchange.there(id, tables, error);
                self.verified(exchanged);
            }
            Frame::Ack { epoch, seq } => {
                if let Err(reason) = self.lanes.acked(now, epoch, seq, &mut self.out) {
                    self.disconnect(&reason, Reconnect::AfterBackoff);
                }
            }
            // What went ahead may be spoken of before the greeting is answered: each is said once.
            Frame::Wanted { epoch, seq } => {
                if let Err(reason) = self.lanes.wanted(now, epoch, seq, &mut self.out) {
                    self.disconnect(&reason, Reconnect::AfterBackoff);
                }
            }
            Frame::Reject(reject) => self.lanes.rejected(now, reject, &mut self.out),
            frame if self.is_live() => match frame {
                Frame::LaneHeld(held) if self.options.protocol >= LANES_VERSION => {
                    let outcome = self.lanes.held(now, held, &mut self.out);
                    self.conclude(outcome);
                }
                Frame::CatalogOffer(offer) => self.definitions.offered(now, offer, &mut self.out),
                Frame::BlobChunk {
                    sha256,
                    offset,
                    total,
                    bytes,
                } => self
                    .definitions
                    .chunk(now, sha256, offset, total, &bytes, &mut self.out),
                Frame::BlobMissing { sha256, reason } => {
                    self.definitions
                        .missing(now, sha256, &reason, &mut self.out);
                }
                Frame::Receipt(receipt) if self.options.protocol >= RECEIPTS_VERSION => {
                    self.receipts.came(receipt, &mut self.out);
                }
                Frame::Answer(answer) if self.comparison.can() => {
                    self.comparison.answered(answer, &mut self.out);
                }
                frame if self.options.protocol >= ROWS_DOWN_VERSION => {
                    let verdict = self.following.frame(now, frame, &mut self.out);
                    self.judge(verdict);
                }
                other => self.unexpected(other.name()),
            },
            Frame::LaneHeld(held)
                if matches!(self.phase, Phase::Greeting { .. })
                    && self.early_held.len() < MAX_LANES =>
            {
                self.early_held.push(held);
            }
            Frame::LaneHeld(_)
            | Frame::CatalogOffer(_)
            | Frame::BlobChunk { .. }
            | Frame::BlobMissing { .. }
            | Frame::Segment(_)
            | Frame::Following(_)
            | Frame::StartOver(_)
            | Frame::Rows(_)
            | Frame::Receipt(_) => {} // overtook the handshake, or is late after it
            other => self.unexpected(other.name()),
        }
    }

    /// A host answered.
    pub fn handle_reply(&mut self, now: Duration, reply: EdgeReply) {
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        match reply {
            EdgeReply::Position { .. } => self.positioned(now, reply),
            EdgeReply::Segment {
                epoch,
                seq,
                segment,
            } => {
                let outcome = self.lanes.fetched(now, epoch, seq, segment, &mut self.out);
                self.conclude(outcome);
            }
            EdgeReply::Acknowledged { epoch, seq, result } => {
                if self.lanes.told(now, epoch, seq, result, &mut self.out) {
                    self.sealed();
                }
            }
            EdgeReply::EpochStarted { epoch, result } => self.epoch_started(now, epoch, result),
            EdgeReply::MissingBlobs(result) => {
                self.definitions.missing_known(now, result, &mut self.out);
            }
            EdgeReply::BlobPut(result) => self.definitions.blob_put(now, result, &mut self.out),
            EdgeReply::CatalogAdopted { version, result } => {
                let adopted = result.is_ok();
                self.definitions
                    .adopted(now, version, result, &mut self.out);
                if adopted {
                    self.watch_plugins(now);
                }
            }
            EdgeReply::Health(health) => self.watching.looked(now, health, &mut self.out),
            EdgeReply::Digests(result) => self.digests_here(result),
            EdgeReply::ReceiptTaken { epoch, seq, result } => {
                self.receipts.taken(epoch, seq, result, &mut self.out);
            }
            EdgeReply::Compared { comparing, step } => {
                let anew = matches!(&step, Ok(crate::reconcile::Step::Done(Some(report))) if report.fetch_anew);
                self.comparison.stepped(now, comparing, step, &mut self.out);
                if anew {
                    self.following.locate(&mut self.out);
                }
            }
            EdgeReply::Done => {}
            reply => {
                if let EdgeReply::StartedOver(_, Ok(held)) = &reply {
                    self.definitions.counts(now, *held, &mut self.out);
                }
                let verdict = self.following.reply(now, reply, &mut self.out);
                self.judge(verdict);
            }
        }
    }

    /// What is in force has changed, or the cloud has not been told of it.
    fn watch_plugins(&mut self, now: Duration) {
        if self.options.protocol >= HEALTH_VERSION && self.is_live() {
            self.watching.begin(now, &mut self.out);
        }
    }

    /// Acts on what the cloud's stream came to.
    fn judge(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Fine | Verdict::Progressed | Verdict::Refused(_) => {}
            Verdict::Misfit(reason) => self.disconnect(&reason, Reconnect::AfterBackoff),
            Verdict::Close(reason) => self.close(&reason),
        }
    }

    fn ask_position(&mut self) {
        self.call_position(None);
    }

    fn call_position(&mut self, begun: Option<u16>) {
        self.position_calling = true;
        self.position_again = false;
        self.out
            .push_back(EdgeOutput::Call(EdgeCall::Position { begun }));
    }

    fn positioned(&mut self, now: Duration, reply: EdgeReply) {
        let EdgeReply::Position {
            node,
            name,
            chains,
            catalog_version,
        } = reply
        else {
            return;
        };
        self.position_calling = false;
        match self.phase {
            Phase::Asking => {
                self.node = Some(node);
                self.definitions.hold(catalog_version);
                self.greet(now, &name, catalog_version, &chains);
            }
            Phase::Live => match self.lanes.positioned(now, &chains, &mut self.out) {
                Err(reason) => self.disconnect(&reason, Reconnect::Now),
                Ok(()) if self.position_again => self.ask_position(),
                Ok(()) => {}
            },
            _ => {}
        }
    }

    fn watch_silence(&mut self, now: Duration) {
        let Some(every) = self.options.ping_every else {
            return;
        };
        if now >= self.heard_at + self.options.silent_after {
            return self.disconnect("the cloud fell silent", Reconnect::AfterBackoff);
        }
        if now >= self.heard_at.max(self.pinged_at) + every {
            self.pinged_at = now;
            let nonce = now.as_micros() as u64;
            self.ping = Some((nonce, now));
            self.send(Frame::Ping { nonce });
        }
    }

    fn ponged(&mut self, now: Duration, nonce: u64, wall_ms: u64) {
        let Some((asked, sent_at)) = self.ping else {
            return;
        };
        if asked == nonce {
            self.ping = None;
            self.out.push_back(EdgeOutput::Call(EdgeCall::ObserveClock {
                server_wall_ms: wall_ms,
                rtt: now.saturating_sub(sent_at),
            }));
        }
    }

    fn ask_digests(&mut self) {
        if self.exchange.calls() {
            self.out.push_back(EdgeOutput::Call(EdgeCall::Digests));
        }
    }

    fn digests_here(&mut self, result: Result<Vec<TableDigest>>) {
        let (reply, exchanged) = self.exchange.here(result);
        self.out.extend(reply.map(EdgeOutput::Send));
        self.verified(exchanged);
    }

    fn verified(&mut self, exchanged: Option<Exchanged>) {
        let behind = self.behind();
        if let Some(Exchanged { id, here, there }) = exchanged {
            self.event(EdgeEvent::Verified {
                id,
                here,
                there,
                behind,
            });
        }
    }

    fn unexpected(&mut self, name: &str) {
        self.close(&format!("a {name} frame does not belong here"));
    }

    fn send(&mut self, frame: Frame) {
        self.out.push_back(EdgeOutput::Send(frame));
    }

    fn event(&mut self, event: EdgeEvent) {
        self.out.push_back(EdgeOutput::Event(event));
    }

    fn disconnect(&mut self, reason: &str, reconnect: Reconnect) {
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        self.phase = Phase::Closed;
        self.out.push_back(EdgeOutput::Disconnect {
            reason: reason.to_owned(),
            reconnect,
        });
    }
}
