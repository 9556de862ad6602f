//! The frames of what flows down: where an edge stands in the cloud's stream, and the rows that it
//! fetches where the stream does not reach back.

use activestore_types::{Epoch, Error, NodeId, Result};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::limits::{MAX_CURSOR_BYTES, MAX_FRAME_BYTES, MAX_REASON_BYTES};
use crate::segment::ChainHash;

/// The edge: I hold your stream durably up to here; go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Follow {
    /// Counts up within a connection; the answer repeats it.
    pub id: u64,
    /// The stream's epoch; 0 for an edge that never held any.
    pub epoch: Epoch,
    /// The last segment held.
    pub seq: u64,
    /// Its hash.
    pub hash: ChainHash,
    /// Whether the edge is still fetching the tables: the stream is to be kept from here on, and
    /// nothing of it sent yet.
    pub fetching: bool,
}

/// The cloud: so it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Following {
    /// From the [`Follow`].
    pub id: u64,
    /// The stream's epoch; 0 where nothing flows down.
    pub epoch: Epoch,
    /// The highest sealed sequence.
    pub last_sealed: u64,
}

/// The cloud: the stream does not go on from where you stand. Fetch the tables, then follow from here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartOver {
    /// From the last [`Follow`].
    pub id: u64,
    /// The node whose stream it is.
    pub node: NodeId,
    /// The stream's epoch.
    pub epoch: Epoch,
    /// The segment to follow after, once the tables are here.
    pub seq: u64,
    /// Its hash.
    pub hash: ChainHash,
    /// The version of the cloud's definitions.
    pub definitions: u64,
    /// Why, in one sentence.
    pub reason: String,
}

/// The edge: give me the next rows of the tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowsRequest {
    /// Counts up within a connection; the answer repeats it.
    pub id: u64,
    /// Where to go on; empty for the beginning. Only the cloud reads it.
    pub cursor: Bytes,
}

/// The cloud: the next rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// From the request.
    pub id: u64,
    /// The rows, encoded by the host as a segment's are.
    pub payload: Bytes,
    /// Where to go on; `None` after the last rows.
    pub next: Option<Bytes>,
}

fn bounded(what: &str, bytes: usize, most: usize) -> Result<()> {
    if bytes > most {
        return Err(Error::invalid(format!(
            "{what} has {bytes} bytes where {most} are allowed"
        )));
    }
    Ok(())
}

impl StartOver {
    pub(super) fn check_bounds(&self) -> Result<()> {
        if self.epoch == Epoch::default() {
            return Err(Error::invalid("a stream of rows has the epoch 0"));
        }
        bounded(
            "the reason for a start over",
            self.reason.len(),
            MAX_REASON_BYTES,
        )
    }
}

impl RowsRequest {
    pub(super) fn check_bounds(&self) -> Result<()> {
        bounded("a cursor over rows", self.cursor.len(), MAX_CURSOR_BYTES)
    }
}

impl Rows {
    pub(super) fn check_bounds(&self) -> Result<()> {
        bounded("a piece of rows", self.payload.len(), MAX_FRAME_BYTES)?;
        let next = self.next.as_ref().map_or(0, Bytes::len);
        bounded("a cursor over rows", next, MAX_CURSOR_BYTES)
    }
}
