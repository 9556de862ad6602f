//! Late rows on their way into the table that takes them. They become durable in one record with how far the log was
//! looked at for them: so each goes there once, also where the node is killed in between. What is computed leaves out
//! what that table holds, so a row is in the view or there, whatever is computed again later.

use activestore_catalog::{CatalogState, Change, TableOptions, late_table};
use activestore_query::LeftOut;
use activestore_types::{
    BatchColumn, Error, ErrorKind, Hlc, NamedBatch, NamedColumn, Result, RowBatch, SyncMode,
    TableName, TableSchema,
};
use arrow::array::{BooleanArray, BooleanBufferBuilder};
use arrow::buffer::ScalarBuffer;
use arrow::compute::filter;

use super::defining::one_way;
use super::saved::Region;
use super::upkeep::Upkeep;
use crate::db::Inner;
use crate::events::Kind;
use crate::write::resolve::Staged;

/// Late rows that are remembered until they are written, in bytes.
const LATE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// A row whose life differs by more than this from what its table gives was given one of its own, in milliseconds:
/// its stamp is no earlier than its write, and a little later where many rows are written at once.
const OWN_LIFE_MS: u64 = 1_000;

/// Late rows that are not written yet, as the log has them.
#[derive(Debug, Default)]
pub(super) struct LateRows {
    batches: Vec<RowBatch>,
    rows: u64,
    bytes: usize,
    /// Why the last ones could not be written that were lost.
    pub(super) why_lost: Option<String>,
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
        self.batches.push(taken);
        Ok(())
    }

    fn clear(&mut self) {
        self.batches.clear();
        (self.rows, self.bytes) = (0, 0);
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
        let now_ms = inner.wall_ms();
        let staged = batches.iter().zip(&self.late_rows.batches);
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
        self.done.late_kept += self.late_rows.rows;
        self.late_rows.clear();
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
        for batch in std::mem::take(&mut self.late_rows.batches) {
            let touched = query
                .as_ref()
                .map(|query| self.touch(query, &batch, floor_ns, &Some));
            if !matches!(touched, Some(Ok(()))) {
                self.dirty.add(Region::all());
            }
        }
        self.done.late_lost += rows;
        self.late_rows.clear();
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
        let inherited = state.keyspace(&name.keyspace)?.sync;
        let sync = one_way(inherited, self.options.role);
        self.change(Change::CreateTable {
            definition: late_table(name, state.table(base)?, sync),
            if_not_exists: false,
        })?;
        Ok(true)
    }

    /// Refuses a table for late rows that these cannot be written into here, or that does not keep them for as long as
    /// the base does: what went from it would be counted in.
    ///
    /// # Errors
    /// `Invalid`.
    fn check_late_table(&self, late: &TableName, base: &TableName) -> Result<()> {
        let state = self.catalog.state();
        match self.unfit_late(&state, late, base, None) {
            None => Ok(()),
            Some(why) => Err(Error::invalid(why)
                .with_hint("name another table; where there is none of that name it is made")),
        }
    }

    /// Refuses options of a table with which late rows could not be written or kept any more.
    ///
    /// # Errors
    /// `Invalid`, naming a view.
    pub(super) fn check_late_after(
        &self,
        state: &CatalogState,
        table: &TableName,
        options: &TableOptions,
    ) -> Result<()> {
        let kept = options.ttl_s.is_some() || options.keeping.keep_local_s.is_some();
        for (view, def) in &state.views {
            let Some(late) = def.late.table() else {
                continue;
            };
            let is_late = late == table;
            let concerned =
                (is_late && options.sync.is_some()) || (kept && (is_late || def.base == *table));
            if !concerned {
                continue;
            }
            if let Some(why) = self.unfit_late(state, late, &def.base, Some((table, options))) {
                return Err(
                    Error::invalid(format!("materialized view {view}: {why}")).with_hint(format!(
                        "change both tables, or DROP MATERIALIZED VIEW {view} first"
                    )),
                );
            }
        }
        Ok(())
    }

    /// Why a table cannot take late rows, maybe once options of it or of the base are set.
    pub(super) fn unfit_late(
        &self,
        state: &CatalogState,
        late: &TableName,
        base: &TableName,
        set: Option<(&TableName, &TableOptions)>,
    ) -> Option<String> {
        let given = |name: &TableName| {
            let set = set.filter(|(table, _)| *table == name);
            set.map(|(_, options)| options.clone()).unwrap_or_default()
        };
        let there = state.tables.get(late)?;
        let sync = given(late).sync.unwrap_or(there.sync);
        if sync == SyncMode::Down && self.options.role.has_cloud() {
            return Some(format!(
                "late rows are made here, so those of {late} cannot come down from the cloud: say sync = 'up', or sync = 'none'"
            ));
        }
        let kept_ms = |name| self.kept_ms(state, name, &given(name)).unwrap_or(u64::MAX);
        (kept_ms(late) < kept_ms(base)).then(|| {
            format!(
                "{late} keeps its rows for less time than {base} does, and what went from it would be counted in: give it the same ttl and keep_local, or longer ones"
            )
        })
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
            Some(late) => {
                self.check_late_table(late, &def.base)?;
                None
            }
            None => None,
        };
        let outcome = self.change(change).map(|_| ());
        if let (Err(_), Some(name)) = (&outcome, made) {
            let if_exists = true;
            if let Err(error) = self.change(Change::DropTable { name, if_exists }) {
                tracing::warn!(%error, "a table for late rows stays, though the view was not made");
            }
        }
        outcome
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
