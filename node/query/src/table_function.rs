//! Table functions that plugins provide: `SELECT … FROM f(constants)`. Parameters and named arguments have
//! become constants in their order before ([`crate::table_call`]).

use std::fmt::Debug;
use std::sync::Arc;

use activestore_types::{DataType, Error, Result};
use arrow::array::ArrayRef;
use arrow::datatypes::{DataType as ArrowType, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{Result as DataFusionResult, plan_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::stream;

use crate::error::to_datafusion;
use crate::function::coerce;

/// A function from constants to rows.
pub trait RowFunction: Send + Sync + Debug {
    /// Its name in SQL.
    fn name(&self) -> &str;
    /// The types of its arguments.
    fn args(&self) -> &[DataType];
    /// The names of its arguments, by which a call may give them in any order.
    fn arg_names(&self) -> &[String] {
        &[]
    }
    /// The columns of its rows.
    fn schema(&self) -> &SchemaRef;
    /// Begins to give rows; every argument is an array of one value, of the declared type.
    ///
    /// # Errors
    /// What the function says; the query fails with it.
    fn open(&self, args: &[ArrayRef]) -> Result<Box<dyn RowRun>>;
}

/// Rows that a table function is giving.
pub trait RowRun: Send {
    /// The next rows; `None` once there are no more.
    ///
    /// # Errors
    /// What the function says; the query fails with it.
    fn next_rows(&mut self) -> Result<Option<RecordBatch>>;
    /// Memory that it holds, in bytes, as far as it is known.
    fn memory_bytes(&self) -> u64 {
        0
    }
}

pub(crate) fn udtf(function: Arc<dyn RowFunction>) -> Arc<dyn TableFunctionImpl> {
    Arc::new(PluginTable(function))
}

#[derive(Debug)]
struct PluginTable(Arc<dyn RowFunction>);

impl TableFunctionImpl for PluginTable {
    fn call_with_args(
        &self,
        args: TableFunctionArgs<'_, '_>,
    ) -> DataFusionResult<Arc<dyn TableProvider>> {
        let name = self.0.name();
        let mut constants = Vec::new();
        for (number, expression) in (1..).zip(args.exprs()) {
            let Expr::Literal(value, _) = expression else {
                return plan_err!(
                    "argument {number} of {name}() is {expression}, which is neither a constant nor a parameter"
                );
            };
            constants.push(value);
        }
        let given: Vec<ArrowType> = constants.iter().map(|value| value.data_type()).collect();
        let wanted = coerce(name, self.0.args(), &given)?;
        let args = constants
            .iter()
            .zip(&wanted)
            .map(|(value, wanted)| value.cast_to(wanted)?.to_array())
            .collect::<DataFusionResult<Vec<ArrayRef>>>()?;
        let schema = self.0.schema().clone();
        let call = Arc::new(Call {
            function: self.0.clone(),
            schema: schema.clone(),
            args,
        });
        Ok(Arc::new(StreamingTable::try_new(schema, vec![call])?))
    }
}

/// A call with its arguments: each scan of it is a run of its own.
#[derive(Debug)]
struct Call {
    function: Arc<dyn RowFunction>,
    schema: SchemaRef,
    args: Vec<ArrayRef>,
}

impl PartitionStream for Call {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _task: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (function, args, schema) = (
            self.function.clone(),
            self.args.clone(),
            self.schema.clone(),
        );
        let rows = stream::try_unfold(None, move |run: Option<Box<dyn RowRun>>| {
            let (function, args, schema) = (function.clone(), args.clone(), schema.clone());
            async move {
                let mut run = match run {
                    Some(run) => run,
                    None => function.open(&args).map_err(to_datafusion)?,
                };
                let Some(batch) = run.next_rows().map_err(to_datafusion)? else {
                    return Ok(None);
                };
                if batch.schema() != schema {
                    return Err(to_datafusion(Error::invalid(format!(
                        "{}() gave other columns than it declares",
                        function.name()
                    ))));
                }
                Ok(Some((batch, Some(run))))
            }
        });
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), rows))
    }
}
