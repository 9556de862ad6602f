//! The edge's end of one connection: greets, ships segments within a window, notes what became
//! durable, fetches definitions, compares digests. One `Uplink` lives as long as its connection;
//! what must outlive it is in the [`crate::Outbox`], but for a blob in pieces, which
//! [`Uplink::into_carry`] hands to the next.
//!
//! The driver feeds [`Uplink::handle_frame`], [`Uplink::handle_reply`], [`Uplink::handle_timeout`]
//! and [`Uplink::sealed`], and after each drains [`Uplink::poll`].
//!
//! Invariants: nothing is sent before the handshake agreed on one history; at most a window of
//! segments is unacknowledged; an acknowledgement reaches the outbox only for what was sent.

mod definitions;
mod following;
mod handshake;
mod output;
mod port;

use std::collections::VecDeque;
use std::time::Duration;

use activestore_types::{Error, NodeId, Result};

use crate::blob::BlobAssembly;
use crate::call::{EdgeCall, EdgeReply};
use crate::digest::TableDigest;
use crate::flow::{Shipping, ShippingOptions, Verdict};
use crate::frame::{Frame, Hello, Welcome};
use crate::limits::{MAX_NAME_BYTES, ROWS_DOWN_VERSION, cut, cut_reason};
use definitions::Definitions;
use following::Following;
pub use output::{EdgeEvent, EdgeOutput, Reconnect, UplinkOptions};

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
    /// Comparing our segment at the cloud's position with what the cloud has there.
    Checking { welcome: Welcome, hello: Hello },
    /// Shipping.
    Live,
    /// Waiting for the host to start a new epoch.
    StartingEpoch,
    /// A new epoch could not be started; again at that time.
    EpochPause { until: Duration },
    /// Over.
    Closed,
}

#[derive(Debug)]
struct Verification {
    id: u64,
    here: Option<Result<Vec<TableDigest>>>,
    there: Option<Result<Vec<TableDigest>>>,
}

