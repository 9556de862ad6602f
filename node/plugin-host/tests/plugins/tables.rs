//! Table functions: constants in, rows out, as many calls as it takes.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, StringArray, TimestampNanosecondArray};
use arrow::datatypes::{Int64Type, TimestampNanosecondType};

use crate::built::plugin;

fn moment(ns: i64) -> ArrayRef {
    Arc::new(TimestampNanosecondArray::from(vec![ns]))
}

#[test]
fn rows_come_in_order_until_there_are_no_more() {
    let ticks = plugin("calendar").table_function("ticks").unwrap();
    let names: Vec<_> = ticks
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    assert_eq!(names, ["n", "ts"]);
    let seconds: ArrayRef = Arc::new(Float64Array::from(vec![1.0]));
    let args = [moment(0), moment(20_000 * 1_000_000_000), seconds];
    let mut run = ticks.open(&args).unwrap();
    let mut next = 0;
    while let Some(batch) = run.next_rows().unwrap() {
        let numbers = batch.column(0).as_primitive::<Int64Type>();
        let times = batch.column(1).as_primitive::<TimestampNanosecondType>();
        for (number, time) in numbers.values().iter().zip(times.values()) {
            assert_eq!((*number, *time), (next, next * 1_000_000_000));
            next += 1;
        }
    }
    assert_eq!(next, 20_000);
    assert!(run.next_rows().unwrap().is_none());
}

#[test]
fn two_runs_at_once_do_not_meet() {
    let ticks = plugin("calendar").table_function("ticks").unwrap();
    let seconds: ArrayRef = Arc::new(Float64Array::from(vec![1.0]));
    let run = |last| {
        ticks
            .open(&[moment(0), moment(last), seconds.clone()])
            .unwrap()
    };
    let (mut short, mut long) = (run(1), run(10_000_000_000));
    assert_eq!(long.next_rows().unwrap().unwrap().num_rows(), 10);
    assert_eq!(short.next_rows().unwrap().unwrap().num_rows(), 1);
    assert!(short.next_rows().unwrap().is_none() && long.next_rows().unwrap().is_none());
}

#[test]
fn what_it_refuses_is_said_and_wrong_arguments_are() {
    let calendar = plugin("calendar");
    let shifts = calendar.table_function("shifts").unwrap();
    let starts: ArrayRef = Arc::new(StringArray::from(vec!["14:00,06:00"]));
    let error = shifts.open(&[moment(0), moment(1), starts]).unwrap_err();
    assert!(error.message().contains("do not rise"), "{error}");
    let nothing: ArrayRef = Arc::new(StringArray::from(vec![None::<&str>]));
    let error = shifts.open(&[moment(0), moment(1), nothing]).unwrap_err();
    assert!(
        error.message().contains("starts must not be null"),
        "{error}"
    );
    assert!(
        shifts
            .open(&[moment(0)])
            .unwrap_err()
            .message()
            .contains("takes 3 arguments")
    );
    assert!(
        calendar
            .scalar("ticks")
            .unwrap_err()
            .message()
            .contains("kind table-function")
    );
    assert!(plugin("units").table_function("f_to_c").is_err());
}
