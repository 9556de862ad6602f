//! Brings rows to a table's columns and types; a row that does not fit is refused by its number, before the node sees it.

use activestore_types::{DataType, Result};
use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::compute::concat;

use super::piece::Refused;
use super::rows::Rows;
use super::target::Target;

/// The rows that fit, under the table's types, and the others.
///
/// # Errors
/// Those of Arrow.
pub fn fit(mut rows: Rows, target: &Target, refused: &mut Vec<Refused>) -> Result<Rows> {
    let mut misfits: Vec<(usize, String)> = Vec::new();
    for key in &target.key {
        no_key(&rows, key, &mut misfits);
    }
    for column in &rows.batch.columns {
        if !target.columns.contains_key(&column.name) && !target.flexible {
            let named = |row: usize| column.set.as_ref().is_none_or(|set| set.value(row));
            let reason = || format!("table {} has no column '{}'", target.name, column.name);
            let nulls = column.array.logical_nulls();
            let is_valid = |row: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
            let with_value = (0..rows.batch.rows).filter(|row| is_valid(*row));
            misfits.extend(
                with_value
                    .filter(|row| named(*row))
                    .map(|row| (row, reason())),
            );
        }
    }
    if !target.flexible {
        let known = &target.columns;
        rows.batch
            .columns
            .retain(|column| known.contains_key(&column.name));
    }
    for column in &mut rows.batch.columns {
        if let Some(data_type) = target.columns.get(&column.name)
            && column.array.data_type() != &data_type.arrow()
        {
            column.array = cast(&column.name, *data_type, &column.array, 0, &mut misfits)?;
        }
    }
    misfits.sort_by_key(|(row, _)| *row);
    misfits.dedup_by_key(|(row, _)| *row);
    let places: Vec<usize> = misfits.iter().map(|(row, _)| *row).collect();
    refused.extend(misfits.into_iter().map(|(row, reason)| Refused {
        line: rows.lines.of(row),
        reason,
    }));
    let mut rows = rows.without(&places)?;
    for column in &mut rows.batch.columns {
        if target.key.contains(&column.name) {
            column.set = None; // what was not named is refused
        }
    }
    Ok(rows)
}

/// Rows without a value for a column of the key.
fn no_key(rows: &Rows, key: &str, misfits: &mut Vec<(usize, String)>) {
    let reason = || format!("column '{key}' belongs to the primary key and has no value");
    match rows.batch.column(key) {
        None => misfits.extend((0..rows.batch.rows).map(|row| (row, reason()))),
        Some(column) if column.array.logical_null_count() == 0 && column.set.is_none() => {}
        Some(column) => {
            let nulls = column.array.logical_nulls();
            let has = |row: usize| {
                nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row))
                    && column.set.as_ref().is_none_or(|set| set.value(row))
            };
            let missing = (0..rows.batch.rows).filter(|row| !has(*row));
            misfits.extend(missing.map(|row| (row, reason())));
        }
    }
}

/// The values under the column's type, NULL in place of those that do not have it, which are found by halves.
fn cast(
    name: &str,
    to: DataType,
    array: &ArrayRef,
    at: usize,
    misfits: &mut Vec<(usize, String)>,
) -> Result<ArrayRef> {
    let error = match activestore_query::cast_lossless(name, to, array) {
        Ok(cast) => return Ok(cast),
        Err(error) => error,
    };
    if array.len() <= 1 {
        misfits.push((at, error.message().to_owned()));
        return Ok(new_null_array(&to.arrow(), array.len()));
    }
    let middle = array.len() / 2;
    let one = cast(name, to, &array.slice(0, middle), at, misfits)?;
    let rest = array.slice(middle, array.len() - middle);
    let other = cast(name, to, &rest, at + middle, misfits)?;
    Ok(concat(&[one.as_ref(), other.as_ref()])?)
}

#[cfg(test)]
mod tests;
