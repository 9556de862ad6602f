//! Late rows on their way into the table that takes them. They become durable in one record with how far the log was
//! looked at for them: so each goes there once, also where the node is killed in between. What is computed leaves out
//! what that table holds, so a row is in the view or there, whatever is computed again later.

use activestore_catalog::{CatalogState, Change, late_table};
use activestore_query::LeftOut;
use activestore_types::{
    BatchColumn, Error, NamedBatch, NamedColumn, Result, RowBatch, SyncMode, TableName, TableSchema,
};
use arrow::array::{BooleanArray, BooleanBufferBuilder};
use arrow::compute::filter;

use super::upkeep::Upkeep;
use crate::db::Inner;
use crate::write::resolve::Staged;

/// Late rows that are remembered until they are written, in bytes.
const LATE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Late rows that are not written yet, as the log has them.
#[derive(Debug, Default)]
pub(super) struct LateRows {
    batches: Vec<RowBatch>,
    rows: u64,
    bytes: usize,
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
    pub(super) fn add(&mut self, batch: &RowBatch, late: &BooleanArray) -> Result<()> {
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
        let taken = RowBatch {
            table: batch.table,
            rows,
            columns: columns.collect::<Result<_>>()?,
            hlc: Vec::<u64>::new().into(),
            origin: Vec::<u32>::new().into(),
            expiry_ms: None,
            tombstone: None,
        };
        self.rows += rows as u64;
        self.bytes += taken.memory_bytes();
        self.batches.push(taken);
        Ok(())
    }

    fn clear(&mut self) {
        *self = LateRows::default();
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

    /// The late rows as they are written, with columns that the table got since.
    ///
    /// # Errors
    /// Where they do not fit.
    pub(super) fn staged_late(&self, inner: &Inner) -> Result<Vec<Staged>> {
        let Some(name) = self.def.late.table().filter(|_| !self.late_rows.is_empty()) else {
            return Ok(Vec::new());
        };
        let state = inner.catalog.state();
        let base = state.table(&self.def.base)?;
        let mut grown = Vec::new();
        let late = state.table(name)?;
        let mut batches = Vec::new();
        for batch in &self.late_rows.batches {
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
        let staged = batches.iter().map(|batch| inner.resolve_one(batch));
        staged.collect()
    }

    /// The late rows are written.
    pub(super) fn late_written(&mut self) {
        self.done.late_kept += self.late_rows.rows;
        self.late_rows.clear();
    }

    /// Notes where the view stands though late rows cannot be written: somebody needs the log, which is held within a
    /// bound. They are counted as lost.
    ///
    /// # Errors
    /// As a write.
    pub(super) fn note_at_last(&mut self, inner: &Inner) -> Result<()> {
        let Err(error) = self.note(inner) else {
            return Ok(());
        };
        if self.late_rows.is_empty() || self.staged_late(inner).is_ok() {
            return Err(error);
        }
        tracing::error!(view = %self.name, rows = self.late_rows.rows, %error, "late rows of a materialized view could not be written before the log had to be let go");
        self.error = Some(error.to_string());
        self.done.late_lost += self.late_rows.rows;
        self.late_rows.clear();
        self.note(inner)
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

impl Inner {
    /// Makes the table for late rows where there is none. Whether it was made.
    ///
    /// # Errors
    /// As `CREATE TABLE`.
    pub(super) fn make_late_table(&self, name: &TableName, base: &TableName) -> Result<bool> {
        let state = self.catalog.state();
        if state.tables.contains_key(name) {
            return Ok(false);
        }
        let definition = late_table(name, state.table(base)?, self.late_sync(&state, name)?);
        self.change(Change::CreateTable {
            definition,
            if_not_exists: false,
        })?;
        Ok(true)
    }

    /// Rows that come down are the cloud's alone, and these are made here.
    fn late_sync(&self, state: &CatalogState, name: &TableName) -> Result<Option<SyncMode>> {
        let inherited = state.keyspace(&name.keyspace)?.sync;
        let below = self.options.role.has_cloud();
        Ok((below && inherited == SyncMode::Down).then_some(SyncMode::None))
    }

    /// Makes a view, and its table for late rows with it, which goes again where the view cannot be made.
    ///
    /// # Errors
    /// As the definitions.
    pub(super) fn make_view(&self, change: Change) -> Result<()> {
        let Change::CreateView {
            definition, def, ..
        } = &change
        else {
            return Err(Error::internal("this makes no view"));
        };
        let late = def.late.table().filter(|late| **late != definition.name);
        let made = match late {
            Some(late) if self.make_late_table(late, &def.base)? => Some(late.clone()),
            _ => None,
        };
        let outcome = self.change(change).map(|_| ());
        if let (Err(_), Some(name)) = (&outcome, made) {
            let if_exists = true;
            self.change(Change::DropTable { name, if_exists })?;
        }
        outcome
    }
}
