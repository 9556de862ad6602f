//! What the rows of a body are counted as.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use activestore_types::TableName;
use proptest::prelude::*;

use super::COLUMN_BYTES;
use crate::parsed::Parsed;
use crate::{JsonOptions, LineProtocolOptions, json, line_protocol};

/// A BIGINT with its mark.
const CELL: usize = 9;

/// Where the text of a series ends, and a time, each with its mark.
const KEY: usize = 5 + 9;

type Rows = Vec<BTreeSet<u8>>;

fn rows() -> impl Strategy<Value = Rows> {
    let row = prop::collection::btree_set(0_u8..24, 1..5);
    prop::collection::vec(row, 1..40)
}

/// Each column of the batch in each row.
fn model(rows: &Rows, key_columns: usize, key: usize) -> usize {
    let columns: BTreeSet<_> = rows.iter().flatten().collect();
    rows.len() * (columns.len() * CELL + key) + (columns.len() + key_columns) * COLUMN_BYTES
}

fn json_of(rows: &Rows, rows_bytes_max: usize) -> Parsed {
    let mut body = String::new();
    for row in rows {
        let cells: Vec<_> = row
            .iter()
            .map(|column| format!("\"c{column}\":1"))
            .collect();
        // A column twice is one cell, and what is refused takes nothing.
        body += &format!("{{{},{}}}\n", cells[0], cells.join(","));
        body += &format!("{{\"c{}\":\"x\",\"new\":1}}\n", row.first().unwrap());
    }
    let mut options = JsonOptions::new(TableName::new("k", "t"));
    options.rows_bytes_max = rows_bytes_max;
    json::parse(body.as_bytes(), &options)
}

fn lines_of(rows: &Rows, rows_bytes_max: usize) -> Parsed {
    let mut body = String::new();
    for row in rows {
        let fields: Vec<_> = row.iter().map(|column| format!("c{column}=1i")).collect();
        body += &format!("m {},{} 1\n", fields[0], fields.join(","));
        body += &format!("m c{}=1,new=1i 1\n", row.first().unwrap());
    }
    let mut options = LineProtocolOptions::new("k", 1);
    options.rows_bytes_max = rows_bytes_max;
    line_protocol::parse(body.as_bytes(), &options)
}

proptest! {
    /// The rows are taken within what they take, and not within one byte less.
    #[test]
    fn rows_are_counted_as_the_columns_of_all_of_them(rows in rows()) {
        let json = model(&rows, 0, 0);
        let lines = model(&rows, 2, KEY);
        for (parsed, fits) in [
            (json_of(&rows, json), true),
            (json_of(&rows, json - 1), false),
            (lines_of(&rows, lines), true),
            (lines_of(&rows, lines - 1), false),
        ] {
            prop_assert_eq!(parsed.too_large, !fits);
            if fits {
                prop_assert_eq!(parsed.rows(), rows.len() as u64);
                prop_assert_eq!(parsed.rejected_total, rows.len() as u64);
            } else {
                prop_assert!(parsed.strict().is_err());
            }
        }
    }
}

/// What is counted is what is taken, about: a thousand rows that each name a column of their own.
#[test]
fn a_sparse_body_takes_what_is_counted() {
    const ROWS: usize = 1_000;
    let sparse: Vec<String> = (0..ROWS).map(|row| format!("m c{row}=1i 1")).collect();
    let counted = ROWS * (ROWS * CELL + KEY) + (ROWS + 2) * COLUMN_BYTES;
    let mut options = LineProtocolOptions::new("k", 1);
    options.rows_bytes_max = counted;
    let parsed = line_protocol::parse(sparse.join("\n").as_bytes(), &options);
    assert!(!parsed.too_large);
    let columns = parsed.batches.iter().flat_map(|batch| &batch.columns);
    let taken: usize = columns
        .map(|column| {
            let set = column.set.as_ref().map_or(0, |set| set.inner().capacity());
            column.array.get_array_memory_size() + set + size_of_val(column) + column.name.len()
        })
        .sum();
    // What grows as a vector has up to as much again for what may follow.
    assert!(
        taken <= 2 * counted && counted <= 2 * taken,
        "{taken} {counted}"
    );
}
