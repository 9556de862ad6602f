//! What the protocol asks of the database at each end. All calls block and may touch the disk; the
//! driver runs them off its asynchronous workers, and never two mutating calls of one kind at once
//! for one chain of a connection.
//!
//! The promises below are what makes the whole exactly once; the machines rely on them.

mod standing;

use activestore_types::{Epoch, Error, Labels, NodeId, Result, SyncClass};
use bytes::Bytes;

use crate::digest::TableDigest;
use crate::frame::{Follow, Health, StartOver};
use crate::receipt::Receipt;
use crate::reconcile::Holdings;
use crate::segment::{ChainHash, SealedSegment};

pub use standing::{DownPosition, FollowAnswer, LaneStanding, PeerStatus, Progress};

/// Where a chain of the edge's outbox stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxPosition {
    /// The lowest sequence that is not acknowledged; 1 in a fresh epoch. Equal to
    /// `last_sealed + 1` when everything is acknowledged.
    pub first_unacked: u64,
    /// The highest sealed sequence; 0 when none was sealed in this epoch.
    pub last_sealed: u64,
    /// The hash of segment `first_unacked - 1`; [`ChainHash::GENESIS`] when that is 0.
    pub acked_hash: ChainHash,
}

/// A chain of the edge's outbox: segments that follow each other by number and hash, all of one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxChain {
    /// How urgent its rows are.
    pub class: SyncClass,
    /// Its epoch: no two chains have the same.
    pub epoch: Epoch,
    /// Where it stands.
    pub position: OutboxPosition,
}

impl OutboxChain {
    /// Sealed segments that are not acknowledged.
    pub fn behind(&self) -> u64 {
        (self.position.last_sealed + 1).saturating_sub(self.position.first_unacked)
    }

    /// Whether something of it is not acknowledged.
    pub fn waits(&self) -> bool {
        self.behind() > 0
    }
}

/// The edge's store of sealed segments.
pub trait Outbox: Send + Sync {
    /// This node, its name for people, and the epoch it seals live rows in.
    fn identity(&self) -> (NodeId, String, Epoch);

    /// Where the chain of live rows stands now.
    fn position(&self) -> OutboxPosition;

    /// All chains: that of live rows first, the others in the order in which their rows matter.
    fn chains(&self) -> Vec<OutboxChain> {
        vec![OutboxChain {
            class: SyncClass::Live,
            epoch: self.identity().2,
            position: self.position(),
        }]
    }

    /// A connection to a cloud that speaks that version of the conversation is there, or, with `None`, is
    /// gone. Told before the chains are asked for: a host that has live rows held up may set them aside as a
    /// backlog now, so that what is written from now on does not wait behind them.
    fn connection(&self, protocol: Option<u16>) {
        let _ = protocol;
    }

    /// The sealed segment `seq` of a chain: always the same bytes and the same hash once
    /// it was handed out, also after a crash. `None` only when it was acknowledged, or never sealed.
    ///
    /// # Errors
    /// When the segment cannot be read now.
    fn segment(&self, epoch: Epoch, seq: u64) -> Result<Option<SealedSegment>>;

    /// The cloud holds everything up to `seq` of `epoch` durably; what is acknowledged may be
    /// dropped. Of an epoch that there is no longer: nothing happens. May be told again.
    ///
    /// # Errors
    /// When it cannot be recorded; it is told again later.
    fn acknowledged(&self, epoch: Epoch, seq: u64) -> Result<()>;

    /// The cloud refused `seq` for `reason`, and sending it again unchanged is no use before
    /// somebody acts (a clock too far ahead, a row it cannot take). The segment stays and is
    /// offered again after a pause; a host that can mend it seals anew in a new epoch.
    fn refused(&self, epoch: Epoch, seq: u64, reason: &str) {
        let _ = (epoch, seq, reason);
    }

    /// Gives the chain of that epoch a new, random one and re-seals everything unacknowledged in it, from
    /// sequence 1. Called when this image's history is not the one the cloud knows. Where there is no such
    /// chain any more, nothing happens.
    ///
    /// # Errors
    /// When it cannot be made durable; it is asked for again.
    fn new_epoch(&self, epoch: Epoch) -> Result<()>;

    /// Registers what is called, from any thread, after each sealing. It returns at once. Calls
    /// replace the one before.
    fn on_sealed(&self, waker: Box<dyn Fn() + Send + Sync>);
}

/// The edge's part that takes what the cloud decides.
pub trait Replica: Send + Sync {
    /// The cloud's version of the bundle adopted last; 0 for none yet.
    fn catalog_version(&self) -> u64;

