//! The bounds of questions and answers, checked before anything is made of them.

use activestore_types::{Error, Result, TableName};

use super::holdings::{CELLS_MAX, Erasure, Judgement, KeyAt};
use super::question::{Answer, Ask, CodedRange, Found, Question};
use super::{
    DAYS_MAX, IDS_MAX, KEY_BYTES_MAX, KEYS_MAX, LISTED_MAX, RANGES_MAX, SYMBOLS_ASKED_MAX,
    SYMBOLS_MAX,
};
use crate::limits::{MAX_DIGEST_TABLES, MAX_FRAME_BYTES, MAX_NAME_BYTES, MAX_REASON_BYTES};

fn most(what: &str, count: usize, most: usize) -> Result<()> {
    if count > most {
        return Err(Error::invalid(format!(
            "a comparison names {count} {what} where {most} are allowed"
        )));
    }
    Ok(())
}

fn named(name: &str) -> Result<()> {
    most("bytes of a name", name.len(), MAX_NAME_BYTES)
}

fn table(name: &TableName) -> Result<()> {
    named(&name.keyspace)?;
    named(&name.table)
}

fn keys(keys: &[KeyAt]) -> Result<()> {
    most("keys", keys.len(), KEYS_MAX)?;
    let bytes = keys.iter().map(|key| key.key.len()).sum();
    most("bytes of keys", bytes, KEY_BYTES_MAX)
}

fn erasures<'a>(erased: impl Iterator<Item = &'a Erasure>) -> Result<()> {
    let bytes = erased.map(|one| one.start.len() + one.end.len()).sum();
    most("bytes of keys", bytes, KEY_BYTES_MAX)
}

fn as_many(one: usize, other: usize) -> Result<()> {
    if one != other {
        return Err(Error::invalid(
            "the parts of a comparison do not fit each other",
        ));
    }
    Ok(())
}

impl Question {
    /// Whether every part keeps within its bounds.
    pub(crate) fn check_bounds(&self) -> Result<()> {
        most(
            "tables whose older rows are gone",
            self.view.evicted.len(),
            MAX_DIGEST_TABLES,
        )?;
        self.view
            .evicted
            .iter()
            .try_for_each(|(name, _)| table(name))?;
        match &self.ask {
            Ask::Groups(groups) => {
                most("keyspaces", groups.len(), MAX_DIGEST_TABLES)?;
                groups.iter().try_for_each(|(name, _)| named(name))
            }
            Ask::Tables { keyspace, sums } => {
                named(keyspace)?;
                most("tables", sums.len(), MAX_DIGEST_TABLES)?;
                sums.iter().try_for_each(|(name, _)| named(name))
            }
            Ask::Days {
                table: name,
                cuts,
                sums,
            } => {
                table(name)?;
                most("ranges", sums.len(), RANGES_MAX)?;
                as_many(cuts.len() + 1, sums.len())
            }
            Ask::Sums {
                table: name,
                ranges,
                sums,
                ..
            } => {
                table(name)?;
                most("ranges", sums.len(), RANGES_MAX)?;
                as_many(ranges.0.len(), 2 * sums.len())
            }
            Ask::Have {
                table: name,
                ranges,
                ids,
                ..
            } => {
                table(name)?;
                most("ranges", ids.len(), RANGES_MAX)?;
                as_many(ranges.0.len(), 2 * ids.len())?;
                ids.iter()
                    .try_for_each(|ids| most("ids", ids.len(), u32::BITS as usize))
            }
            Ask::Coded {
                table: name,
                ranges,
                ..
            } => {
                table(name)?;
                most("ranges", ranges.len(), RANGES_MAX)?;
                let asked = ranges.iter().map(|range| range.count as usize).sum();
                most("symbols", asked, SYMBOLS_ASKED_MAX)?;
                // One row is in one range, so that an answer costs no more than the day has rows.
                if !ranges.is_sorted_by(|one, next| one.high <= next.low) {
                    return Err(Error::invalid("ranges of coded symbols overlap"));
                }
                let last = |range: &CodedRange| range.from as usize + range.count as usize;
                let last = ranges.iter().map(last).max().unwrap_or(0);
                most("symbols of one range", last, SYMBOLS_MAX)
            }
            Ask::Keys {
                table: name, pick, ..
            }
            | Ask::Rows {
                table: name, pick, ..
            } => {
                table(name)?;
                most("ids", pick.ids.len(), IDS_MAX)
            }
            Ask::Judge {
                table: name,
                keys: all,
            } => {
                table(name)?;
                keys(all)
            }
            Ask::Told(_) => Ok(()),
        }
    }
}

impl Answer {
    /// Whether every part keeps within its bounds.
    pub(crate) fn check_bounds(&self) -> Result<()> {
        match &self.found {
            Err(reason) => most("bytes of a reason", reason.len(), MAX_REASON_BYTES),
            Ok(Found::Groups {
                differing, evicted, ..
            }) => {
                most("keyspaces", differing.len(), MAX_DIGEST_TABLES)?;
                most("tables", evicted.len(), MAX_DIGEST_TABLES)?;
                differing.iter().try_for_each(|name| named(name))?;
                evicted.iter().try_for_each(|(name, _)| table(name))
            }
            Ok(Found::Tables(tables)) => {
                most("tables", tables.len(), MAX_DIGEST_TABLES)?;
                tables.iter().try_for_each(|(name, _)| named(name))
            }
            Ok(Found::Days { ranges, days, .. }) => {
                most("ranges", ranges.len(), RANGES_MAX)?;
                most("days", days.len(), DAYS_MAX)
            }
            Ok(Found::Sums(others)) => {
                most("ranges", others.len(), RANGES_MAX)?;
                let ids = others.iter().map(|other| other.ids.len()).sum();
                most("ids", ids, RANGES_MAX * LISTED_MAX)
            }
            Ok(Found::Have(all)) => most("ranges", all.len(), RANGES_MAX),
            Ok(Found::Coded(ranges)) => {
                most("ranges", ranges.len(), RANGES_MAX)?;
                let symbols = ranges.iter().map(|(_, symbols)| symbols.len()).sum();
                most("symbols", symbols, SYMBOLS_ASKED_MAX)
            }
            Ok(Found::Keys(all)) => keys(all),
            Ok(Found::Judged(all)) => {
                most("keys", all.len(), KEYS_MAX)?;
                let cells = all.iter().map(Judgement::cells).sum();
                most("cells", cells, CELLS_MAX)?;
                erasures(all.iter().filter_map(Judgement::erasure))
            }
            Ok(Found::Rows { payload, .. }) => most("bytes", payload.len(), MAX_FRAME_BYTES),
            Ok(Found::Noted) => Ok(()),
        }
    }
}
