//! Trials of what shared tables are made of: merge functions and sync filters.

use std::sync::Arc;

use activestore_plugin_host::{MergeFunction, Plugin, SyncFilter};
use activestore_types::{DataType, Error, Result};
use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;

/// The merge function of this name that takes the first of the columns; both sides are of one type.
///
/// # Errors
/// `Invalid` where the plugin has none for the type.
pub fn merge(
    plugin: &Arc<Plugin>,
    name: &str,
    columns: &[String],
    schema: &Schema,
) -> Result<Arc<MergeFunction>> {
    let functions = plugin.merges(name)?;
    let field = columns
        .first()
        .and_then(|column| schema.field_with_name(column).ok());
    let kind = field.and_then(|field| DataType::from_arrow(field.data_type()));
    let found = functions
        .iter()
        .find(|function| kind.is_some_and(|kind| function.takes(kind)));
    found.cloned().ok_or_else(|| {
        let types: Vec<String> = functions
            .iter()
            .map(|function| function.data_type().to_string())
            .collect();
        Error::invalid(format!(
            "merge function '{name}' does not take the type of the first column"
        ))
        .with_hint(format!(
            "it takes {}; name two columns with --columns",
            types.join(", ")
        ))
    })
}

/// The columns of the rows that a filter lets through.
pub fn leaving_schema(filter: &SyncFilter, rows: &Schema) -> SchemaRef {
    let fields = rows.fields().iter();
    let fields = fields.filter(|field| !filter.withholds().any(|name| name == field.name()));
    Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()))
}

/// The rows that a filter lets through, as the receiver gets them.
///
/// # Errors
/// What the filter says.
pub fn leaving(filter: &SyncFilter, rows: &RecordBatch) -> Result<RecordBatch> {
    let filtered = filter.filter(rows)?;
    let places = UInt32Array::from(filtered.rows);
    let schema = leaving_schema(filter, &rows.schema());
    let columns = schema.fields().iter().map(|field| -> Result<ArrayRef> {
        let given = filter.gives().position(|name| name == field.name());
        let array = match given.and_then(|at| filtered.columns.get(at)) {
            Some(given) => given.clone(),
            None => match rows.column_by_name(field.name()) {
                Some(array) => take(array, &places, None)?,
                None => return Err(Error::internal("a column of the rows is not there")),
            },
        };
        Ok(arrow::compute::cast(&array, field.data_type())?)
    });
    Ok(RecordBatch::try_new(
        schema.clone(),
        columns.collect::<Result<_>>()?,
    )?)
}
