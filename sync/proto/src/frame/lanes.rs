//! Lanes: which stream of a transport a frame travels in, and the frames by which an edge ships several chains
//! of segments side by side.

use activestore_types::{Epoch, Error, Result, SyncClass};
use serde::{Deserialize, Serialize};

use super::{Frame, Hello, Welcome};
use crate::segment::ChainHash;

/// Frames of different lanes may overtake each other; within a lane they keep their order on a
/// transport that keeps order. The first goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Small frames that everything else waits for: first.
    Control,
    /// Segments, by how urgent they are.
    Rows(SyncClass),
    /// Pieces of blobs: last.
    Blobs,
}

/// The edge: another chain of segments that I ship; what [`Hello`] says of the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneOffer {
    /// How urgent its rows are.
    pub class: SyncClass,
    /// The chain's epoch.
    pub epoch: Epoch,
    /// The lowest sequence without acknowledgement.
    pub first_unacked: u64,
    /// The highest sealed sequence; 0 for none.
    pub last_sealed: u64,
    /// The hash of segment `first_unacked - 1`.
    pub acked_hash: ChainHash,
}

/// The cloud's answer to a [`LaneOffer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneHeld {
    /// The chain's epoch.
    pub epoch: Epoch,
    /// Everything up to here is durable in the cloud; 0 for nothing yet.
    pub durable_seq: u64,
    /// The hash of segment `durable_seq`.
    pub durable_hash: ChainHash,
}

impl From<&Hello> for LaneOffer {
    fn from(hello: &Hello) -> Self {
        LaneOffer {
            class: SyncClass::Live,
            epoch: hello.epoch,
            first_unacked: hello.first_unacked,
            last_sealed: hello.last_sealed,
            acked_hash: hello.acked_hash,
        }
    }
}

impl From<&Welcome> for LaneHeld {
    fn from(welcome: &Welcome) -> Self {
        LaneHeld {
            epoch: welcome.epoch,
            durable_seq: welcome.durable_seq,
            durable_hash: welcome.durable_hash,
        }
    }
}

impl LaneOffer {
    /// The sequence acknowledged last; 0 for none.
    pub(crate) fn acked(&self) -> u64 {
        self.first_unacked.saturating_sub(1)
    }

    pub(super) fn check_bounds(&self, frame: &str) -> Result<()> {
        if self.first_unacked == 0 || self.first_unacked > self.last_sealed.saturating_add(1) {
            return Err(Error::invalid(format!(
                "a {frame} frame says that segment {} comes after {}",
                self.first_unacked, self.last_sealed
            )));
        }
        Ok(())
    }
}

impl Frame {
    /// The lane the frame travels in.
    pub fn lane(&self) -> Lane {
        match self {
            Frame::Segment(frame) => Lane::Rows(frame.class),
            Frame::Rows(_) => Lane::Rows(SyncClass::Live),
            // A comparison is in nobody's way.
            Frame::BlobChunk { .. } | Frame::Question(_) | Frame::Answer(_) => Lane::Blobs,
            _ => Lane::Control,
        }
    }
}
