//! Rows and ranges of keys as JSON objects: what subscribers are told, whatever the wire.

use activestore_db::{Bounds, Change, Changes, What};
use activestore_types::Result;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use super::{json_cell, json_string};

/// A change as one JSON object, as every wire that tells of changes has it; `head` are members that stand in front.
///
/// # Errors
/// `Invalid` for a column that has no JSON form.
pub fn change_object(changes: &Changes, change: &Change, head: &str) -> Result<Vec<u8>> {
    let (op, data) = change_members(changes, change)?;
    let mut json = format!("{{{head}\"op\":\"{op}\",\"id\":").into_bytes();
    json_string(&changes.token(change), &mut json);
    if !data.is_empty() {
        json.push(b',');
        json.extend(data);
    }
    json.push(b'}');
    Ok(json)
}

/// What happened, and the members that tell of it.
///
/// # Errors
/// As [`change_object`].
pub(crate) fn change_members(
    changes: &Changes,
    change: &Change,
) -> Result<(&'static str, Vec<u8>)> {
    let mut data = Vec::new();
    let op = match change.what {
        What::Upsert(row) => {
            data.extend_from_slice(b"\"row\":");
            object(&changes.rows.schema(), &changes.rows, row, &mut data)?;
            "upsert"
        }
        What::Delete(row) => {
            data.extend_from_slice(b"\"key\":");
            object(&changes.keys.schema(), &changes.keys, row, &mut data)?;
            "delete"
        }
        What::Erase(range) => {
            if let Some(bounds) = changes.ranges.get(range) {
                range_of(bounds, &mut data)?;
            }
            "erase"
        }
    };
    Ok((op, data))
}

/// A row as an object of its columns.
///
/// # Errors
/// `Invalid` for a column that has no JSON form.
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
