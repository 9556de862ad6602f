//! What the zone maps of the hidden columns say about a vector's rows: enough to know, without
//! decoding it, that every row lives, that every row is dead, or that a deletion cannot touch it.

use activestore_types::Result;

use super::Sst;
use crate::footer::ColumnKind;

/// The bounds of the stamps of a vector's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StampZone {
    /// The lowest stamp.
    pub min_hlc: u64,
    /// The highest stamp.
    pub max_hlc: u64,
    /// The earliest expiry in milliseconds since 1970; 0 where a row never expires.
    pub min_expiry_ms: u64,
    /// The latest expiry in milliseconds since 1970; 0 where no row expires.
    pub max_expiry_ms: u64,
    /// Whether any row is a tombstone.
    pub tombstones: bool,
}

impl StampZone {
    /// Whether no row is a tombstone or has expired.
    pub fn all_live(&self, now_ms: u64) -> bool {
        let expiry = self.max_expiry_ms == 0 || self.min_expiry_ms > now_ms;
        expiry && !self.tombstones
    }

    /// Whether every row has expired.
    pub fn all_expired(&self, now_ms: u64) -> bool {
        self.min_expiry_ms > 0 && self.max_expiry_ms <= now_ms
    }
}

impl Sst {
    /// The bounds of a vector's stamps, from the zone maps; the file's own where there is no such vector.
    ///
    /// # Errors
    /// `Corrupt` where bytes changed on disk.
    pub fn stamps(&self, v: usize) -> Result<StampZone> {
        let at = (v < self.vectors).then(|| self.at(v)).transpose();
        let at = at.map_err(|error| error.context(&self.path))?;
        let zone = |kind| -> Result<Option<(u64, u64)>> {
            let (Some(column), Some(at)) = (self.column(kind), &at) else {
                return Ok(None);
            };
            let index = column.index(&at.page);
            let index = index.map_err(|error| error.context(&self.path))?;
            Ok(index.zones.ints(at.place(), at.rows))
        };
        let meta = self.meta();
        // Zones order their integers as signed ones; what lies beyond is not bounded by them.
        let ordered = |(low, _): &(u64, u64)| i64::try_from(*low).is_ok();
        let (min_hlc, max_hlc) = zone(ColumnKind::Hlc)?
            .filter(ordered)
            .unwrap_or((meta.min_hlc.0, meta.max_hlc.0));
        let expiry = zone(ColumnKind::Expiry)?.unwrap_or((0, 0));
        let (min_expiry_ms, max_expiry_ms) = Some(expiry).filter(ordered).unwrap_or((0, u64::MAX));
        Ok(StampZone {
            min_hlc,
            max_hlc,
            min_expiry_ms,
            max_expiry_ms,
            tombstones: zone(ColumnKind::Tombstone)?.is_some_and(|(_, any)| any > 0),
        })
    }
}
