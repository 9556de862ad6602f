//! Columns come out plain, or are refused.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use arrow::array::{
    DictionaryArray, Int32Array, Int64Array, ListArray, StringArray, StringViewArray,
};
use arrow::datatypes::{Int32Type, Int64Type};

fn batch(array: ArrayRef) -> RecordBatch {
    RecordBatch::try_from_iter([("c", array)]).unwrap()
}

#[test]
fn what_names_values_many_times_is_spread_out() {
    let named: DictionaryArray<Int32Type> = vec![Some("a"), None, Some("b"), Some("a")]
        .into_iter()
        .collect();
    let spread = plain(&batch(Arc::new(named))).unwrap();
    let wanted = StringArray::from(vec![Some("a"), None, Some("b"), Some("a")]);
    assert_eq!(spread.column(0).as_string::<i32>(), &wanted);
    let views = StringViewArray::from(vec!["x", "a text that is longer than a view"]);
    let spread = plain(&batch(Arc::new(views))).unwrap();
    assert_eq!(spread.column(0).data_type(), &DataType::Utf8);
    let none = DictionaryArray::<Int32Type>::new(
        Int32Array::from(vec![None, None]),
        Arc::new(StringArray::from(Vec::<&str>::new())),
    );
    assert_eq!(
        plain(&batch(Arc::new(none)))
            .unwrap()
            .column(0)
            .null_count(),
        2
    );
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    assert!(Arc::ptr_eq(
        plain(&batch(numbers.clone())).unwrap().column(0),
        &numbers
    ));
}

#[test]
fn what_would_be_too_large_or_is_no_column_is_refused() {
    let value = "v".repeat(1024 * 1024);
    let huge = DictionaryArray::<Int32Type>::new(
        Int32Array::from(vec![0; 100]),
        Arc::new(StringArray::from(vec![value])),
    );
    let error = plain(&batch(Arc::new(huge))).unwrap_err();
    assert!(
        error.message().contains("come to 104857600 bytes"),
        "{error}"
    );
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([Some([Some(1)])]);
    let error = plain(&batch(Arc::new(lists))).unwrap_err();
    assert!(error.message().contains("which no column holds"), "{error}");
}
