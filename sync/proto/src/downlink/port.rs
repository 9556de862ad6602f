//! The cloud's end of both flows: what receiving from an edge and shipping down to it ask of it.

use activestore_types::{Epoch, Error, NodeId, SyncClass};

use super::{CloudEvent, CloudOutput, Outputs};
use crate::call::CloudCall;
use crate::flow::{ReceivePort, ShipPort};
use crate::frame::{Frame, Reject};
use crate::segment::SealedSegment;

/// The cloud's end of one of the edge's lanes.
pub(super) struct FromEdge<'a> {
    pub(super) out: &'a mut Outputs,
    /// Segments whose turn it is in their lanes, at most one of each.
    pub(super) ready: &'a mut Vec<Ready>,
    pub(super) class: SyncClass,
}

/// A segment whose turn it is in its lane.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) class: SyncClass,
    pub(super) epoch: Epoch,
    pub(super) segment: SealedSegment,
}

impl ReceivePort for FromEdge<'_> {
    fn send(&mut self, frame: Frame) {
        self.out.push_back(CloudOutput::Send(frame));
    }

    fn apply(&mut self, _node: NodeId, epoch: Epoch, segment: SealedSegment) {
        self.ready.push(Ready {
            class: self.class,
            epoch,
            segment,
        });
    }

    fn look_up(&mut self, node: NodeId, epoch: Epoch) {
        self.out
            .push_back(CloudOutput::Call(CloudCall::Progress { node, epoch }));
    }

    fn applied(&mut self, seq: u64, rows: u64) {
        self.out
            .push_back(CloudOutput::Event(CloudEvent::Applied { seq, rows }));
    }

    fn repeated(&mut self, seq: u64) {
        self.out
            .push_back(CloudOutput::Event(CloudEvent::Repeated { seq }));
    }

    fn refused(&mut self, seq: u64, error: Error) {
        self.out
            .push_back(CloudOutput::Event(CloudEvent::Refused { seq, error }));
    }
}

/// The cloud's end of the stream to one edge.
pub(super) struct ToEdge<'a> {
    pub(super) out: &'a mut Outputs,
    pub(super) node: NodeId,
}

impl ShipPort for ToEdge<'_> {
    fn send(&mut self, frame: Frame) {
        self.out.push_back(CloudOutput::Send(frame));
    }

    fn fetch(&mut self, epoch: Epoch, seq: u64) {
        self.out
            .push_back(CloudOutput::Call(CloudCall::DownSegment { epoch, seq }));
    }

    fn tell(&mut self, epoch: Epoch, seq: u64) {
        self.out
            .push_back(CloudOutput::Call(CloudCall::DownAcknowledged {
                node: self.node,
                epoch,
                seq,
            }));
    }

    fn acknowledged(&mut self, seq: u64) {
        self.out
            .push_back(CloudOutput::Event(CloudEvent::DownAcknowledged { seq }));
    }

    fn refused(&mut self, reject: Reject) {
        self.out
            .push_back(CloudOutput::Event(CloudEvent::DownRefused {
                seq: reject.seq,
                reason: reject.reason,
            }));
    }

    fn trouble(&mut self, error: Error) {
        self.out
            .push_back(CloudOutput::Event(CloudEvent::Trouble(error)));
    }
}
