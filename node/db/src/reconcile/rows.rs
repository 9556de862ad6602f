//! Single rows of a day: their places and numbers, their keys, and the rows themselves as they are stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use activestore_store::WalkedRow;
use activestore_sync_proto::limits::MAX_FRAME_BYTES;
use activestore_sync_proto::reconcile::{
    FAN_OUT, Held, ITEMS_MAX, Items, KeyAt, Pick, Sum, View, cuts, keyed,
};
use activestore_types::{Error, OriginId, Result, RowBatch, TableName, TableSchema};
use bytes::Bytes;

use super::days::{WHOLE, compares_deletes, day_of, times_of};
use super::others::parts;
use crate::db::Inner;
use crate::outbox::SEAL_BYTES;
use crate::outbox::segment::Segment;

/// Rows that travel or are shipped again at once.
const PIECE_ROWS: usize = 4096;
/// Places that are looked at where there are too many rows to hold: enough to cut them well.
const SAMPLES_MAX: usize = 1 << 13;

/// Rows of a range of a day that are held while they are compared.
pub(super) struct Loaded {
    view: View,
    table: TableName,
    day: i32,
    range: (u64, u64),
    items: Arc<Items>,
}

/// Places at even distances in the order they came, few enough to keep.
struct Samples {
    places: Vec<u64>,
    every: usize,
    seen: usize,
}

impl Samples {
    fn push(&mut self, place: u64) {
        if self.seen.is_multiple_of(self.every) {
            self.places.push(place);
        }
        self.seen += 1;
        if self.places.len() >= SAMPLES_MAX {
            let mut number = 0_usize;
            self.places.retain(|_| {
                number += 1;
                number % 2 == 1
            });
            self.every *= 2;
        }
    }
}

/// Takes picked rows of a table.
type Ship<'a> = dyn FnMut(&Arc<TableSchema>, Vec<RowBatch>) -> Result<()> + 'a;

