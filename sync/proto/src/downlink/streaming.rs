//! The stream to one edge: answers where it stands, ships what comes after, or has it start over and
//! serves the rows of the tables. What an edge holds up it holds up for itself alone: all of this
//! belongs to one connection, and holds one piece of rows and a window of numbers.

use std::time::Duration;

use activestore_types::{Epoch, NodeId, Result};
use bytes::Bytes;

use super::port::ToEdge;
use super::{CloudEvent, CloudOutput, DownlinkOptions, Outputs};
use crate::call::{CloudCall, CloudReply};
use crate::flow::{Shipping, ShippingOptions, Start, Verdict};
use crate::frame::{Follow, Following, Frame, Rows, RowsRequest, StartOver};
use crate::host::FollowAnswer;
use crate::limits::{Limits, cut_reason};
use crate::segment::SealedSegment;

#[derive(Debug)]
pub(super) struct Streaming {
    options: DownlinkOptions,
    node: NodeId,
    window: Limits,
    /// Where the edge said last that it stands.
    follow: Option<Follow>,
    follow_calling: bool,
    follow_again: bool,
    /// The host could not tell whether the edge can follow: asked again at that time.
    follow_at: Option<Duration>,
    position_calling: bool,
    position_again: bool,
    shipping: Option<Shipping>,
    /// It was told to start over and has not asked anew since: when it was told last.
    start_over: Option<(StartOver, Duration)>,
    reading: bool,
    /// The request to be read next; a later one replaces it.
    request: Option<RowsRequest>,
}

impl Streaming {
    pub(super) fn new(options: DownlinkOptions, node: NodeId) -> Self {
        Streaming {
            node,
            window: options.limits,
            follow: None,
            follow_calling: false,
            follow_again: false,
            follow_at: None,
            position_calling: false,
            position_again: false,
            shipping: None,
            start_over: None,
            reading: false,
            request: None,
            options,
        }
    }

    /// The handshake is done.
    pub(super) fn begin(&mut self, window: Limits) {
        self.window = window;
    }

    pub(super) fn in_flight(&self) -> (usize, usize) {
        self.shipping.as_ref().map_or((0, 0), Shipping::in_flight)
    }

    /// The stream grew, or became another.
    pub(super) fn sealed(&mut self, out: &mut Outputs) {
        if self.follow.is_none() {
            return;
        }
        if self.position_calling {
            self.position_again = true;
            return;
        }
        self.position_calling = true;
        out.push_back(CloudOutput::Call(CloudCall::DownPosition));
    }

    /// A frame about the stream came.
    pub(super) fn frame(&mut self, now: Duration, frame: Frame, out: &mut Outputs) -> Verdict {
        match frame {
            Frame::Follow(follow) => self.asked(follow, out),
            Frame::RowsRequest(request) => {
                self.request = Some(request);
                self.read(out);
            }
            frame => return self.about_segments(now, frame, out),
        }
        Verdict::Fine
    }

    fn about_segments(&mut self, now: Duration, frame: Frame, out: &mut Outputs) -> Verdict {
        let Some(shipping) = &mut self.shipping else {
            return Verdict::Fine; // late, of a stream that goes on no more
        };
        let mut port = ToEdge {
            out,
            node: self.node,
        };
        let outcome = match frame {
            Frame::Ack { epoch, seq } => shipping.acked(now, epoch, seq, &mut port),
            Frame::Wanted { epoch, seq } => shipping.wanted(now, epoch, seq, &mut port),
            Frame::Reject(reject) => {
                shipping.rejected(now, reject, &mut port);
                Ok(())
            }
            _ => Ok(()),
        };
        outcome.map_or_else(Verdict::Close, |()| Verdict::Fine)
    }

    /// The host answered.
    pub(super) fn reply(&mut self, now: Duration, reply: CloudReply, out: &mut Outputs) -> Verdict {
        match reply {
            CloudReply::Followed { id, answer } => self.answered(now, id, answer, out),
            CloudReply::DownPosition(position) => self.positioned(now, position, out),
            CloudReply::DownSegment {
                epoch,
                seq,
                segment,
            } => return self.fetched(now, epoch, seq, segment, out),
            CloudReply::DownNoted { epoch, seq, result } => {
                let node = self.node;
                if let Some(shipping) = self.shipping.as_mut().filter(|one| one.epoch() == epoch) {
                    shipping.told(now, seq, result, &mut ToEdge { out, node });
                }
            }
            CloudReply::DownRows { id, piece } => self.read_rows(id, piece, out),
            _ => {}
        }
        Verdict::Fine
    }

