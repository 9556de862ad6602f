//! What of a table's rows leaves the node. Rows that are about to be sealed pass, in this order, the table's
//! condition (`sync_where`), its filter (a plugin) and its list of columns (`sync_columns`). Deletes pass as
//! they are.
//!
//! Nothing leaves unfiltered: while a condition cannot be computed or a filter fails or is not there, nothing
//! is sealed, and the log keeps the rows. What passes is what the rows and, for a condition on a cell that a
//! write does not name, the row as it is now say; after a crash the same rows are asked again.

use std::collections::HashMap;
use std::sync::Arc;

use activestore_catalog::Sharing;
use activestore_env::Env;
use activestore_plugin_host::SyncFilter;
use activestore_query::{RowPredicate, cast_lossless};
use activestore_store::Store;
use activestore_types::{Result, RowBatch, TableName, TableSchema};
use parking_lot::Mutex;

use crate::plugins::{LoadedFilter, Plugins};

mod rows;

pub(crate) use rows::{deletes_of, picked};

use rows::Rows;

/// What of a table stayed here since the start.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeldBack {
    /// Rows that came to be sealed, deletes left out.
    pub(crate) seen: u64,
    /// Those that stayed here.
    pub(crate) rows: u64,
    /// Cells that stayed here of rows that left.
    pub(crate) cells: u64,
    /// Why nothing of it can leave now.
    pub(crate) error: Option<String>,
}

/// What passed, table by table, to be counted once it is sealed.
pub(crate) type Passed = Vec<(TableName, HeldBack)>;

/// The filters of all tables.
pub(crate) struct Filters {
    plugins: Arc<Plugins>,
    store: Arc<Store>,
    env: Env,
    made: Mutex<HashMap<TableName, Made>>,
    held: Mutex<HashMap<TableName, HeldBack>>,
}

/// What was made for a table of one version.
#[derive(Clone)]
struct Made {
    version: u32,
    condition: Option<(String, Arc<RowPredicate>)>,
    filter: Option<(Arc<LoadedFilter>, Arc<SyncFilter>)>,
}

impl Filters {
    pub(super) fn new(plugins: Arc<Plugins>, store: Arc<Store>, env: Env) -> Self {
        Filters {
            plugins,
            store,
            env,
            made: Mutex::default(),
            held: Mutex::default(),
        }
    }

    /// What of a table stayed here since the start.
    pub(super) fn held_back(&self, table: &TableName) -> HeldBack {
        self.held.lock().get(table).cloned().unwrap_or_default()
    }

    /// The deletes among rows of a table.
    pub(super) fn deletes(schema: &TableSchema, batch: &RowBatch) -> Result<Vec<RowBatch>> {
        Ok(Rows::of(schema, &[batch])?.0)
    }

    /// Counts what passed, once it is sealed.
    pub(super) fn count(&self, passed: Passed) {
        let mut held = self.held.lock();
        for (table, more) in passed {
            let held = held.entry(table).or_default();
            held.seen += more.seen;
            held.rows += more.rows;
            held.cells += more.cells;
        }
    }

    /// What leaves of a table's rows, and what stays.
    ///
    /// # Errors
    /// What the condition or the filter says, and when one of them is not there: then nothing may leave.
    pub(super) fn leaving(
        &self,
        schema: &TableSchema,
        sharing: &Sharing,
        batches: &[&RowBatch],
    ) -> Result<(Vec<RowBatch>, HeldBack)> {
        let passed = self
            .pass(schema, sharing, batches)
            .map_err(|error| error.context(format!("nothing of table {} can leave", schema.name)));
        let error = passed.as_ref().err().map(ToString::to_string);
        let mut held = self.held.lock();
        held.entry(schema.name.clone()).or_default().error = error;
        passed
    }

    fn pass(
        &self,
        schema: &TableSchema,
        sharing: &Sharing,
        batches: &[&RowBatch],
    ) -> Result<(Vec<RowBatch>, HeldBack)> {
        let made = self.made(schema, sharing)?;
        let (mut leaving, mut rows) = Rows::of(schema, batches)?;
        let mut held = HeldBack {
            seen: rows.len() as u64,
            ..HeldBack::default()
        };
        if let Some((_, condition)) = &made.condition {
            let now_ms = self.env.clock.wall_ms();
            let asked = rows.asked(schema, condition, &self.store, now_ms)?;
            rows = rows.keep(&condition.holds(&asked)?)?;
        }
        if let Some((_, filter)) = &made.filter
            && rows.len() > 0
        {
            let names: Vec<&str> = filter.columns().collect();
            let filtered = filter.filter(&rows.shown(schema, &names)?)?;
            rows = rows.take(&filtered.rows)?;
            for (name, array) in filter.gives().zip(&filtered.columns) {
                if let Some(column) = schema.column(name) {
                    let array = cast_lossless(name, column.data_type, array)?;
                    rows.put(column.id, array)?;
                }
            }
            held.cells += rows.withhold(|id| {
                let column = schema.column_by_id(id);
                column.is_some_and(|column| filter.withholds().any(|name| name == column.name))
            });
        }
        if let Some(columns) = &sharing.columns {
            held.cells += rows.withhold(|id| {
                let column = schema.column_by_id(id);
                !schema.is_key(id) && column.is_none_or(|column| !columns.contains(&column.name))
            });
        }
        held.rows = held.seen - rows.len() as u64;
        leaving.extend((rows.len() > 0).then(|| rows.into_batch()));
        Ok((leaving, held))
    }

    /// The condition and the filter of a table, made anew where something of them has changed.
    fn made(&self, schema: &TableSchema, sharing: &Sharing) -> Result<Made> {
        let loaded = self.plugins.current();
        let filter = sharing.filter.as_ref();
        let filter = filter.map(|name| loaded.filter(name)).transpose()?;
        let mut all = self.made.lock();
        if let Some(made) = all.get(&schema.name) {
            let condition = made.condition.as_ref().map(|(text, _)| text);
            let same = match (&made.filter, filter) {
                (Some((known, _)), Some(wanted)) => Arc::ptr_eq(known, wanted),
                (known, wanted) => known.is_none() && wanted.is_none(),
            };
            if made.version == schema.version && condition == sharing.condition.as_ref() && same {
                return Ok(made.clone());
            }
        }
        let condition = sharing.condition.as_ref();
        let condition = condition.map(|text| {
            let condition = RowPredicate::new(schema, text)?;
            Ok::<_, activestore_types::Error>((text.clone(), Arc::new(condition)))
        });
        let filter = filter.map(|loaded| {
            let made = loaded.plugin.filter(&loaded.def.options, &schema.arrow())?;
            Ok::<_, activestore_types::Error>((loaded.clone(), Arc::new(made)))
        });
        let made = Made {
            version: schema.version,
            condition: condition.transpose()?,
            filter: filter.transpose()?,
        };
        all.insert(schema.name.clone(), made.clone());
        Ok(made)
    }
}
