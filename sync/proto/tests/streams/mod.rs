//! A transport of streams, one for each lane: within a connection nothing is lost and each lane keeps its order, but
//! lanes overtake each other. Over such a one nothing may have to wait until it is sent again.

use std::collections::BTreeMap;
use std::time::Duration;

use activestore_sync_proto::Lane;

/// Longer than any run: nothing is sent again for want of an answer.
pub const NEVER: Duration = Duration::from_secs(3600);

/// When the last frame of each lane arrives, by connection and whether it goes up.
#[derive(Default)]
pub struct Streams(BTreeMap<(u64, bool, Lane), Duration>);

impl Streams {
    /// When a frame arrives that would by itself be there at that time.
    pub fn arrival(&mut self, connection: u64, up: bool, lane: Lane, at: Duration) -> Duration {
        let last = self.0.entry((connection, up, lane)).or_default();
        *last = at.max(*last + Duration::from_micros(1));
        *last
    }
}
