//! Reducing: which fragments of a key a merge keeps, and which of their cells.

use activestore_types::Hlc;

use crate::read::{Fragment, Pieces, order_fragments};
use crate::version::{Origins, Stamp};

/// What is kept of one key.
pub(super) struct Reducer {
    origins: Origins,
    /// For each wanted column of the pieces whether it is a key column.
    keys: Vec<bool>,
    drop_below: Option<Hlc>,
    now_ms: u64,
    decided: Vec<bool>,
    /// (place in the kept fragments, wanted column) of cells that a newer fragment decides.
    pub(super) trimmed: Vec<(usize, usize)>,
}

impl Reducer {
    pub(super) fn new(
        origins: Origins,
        keys: Vec<bool>,
        drop_below: Option<Hlc>,
        now_ms: u64,
    ) -> Self {
        Reducer {
            origins,
            keys,
            drop_below,
            now_ms,
            decided: Vec::new(),
            trimmed: Vec::new(),
        }
    }

    /// Leaves the fragments to keep, newest first, and says in `trimmed` which cells to clear.
    pub(super) fn reduce(
        &mut self,
        pieces: &Pieces,
        fragments: &mut Vec<Fragment>,
        barrier: Option<Stamp>,
    ) {
        self.trimmed.clear();
        self.decided.clear();
        self.decided.resize(self.keys.len(), false);
        if fragments.len() > 1 {
            order_fragments(fragments, &self.origins);
        }
        let mut kept = 0;
        let mut ended = false;
        let (trimmed, decided, keys, origins) = (
            &mut self.trimmed,
            &mut self.decided,
            &self.keys,
            &self.origins,
        );
        fragments.retain(|fragment| {
            let hidden =
                || barrier.is_some_and(|barrier| fragment.stamp(origins.as_ref()) < barrier);
            if ended || hidden() {
                // They are in order: what follows is older still.
                ended = true;
                return false;
            }
            if fragment.tombstone {
                ended = true;
                kept += 1;
                return true;
            }
            let before = trimmed.len();
            let mut news = kept == 0; // The newest is the row's marker even if it sets nothing.
            for (column, (decided, key)) in decided.iter_mut().zip(keys).enumerate() {
                if *key || !pieces.sets(fragment, column) {
                    continue;
                }
                if *decided {
                    trimmed.push((kept, column));
                } else {
                    *decided = true;
                    news = true;
                }
            }
            if news {
                kept += 1;
            } else {
                trimmed.truncate(before);
            }
            news
        });
        while let Some(oldest) = fragments.last() {
            let settled = self.drop_below.is_some_and(|below| oldest.hlc < below.0);
            if !settled || !(oldest.tombstone || oldest.expired(self.now_ms)) {
                break;
            }
            fragments.pop();
        }
        let left = fragments.len();
        self.trimmed.retain(|(place, _)| *place < left);
    }
}
