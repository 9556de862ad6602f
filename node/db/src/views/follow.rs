//! Following changed rows of reference tables: from each to the groups and windows whose rows look it up.
//!
//! Where the groups themselves say what is looked up, those of a few changed rows are computed anew as regions, and nothing
//! is looked for. Otherwise the base is looked through, of its columns only those of the groups and the time, in stretches
//! whose length follows what they take, as far back as its windows are computed at all.

use std::collections::BTreeMap;
use std::time::Duration;

use activestore_query::{ViewQuery, Within, cast_lossless, quote};
use activestore_types::{ColumnId, Error, Result, encode_keys};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::TimestampNanosecondType;
use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use tokio::runtime::Runtime;

use super::compute::full;
use super::expiring::Expiring;
use super::reference::{Hunt, is_anchored, values};
use super::regions::{STEP_LONG, STEP_SHORT};
use super::saved::Region;
use super::upkeep::Upkeep;
use super::work::{first_since, is_of_all};
use crate::db::Inner;

/// Regions that are made of changed rows at once; beyond them the base is looked through.
const REGIONS_AT_ONCE: usize = 16;
/// Windows of a stretch of the base at the most: it is looked through without a rest.
const STRETCH_WINDOWS_MAX: i64 = 16_384;
/// How long the base is looked through in one go.
const HUNT_WORK: Duration = Duration::from_millis(250);

