//! Rows and ranges of keys as JSON objects: what subscribers are told, whatever the wire.

use activestore_db::Bounds;
use activestore_types::Result;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use super::{json_cell, json_string};

/// A row as an object of its columns.
///
/// # Errors
/// `Internal` for a column that has no JSON form.
pub(crate) fn object(
    schema: &SchemaRef,
    rows: &RecordBatch,
    row: usize,
    out: &mut Vec<u8>,
) -> Result<()> {
    out.push(b'{');
    for (place, (field, array)) in schema.fields().iter().zip(rows.columns()).enumerate() {
        if place > 0 {
            out.push(b',');
        }
        json_string(field.name(), out);
        out.push(b':');
        json_cell(field, array, row, out)?;
    }
    out.push(b'}');
    Ok(())
}

/// A range of keys as members of an object.
///
/// # Errors
/// As [`object`].
pub(crate) fn range_of(bounds: &Bounds, out: &mut Vec<u8>) -> Result<()> {
    if !bounds.exact {
        let hex =
            |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
        let (start, end) = (hex(&bounds.range.start), hex(&bounds.range.end));
        out.extend_from_slice(
            format!("\"start_key\":\"{start}\",\"end_key\":\"{end}\"").as_bytes(),
        );
        return Ok(());
    }
    let end = if bounds.through { "through" } else { "before" };
    for (name, values) in [("from", &bounds.from), (end, &bounds.to)] {
        let Some(values) = values else {
            continue;
        };
        if !out.is_empty() {
            out.push(b',');
        }
        out.extend_from_slice(format!("\"{name}\":").as_bytes());
        object(&values.schema(), values, 0, out)?;
    }
    Ok(())
}
