//! Filling gaps as a step of a logical plan.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::Field;
use datafusion::common::{DFSchema, DFSchemaRef, Result, internal_err};
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};

use crate::bucket::Buckets;

/// What a column holds in a row that fills a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum FillKind {
    /// The start of the bucket.
    Time,
    /// What the series' other rows hold.
    Series,
    /// Nothing.
    Null,
    /// What the row before holds.
    Last,
    /// A point on the line from the row before to the row after.
    Line,
}

/// Rows of buckets, and one for each bucket that has none.
#[derive(Clone, Debug)]
pub(super) struct GapFill {
    pub(super) input: LogicalPlan,
    pub(super) schema: DFSchemaRef,
    pub(super) kinds: Vec<FillKind>,
    pub(super) buckets: Buckets,
    /// The first bucket, and the moment before which the last one begins.
    pub(super) start: i64,
    pub(super) finish: i64,
}

impl GapFill {
    pub(super) fn new(
        input: LogicalPlan,
        kinds: Vec<FillKind>,
        buckets: Buckets,
        start: i64,
        finish: i64,
    ) -> Result<Self> {
        let given = input.schema();
        let fields = given.iter().zip(&kinds).map(|((qualifier, field), kind)| {
            let nullable = field.is_nullable() || *kind != FillKind::Series;
            let field: Field = field.as_ref().clone().with_nullable(nullable);
            (qualifier.cloned(), Arc::new(field))
        });
        let schema = DFSchema::new_with_metadata(fields.collect(), given.metadata().clone())?;
        Ok(GapFill {
            schema: Arc::new(schema),
            input,
            kinds,
            buckets,
            start,
            finish,
        })
    }

    fn key(&self) -> (&LogicalPlan, &[FillKind], &Buckets, i64, i64) {
        (
            &self.input,
            &self.kinds,
            &self.buckets,
            self.start,
            self.finish,
        )
    }
}

impl PartialEq for GapFill {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for GapFill {}

impl Hash for GapFill {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl PartialOrd for GapFill {
    /// Steps of plans have no order of their own.
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for GapFill {
    fn name(&self) -> &str {
        "GapFill"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GapFill: {}", shown(self.start, self.finish))
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        match <[LogicalPlan; 1]>::try_from(inputs) {
            Ok([input]) => GapFill::new(
                input,
                self.kinds.clone(),
                self.buckets.clone(),
                self.start,
                self.finish,
            ),
            Err(_) => internal_err!("gaps are filled in the rows of one input"),
        }
    }
}

/// A span of time as EXPLAIN shows it.
pub(super) fn shown(start: i64, finish: i64) -> String {
    let moment = |ns| chrono::DateTime::from_timestamp_nanos(ns).naive_utc();
    format!("from {} to before {}", moment(start), moment(finish))
}
