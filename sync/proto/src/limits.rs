//! The bounds of the protocol. Everything a peer can make this node hold is limited by one of these
//! constants, whatever the peer sends.

use activestore_types::SyncClass;
use serde::{Deserialize, Serialize};

/// The version of the conversation; both ends keep to the lower of theirs. Version 2 brought the rows that
/// flow down, version 3 lanes, receipts, how the plugins of an edge do, and the comparison that finds single
/// rows.
pub const PROTOCOL_VERSION: u16 = 3;

/// The oldest version that is still spoken.
pub const OLDEST_PROTOCOL_VERSION: u16 = 1;

/// The version from which on rows flow down.
pub(crate) const ROWS_DOWN_VERSION: u16 = 2;

/// The version from which on an edge ships several chains of segments side by side, and goes ahead of the
/// cloud's answer.
pub const LANES_VERSION: u16 = 3;

/// At most this many lanes are opened in one connection; an edge with more connects again.
pub const MAX_LANES: usize = 32;

/// What waits to be applied of all lanes of a connection together, in windows.
pub(crate) const WAITING_WINDOWS: usize = 4;

/// What may be unacknowledged of alarms, and of control rows: a window of their own, so that they never wait
/// for that of a backlog.
pub(crate) const URGENT_WINDOW: Limits = Limits {
    window_segments: 8,
    window_bytes: 256 << 10,
};

/// What an edge sends of a lane before the cloud has said where it goes on.
pub(crate) const AHEAD_WINDOW: Limits = Limits {
    window_segments: 4,
    window_bytes: 128 << 10,
};

/// Segments that the cloud keeps while it looks up where their lanes go on: what honest edges send ahead.
pub(crate) const EARLY: Limits = Limits {
    window_segments: 16,
    window_bytes: 2 << 20,
};

/// The version from which on a cloud sends receipts.
pub(crate) const RECEIPTS_VERSION: u16 = 3;

/// The version from which on edges say how their plugins do.
pub(crate) const HEALTH_VERSION: u16 = 3;

/// At most this many plugins are told of in one frame.
pub const MAX_HEALTH_PLUGINS: usize = 1024;
/// The version from which on two ends compare what they hold row by row.
pub(crate) const RECONCILE_VERSION: u16 = 3;

/// The largest payload of one segment, in bytes. Sealed segments aim at a quarter of it.
pub const MAX_FRAME_BYTES: usize = 1 << 20;

/// Room for everything in a frame's body beside a segment's payload, in bytes.
pub const FRAME_SLACK_BYTES: usize = 4096;

/// A blob travels in chunks of this many bytes.
pub const BLOB_CHUNK_BYTES: usize = 64 << 10;

/// At most this many bytes of a blob are asked for, and in flight, at once.
pub const BLOB_REQUEST_BYTES: usize = 4 * BLOB_CHUNK_BYTES;

/// The largest blob: a plugin, a model, a bundle of definitions.
pub const MAX_BLOB_BYTES: u64 = 256 << 20;

/// At most this many blobs belong to one bundle of definitions.
pub const MAX_BUNDLE_BLOBS: usize = 4096;

/// At most this many tables are compared by digest in one frame.
pub const MAX_DIGEST_TABLES: usize = 4096;

/// The longest name of a node, a keyspace or a table, in bytes.
pub const MAX_NAME_BYTES: usize = 255;

/// The longest cursor over rows, in bytes.
pub const MAX_CURSOR_BYTES: usize = 128 << 10;

/// The longest reason in a frame, in bytes; longer ones are cut when sent.
pub const MAX_REASON_BYTES: usize = 1024;

/// What one end can take; each end keeps to the lower of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Segments sent and not yet acknowledged, at most.
    pub window_segments: u32,
    /// Payload bytes sent and not yet acknowledged; one segment may always be in flight.
    pub window_bytes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            window_segments: 32,
            window_bytes: 2 << 20,
        }
    }
}

impl Limits {
    /// What both ends can take: never less than one segment.
    #[must_use]
    pub fn lower_of(self, other: Limits) -> Limits {
        Limits {
            window_segments: self.window_segments.min(other.window_segments).max(1),
            window_bytes: self.window_bytes.min(other.window_bytes).max(1),
        }
    }

    /// What may be unacknowledged of a lane of that class, where both ends can take `self`.
    pub(crate) fn of_class(self, class: SyncClass) -> Limits {
        if class.is_urgent() {
            self.lower_of(URGENT_WINDOW)
        } else {
            self
        }
    }
}

/// `reason`, cut at a character's boundary so that it fits a frame.
pub fn cut_reason(reason: &str) -> String {
    cut(reason, MAX_REASON_BYTES)
}

/// `text`, cut at a character's boundary to at most `bytes` bytes.
pub fn cut(text: &str, bytes: usize) -> String {
    let end = (0..=bytes.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end))
        .unwrap_or(0);
    text.get(..end).unwrap_or_default().to_owned()
}
