//! What plugins took of one query: `EXPLAIN ANALYZE` runs it with functions that are timed, and shows them
//! in a row of its own. Other queries are not slowed down.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use activestore_types::{DataType, Result};
use arrow::array::{ArrayRef, BooleanArray, StringArray};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::Result as DataFusionResult;
use datafusion::execution::SessionState;
use datafusion::execution::registry::FunctionRegistry;
use datafusion::logical_expr::Volatility;
use parking_lot::Mutex;

use crate::aggregate::{self, GroupFunction, Grouping};
use crate::function::{self, ColumnFunction};
use crate::model::{self, Models, Predict};
use crate::table_function::{self, RowFunction, RowRun};

/// What is registered under one name.
#[derive(Clone, Debug)]
pub(crate) enum Registered {
    Scalar(Vec<Arc<dyn ColumnFunction>>),
    Aggregate(Arc<dyn GroupFunction>),
    Table(Arc<dyn RowFunction>),
}

impl Registered {
    /// Makes it known to queries of a state.
    pub(crate) fn register(&self, state: &mut SessionState) -> DataFusionResult<()> {
        match self {
            Registered::Scalar(overloads) => {
                let udf = function::udf(overloads).map_err(crate::error::to_datafusion)?;
                state.register_udf(Arc::new(udf)).map(drop)
            }
            Registered::Aggregate(function) => {
                let udaf = aggregate::udaf(function.clone());
                state.register_udaf(Arc::new(udaf)).map(drop)
            }
            Registered::Table(function) => {
                state.register_udtf(function.name(), table_function::udtf(function.clone()));
                Ok(())
            }
        }
    }

    /// The same with a meter on it.
    fn measured(&self, meter: &Arc<Meter>) -> Registered {
        match self {
            Registered::Scalar(overloads) => Registered::Scalar(
                overloads
                    .iter()
                    .map(|function| {
                        let inner = function.clone();
                        let meter = meter.clone();
                        Arc::new(MeasuredScalar { inner, meter }) as Arc<dyn ColumnFunction>
                    })
                    .collect(),
            ),
            Registered::Aggregate(function) => Registered::Aggregate(Arc::new(MeasuredAggregate {
                inner: function.clone(),
                meter: meter.clone(),
            })),
            Registered::Table(function) => Registered::Table(Arc::new(MeasuredTable {
                inner: function.clone(),
                meter: meter.clone(),
            })),
        }
    }
}

/// What one function took.
#[derive(Debug, Default)]
struct Meter {
    calls: AtomicU64,
    rows: AtomicU64,
    busy_ns: AtomicU64,
    memory_bytes: AtomicU64,
}

impl Meter {
    fn time<T>(&self, rows: usize, call: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let result = call();
        let spent = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
        self.busy_ns.fetch_add(spent, Ordering::Relaxed);
        result
    }

    fn holds(&self, bytes: u64) {
        self.memory_bytes.fetch_max(bytes, Ordering::Relaxed);
    }
}

/// The meters of one query, by the functions' names.
#[derive(Default)]
pub(crate) struct Meters {
    functions: BTreeMap<String, Arc<Meter>>,
    models: Arc<Mutex<BTreeMap<String, Arc<Meter>>>>,
}

impl Meters {
    /// Puts meters on the functions of a query's own state.
    pub(crate) fn on(
        state: &mut SessionState,
        functions: &BTreeMap<String, Registered>,
        models: &Arc<dyn Models>,
    ) -> DataFusionResult<Self> {
        let mut meters = Meters::default();
        for (name, function) in functions {
            let meter = Arc::<Meter>::default();
            function.measured(&meter).register(state)?;
            meters.functions.insert(format!("{name}()"), meter);
        }
        let measured: Arc<dyn Models> = Arc::new(MeasuredModels {
            inner: models.clone(),
            meters: meters.models.clone(),
        });
        for udf in model::udfs(&measured) {
            state.register_udf(Arc::new(udf))?;
        }
        Ok(meters)
    }

    /// A row for the answer of `EXPLAIN ANALYZE`; `None` where no function was called, or the answer has
    /// another shape.
    pub(crate) fn row(&self, schema: &SchemaRef) -> Option<RecordBatch> {
        let models = self.models.lock();
        let lines: Vec<String> = self
            .functions
            .iter()
            .chain(models.iter())
            .filter(|(_, meter)| meter.calls.load(Ordering::Relaxed) > 0)
            .map(|(name, meter)| {
                let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
                let busy_ms = read(&meter.busy_ns) as f64 / 1e6;
                let memory_kib = read(&meter.memory_bytes).div_ceil(1024);
                format!(
                    "{name}: calls={}, rows={}, elapsed_compute={busy_ms:.3}ms, memory={memory_kib}KiB",
                    read(&meter.calls),
                    read(&meter.rows),
                )
            })
            .collect();
        if lines.is_empty() {
            return None;
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec!["Plugins"])),
            Arc::new(StringArray::from(vec![lines.join("\n")])),
        ];
        RecordBatch::try_new(schema.clone(), columns).ok()
    }
}

struct MeasuredScalar {
    inner: Arc<dyn ColumnFunction>,
    meter: Arc<Meter>,
}