/// The edge's machine. See the module's text.
#[derive(Debug)]
pub struct Uplink {
    options: UplinkOptions,
    node: Option<NodeId>,
    phase: Phase,
    shipping: Shipping,
    definitions: Definitions,
    following: Following,
    position_calling: bool,
    position_again: bool,
    verification: Option<Verification>,
    digest_calling: bool,
    digest_reply_to: Option<u64>,
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
            shipping: Shipping::new(ShippingOptions {
                limits: options.limits,
                resend_after: options.resend_after,
                retry_after: options.retry_after,
            }),
            definitions: Definitions::new(options, carry),
            following: Following::new(options),
            position_calling: false,
            position_again: false,
            verification: None,
            digest_calling: false,
            digest_reply_to: None,
            heard_at: now,
            pinged_at: now,
            ping: None,
            out: VecDeque::new(),
            options,
        };
        uplink.ask_position();
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
        self.shipping.in_flight()
    }

    /// Sealed segments that are not acknowledged, as far as known.
    pub fn behind(&self) -> u64 {
        self.shipping.behind()
    }

    /// The outbox sealed something.
    pub fn sealed(&mut self) {
        if !self.is_live() || self.position_calling {
            self.position_again = true;
            return;
        }
        self.ask_position();
    }

    /// Compares digests with the cloud; ends in [`EdgeEvent::Verified`] with this `id`. A later
    /// call replaces one under way.
    pub fn verify(&mut self, id: u64) {
        self.verification = Some(Verification {
            id,
            here: None,
            there: None,
        });
        self.ask_digests();
        self.send(Frame::DigestRequest {
            id,
            tables: Vec::new(),
        });
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
            Phase::EpochPause { until } => Some(*until),
            Phase::Live => [
                self.shipping.next_timeout(),
                self.definitions.next_timeout(),
                self.following.next_timeout(),
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
            Phase::EpochPause { until } if now >= *until => {
                self.phase = Phase::StartingEpoch;
                self.out.push_back(EdgeOutput::Call(EdgeCall::StartEpoch));
            }
            Phase::Live => {
                self.shipping.handle_timeout(now, &mut self.out);
                self.definitions.handle_timeout(now, &mut self.out);
                self.following.handle_timeout(now, &mut self.out);
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
                self.digest_reply_to = Some(id);
                self.ask_digests();
            }
            Frame::DigestReply { id, tables, error } => self.digests_there(id, tables, error),
            frame if self.is_live() => match frame {
                Frame::Ack { epoch, seq } => {
                    if let Err(reason) = self.shipping.acked(now, epoch, seq, &mut self.out) {
                        self.disconnect(&reason, Reconnect::AfterBackoff);
                    }
                }
                Frame::Wanted { epoch, seq } => {
                    if let Err(reason) = self.shipping.wanted(now, epoch, seq, &mut self.out) {
                        self.disconnect(&reason, Reconnect::AfterBackoff);
                    }
                }
                Frame::Reject(reject) => self.shipping.rejected(now, reject, &mut self.out),
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
                frame if self.options.protocol >= ROWS_DOWN_VERSION => {
                    let verdict = self.following.frame(now, frame, &mut self.out);
                    self.judge(verdict);
                }
                other => self.unexpected(other.name()),
            },
            Frame::Ack { .. }
            | Frame::Wanted { .. }
            | Frame::Reject(_)
            | Frame::CatalogOffer(_)
            | Frame::BlobChunk { .. }
            | Frame::BlobMissing { .. }
            | Frame::Segment(_)
            | Frame::Following(_)
            | Frame::StartOver(_)
            | Frame::Rows(_) => {} // overtook the handshake, or is late after it
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
            EdgeReply::Segment { seq, segment } => {
                if matches!(self.phase, Phase::Checking { .. }) {
                    self.checked(now, segment);
                } else if let Err(reason) = self.shipping.fetched(now, seq, segment, &mut self.out)
                {
                    self.disconnect(&reason, Reconnect::AfterBackoff);
                }
            }
            EdgeReply::Acknowledged { seq, result } => {
                self.shipping.told(now, seq, result, &mut self.out);
            }
            EdgeReply::EpochStarted(Ok(())) => {
                self.disconnect("a new epoch was started", Reconnect::Now);
            }
            EdgeReply::EpochStarted(Err(error)) => {
                self.event(EdgeEvent::Trouble(error));
                self.phase = Phase::EpochPause {
                    until: now + self.options.retry_after,
                };
            }
            EdgeReply::MissingBlobs(result) => {
                self.definitions.missing_known(now, result, &mut self.out);
            }
            EdgeReply::BlobPut(result) => self.definitions.blob_put(now, result, &mut self.out),
            EdgeReply::CatalogAdopted { version, result } => {
                self.definitions
                    .adopted(now, version, result, &mut self.out);
            }
            EdgeReply::Digests(result) => self.digests_here(result),
            EdgeReply::Done => {}
            reply => {
                let verdict = self.following.reply(now, reply, &mut self.out);
                self.judge(verdict);
            }
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
        self.position_calling = true;
        self.position_again = false;
        self.out.push_back(EdgeOutput::Call(EdgeCall::Position));
    }

    fn positioned(&mut self, now: Duration, reply: EdgeReply) {
        let EdgeReply::Position {
            node,
            name,
            epoch,
            position,
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
                let hello = Hello {
                    protocol: self.options.protocol,
                    node,
                    name: cut(&name, MAX_NAME_BYTES),
                    epoch,
                    first_unacked: position.first_unacked,
                    last_sealed: position.last_sealed,
                    acked_hash: position.acked_hash,
                    catalog_version,
                    limits: self.options.limits,
                };
                self.send(Frame::Hello(hello.clone()));
                self.phase = Phase::Greeting {
                    hello,
                    sent_at: now,
                    times: 1,
                };
            }
            Phase::Live if epoch != self.shipping.epoch() => {
                self.disconnect("the outbox started a new epoch", Reconnect::Now);
            }
            Phase::Live => {
                self.shipping
                    .sealed_up_to(now, position.last_sealed, &mut self.out);
                if self.position_again {
                    self.ask_position();
                }
            }
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
        if !self.digest_calling {
            self.digest_calling = true;
            self.out.push_back(EdgeOutput::Call(EdgeCall::Digests));
        }
    }

    fn digests_here(&mut self, result: Result<Vec<TableDigest>>) {
        self.digest_calling = false;
        if let Some(id) = self.digest_reply_to.take() {
            let (tables, error) = match &result {
                Ok(tables) => (tables.clone(), None),
                Err(error) => (Vec::new(), Some(cut_reason(&error.to_string()))),
            };
            self.send(Frame::DigestReply { id, tables, error });
        }
        if let Some(verification) = &mut self.verification {
            verification.here = Some(result);
        }
        self.finish_verification();
    }

    fn digests_there(&mut self, id: u64, tables: Vec<TableDigest>, error: Option<String>) {
        if let Some(verification) = &mut self.verification
            && verification.id == id
        {
            verification.there = Some(match error {
                None => Ok(tables),
                Some(reason) => Err(Error::internal(format!("the cloud's digests: {reason}"))),
            });
            self.finish_verification();
        }
    }

    fn finish_verification(&mut self) {
        let behind = self.behind();
        match self.verification.take() {
            Some(Verification {
                id,
                here: Some(here),
                there: Some(there),
            }) => self.event(EdgeEvent::Verified {
                id,
                here,
                there,
                behind,
            }),
            unfinished => self.verification = unfinished,
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
