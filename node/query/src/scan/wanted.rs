//! What steps above a scan want of it, apart from columns and ranges: rows that pass a condition, rows that are worth
//! it by now, and rows read where they are asked for.

use std::sync::Arc;

use activestore_store::Narrowing;
use activestore_types::ColumnId;
use datafusion::common::Result;
use datafusion::physical_expr::{PhysicalExpr, conjunction};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;

use super::ScanExec;
use crate::ahead::Ahead;
use crate::narrowing::Moving;

impl ScanExec {
    /// The same scan, which looks at some columns before it reads the others; `None` where that is not worth it.
    pub(crate) fn with_filter(&self, predicate: &Arc<dyn PhysicalExpr>) -> Result<Option<Self>> {
        if !self.reads_ranges() || self.limit.is_some() || self.condition.is_some() {
            return Ok(None);
        }
        let mut scan = self.clone();
        scan.metrics = ExecutionPlanMetricsSet::new();
        scan.condition = Some(predicate.clone());
        scan.look_ahead()?;
        Ok(scan.filter.is_some().then_some(scan))
    }

    /// The same scan, which wants no more than these conditions, as they move; `None` where none of them says
    /// anything to it.
    pub(super) fn narrowed<'a>(
        &self,
        conditions: impl Iterator<Item = &'a Arc<dyn PhysicalExpr>>,
    ) -> Result<Option<Self>> {
        // What a limit cuts off must not change with what is wanted, nor which row is the last.
        if !self.reads_ranges() || self.limit.is_some() {
            return Ok(None);
        }
        let table = self.snapshot.schema();
        let moving = conditions.filter_map(|it| Moving::of(it, &self.columns, table));
        let moving: Vec<Arc<Moving>> = moving.map(Arc::new).collect();
        if moving.is_empty() {
            return Ok(None);
        }
        let mut scan = self.clone();
        scan.metrics = ExecutionPlanMetricsSet::new();
        scan.moving.extend(moving);
        scan.look_ahead()?;
        Ok(Some(scan))
    }

    /// Works out what rows are looked at for first: all conditions, or the one that stays where these are about too much.
    pub(super) fn look_ahead(&mut self) -> Result<()> {
        let moving = self.moving.iter().map(|moving| moving.condition().clone());
        let all = conjunction(self.condition.clone().into_iter().chain(moving));
        self.filter = None;
        for predicate in [Some(all), self.condition.clone()].into_iter().flatten() {
            if let Some(filter) = Ahead::new(&predicate, &self.columns)? {
                self.filter = Some(Arc::new(filter));
                break;
            }
        }
        Ok(())
    }

    /// The column at this place if it is one of the key of rows that are read range by range, as many as there are.
    pub(crate) fn key_column(&self, place: usize) -> Option<ColumnId> {
        let free = self.reads_ranges() && self.limit.is_none();
        let id = self.columns.get(place).filter(|_| free)?;
        self.snapshot.schema().is_key(*id).then_some(*id)
    }

    /// The same scan, which wants no more than somebody above it, by the column at this place.
    pub(crate) fn within(&self, narrowing: Arc<dyn Narrowing>, place: usize) -> Self {
        let mut scan = self.clone();
        scan.metrics = ExecutionPlanMetricsSet::new();
        scan.within.push((narrowing, place));
        scan
    }

    /// The same scan for a step that runs on a thread of its own; `None` where rows are not read range by range.
    pub(crate) fn on_thread(&self) -> Option<Self> {
        self.reads_ranges().then(|| {
            let mut scan = self.clone();
            scan.metrics = ExecutionPlanMetricsSet::new();
            scan.inline = true;
            scan
        })
    }

    /// Whether rows are looked at for this column before the others are read.
    pub(super) fn looks_at(&self, column: ColumnId) -> bool {
        let filter = self.filter.as_ref();
        filter.is_some_and(|filter| filter.columns().contains(&column))
    }

    /// The same scan without conditions that move: those of a step above a grouping tell nothing before it is done.
    pub(crate) fn unmoved(&self) -> Result<Self> {
        let mut scan = self.clone();
        scan.metrics = ExecutionPlanMetricsSet::new();
        scan.moving.clear();
        scan.within.clear();
        scan.look_ahead()?;
        Ok(scan)
    }

    pub(super) fn narrowing(&self) -> Vec<Arc<dyn Narrowing>> {
        let moving = self.moving.iter().cloned();
        let moving = moving.map(|moving| moving as Arc<dyn Narrowing>);
        let within = self.within.iter().map(|(narrowing, _)| narrowing.clone());
        moving.chain(within).collect()
    }
}