    /// Adopts a bundle whose blobs have all been put. Durable when it returns, together with
    /// `version`.
    ///
    /// # Errors
    /// When the bundle is not valid here; the cloud is told the sentence.
    fn adopt_catalog(&self, version: u64, bundle: &[u8]) -> Result<()>;

    /// The blobs, by SHA-256, that the bundle needs and this node does not have.
    ///
    /// # Errors
    /// When the bundle cannot be read.
    fn missing_blobs(&self, bundle: &[u8]) -> Result<Vec<[u8; 32]>>;

    /// Keeps a blob; its hash has been verified.
    ///
    /// # Errors
    /// When it cannot be stored.
    fn put_blob(&self, sha256: [u8; 32], bytes: Vec<u8>) -> Result<()>;

    /// Digests of the cells this node itself wrote, per table that is synchronised upward.
    ///
    /// # Errors
    /// When a table cannot be read.
    fn digests(&self) -> Result<Vec<TableDigest>>;

    /// What this node itself wrote, to be compared with what the cloud holds of it; `None` where nothing is
    /// compared row by row.
    fn holdings(&self) -> Option<&dyn Holdings> {
        None
    }

    /// The cloud's wall clock said `server_wall_ms` at some moment of a round trip that took
    /// `rtt` and ended just now.
    fn observe_clock(&self, server_wall_ms: u64, rtt: std::time::Duration);

    /// A receipt came. Its signature is checked, and that it speaks of what this node sealed; the newest of
    /// an epoch is kept, durably. Whether it was kept: one that says less than what is held is not.
    ///
    /// # Errors
    /// `Denied` for a receipt that is not true; other kinds when it cannot be checked or kept now.
    fn receipt(&self, receipt: &Receipt) -> Result<bool> {
        let _ = receipt;
        Ok(false)
    }

    /// How the plugins do, those in force here. Cheap: it is asked every few seconds.
    fn health(&self) -> Health {
        Health::default()
    }

    /// Where this node stands in the cloud's stream.
    ///
    /// # Errors
    /// When it cannot be read.
    fn down_position(&self) -> Result<DownPosition> {
        Ok(DownPosition::default())
    }

    /// From now on this stream is followed, after its tables were fetched from the beginning. Durable
    /// when it returns.
    ///
    /// # Errors
    /// When it cannot be recorded.
    fn start_over(&self, start: &StartOver) -> Result<()> {
        let _ = start;
        Err(no_rows_here())
    }

    /// Applies a segment of the cloud's stream: rows and position become durable together before it
    /// returns. A segment that is the last applied one changes nothing and succeeds.
    ///
    /// # Errors
    /// `Conflict` when the segment does not follow the position, or the tables are being fetched;
    /// otherwise as [`Inbox::apply`].
    fn apply_down(&self, node: NodeId, epoch: Epoch, segment: &SealedSegment) -> Result<()> {
        let _ = (node, epoch, segment);
        Err(no_rows_here())
    }

    /// Applies fetched rows that were asked for at the cursor `from`, and notes `next` with them, or
    /// that everything is fetched.
    ///
    /// # Errors
    /// `Conflict` when the position is not `from` in `epoch`; otherwise as [`Inbox::apply`].
    fn apply_rows(
        &self,
        epoch: Epoch,
        from: &[u8],
        payload: &[u8],
        next: Option<&[u8]>,
    ) -> Result<()> {
        let _ = (epoch, from, payload, next);
        Err(no_rows_here())
    }
}

fn no_rows_here() -> Error {
    Error::invalid("this node takes no rows from above")
}

/// The cloud's end of the shipping, and the source of what flows down.
pub trait Inbox: Send + Sync {
    /// How far `epoch` of `node` has been applied; `None` when nothing of it was.
    ///
    /// # Errors
    /// When it cannot be read.
    fn progress(&self, node: NodeId, epoch: Epoch) -> Result<Option<Progress>>;

    /// Applies a segment: rows and progress become durable together before it returns. Calls for several
    /// epochs of a node may come at once, and order does not matter between them: stamps decide. Calls for
    /// one (node, epoch) may come from two connections at once (an old one that is not yet known
    /// to be dead) and must be serialised by the host. A segment that is the last applied one
    /// (same `seq`, same `hash`) changes nothing and succeeds.
    ///
    /// # Errors
    /// `Conflict` when the segment does not follow the progress (`seq` is not the next, or
    /// `prev_hash` is not the progress's hash), or when the host refuses its stamps; `Invalid` and
    /// `Corrupt` when it can never be applied as it is; other kinds when it can be tried again.
    fn apply(&self, node: NodeId, epoch: Epoch, segment: &SealedSegment) -> Result<()>;

