//! Aggregates over series: what is worked out from a value and its moment, whatever order rows come in.
//!
//! Samples are kept until a group is done, since rows of one series may come from several files and
//! several threads out of order: 16 bytes each, counted against the memory of queries. `delta`,
//! `first` and `last` need the ends alone and keep nothing else.

mod delta;
mod ends;
mod folds;
mod histogram;
mod samples;

use std::sync::Arc;

use activestore_types::DataType;
use datafusion::functions_aggregate::approx_percentile_cont::approx_percentile_cont_udaf;
use datafusion::logical_expr::AggregateUDF;

use crate::aggregate::{GroupFunction, udaf};
use delta::Delta;
use folds::{Average, Ewma, Increase, Rate};
use histogram::Quantile;
use samples::Sampled;

/// The function that sums up what counters rose.
pub(crate) fn increase() -> Arc<dyn GroupFunction> {
    Sampled::<Increase>::function("increase", &[DataType::Double, DataType::Timestamp], 2)
}

/// All of them.
pub(crate) fn udafs() -> Vec<AggregateUDF> {
    use DataType::{Double, Text, Timestamp};
    let sampled = [
        increase(),
        Sampled::<Rate>::function("rate", &[Double, Timestamp], 2),
        Sampled::<Ewma>::function("ewma", &[Double, Timestamp, Text], 3),
        Sampled::<Average>::function("time_weighted_avg", &[Double, Timestamp, Text], 2),
        Sampled::<Quantile>::function("histogram_quantile", &[Double, Double, Double], 3),
        Arc::new(Delta),
    ];
    let percentile = approx_percentile_cont_udaf().as_ref().clone();
    sampled
        .into_iter()
        .map(udaf)
        .chain([
            ends::udaf(ends::End::First),
            ends::udaf(ends::End::Last),
            percentile.with_aliases(["approx_percentile"]),
        ])
        .collect()
}
