//! A stored table as DataFusion's table provider: filters become key ranges and zone bounds, the
//! projection becomes column ids, and the ranges are shared out over the partitions.

use std::fmt;
use std::sync::Arc;

use activestore_store::Snapshot;
use activestore_types::{KeyRange, TableSchema};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{Result, Statistics, internal_err, project_schema};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;

use crate::pushdown::{Pushed, intersect, is_exact, push_down};
use crate::scan::{InKeyOrder, ScanExec};

/// Below this many stored rows one partition does the work.
const ROWS_WORTH_SPLITTING: u64 = 32_768;

pub(crate) struct StoredTable {
    snapshot: Snapshot,
    schema: SchemaRef,
    now_ms: u64,
    /// Of each partition only its last row is wanted.
    last_rows: bool,
}

impl StoredTable {
    pub(crate) fn new(snapshot: Snapshot, now_ms: u64) -> Self {
        StoredTable {
            schema: snapshot.schema().arrow(),
            snapshot,
            now_ms,
            last_rows: false,
        }
    }

    /// The same table, of which only the last row of each partition is read.
    pub(crate) fn by_last_rows(self) -> StoredTable {
        StoredTable {
            last_rows: true,
            ..self
        }
    }

    /// Whether only the last row of each partition is read.
    pub(crate) fn is_of_last_rows(&self) -> bool {
        self.last_rows
    }

    /// The same table, of which only the last row of each partition is read, if these filters
    /// leave whole partitions.
    pub(crate) fn of_last_rows(&self, filters: &[Expr]) -> Option<StoredTable> {
        let table = self.snapshot.schema();
        let whole = !self.last_rows && push_down(table, filters).whole_partitions(table).is_some();
        whole.then(|| StoredTable {
            snapshot: self.snapshot.clone(),
            schema: self.schema.clone(),
            now_ms: self.now_ms,
            last_rows: true,
        })
    }

    /// The table's definition.
    pub(crate) fn table(&self) -> &Arc<TableSchema> {
        self.snapshot.schema()
    }

    /// The ranges of each partition: about equal shares of the table's rows.
    fn partitions(&self, pushed: &Pushed, target: usize) -> Vec<Vec<KeyRange>> {
        let all = [KeyRange::all()];
        let ranges = pushed.ranges.as_deref().unwrap_or(&all);
        // Single keys are read one by one, which is not shared out.
        let few = !pushed.encoded_keys.is_empty();
        if target <= 1 || few || self.snapshot.row_count_estimate() < ROWS_WORTH_SPLITTING {
            return vec![ranges.to_vec()];
        }
        self.snapshot
            .split(target)
            .iter()
            .map(|part| intersect(ranges, part))
            .filter(|ranges| !ranges.is_empty())
            .collect()
    }
}

impl fmt::Debug for StoredTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredTable({})", self.snapshot.schema().name)
    }
}

#[async_trait]
impl TableProvider for StoredTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        if self.last_rows {
            // A later condition is about the rows that are left.
            let none = TableProviderFilterPushDown::Unsupported;
            return Ok(vec![none; filters.len()]);
        }
        let schema = self.snapshot.schema();
        let pushed = push_down(schema, filters.iter().copied());
        Ok(filters
            .iter()
            .map(|filter| {
                if is_exact(schema, &pushed, filter) {
                    TableProviderFilterPushDown::Exact
                } else {
                    TableProviderFilterPushDown::Inexact
                }
            })
            .collect())
    }

    fn statistics(&self) -> Option<Statistics> {
        let mut statistics = Statistics::new_unknown(&self.schema);
        let rows = usize::try_from(self.snapshot.row_count_estimate()).unwrap_or(usize::MAX);
        statistics.num_rows = Precision::Inexact(rows);
        Some(statistics)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let table = self.snapshot.schema();
        let schema = project_schema(&self.schema, projection)?;
        let columns = match projection {
            None => table.columns.iter().map(|column| column.id).collect(),
            Some(places) => places
                .iter()
                .filter_map(|place| table.columns.get(*place))
                .map(|column| column.id)
                .collect(),
        };
        let pushed = push_down(table, filters);
        let last = self.last_rows.then(|| pushed.whole_partitions(table));
        let partitions = match last {
            // One read goes through all of them, in key order.
            Some(Some(_)) => vec![vec![KeyRange::all()]],
            Some(None) => return internal_err!("last rows of parts of partitions are asked for"),
            None => self.partitions(&pushed, state.config().target_partitions()),
        };
        if partitions.iter().all(Vec::is_empty) {
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        // A limit counts rows that match; with conditions left over the store cannot count them.
        let limit = limit.filter(|_| last.is_none() && (filters.is_empty() || pushed.exact));
        let scan = ScanExec::new(
            self.snapshot.clone(),
            schema,
            columns,
            pushed,
            partitions,
            limit,
            self.now_ms,
        );
        Ok(Arc::new(match last.flatten() {
            Some(partitions) => scan.of_last_rows(partitions),
            // Of one partition, which reads one range behind the other.
            None if state.config().get_extension::<InKeyOrder>().is_some() => scan.in_key_order(),
            None => scan,
        }))
    }
}