impl Inner {
    /// Shows the writer's rows of a day, each with its place and its number.
    fn rows_of_day(
        &self,
        view: &View,
        table: &TableName,
        day: i32,
        show: &mut dyn FnMut(u64, u128, &WalkedRow<'_>) -> Result<bool>,
    ) -> Result<()> {
        let schema = self.compared_table(view.whose, table)?;
        let writer = self.writer(view)?;
        if schema.time_column().is_some() == (day == WHOLE) {
            return Ok(()); // a day that such a table cannot have
        }
        let Some(snapshot) = self.snapshot_of(&schema)? else {
            return Ok(());
        };
        let erased = compares_deletes(snapshot.schema());
        snapshot.walk(times_of(day, day), view.now_ms, erased, &mut |row| {
            if row.newest <= view.as_of.0 && row.time_ns.map_or(WHOLE, day_of) == day {
                for share in parts(view, writer, row) {
                    if !show(share.hlc, keyed(view.seed, share.hash), row)? {
                        return Ok(false);
                    }
                }
            }
            Ok(true)
        })
    }

    /// The rows of a range of a day in memory, or bounds that cut them into parts.
    pub(super) fn load(
        &self,
        view: &View,
        table: &TableName,
        day: i32,
        range: (u64, u64),
    ) -> Result<Held> {
        {
            let loaded = self.reconcile.loaded.lock();
            if let Some(known) = loaded.as_ref()
                && known.view == *view
                && known.table == *table
                && known.day == day
                && known.range.0 <= range.0
                && known.range.1 >= range.1
            {
                return Ok(Held::Rows(known.items.clone()));
            }
        }
        let mut rows = Vec::new();
        let mut samples = Samples {
            places: Vec::new(),
            every: 1,
            seen: 0,
        };
        self.rows_of_day(view, table, day, &mut |place, number, _| {
            if place >= range.0 && (range.1 == u64::MAX || place < range.1) {
                samples.push(place);
                match samples.seen > ITEMS_MAX {
                    true => rows.clear(),
                    false => rows.push((place, number)),
                }
            }
            Ok(true)
        })?;
        if samples.seen > ITEMS_MAX {
            samples.places.sort_unstable();
            return Ok(Held::Parts(cuts(&samples.places, FAN_OUT)));
        }
        let items = Arc::new(Items::new(rows));
        *self.reconcile.loaded.lock() = Some(Loaded {
            view: view.clone(),
            table: table.clone(),
            day,
            range,
            items: items.clone(),
        });
        Ok(Held::Rows(items))
    }

    /// The sums of ranges of a day, which rise and do not overlap.
    pub(super) fn range_sums(
        &self,
        view: &View,
        table: &TableName,
        day: i32,
        ranges: &[(u64, u64)],
    ) -> Result<Vec<Sum>> {
        let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else {
            return Ok(Vec::new());
        };
        if let Held::Rows(items) = self.load(view, table, day, (first.0, last.1))? {
            let sums = ranges.iter().map(|(low, high)| items.sum(*low, *high));
            return Ok(sums.collect());
        }
        let mut sums = vec![Sum::default(); ranges.len()];
        self.rows_of_day(view, table, day, &mut |place, number, _| {
            let at = ranges.partition_point(|(low, _)| *low <= place);
            let inside = at.checked_sub(1).filter(|at| {
                let range = ranges.get(*at);
                range.is_some_and(|(_, high)| *high == u64::MAX || place < *high)
            });
            if let Some(sum) = inside.and_then(|at| sums.get_mut(at)) {
                sum.push(number);
            }
            Ok(true)
        })?;
        Ok(sums)
    }

    /// The keys of picked rows with the lowest places.
    pub(super) fn picked_keys(
        &self,
        view: &View,
        table: &TableName,
        day: i32,
        pick: &Pick,
        limit: usize,
    ) -> Result<Vec<KeyAt>> {
        let mut found: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        self.rows_of_day(view, table, day, &mut |place, number, row| {
            let beyond = found.len() >= limit
                && found
                    .last_key_value()
                    .is_some_and(|(last, _)| *last < place);
            if !beyond && pick.takes(place, number as u64) {
                found.insert(place, row.key.to_vec());
                if found.len() > limit {
                    found.pop_last();
                }
            }
            Ok(true)
        })?;
        let keys = found.into_iter();
        let keys = keys.map(|(place, key)| KeyAt {
            key,
            hlc: activestore_types::Hlc(place),
        });
        Ok(keys.collect())
    }

    /// The place behind the first rows of a pick, so many at most; `None` where all of it are fewer.
    fn piece_end(
        &self,
        view: &View,
        table: &TableName,
        day: i32,
        pick: &Pick,
        rows: usize,
    ) -> Result<Option<u64>> {
        let mut high = pick.high;
        loop {
            match self.load(view, table, day, (pick.low, high))? {
                Held::Rows(items) => {
                    let beyond = items.place_after(pick, rows);
                    let cut = (high != pick.high).then_some(high);
                    return Ok(beyond.or(cut));
                }
                Held::Parts(cuts) => match cuts.first() {
                    Some(cut) => high = *cut,
                    None => {
                        return Err(Error::overloaded("too many rows have one stamp"));
                    }
                },
            }
        }
    }

    /// The stored fragments of the first picked rows, and the place behind them; `None` after the last.
    pub(super) fn picked_fragments(
        &self,
        view: &View,
        table: &TableName,
        day: i32,
        pick: &Pick,
        rows: usize,
    ) -> Result<(Vec<RowBatch>, u64, Option<u64>)> {
        let writer = self.writer(view)?;
        let next = self.piece_end(view, table, day, pick, rows)?;
        let mut found: BTreeMap<u64, Vec<RowBatch>> = BTreeMap::new();
        self.rows_of_day(view, table, day, &mut |place, number, row| {
            let here = next.is_none_or(|next| place < next);
            if here && pick.takes(place, number as u64) {
                found.insert(place, row.fragments(writer));
            }
            Ok(true)
        })?;
        let count = found.len() as u64;
        let batches = found.into_values().flatten();
        Ok((batches.map(as_own).collect(), count, next))
    }

    /// The same as a payload that fits a frame.
    pub(super) fn rows_to_send(
        &self,
        view: &View,
        table: &TableName,
        day: i32,
        pick: &Pick,
    ) -> Result<(Bytes, u64, Option<u64>)> {
        let mut most = PIECE_ROWS;
        loop {
            let (batches, rows, next) = self.picked_fragments(view, table, day, pick, most)?;
            let bytes: usize = batches.iter().map(RowBatch::memory_bytes).sum();
            if bytes <= 16 * SEAL_BYTES || most == 1 {
                let schema = self.compared_table(view.whose, table)?;
                let payload = packed(&schema, batches)?;
                if payload.len() <= MAX_FRAME_BYTES {
                    return Ok((payload, rows, next));
                }
                if most == 1 {
                    return Err(Error::invalid(format!(
                        "the fragments of one row of {table} take {} bytes, more than a frame carries",
                        payload.len()
                    ))
                    .with_hint("ALTER TABLE … COMPACT merges them"));
                }
            }
            most = (most / 4).max(1);
        }
    }

    /// Ships picked rows again; how many.
    pub(super) fn ship_picked(
        &self,
        view: &View,
        table: &TableName,
        day: i32,
        pick: &Pick,
        ship: &mut Ship<'_>,
    ) -> Result<u64> {
        let schema = self.compared_table(view.whose, table)?;
        let mut pick = pick.clone();
        let mut shipped = 0;
        loop {
            let (batches, rows, next) =
                self.picked_fragments(view, table, day, &pick, PIECE_ROWS)?;
            shipped += rows;
            ship(&schema, batches)?;
            match next {
                Some(next) if next > pick.low => pick.low = next,
                _ => return Ok(shipped),
            }
        }
    }
}

fn packed(schema: &Arc<TableSchema>, batches: Vec<RowBatch>) -> Result<Bytes> {
    let members: Vec<_> = batches
        .into_iter()
        .map(|batch| (schema.clone(), batch))
        .collect();
    Segment::pack(&members, Vec::new(), None).map(Bytes::from)
}

/// As the writer itself stores it: a segment of one node's rows does not name the node.
fn as_own(mut batch: RowBatch) -> RowBatch {
    batch.origin = std::iter::repeat_n(OriginId(0).0, batch.rows).collect();
    batch
}
