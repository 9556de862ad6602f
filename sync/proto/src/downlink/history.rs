//! Whether the history of a chain is the one known here: a cloned or rolled-back image, or a cloud that went back to
//! an older state, is found out before a segment is taken.

use crate::frame::LaneOffer;
use crate::host::Progress;

/// Why a chain that was offered so does not follow what is known here.
pub(super) fn misfit(offer: &LaneOffer, progress: Progress) -> Option<String> {
    let acked = offer.acked();
    if acked > progress.seq {
        Some(format!(
            "the cloud holds segments up to {} and the edge was told {acked}: the cloud's data is \
             older than what it acknowledged, or the edge spoke to another cloud",
            progress.seq
        ))
    } else if offer.last_sealed < progress.seq {
        Some(format!(
            "the cloud holds segments up to {} and the edge sealed only {}: the edge's data \
             directory is a copy or an older image",
            progress.seq, offer.last_sealed
        ))
    } else if acked == progress.seq && acked > 0 && offer.acked_hash != progress.hash {
        Some(format!(
            "segment {acked} is another one in the cloud than at the edge: its data directory is a \
             copy"
        ))
    } else {
        None
    }
}