impl fmt::Debug for MeasuredScalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl ColumnFunction for MeasuredScalar {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn arg_names(&self) -> &[String] {
        self.inner.arg_names()
    }

    fn args(&self) -> &[DataType] {
        self.inner.args()
    }

    fn returns(&self) -> DataType {
        self.inner.returns()
    }

    fn volatility(&self) -> Volatility {
        self.inner.volatility()
    }

    fn memory_bytes(&self) -> u64 {
        self.inner.memory_bytes()
    }

    fn call(&self, rows: usize, args: &[ArrayRef]) -> Result<ArrayRef> {
        let result = self.meter.time(rows, || self.inner.call(rows, args));
        self.meter.holds(self.inner.memory_bytes());
        result
    }
}

struct MeasuredAggregate {
    inner: Arc<dyn GroupFunction>,
    meter: Arc<Meter>,
}

impl fmt::Debug for MeasuredAggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl GroupFunction for MeasuredAggregate {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn arg_names(&self) -> &[String] {
        self.inner.arg_names()
    }

    fn args(&self) -> &[DataType] {
        self.inner.args()
    }

    fn returns(&self) -> DataType {
        self.inner.returns()
    }

    fn retracts(&self) -> bool {
        self.inner.retracts()
    }

    fn begin(&self) -> Result<Box<dyn Grouping>> {
        Ok(Box::new(MeasuredGrouping {
            inner: self.inner.begin()?,
            meter: self.meter.clone(),
        }))
    }
}

struct MeasuredGrouping {
    inner: Box<dyn Grouping>,
    meter: Arc<Meter>,
}

impl MeasuredGrouping {
    fn time<T>(&mut self, rows: usize, call: impl FnOnce(&mut dyn Grouping) -> T) -> T {
        let inner = self.inner.as_mut();
        let result = self.meter.time(rows, || call(inner));
        self.meter.holds(self.inner.memory_bytes() as u64);
        result
    }
}

impl Grouping for MeasuredGrouping {
    fn update(
        &mut self,
        groups: &[usize],
        wanted: Option<&BooleanArray>,
        total: usize,
        args: &[ArrayRef],
    ) -> Result<()> {
        self.time(groups.len(), |inner| {
            inner.update(groups, wanted, total, args)
        })
    }

    fn retract(&mut self, groups: &[usize], args: &[ArrayRef]) -> Result<()> {
        self.time(groups.len(), |inner| inner.retract(groups, args))
    }

    fn merge(&mut self, groups: &[usize], total: usize, states: &ArrayRef) -> Result<()> {
        self.time(0, |inner| inner.merge(groups, total, states))
    }

    fn groups(&self) -> usize {
        self.inner.groups()
    }

    fn states(&mut self, groups: Range<usize>) -> Result<ArrayRef> {
        self.time(0, |inner| inner.states(groups))
    }

    fn finish(&mut self, groups: Range<usize>) -> Result<ArrayRef> {
        self.time(0, |inner| inner.finish(groups))
    }

    fn forget(&mut self, count: usize) -> Result<()> {
        self.time(0, |inner| inner.forget(count))
    }

    fn memory_bytes(&self) -> usize {
        self.inner.memory_bytes()
    }
}

struct MeasuredTable {
    inner: Arc<dyn RowFunction>,
    meter: Arc<Meter>,
}

impl fmt::Debug for MeasuredTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl RowFunction for MeasuredTable {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn args(&self) -> &[DataType] {
        self.inner.args()
    }

    fn schema(&self) -> &SchemaRef {
        self.inner.schema()
    }

    fn open(&self, args: &[ArrayRef]) -> Result<Box<dyn RowRun>> {
        let run = self.meter.time(0, || self.inner.open(args))?;
        Ok(Box::new(MeasuredRun {
            inner: run,
            meter: self.meter.clone(),
        }))
    }
}

struct MeasuredRun {
    inner: Box<dyn RowRun>,
    meter: Arc<Meter>,
}

impl RowRun for MeasuredRun {
    fn next_rows(&mut self) -> Result<Option<RecordBatch>> {
        let rows = self.meter.time(0, || self.inner.next_rows());
        if let Ok(Some(batch)) = &rows {
            let given = batch.num_rows() as u64;
            self.meter.rows.fetch_add(given, Ordering::Relaxed);
        }
        self.meter.holds(self.inner.memory_bytes());
        rows
    }

    fn memory_bytes(&self) -> u64 {
        self.inner.memory_bytes()
    }
}

/// Models whose predictions are timed, each by its name.
struct MeasuredModels {
    inner: Arc<dyn Models>,
    meters: Arc<Mutex<BTreeMap<String, Arc<Meter>>>>,
}

impl Models for MeasuredModels {
    fn model(&self, name: &str, output: Option<&str>) -> Result<(usize, Predict)> {
        let (inputs, predict) = self.inner.model(name, output)?;
        let name = format!("predict('{name}')");
        let meter = self.meters.lock().entry(name).or_default().clone();
        let measured: Predict = Arc::new(move |args: &[ArrayRef]| {
            let rows = args.first().map_or(0, |array| array.len());
            meter.time(rows, || predict(args))
        });
        Ok((inputs, measured))
    }
}
