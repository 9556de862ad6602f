//! Functions of the `units` plugin over Arrow columns: values, nulls, slices, lengths, threads.

use std::sync::Arc;

use activestore_plugin_host::{PluginKind, Volatility};
use activestore_types::{DataType, ErrorKind};
use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, StringArray};
use arrow::datatypes::Float64Type;

use crate::built::plugin;

fn floats(values: impl IntoIterator<Item = Option<f64>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<Float64Array>())
}

#[test]
fn functions_are_described() {
    let units = plugin("units");
    assert_eq!(units.kind(), PluginKind::Scalar);
    let signature = units.scalar("dew_point").unwrap().signature().clone();
    assert_eq!(signature.args, [DataType::Double, DataType::Double]);
    assert_eq!(signature.returns, DataType::Double);
    assert_eq!(signature.volatility, Volatility::Immutable);
    assert!(signature.strict);
    let error = units.scalar("c_to_r").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.hint().unwrap().contains("f_to_c"));
    assert_eq!(
        units.model(b"").unwrap_err().message(),
        "plugin 'units' is of kind scalar, not model"
    );
}

#[test]
fn columns_of_every_length_are_converted() {
    let function = plugin("units").scalar("f_to_c").unwrap();
    for rows in [0, 1, 31, 32, 100, 8192, 70_000] {
        let input = floats((0..rows).map(|row| Some(row as f64)));
        let output = function.call(rows, &[input]).unwrap();
        assert_eq!(output.len(), rows);
        for (row, value) in output.as_primitive::<Float64Type>().iter().enumerate() {
            assert_eq!(value, Some((row as f64 - 32.0) / 1.8));
        }
    }
}

#[test]
fn nulls_slices_and_casts() {
    let units = plugin("units");
    let function = units.scalar("f_to_c").unwrap();
    let whole = floats((0..50).map(|row| (row % 3 != 0).then_some(32.0 + 1.8 * f64::from(row))));
    let output = function.call(20, &[whole.slice(7, 20)]).unwrap();
    for (row, value) in output.as_primitive::<Float64Type>().iter().enumerate() {
        let row = row + 7;
        assert_eq!(value.is_some(), row % 3 != 0);
        assert!(value.is_none_or(|value| (value - row as f64).abs() < 1e-9));
    }
    let integers: ArrayRef = Arc::new(Int64Array::from(vec![32, 212]));
    let output = function.call(2, &[integers]).unwrap();
    assert_eq!(output.as_primitive::<Float64Type>().values(), &[0.0, 100.0]);
    let dew_point = units.scalar("dew_point").unwrap();
    let output = dew_point
        .call(
            2,
            &[floats([Some(20.0), None]), floats([Some(0.0), Some(50.0)])],
        )
        .unwrap();
    assert_eq!(output.null_count(), 2);
}

#[test]
fn wrong_arguments_are_refused() {
    let function = plugin("units").scalar("f_to_c").unwrap();
    let one = floats([Some(1.0)]);
    let refused = |rows, args: &[ArrayRef]| function.call(rows, args).unwrap_err();
    assert_eq!(
        refused(1, &[]).message(),
        "function 'f_to_c' takes 1 arguments, 0 were given"
    );
    assert_eq!(
        refused(2, std::slice::from_ref(&one)).kind(),
        ErrorKind::Invalid
    );
    let text: ArrayRef = Arc::new(StringArray::from(vec!["warm"]));
    assert_eq!(refused(1, &[text]).kind(), ErrorKind::Invalid);
    assert_eq!(function.call(1, &[one]).unwrap().len(), 1);
}

#[test]
fn calls_from_many_threads() {
    let function = plugin("units").scalar("kmh_to_ms").unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let function = &function;
            scope.spawn(move || {
                for call in 0..50 {
                    let value = f64::from(thread * 1000 + call);
                    let output = function.call(1, &[floats([Some(value)])]).unwrap();
                    assert_eq!(output.as_primitive::<Float64Type>().value(0), value / 3.6);
                }
            });
        }
    });
}
