//! The first rows of a source: which columns there are, and of which types.

use activestore_ingest::csv::has_leading_zeros;
use activestore_types::{DataType, NamedBatch, Result};
use arrow::array::{Array, ArrayRef, AsArray};

use super::parse::{Parser, WIDE_ROWS};
use super::piece::{Content, Piece};
use super::preview;
use super::rows::Rows;
use crate::cli::FileFormat;

/// The first rows; the types of text hold for the whole source from then on.
///
/// # Errors
/// Where they cannot be read, and for names that the file does not have.
pub fn of(parser: &mut Parser, first: Option<&Piece>) -> Result<Option<Rows>> {
    let Some(first) = first else {
        return Ok(None);
    };
    match &first.content {
        Content::Text(_) if parser.format == FileFormat::Csv => {
            parser.mapping.check(&parser.header.0)?;
        }
        Content::Text(_) => {}
        Content::Batch(batch, _) => {
            let schema = batch.schema();
            let names: Vec<String> = schema
                .fields()
                .iter()
                .map(|field| field.name().clone())
                .collect();
            parser.mapping.check(&names)?;
        }
    }
    let read = |parser: &Parser| -> Result<Option<Rows>> {
        Ok(parser.read(first, &mut Vec::new())?.into_iter().next())
    };
    let mut sample = read(parser)?;
    if let (Some(rows), Content::Text(_)) = (&sample, &first.content) {
        let better = better_types(parser, &rows.batch, read)?;
        if !better.is_empty() {
            let names = better.iter().map(|(name, _)| name.clone());
            parser.inferred.extend(names);
            parser.types.extend(better);
            sample = read(parser)?;
        }
    }
    if let (Some(sample), Content::Text(_)) = (&sample, &first.content) {
        for column in &sample.batch.columns {
            let name = parser.mapping.file_name(&column.name);
            let known = parser.types.iter().any(|(known, _)| known == name);
            let found = column
                .declared
                .or_else(|| DataType::from_arrow(column.array.data_type()));
            if let (false, Some(found)) = (known, found) {
                parser.inferred.push(name.to_owned());
                parser.types.push((name.to_owned(), found));
            }
        }
    }
    Ok(sample)
}

/// Types by names of the file that the first rows alone do not say: numbers that have fractions or leading zeros further
/// down, and moments, which JSON does not have.
fn better_types(
    parser: &Parser,
    sample: &NamedBatch,
    read: impl Fn(&Parser) -> Result<Option<Rows>>,
) -> Result<Vec<(String, DataType)>> {
    let is_json = matches!(parser.format, FileFormat::Json | FileFormat::Ndjson);
    let unknown = sample.columns.iter().filter(|column| {
        let name = parser.mapping.file_name(&column.name);
        parser.types.iter().all(|(known, _)| known != name)
    });
    let mut better = Vec::new();
    let mut wide = None;
    for column in unknown {
        let name = parser.mapping.file_name(&column.name).to_owned();
        if is_json && preview::are_moments(&column.array) {
            better.push((name, DataType::Timestamp));
        } else if !is_json && is_number(column.array.data_type()) {
            if wide.is_none() {
                wide = read(&Parser {
                    infer_rows: WIDE_ROWS,
                    ..parser.clone()
                })?;
            }
            let further = wide
                .as_ref()
                .and_then(|wide| wide.batch.column(&column.name));
            match further.map(|further| &further.array) {
                Some(array) if array.data_type() == &DataType::Double.arrow() => {
                    better.push((name, DataType::Double));
                }
                Some(array) if are_no_quantities(array) => better.push((name, DataType::Text)),
                _ => {}
            }
        }
    }
    Ok(better)
}

fn is_number(data_type: &arrow::datatypes::DataType) -> bool {
    data_type == &DataType::BigInt.arrow() || data_type == &DataType::Double.arrow()
}

/// Whether texts are to stay text: some have leading zeros, or all are numbers and no type holds every one of them. Other
/// text among numbers is refused further down.
fn are_no_quantities(array: &ArrayRef) -> bool {
    let Some(texts) = array.as_string_opt::<i32>() else {
        return false;
    };
    texts
        .iter()
        .flatten()
        .any(|text| has_leading_zeros(text.as_bytes()))
        || texts
            .iter()
            .flatten()
            .all(|text| text.trim().parse::<f64>().is_ok())
}