    /// A chain of that edge is done: it knows that everything of it is here. How far it was may be forgotten,
    /// so that not every outage leaves something behind. A chain that comes again all the same is taken from its
    /// beginning.
    ///
    /// # Errors
    /// When it cannot be recorded; then it is remembered.
    fn forget(&self, node: NodeId, epoch: Epoch) -> Result<()> {
        let _ = (node, epoch);
        Ok(())
    }

    /// The version of the definitions; changes with each change of them. Cheap: it is polled.
    fn catalog_version(&self) -> u64;

    /// The definitions that an edge is to have now, encoded, with their version. Edges may be given
    /// different ones under the same version: those that each is to have at it.
    ///
    /// # Errors
    /// When they cannot be encoded.
    fn catalog_bundle(&self, node: NodeId) -> Result<(u64, Vec<u8>)>;

    /// A blob by its SHA-256; `None` when this node does not have it.
    ///
    /// # Errors
    /// When it cannot be read.
    fn blob(&self, sha256: [u8; 32]) -> Result<Option<Bytes>>;

    /// Digests of the cells `origin` wrote, per table that is synchronised upward, as held here.
    ///
    /// # Errors
    /// When a table cannot be read.
    fn digests(&self, origin: NodeId) -> Result<Vec<TableDigest>>;

    /// What edges wrote, as held here; `None` where nothing is compared row by row.
    fn holdings(&self) -> Option<&dyn Holdings> {
        None
    }

    /// An edge was heard of, or left. Told at most about once a second per edge.
    fn peer_seen(&self, status: PeerStatus);

    /// What is durable here of `epoch` of `node`, signed; `None` where this host signs nothing.
    ///
    /// # Errors
    /// When it cannot be read or signed.
    fn attest(&self, node: NodeId, epoch: Epoch) -> Result<Option<Receipt>> {
        let _ = (node, epoch);
        Ok(None)
    }

    /// An edge is a member, with these labels. Told of all of them at the start, and of each when it
    /// connects.
    fn member(&self, node: NodeId, labels: &Labels) {
        let _ = (node, labels);
    }

    /// An edge has a certificate from now on: its first one, or one in the place of that which it had.
    fn enrolled(&self, node: NodeId, renewed: bool) {
        let _ = (node, renewed);
    }

    /// Somebody who shows a member's certificate is not let in, or not any more.
    fn turned_away(&self, node: NodeId, reason: &str) {
        let _ = (node, reason);
    }

    /// How the plugins do on an edge.
    fn health(&self, node: NodeId, health: Health) {
        let _ = (node, health);
    }

    /// An edge stands there in this node's stream. From now on the stream is kept for it from there on,
    /// or from where the answer tells it to start over, as long as the host's bounds allow.
    ///
    /// # Errors
    /// When it cannot be read or recorded.
    fn follow(&self, node: NodeId, follow: &Follow) -> Result<FollowAnswer> {
        let _ = (node, follow);
        Ok(FollowAnswer::Nothing)
    }

    /// The stream's epoch and highest sealed sequence; `None` when no table's rows flow down. Cheap.
    fn down_position(&self) -> Option<(Epoch, u64)> {
        None
    }

    /// A segment of the stream; `None` when it is not kept any more, or the epoch is another.
    ///
    /// # Errors
    /// When it cannot be read now.
    fn down_segment(&self, epoch: Epoch, seq: u64) -> Result<Option<SealedSegment>> {
        let _ = (epoch, seq);
        Ok(None)
    }

    /// An edge holds the stream durably up to `seq`.
    ///
    /// # Errors
    /// When it cannot be recorded; it is told again later.
    fn down_acknowledged(&self, node: NodeId, epoch: Epoch, seq: u64) -> Result<()> {
        let _ = (node, epoch, seq);
        Ok(())
    }

    /// The next rows after a cursor, at most [`crate::limits::MAX_FRAME_BYTES`], and the cursor after
    /// them; `None` after the last. The host keeps nothing between two calls.
    ///
    /// # Errors
    /// When they cannot be read.
    fn down_rows(&self, cursor: &[u8]) -> Result<(Bytes, Option<Bytes>)> {
        let _ = cursor;
        Ok((Bytes::new(), None))
    }

    /// Registers what is called, from any thread, after the stream grew or became another. It returns at
    /// once. Calls replace the one before.
    fn on_down_sealed(&self, waker: Box<dyn Fn() + Send + Sync>) {
        let _ = waker;
    }
}
