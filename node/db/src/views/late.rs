//! Late rows on their way into the table that takes them. They become durable in one record with how far the log was
//! looked at for them: so each goes there once, also where the node is killed in between. What is computed leaves out
//! what that table holds, so a row is in the view or there, whatever is computed again later.

use activestore_catalog::Change;
use activestore_query::LeftOut;
use activestore_types::{
    BatchColumn, ErrorKind, Hlc, Lsn, NamedBatch, NamedColumn, Result, RowBatch, TableSchema,
};
use arrow::array::{BooleanArray, BooleanBufferBuilder};
use arrow::buffer::ScalarBuffer;
use arrow::compute::filter;

use super::saved::Region;
use super::upkeep::Upkeep;
use crate::db::Inner;
use crate::events::Kind;
use crate::write::effect::Effects;
use crate::write::resolve::Staged;

/// Late rows that are remembered until they are written, in bytes …
const LATE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// … and those that are written in one record, but for rows that came in one: the log takes no record of any length.
const PART_BYTES_MAX: usize = if cfg!(test) { 256 } else { 8 * 1024 * 1024 };
/// A row whose life differs by more than this from what its table gives was given one of its own, in milliseconds:
/// its stamp is no earlier than its write, and a little later where many rows are written at once.
const OWN_LIFE_MS: u64 = 1_000;

/// Late rows that are not written yet, as the log has them.
#[derive(Debug, Default)]
pub(super) struct LateRows {
    batches: Vec<LateBatch>,
    rows: u64,
    bytes: usize,
    /// Why the last ones could not be written that were lost.
    pub(super) why_lost: Option<String>,
}

/// Late rows of one record of the log.
#[derive(Debug)]
struct LateBatch {
    lsn: Lsn,
    batch: RowBatch,
}

impl LateRows {
    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= LATE_BYTES_MAX
    }

    /// Takes those rows of a batch that are marked.
    ///
    /// # Errors
    /// `Internal` for a batch whose columns differ in length.
    pub(super) fn add(&mut self, lsn: Lsn, batch: &RowBatch, late: &BooleanArray) -> Result<()> {
        let rows = late.true_count();
        if rows == 0 {
            return Ok(());
        }
        let columns = batch.columns.iter().map(|column| {
            let set = column.set.as_ref().map(|set| {
                let mut kept = BooleanBufferBuilder::new(rows);
                let picked = (0..set.len().min(late.len())).filter(|row| late.value(*row));
                picked.for_each(|row| kept.append(set.value(row)));
                kept.finish()
            });
            Ok(BatchColumn {
                id: column.id,
                array: filter(&column.array, late)?,
                set,
            })
        });
        let of = |all: &ScalarBuffer<u64>| {
            let picked = all.iter().zip(late).filter(|(_, late)| *late == Some(true));
            picked.map(|(number, _)| *number).collect()
        };
        let taken = RowBatch {
            table: batch.table,
            rows,
            columns: columns.collect::<Result<_>>()?,
            hlc: of(&batch.hlc),
            origin: Vec::<u32>::new().into(),
            expiry_ms: batch.expiry_ms.as_ref().map(of),
            tombstone: None,
        };
        self.rows += rows as u64;
        self.bytes += taken.memory_bytes();
        self.batches.push(LateBatch { lsn, batch: taken });
        Ok(())
    }

    /// How many batches are written next: those of whole records, so that a place in the log tells which are written.
    fn part(&self) -> usize {
        let (mut count, mut bytes) = (0, 0);
        for record in self.batches.chunk_by(|one, other| one.lsn == other.lsn) {
            let all = record.iter().map(|late| late.batch.memory_bytes());
            bytes += all.sum::<usize>();
            if count > 0 && bytes > PART_BYTES_MAX {
                break;
            }
            count += record.len();
        }
        count
    }

    /// Takes out the first batches. How many rows they are.
    fn take(&mut self, count: usize) -> u64 {
        let count = count.min(self.batches.len());
        let mut rows = 0;
        for late in self.batches.drain(..count) {
            rows += late.batch.rows as u64;
            self.bytes = self.bytes.saturating_sub(late.batch.memory_bytes());
        }
        self.rows = self.rows.saturating_sub(rows);
        rows
    }
}

impl Upkeep {
    /// Writes the late rows that were seen, before anything is computed: what is computed leaves them out.
    ///
    /// # Errors
    /// As a write.
    pub(super) fn send_late(&mut self, inner: &Inner) -> Result<()> {
        if self.late_rows.is_empty() {
            return Ok(());
        }
        self.note_so_far(inner)
    }

    /// Writes late rows that are too many for one record, but for the last of them, which go with what is noted.
    ///
    /// # Errors
    /// As a write.
    pub(super) fn send_late_parts(&mut self, inner: &Inner) -> Result<()> {
        loop {
            let part = self.late_rows.part();
            let Some(behind) = self.late_rows.batches.get(part) else {
                return Ok(());
            };
            let mut saved = self.saved.clone();
            saved.regions = self.dirty.all_regions();
            saved.late_upto = behind.lsn.0.saturating_sub(1);
            let rest = self.late_rows.batches.iter().skip(part);
            let rest: usize = rest.map(|late| late.batch.rows).sum();
            saved.late = self.late.saturating_sub(rest as u64);
            let effects = Effects {
                upserts: self.staged_late(inner, part)?,
                ..Effects::default()
            };
            inner.write_view(effects, vec![saved.note(self.id)?])?;
            self.saved = saved;
            self.is_noted = true;
            self.done.late_kept += self.late_rows.take(part);
        }
    }

