//! Rows that do not fit their table are refused one by one.

use std::collections::HashMap;
use std::sync::Arc;

use activestore_types::{NamedBatch, NamedColumn, TableName};
use arrow::array::{AsArray, Float64Array, Int64Array, StringArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::Int32Type;

use super::super::rows::LineNumbers;
use super::*;

fn column(name: &str, array: ArrayRef) -> NamedColumn {
    NamedColumn {
        name: name.to_owned(),
        array,
        set: None,
        declared: None,
    }
}

fn target() -> Target {
    Target {
        name: TableName::new("k", "t"),
        columns: HashMap::from([
            ("id".to_owned(), DataType::Text),
            ("n".to_owned(), DataType::Int),
        ]),
        key: vec!["id".to_owned()],
        flexible: false,
        stamp: String::new(),
    }
}

fn rows(columns: Vec<NamedColumn>) -> Rows {
    Rows {
        batch: NamedBatch {
            table: TableName::new("k", "t"),
            rows: columns[0].array.len(),
            columns,
            ttl_s: None,
            create: None,
        },
        lines: LineNumbers::From(10),
    }
}

#[test]
fn a_missing_key_a_value_out_of_range_and_an_unknown_column_cost_their_row() {
    let ids = StringArray::from(vec![Some("a"), None, Some("c"), Some("d"), Some("e")]);
    let numbers = Int64Array::from(vec![Some(1), Some(2), Some(1 << 40), None, Some(5)]);
    let odd = Float64Array::from(vec![None, None, None, None, Some(1.0)]);
    let all = vec![
        column("id", Arc::new(ids)),
        column("n", Arc::new(numbers)),
        column("odd", Arc::new(odd)),
    ];
    let mut refused = Vec::new();
    let fitting = fit(rows(all), &target(), &mut refused).unwrap();
    let lines: Vec<u64> = refused.iter().map(|one| one.line).collect();
    assert_eq!(lines, [11, 12, 14], "{refused:?}");
    assert!(refused[2].reason.contains("no column 'odd'"));
    assert_eq!(fitting.batch.rows, 2);
    assert_eq!(fitting.lines, LineNumbers::Each(vec![10, 13]));
    assert!(fitting.batch.column("odd").is_none());
    let n = fitting.batch.column("n").unwrap().array.clone();
    assert_eq!(
        n.as_primitive::<Int32Type>().iter().collect::<Vec<_>>(),
        [Some(1), None]
    );
}

#[test]
fn a_row_that_does_not_name_its_key_is_refused() {
    let mut id = column("id", Arc::new(StringArray::from(vec![Some("a"), None])));
    id.set = Some(BooleanBuffer::from(vec![true, false]));
    let mut refused = Vec::new();
    let fitting = fit(rows(vec![id]), &target(), &mut refused).unwrap();
    assert_eq!(fitting.batch.rows, 1);
    assert!(fitting.batch.columns[0].set.is_none());
    assert_eq!(refused.len(), 1);
}
