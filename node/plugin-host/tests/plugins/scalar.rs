//! Functions of the `units` plugin over Arrow columns: values, nulls, slices, lengths, threads.

use std::collections::BTreeMap;
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
    assert_eq!(signature.value_type().unwrap(), DataType::Double);
    assert_eq!(signature.volatility, Volatility::Immutable);
    assert!(signature.strict);
    let error = units.scalar("c_to_r").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.hint().unwrap().contains("f_to_c"));
    assert_eq!(
        units.model(&BTreeMap::new(), b"").unwrap_err().message(),
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

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

#[test]
fn text_is_redacted() {
    let redact = plugin("redact");
    let call = |function: &str, args: &[ArrayRef]| {
        let rows = args[0].len();
        redact.scalar(function).unwrap().call(rows, args).unwrap()
    };
    let cards = texts(&[Some("4111 1111 1111 1234"), None, Some("")]);
    let keep: ArrayRef = Arc::new(Int64Array::from(vec![4; 3]));
    let masked = call("mask_digits", &[cards.clone(), keep]);
    let masked = masked.as_string::<i32>();
    assert_eq!(
        (masked.value(0), masked.value(2)),
        ("**** **** **** 1234", "")
    );
    assert!(masked.is_null(1));
    let salt = texts(&[Some("a"), Some("a"), Some("a")]);
    let hashed = call("hash_text", &[texts(&[Some("bc"), None, Some("bd")]), salt]);
    let hashed = hashed.as_string::<i32>();
    assert!(hashed.value(0).starts_with("ba7816bf8f01cfea") && hashed.is_null(1));
    assert!(hashed.value(2).len() == 64 && hashed.value(2) != hashed.value(0));
    let error = redact
        .scalar("hash_text")
        .unwrap()
        .call(1, &[texts(&[Some("x")]), texts(&[Some("")])])
        .unwrap_err();
    assert!(error.message().contains("salt"), "{error}");
}

#[test]
fn fences_hold_positions() {
    let geofence = plugin("geofence");
    let inside = geofence.scalar("geo_within_polygon").unwrap();
    let rows = 70_000;
    let lat = floats((0..rows).map(|row| (row % 7 != 0).then_some(f64::from(row % 100))));
    let lon = floats((0..rows).map(|row| Some(f64::from(row / 100 % 100))));
    let square = texts(&vec![
        Some("POLYGON ((10 20, 30 20, 30 50, 10 50, 10 20))");
        rows as usize
    ]);
    let found = inside.call(rows as usize, &[lat, lon, square]).unwrap();
    for (row, within) in (0..).zip(found.as_boolean().iter()) {
        let expected = (20..=50).contains(&(row % 100)) && (10..=30).contains(&(row / 100 % 100));
        // There is no latitude beyond 90 degrees.
        let known = row % 7 != 0 && row % 100 <= 90;
        assert_eq!(within, known.then_some(expected), "{row}");
    }
    let one = |value| floats([Some(value)]);
    let error = inside
        .call(1, &[one(0.0), one(0.0), texts(&[Some("POLYGON ((1 2")])])
        .unwrap_err();
    assert!(error.message().contains("')'"), "{error}");
    let distance = geofence.scalar("geo_distance").unwrap();
    let metres = distance
        .call(1, &[one(0.0), one(0.0), one(1.0), one(0.0)])
        .unwrap();
    let metres = metres.as_primitive::<Float64Type>().value(0);
    assert!((metres - 111_195.08).abs() < 0.1, "{metres}");
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
