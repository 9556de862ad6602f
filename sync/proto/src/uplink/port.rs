//! The edge's end of both flows: what shipping up and receiving from above ask of it.

use activestore_types::{Epoch, Error, NodeId, SyncClass};

use super::{EdgeEvent, EdgeOutput, Outputs};
use crate::call::EdgeCall;
use crate::flow::{ReceivePort, ShipPort};
use crate::frame::{Frame, Reject};
use crate::segment::SealedSegment;

/// The edge's end of one of its lanes.
pub(super) struct ToCloud<'a> {
    pub(super) out: &'a mut Outputs,
    pub(super) class: SyncClass,
    pub(super) epoch: Epoch,
}

impl ShipPort for ToCloud<'_> {
    fn send(&mut self, mut frame: Frame) {
        if let Frame::Segment(segment) = &mut frame {
            segment.class = self.class;
        }
        self.out.push_back(EdgeOutput::Send(frame));
    }

    fn fetch(&mut self, epoch: Epoch, seq: u64) {
        self.out
            .push_back(EdgeOutput::Call(EdgeCall::Segment { epoch, seq }));
    }

    fn tell(&mut self, epoch: Epoch, seq: u64) {
        self.out
            .push_back(EdgeOutput::Call(EdgeCall::Acknowledged { epoch, seq }));
    }

    fn acknowledged(&mut self, seq: u64) {
        let class = self.class;
        self.out
            .push_back(EdgeOutput::Event(EdgeEvent::Acknowledged { class, seq }));
    }

    fn refused(&mut self, reject: Reject) {
        let Reject { seq, reason, .. } = reject;
        if !reject.retryable {
            self.out.push_back(EdgeOutput::Call(EdgeCall::Refused {
                epoch: self.epoch,
                seq,
                reason: reason.clone(),
            }));
        }
        self.out
            .push_back(EdgeOutput::Event(EdgeEvent::Refused { seq, reason }));
    }

    fn trouble(&mut self, error: Error) {
        self.out
            .push_back(EdgeOutput::Event(EdgeEvent::Trouble(error)));
    }
}

/// The edge's end of the cloud's stream.
pub(super) struct FromAbove<'a> {
    pub(super) out: &'a mut Outputs,
    /// The highest sealed sequence that is known.
    pub(super) last_sealed: u64,
}

impl ReceivePort for FromAbove<'_> {
    fn send(&mut self, frame: Frame) {
        self.out.push_back(EdgeOutput::Send(frame));
    }

    fn apply(&mut self, node: NodeId, epoch: Epoch, segment: SealedSegment) {
        self.out.push_back(EdgeOutput::Call(EdgeCall::ApplyDown {
            node,
            epoch,
            segment,
        }));
    }

    fn look_up(&mut self, _node: NodeId, _epoch: Epoch) {
        self.out.push_back(EdgeOutput::Call(EdgeCall::DownPosition));
    }

    fn applied(&mut self, seq: u64, rows: u64) {
        self.out
            .push_back(EdgeOutput::Event(EdgeEvent::DownApplied {
                seq,
                rows,
                last_sealed: self.last_sealed.max(seq),
            }));
    }

    fn repeated(&mut self, _seq: u64) {}

    fn refused(&mut self, seq: u64, error: Error) {
        self.out
            .push_back(EdgeOutput::Event(EdgeEvent::DownRefused { seq, error }));
    }
}