impl Upkeep {
    /// Marks what changed rows of reference tables touch, for a while at the most.
    pub(super) fn follow(
        &mut self,
        inner: &Inner,
        runtime: &Runtime,
        query: &ViewQuery,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<()> {
        if query.references.is_empty() {
            return Ok(());
        }
        let now_ms = inner.wall_ms();
        self.joined.expire(now_ms);
        if self.joined.is_unknown {
            self.learn_moments(inner, query, now_ms, goes_on)?;
        }
        match self.joined.take() {
            None => self.dirty.add(Region::all()),
            Some(rows) => {
                if let Err(error) = self.mark_changed(inner, query, &rows, now_ms) {
                    self.joined.put_back(rows);
                    return Err(error);
                }
            }
        }
        self.hunt(inner, runtime, query, goes_on)?;
        if self.joined.is_idle() && self.expiry_is_over(now_ms) {
            self.is_noted = false;
        }
        Ok(())
    }

    /// Learns when the rows of reference tables expire.
    fn learn_moments(
        &mut self,
        inner: &Inner,
        query: &ViewQuery,
        now_ms: u64,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<()> {
        let mut expiring = Expiring::default();
        let tables = || query.references.iter().map(|reference| &reference.table);
        for (first, table) in tables().enumerate() {
            // One that is looked up in several places is walked for the first of them.
            if tables().take(first).any(|one| one.id == table.id) {
                continue;
            }
            let Some(snapshot) = inner.snapshot_of(table)? else {
                continue;
            };
            let places = tables().enumerate();
            let places = places.filter(|(_, one)| one.id == table.id);
            let places: Vec<usize> = places.map(|(place, _)| place).collect();
            snapshot.walk(None, now_ms, false, &mut |row| {
                for place in places.iter().filter(|_| row.expires_ms > 0) {
                    expiring.set((*place, row.key.to_vec()), Some(row.expires_ms));
                }
                Ok(goes_on())
            })?;
        }
        if goes_on() {
            self.joined.learned(expiring);
        }
        Ok(())
    }

    fn mark_changed(
        &mut self,
        inner: &Inner,
        query: &ViewQuery,
        rows: &BTreeMap<(usize, Vec<u8>), Option<u64>>,
        now_ms: u64,
    ) -> Result<()> {
        let mut all = Vec::new();
        for (place, reference) in query.references.iter().enumerate() {
            let mut rows = rows.iter().filter(|((of, _), _)| *of == place).peekable();
            if rows.peek().is_none() {
                continue;
            }
            let snapshot = inner.snapshot_of(&reference.table)?;
            let columns = snapshot.as_ref().map(|snapshot| {
                let columns = snapshot.schema().columns.iter();
                columns.map(|column| column.id).collect::<Vec<_>>()
            });
            let mut followed = Vec::new();
            for ((_, key), quiet) in rows {
                let held = match (&snapshot, &columns) {
                    (Some(snapshot), Some(columns)) => {
                        snapshot.stamped(key, columns, now_ms)?.cells
                    }
                    _ => Vec::new(),
                };
                let cells = || held.iter().flatten();
                let expires = cells().map(|cell| cell.expiry_ms);
                let expires = expires.filter(|moment| *moment > now_ms).min();
                self.joined.expiring.set((place, key.clone()), expires);
                // What is older than all that was written says that the row was there. Only a value does: a cell that
                // is NULL is shown as well where the newest write alone holds the row, and the row may have been gone.
                let stored = columns.iter().flatten().zip(&held);
                let mut stored = stored.filter(|(id, _)| !reference.table.is_key(**id));
                let was_there = |first: u64| {
                    stored.any(|(_, cell)| {
                        let cell = cell.as_ref();
                        cell.is_some_and(|cell| cell.hlc.0 < first && cell.value.is_valid(0))
                    })
                };
                if quiet.is_some_and(was_there) {
                    continue;
                }
                let values = values(&reference.table, key);
                followed.push(values.ok_or_else(|| Error::internal("a key that is none"))?);
            }
            all.push((reference, followed));
        }
        // Not before all could be read: else they would be looked for twice.
        for (reference, followed) in all {
            self.done.references_followed += followed.len() as u64;
            if reference.by.iter().all(Option::is_none) && !followed.is_empty() {
                self.dirty.add(Region::all());
            } else if is_anchored(query, reference) && followed.len() <= REGIONS_AT_ONCE {
                for values in &followed {
                    self.dirty.add(looking_up(&reference.by, values)?);
                }
            } else {
                self.joined.hunt(&reference.by, &followed)?;
            }
        }
        Ok(())
    }

    /// Looks the base through for rows that look changed ones up.
    fn hunt(
        &mut self,
        inner: &Inner,
        runtime: &Runtime,
        query: &ViewQuery,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<()> {
        let ends = inner.env.clock.monotonic() + HUNT_WORK;
        while let Some(hunt) = self.joined.hunts.front().cloned() {
            let began = inner.env.clock.monotonic();
            if !goes_on() || self.dirty.is_full() || began >= ends {
                break;
            }
            let left = match hunt.left {
                Some(left) => Some(left),
                None => self.ends(inner, runtime, query, (i64::MIN, i64::MAX))?,
            };
            // Windows that the base may have lost a part of stay as they are.
            let since = self.floor_ns(inner).map(|floor| first_since(query, floor));
            let left = left.map(|(from, to)| (from.max(since.unwrap_or(i64::MIN)), to));
            let Some((from, to)) = left.filter(|(from, to)| from <= to) else {
                self.joined.hunts.pop_front();
                continue;
            };
            let slot = query.windows.slot(from);
            let width = query.windows.next(slot).saturating_sub(slot).max(1);
            let stretch = width.saturating_mul(self.joined.step.max(1));
            let last = from.saturating_add(stretch - 1).min(to);
            let found = self.done.references_found;
            let stretch = (from, last);
            let marked = match self.mark_found(inner, runtime, query, &hunt, stretch, goes_on) {
                // A shorter one may be read in the time and the memory that a query has.
                Err(error) if self.joined.step > 1 && !is_of_all(&error) => {
                    self.joined.step /= 2;
                    continue;
                }
                marked => marked?,
            };
            if !marked {
                self.joined.step = (self.joined.step / 2).max(1);
                break;
            }
            let empty = match self.done.references_found == found {
                true => hunt.empty.saturating_add(1),
                false => 0,
            };
            let mut rest = (last < to).then(|| (last.saturating_add(1), to));
            // Where nothing was for long the next row may be far away; looked for ever more seldom, since it may not be.
            if let Some(stretch) = rest
                && self.joined.step >= STRETCH_WINDOWS_MAX
                && empty.is_power_of_two()
            {
                rest = self.ends(inner, runtime, query, stretch)?;
            }
            match (rest, self.joined.hunts.front_mut()) {
                (Some(rest), Some(front)) => {
                    front.left = Some(rest);
                    front.empty = empty;
                }
                _ => {
                    self.joined.hunts.pop_front();
                }
            }
            let took = inner.env.clock.monotonic().saturating_sub(began);
            if took < STEP_SHORT {
                let longer = self.joined.step.max(1).saturating_mul(2);
                self.joined.step = longer.min(STRETCH_WINDOWS_MAX);
            } else if took > STEP_LONG {
                self.joined.step = (self.joined.step / 2).max(1);
            }
        }
        Ok(())
    }

    /// The first and the last moment of a stretch of the base at which it has rows.
    fn ends(
        &self,
        inner: &Inner,
        runtime: &Runtime,
        query: &ViewQuery,
        stretch: (i64, i64),
    ) -> Result<Option<(i64, i64)>> {
        let view = self.schema(inner)?;
        let computed = self.computed(inner, query, &view);
        let stretch = within(query, stretch, &[])?;
        runtime.block_on(computed.ends(&query.base.name, &stretch))
    }

    /// Marks the groups and windows of rows of a stretch of the base that look changed rows up. Whether it came to its end:
    /// not where there is no room for more, of a stretch that can be shorter, or where it is to stop.
    fn mark_found(
        &mut self,
        inner: &Inner,
        runtime: &Runtime,
        query: &ViewQuery,
        hunt: &Hunt,
        stretch: (i64, i64),
        goes_on: &dyn Fn() -> bool,
    ) -> Result<bool> {
        let within = within(query, stretch, &hunt.among)?;
        let mut names = vec![quote(&within.time)];
        for (id, _) in &query.anchors {
            names.push(quote(&name(query, *id)?));
        }
        let sql = format!(
            "SELECT {} FROM {}",
            names.join(", "),
            full(&query.base.name)
        );
        runtime.block_on(async {
            let mut stream = inner.engine.query_within(&sql, &within).await?.stream;
            while let Some(batch) = stream.next().await {
                let batch = batch?;
                let is_full = self.dirty.is_full();
                if !goes_on() || (is_full && self.joined.step > 1) {
                    return Ok(false);
                }
                if is_full {
                    self.dirty.widen(&query.windows);
                }
                self.done.references_found += batch.num_rows() as u64;
                self.mark_rows(query, &batch)?;
            }
            Ok(true)
        })
    }

    fn mark_rows(&mut self, query: &ViewQuery, batch: &RecordBatch) -> Result<()> {
        let missing =
            || Error::internal("a query of a view's table gives other columns than it names");
        let mut columns = batch.columns().iter();
        let times = columns.next().ok_or_else(missing)?;
        let times = times.as_primitive_opt::<TimestampNanosecondType>();
        let times = times.ok_or_else(missing)?;
        let anchors = query.anchors.iter().zip(columns);
        let anchors = anchors.map(|((id, _), column)| {
            let known = query.base.column_by_id(*id).ok_or_else(missing)?;
            Ok((cast_lossless(&known.name, known.data_type, column)?, false))
        });
        let anchors = anchors.collect::<Result<Vec<(ArrayRef, bool)>>>()?;
        let groups = match anchors.is_empty() {
            true => None,
            false => Some(encode_keys(&anchors)?),
        };
        let mut last: Option<(&[u8], i64)> = None;
        for row in 0..times.len() {
            let slot = query.windows.slot(times.value(row));
            let group = groups.as_ref().map_or(&[][..], |groups| groups.key(row));
            if last != Some((group, slot)) {
                self.dirty.mark_found(group, slot);
                last = Some((group, slot));
            }
        }
        Ok(())
    }
}

/// The groups that look up a row with these values of its key.
fn looking_up(by: &[Option<ColumnId>], values: &[ArrayRef]) -> Result<Region> {
    let mut region = Region::all();
    for (column, value) in by.iter().zip(values) {
        if let Some(column) = column {
            let key = encode_keys(&[(value.clone(), false)])?;
            region.among.push((column.0, key.key(0).to_vec()));
        }
    }
    Ok(region)
}

fn name(query: &ViewQuery, id: ColumnId) -> Result<String> {
    let column = query.base.column_by_id(id);
    column
        .map(|column| column.name.clone())
        .ok_or_else(|| Error::internal("a view's table lost a column"))
}

fn within(
    query: &ViewQuery,
    (from, to): (i64, i64),
    among: &[(ColumnId, ArrayRef)],
) -> Result<Within> {
    let among = among.iter();
    Ok(Within {
        table: query.base.name.clone(),
        time: name(query, query.time)?,
        from,
        to,
        among: among
            .map(|(id, values)| Ok((name(query, *id)?, values.clone())))
            .collect::<Result<_>>()?,
        but: None,
        beside: Vec::new(),
        in_order: false,
    })
}

#[cfg(test)]
mod tests;