    pub(super) fn next_timeout(&self) -> Option<Duration> {
        let again = self.options.offer_again;
        [
            self.shipping.as_ref().and_then(Shipping::next_timeout),
            self.start_over.as_ref().map(|(_, at)| *at + again),
            self.follow_at,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    pub(super) fn handle_timeout(&mut self, now: Duration, out: &mut Outputs) {
        let again = self.options.offer_again;
        if let Some((start, at)) = &mut self.start_over
            && now >= *at + again
        {
            *at = now;
            out.push_back(CloudOutput::Send(Frame::StartOver(start.clone())));
        }
        if self.follow_at.is_some_and(|at| now >= at) {
            self.look(out);
        }
        let node = self.node;
        if let Some(shipping) = &mut self.shipping {
            shipping.handle_timeout(now, &mut ToEdge { out, node });
        }
    }

    /// The edge says where it stands.
    fn asked(&mut self, follow: Follow, out: &mut Outputs) {
        if let Some(known) = &self.follow {
            if follow.id < known.id {
                return; // late
            }
            if follow.id > known.id {
                self.shipping = None;
            }
        }
        self.start_over = None;
        self.follow = Some(follow);
        self.look(out);
    }

    /// Has the host look whether the edge can follow from there.
    fn look(&mut self, out: &mut Outputs) {
        let Some(follow) = &self.follow else {
            return;
        };
        if self.follow_calling {
            self.follow_again = true;
            return;
        }
        self.follow_calling = true;
        self.follow_at = None;
        out.push_back(CloudOutput::Call(CloudCall::Follow {
            node: self.node,
            follow: follow.clone(),
        }));
    }

    fn answered(
        &mut self,
        now: Duration,
        id: u64,
        answer: Result<FollowAnswer>,
        out: &mut Outputs,
    ) {
        self.follow_calling = false;
        if std::mem::take(&mut self.follow_again) {
            return self.look(out);
        }
        let Some(follow) = self.follow.clone().filter(|follow| follow.id == id) else {
            return;
        };
        match answer {
            Ok(FollowAnswer::Nothing) => {
                self.shipping = None;
                out.push_back(CloudOutput::Send(Frame::Following(Following {
                    id,
                    epoch: Epoch::default(),
                    last_sealed: 0,
                })));
            }
            Ok(FollowAnswer::Fits { last_sealed }) => {
                out.push_back(CloudOutput::Send(Frame::Following(Following {
                    id,
                    epoch: follow.epoch,
                    last_sealed,
                })));
                if !follow.fetching {
                    self.ship(now, &follow, last_sealed, out);
                }
            }
            Ok(FollowAnswer::StartOver(mut start)) => {
                self.shipping = None;
                start.id = id;
                start.reason = cut_reason(&start.reason);
                out.push_back(CloudOutput::Event(CloudEvent::ToldToStartOver {
                    reason: start.reason.clone(),
                }));
                out.push_back(CloudOutput::Send(Frame::StartOver(start.clone())));
                self.start_over = Some((start, now));
            }
            Err(error) => {
                self.follow_at = Some(now + self.options.retry_after);
                out.push_back(CloudOutput::Event(CloudEvent::Trouble(
                    error.context("the rows that flow down"),
                )));
            }
        }
    }

    fn ship(&mut self, now: Duration, follow: &Follow, last_sealed: u64, out: &mut Outputs) {
        let mut port = ToEdge {
            out,
            node: self.node,
        };
        if let Some(shipping) = &mut self.shipping {
            return shipping.sealed_up_to(now, last_sealed, &mut port);
        }
        let mut shipping = Shipping::new(ShippingOptions {
            limits: self.options.limits,
            resend_after: self.options.resend_after,
            retry_after: self.options.retry_after,
        });
        let start = Start {
            epoch: follow.epoch,
            durable: follow.seq,
            told: follow.seq, // by the question itself
            last_sealed,
        };
        port.out
            .push_back(CloudOutput::Event(CloudEvent::Followed { seq: follow.seq }));
        shipping.begin(now, start, self.window, &mut port);
        self.shipping = Some(shipping);
    }

    fn positioned(&mut self, now: Duration, position: Option<(Epoch, u64)>, out: &mut Outputs) {
        self.position_calling = false;
        let (epoch, last_sealed) = position.unwrap_or_default();
        let told = self.start_over.is_some();
        let other = self.follow.as_ref().is_some_and(|follow| {
            follow.epoch != epoch && (epoch != Epoch::default() || self.shipping.is_some())
        });
        if other && !told {
            self.look(out);
        } else if let Some(shipping) = &mut self.shipping {
            let node = self.node;
            shipping.sealed_up_to(now, last_sealed, &mut ToEdge { out, node });
        }
        if std::mem::take(&mut self.position_again) {
            self.sealed(out);
        }
    }

    fn fetched(
        &mut self,
        now: Duration,
        epoch: Epoch,
        seq: u64,
        segment: Result<Option<SealedSegment>>,
        out: &mut Outputs,
    ) -> Verdict {
        let node = self.node;
        let Some(shipping) = &mut self.shipping else {
            return Verdict::Fine;
        };
        if shipping.epoch() != epoch {
            return Verdict::Fine;
        }
        if segment == Ok(None) && shipping.awaits(seq) {
            // Not kept any more, for this edge was too slow, or the stream is another by now.
            self.shipping = None;
            self.look(out);
            return Verdict::Fine;
        }
        let outcome = shipping.fetched(now, seq, segment, &mut ToEdge { out, node });
        outcome.map_or_else(Verdict::Close, |()| Verdict::Fine)
    }

    /// Reads the rows asked for last, one request at a time.
    fn read(&mut self, out: &mut Outputs) {
        if self.reading {
            return;
        }
        if let Some(RowsRequest { id, cursor }) = self.request.take() {
            self.reading = true;
            out.push_back(CloudOutput::Call(CloudCall::DownRows { id, cursor }));
        }
    }

    fn read_rows(&mut self, id: u64, piece: Result<(Bytes, Option<Bytes>)>, out: &mut Outputs) {
        self.reading = false;
        match piece {
            Ok((payload, next)) => {
                out.push_back(CloudOutput::Send(Frame::Rows(Rows { id, payload, next })));
            }
            // The edge asks again.
            Err(error) => out.push_back(CloudOutput::Event(CloudEvent::Trouble(
                error.context("rows for an edge that starts over"),
            ))),
        }
        self.read(out);
    }
}
