//! Values for the parameters of a statement, which come as a batch: a column for each parameter, a row for each run.

use std::sync::Arc;

use activestore_db::Db;
use activestore_query::{Param, ParamTypes, cast_assigned};
use activestore_types::schema::TYPE_METADATA_KEY;
use activestore_types::{DataType, Error, Result};
use arrow::array::{ArrayRef, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType as ArrowType, Field, FieldRef, Schema};
use arrow::record_batch::RecordBatch;

use super::prepared::{Bound, Planned};

/// Runs of one statement that one call may ask for; each is durable by itself.
pub(super) const RUNS_MAX: usize = 16_384;

/// The parameters of a statement, as they are told.
pub(super) fn told(params: &[FieldRef]) -> Schema {
    let fields = params.iter().enumerate().map(|(place, field)| {
        Field::new(named(place), field.data_type().clone(), true)
            .with_metadata(field.metadata().clone())
    });
    Schema::new(fields.collect::<Vec<_>>())
}

/// The statement with these values, brought to the types of its parameters. Where nothing but the values says what a
/// parameter is, it is planned anew.
///
/// # Errors
/// `Invalid` for values that are too few, too many, or of another type.
pub(super) async fn bound(db: &Db, planned: Arc<Planned>, values: &RecordBatch) -> Result<Bound> {
    let params = &planned.prepared.described.params;
    check_count(params.len(), values)?;
    let open = params.iter().zip(values.schema_ref().fields()).enumerate();
    let known: ParamTypes = open
        .filter(|(_, (param, value))| {
            *param.data_type() == ArrowType::Utf8
                && param.metadata().is_empty()
                && !is_text(value.data_type())
        })
        .map(|(place, (_, value))| (place, value.clone()))
        .collect();
    let planned = if known.is_empty() {
        planned
    } else {
        Arc::new(Planned::new(db, planned.statement.clone(), &known).await?)
    };
    let params = &planned.prepared.described.params;
    check_count(params.len(), values)?;
    let columns = params.iter().zip(values.columns()).enumerate();
    let columns: Vec<ArrayRef> = columns
        .map(|(place, (param, array))| fitted(place, param, array))
        .collect::<Result<_>>()?;
    let values = RecordBatch::try_new(Arc::new(told(params)), columns)?;
    Ok(Bound {
        planned,
        values: Some(values),
    })
}

/// The values of a row.
pub(super) fn of_row(values: &RecordBatch, row: usize) -> Vec<Param> {
    let columns = values.columns().iter();
    columns
        .map(|column| Param::Typed(column.slice(row, 1)))
        .collect()
}

fn named(place: usize) -> String {
    format!("${}", place + 1)
}

fn check_count(params: usize, values: &RecordBatch) -> Result<()> {
    if values.num_rows() > RUNS_MAX {
        return Err(Error::invalid(format!(
            "{} rows of values are given; a statement is run at most {RUNS_MAX} times in a call",
            values.num_rows()
        ))
        .with_hint("bring many rows by bulk ingest (adbc_ingest)"));
    }
    if params == values.num_columns() {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "the statement takes {params} parameters, and {} are given",
        values.num_columns()
    )))
}

fn is_text(data_type: &ArrowType) -> bool {
    match data_type {
        ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View | ArrowType::Null => true,
        ArrowType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

fn fitted(place: usize, param: &Field, array: &ArrayRef) -> Result<ArrayRef> {
    let wanted = param.data_type();
    if *array.data_type() == ArrowType::Null {
        return Ok(new_null_array(wanted, array.len()));
    }
    let named_type = param.metadata().get(TYPE_METADATA_KEY);
    let column = named_type
        .and_then(|name| name.parse().ok())
        .or_else(|| DataType::from_arrow(wanted))
        .filter(|column: &DataType| column.arrow() == *wanted);
    if let Some(column) = column {
        return cast_assigned(&named(place), column, array);
    }
    if array.data_type() == wanted {
        return Ok(array.clone());
    }
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(array, wanted, &options).map_err(|error| {
        Error::invalid(format!(
            "the parameter {} is a {wanted}, and what is given is none: {error}",
            named(place)
        ))
    })
}
