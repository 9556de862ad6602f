//! Files that hold the same keys, of which one is newer throughout.

use std::cmp::Ordering;

use activestore_sst::StampZone;
use activestore_types::Result;

use super::Merge;
use crate::read::copy::Span;
use crate::read::lead::Head;
use crate::read::scan::file::FileSource;
use crate::read::scan::piece::Pieces;
use crate::read::scan::source::{Alone, Source};

impl Merge {
    /// Where several files hold the same keys and one of them is newer throughout and sets everything,
    /// takes its rows and passes those of the others, unread. Whether it did.
    pub(super) fn supersede(
        &mut self,
        lead: usize,
        alone: &Alone<'_>,
        pieces: &mut Pieces,
        spans: &mut Vec<Span>,
    ) -> Result<bool> {
        let Some(key) = self.sources.get(lead).and_then(Head::bound) else {
            return Ok(false);
        };
        self.tied.clear();
        let mut other: Option<&[u8]> = None;
        let mut newest: Option<(usize, &FileSource, StampZone)> = None;
        for (index, source) in self.sources.iter().enumerate() {
            let Some(bound) = source.bound() else {
                continue;
            };
            if bound != key {
                if other.is_none_or(|other| self.lead.compare(bound, other) == Ordering::Less) {
                    other = Some(bound);
                }
                continue;
            }
            let Source::File(file) = source else {
                return Ok(false);
            };
            let Some(stamps) = file.stamps().copied() else {
                return Ok(false);
            };
            self.tied.push(index);
            let newer = newest.is_none_or(|(_, _, newest)| stamps.max_hlc > newest.max_hlc);
            if newer {
                newest = Some((index, file, stamps));
            }
        }
        let Some((winner, file, stamps)) = newest else {
            return Ok(false);
        };
        self.met.note_all(&self.tied);
        if self.tied.len() < 2 || !file.decides(pieces.wanted()) {
            return Ok(false);
        }
        let (mut rows, shows) = file.run(other, alone)?;
        for index in self.tied.iter().filter(|index| **index != winner) {
            let Some(Source::File(loser)) = self.sources.get(*index) else {
                return Ok(false);
            };
            let older = loser
                .stamps()
                .is_some_and(|zone| zone.max_hlc < stamps.min_hlc);
            rows = if older {
                rows.min(file.common(loser))
            } else {
                0
            };
        }
        if rows == 0 {
            return Ok(false);
        }
        for index in std::mem::take(&mut self.tied) {
            if let Some(Source::File(file)) = self.sources.get_mut(index) {
                let span = file.take_run(rows, shows && index == winner, pieces);
                spans.extend(span);
            }
        }
        self.lead.forget();
        Ok(true)
    }
}