    /// The first late rows as they are written, with columns that the table got since.
    ///
    /// # Errors
    /// Where they do not fit.
    pub(super) fn staged_late(&self, inner: &Inner, part: usize) -> Result<Vec<Staged>> {
        let taken = self.late_rows.batches.iter().take(part);
        let taken: Vec<&RowBatch> = taken.map(|late| &late.batch).collect();
        let Some(name) = self.def.late.table().filter(|_| !taken.is_empty()) else {
            return Ok(Vec::new());
        };
        let state = inner.catalog.state();
        let base = state.table(&self.def.base)?;
        let mut grown = Vec::new();
        let late = state.table(name)?;
        let mut batches = Vec::new();
        for batch in &taken {
            let mut columns = Vec::new();
            for column in &batch.columns {
                // One that was dropped from the definitions says nothing any more.
                let Some(known) = base.column_by_id(column.id) else {
                    continue;
                };
                if late.column(&known.name).is_none() {
                    grown.push((known.name.clone(), known.data_type));
                }
                columns.push(NamedColumn {
                    name: known.name.clone(),
                    array: column.array.clone(),
                    set: column.set.clone(),
                    declared: Some(known.data_type),
                });
            }
            batches.push(NamedBatch {
                table: name.clone(),
                rows: batch.rows,
                columns,
                ttl_s: None,
                create: None,
            });
        }
        if !grown.is_empty() {
            grown.sort_by(|one, other| one.0.cmp(&other.0));
            grown.dedup_by(|one, other| one.0 == other.0);
            inner.change(Change::AddColumns {
                table: name.clone(),
                columns: grown,
                if_not_exists: true,
            })?;
        }
        let now_ms = inner.wall_ms();
        let staged = batches.iter().zip(taken);
        let staged = staged.map(|(named, batch)| {
            let staged = inner.resolve_one(named)?;
            let expiry_ms = expiry_ms(batch, base, &staged, now_ms);
            Ok(Staged {
                expiry_ms,
                ..staged
            })
        });
        staged.collect()
    }

    /// The late rows are written.
    pub(super) fn late_written(&mut self) {
        self.done.late_kept += self.late_rows.take(usize::MAX);
    }

    /// Writes late rows because somebody needs the log, which is held within a bound, or they are as many as can be
    /// remembered. Those that cannot be written are counted as lost, and belong to the view again: a row is there or in
    /// their table.
    ///
    /// # Errors
    /// Where nothing can be written at all: then nothing is lost either.
    pub(super) fn let_late_go(&mut self, inner: &Inner) -> Result<()> {
        let Err(error) = self.send_late(inner) else {
            return Ok(());
        };
        if matches!(error.kind(), ErrorKind::Poisoned | ErrorKind::Closed) {
            return Err(error);
        }
        let rows = self.late_rows.rows;
        let table = self.def.late.table().map(ToString::to_string);
        let text = format!(
            "{rows} late rows of the materialized view {} could not be written into {} before the log had to be let go, and are counted in instead: {error}",
            self.name,
            table.unwrap_or_default()
        );
        tracing::error!(view = %self.name, rows, %error, "late rows of a materialized view could not be written before the log had to be let go; they are counted in instead");
        inner.events.tell(Kind::LateRowsLost, None, text.clone());
        let floor_ns = self.floor_ns(inner);
        let query = self.query.clone();
        let lost = std::mem::take(&mut self.late_rows);
        for late in lost.batches {
            let touched = query
                .as_ref()
                .map(|query| self.touch(query, &late.batch, floor_ns, &Some));
            if !matches!(touched, Some(Ok(()))) {
                self.dirty.add(Region::all());
            }
        }
        self.done.late_lost += rows;
        self.late_rows.why_lost = Some(text);
        Ok(())
    }

    /// What its query leaves out.
    pub(super) fn left_out(&self, base: &TableSchema) -> Option<LeftOut> {
        let table = self.def.late.table()?.clone();
        let key = base.key_columns();
        let key = key.filter_map(|key| Some(base.column_by_id(key.id)?.name.clone()));
        let key = key.collect();
        Some(LeftOut { table, key })
    }
}

/// When late rows expire: those that were given a life of their own when it ends, the others as their table says.
fn expiry_ms(
    batch: &RowBatch,
    base: &TableSchema,
    late: &Staged,
    now_ms: u64,
) -> Option<ScalarBuffer<u64>> {
    let millis = |seconds: u64| seconds.saturating_mul(1_000);
    let by_table = late
        .ttl_s
        .map_or(0, |ttl_s| now_ms.saturating_add(millis(ttl_s)));
    let expiry_ms = batch.expiry_ms.as_ref()?;
    let rows = expiry_ms.iter().zip(batch.hlc.iter());
    let each = rows.map(|(expiry, hlc)| {
        let life = expiry.saturating_sub(Hlc(*hlc).wall_ms());
        let of_base = match base.ttl_s {
            Some(ttl_s) => life.abs_diff(millis(ttl_s)) <= OWN_LIFE_MS,
            None => *expiry == 0,
        };
        if of_base { by_table } else { *expiry }
    });
    Some(each.collect())
}
