//! What rows are grouped by: values, or moments by the buckets that they lie in, which are worked out where they change
//! rather than row by row.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType as ArrowType, TimestampNanosecondType};
use arrow::record_batch::RecordBatch;
use datafusion::common::Result;
use datafusion::physical_expr::PhysicalExpr;

use crate::bucket::{self, Buckets, TIMESTAMP};

/// An expression that rows are grouped by.
pub(super) struct GroupExpr {
    expr: Arc<dyn PhysicalExpr>,
    /// Where it is a bucket of time: of which moments, and which buckets.
    bucket: Option<(Arc<dyn PhysicalExpr>, Arc<Buckets>)>,
}

impl GroupExpr {
    pub(super) fn new(expr: &Arc<dyn PhysicalExpr>) -> Self {
        let bucket = bucket::of_call(expr);
        GroupExpr {
            expr: expr.clone(),
            bucket: bucket.map(|(moments, buckets)| (moments, Arc::new(buckets))),
        }
    }

    /// Its values in a batch.
    ///
    /// # Errors
    /// What working it out says.
    pub(super) fn of(&self, batch: &RecordBatch) -> Result<Grouped> {
        let rows = batch.num_rows();
        if let Some((moments, buckets)) = &self.bucket {
            let moments = moments.evaluate(batch)?.into_array(rows)?;
            if *moments.data_type() == TIMESTAMP && moments.null_count() == 0 {
                return Ok(Grouped::in_buckets(moments, buckets.clone()));
            }
        }
        Ok(Grouped::plain(self.expr.evaluate(batch)?.into_array(rows)?))
    }
}

/// A column that rows are grouped by.
pub(super) struct Grouped {
    array: ArrayRef,
    /// Those that its moments, none of which is NULL, stand for.
    buckets: Option<Arc<Buckets>>,
}

impl Grouped {
    /// By the values as they are.
    pub(super) fn plain(array: ArrayRef) -> Self {
        Grouped {
            array,
            buckets: None,
        }
    }

    /// By the buckets of moments, none of which is NULL.
    pub(super) fn in_buckets(moments: ArrayRef, buckets: Arc<Buckets>) -> Self {
        Grouped {
            array: moments,
            buckets: Some(buckets),
        }
    }

    pub(super) fn array(&self) -> &ArrayRef {
        &self.array
    }

    pub(super) fn buckets(&self) -> Option<&Buckets> {
        self.buckets.as_deref()
    }

    /// The values at some rows.
    ///
    /// # Errors
    /// For rows that there are not.
    pub(super) fn values(&self, rows: &UInt32Array) -> Result<ArrayRef> {
        let values = take(&self.array, rows, None)?;
        if let Some(buckets) = &self.buckets
            && let Some(moments) = values.as_primitive_opt::<TimestampNanosecondType>()
        {
            let starts = moments.unary::<_, TimestampNanosecondType>(|ns| buckets.start_of(ns));
            return Ok(Arc::new(starts));
        }
        // Codes would keep a batch's whole dictionary for a few of its values.
        match values.data_type() {
            ArrowType::Dictionary(_, text) => Ok(cast(&values, text)?),
            _ => Ok(values),
        }
    }
}
