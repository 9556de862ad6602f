//! SQL over the store: statements in, Arrow batches out, planned and run by DataFusion.
//! This crate reads snapshots; it writes no row, changes no definition and knows no file path.
//!
//! [`parse`] reads statements; [`Engine::query`] runs those that yield rows; for those that write,
//! [`Engine::evaluate_source`], [`Engine::evaluate_update`] and [`Engine::delete_plan`] work out
//! what is to be written, and `db` writes it.
//!
//! ```
//! use activestore_query::{Statement, parse};
//!
//! let all = parse("INSERT INTO plant.readings (device, temp) VALUES ('p1', 21.5) USING TTL 3600").unwrap();
//! let [Statement::Insert(insert)] = all.as_slice() else { panic!() };
//! assert_eq!((insert.source.as_str(), insert.ttl_s), ("VALUES ('p1', 21.5)", Some(3600)));
//! ```

mod access;
mod aggregate;
mod ahead;
mod allowance;
mod bucket;
mod cast;
mod direct;
mod engine;
mod error;
mod extremes;
mod function;
mod gapfill;
mod growth;
mod information;
mod interval;
mod json;
mod kept;
mod last;
mod latest;
mod live;
mod measure;
mod model;
mod narrowing;
mod options;
mod params;
pub mod parse;
mod pg_catalog;
mod predicate;
mod prepare;
mod provider;
mod pushdown;
mod rows;
mod runs;
mod scan;
mod series;
mod session;
mod sessions;
mod table_call;
mod table_function;
mod tables;
mod together;
mod tumble;
mod view;
mod windows;
mod write;
mod yielding;

pub use access::Access;
pub use aggregate::{GroupFunction, Grouping};
pub use cast::{cast_assigned, cast_lossless, unhex};
pub use datafusion::logical_expr::Volatility;
pub use direct::DirectRows;
pub use engine::{Engine, MAX_CONCURRENT_QUERIES};
pub use function::ColumnFunction;
pub use kept::KeptPlan;
pub use live::{LiveFor, LiveQuery};
pub use model::{Models, Predict};
pub use options::{EngineOptions, EngineStats};
pub use params::{MAX_PARAMS, Param};
pub use parse::{
    Condition, CopyStatement, Delete, Existing, FileFormat, Insert, KINDS, ModelStatement,
    PartitionStatement, PartitionStep, Redefined, Redefinition, RoleStatement, RowFile, Secret,
    Show, SinkStatement, Sketch, Statement, Subscribe, Update, ViewStatement, WhenSlow, parse,
};
pub use predicate::RowPredicate;
pub use prepare::{Described, ParamTypes};
pub use rows::{BatchStream, QueryStats, Rows, StatsHandle};
pub use table_function::{RowFunction, RowRun};
pub use tables::Tables;
pub use view::{LeftOut, Reference, ViewQuery, ViewWindows, Within};
pub use write::{DeletePlan, quote};

#[cfg(test)]
mod tests;
