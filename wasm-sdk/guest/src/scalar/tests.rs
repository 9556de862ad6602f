//! The macro's functions see the right rows, in blocks and one by one, and nulls stay nulls.

use crate::exports::scalar::Guest;
use crate::{Column, Error, ScalarType, Values, VarBytes};

crate::scalar! {
    fn add(a: f64, b: f64) -> f64 { a + b }
    fn or_zero(a: Option<f64>) -> f64 { a.unwrap_or(0.0) }
    fn shout(text: &str) -> String { text.to_uppercase() }
    fn half(n: i64) -> Option<i64> { (n % 2 == 0).then_some(n / 2) }
    fn root(x: f64) -> Result<f64, String> {
        if x < 0.0 { Err(format!("{x} has no root")) } else { Ok(x.sqrt()) }
    }
    fn answer() -> i32 { 42 }
    fn is_hot(x: f32) -> bool { x > 1.0 }
}

fn call(name: &str, rows: u32, args: Vec<Column>) -> Result<Column, Error> {
    let functions = ActivestorePlugin::describe();
    let index = functions.iter().position(|f| f.name == name).unwrap();
    ActivestorePlugin::eval(index as u32, rows, args)
}

#[test]
fn functions_are_described() {
    let functions = ActivestorePlugin::describe();
    assert_eq!(functions.len(), 7);
    let args: Vec<_> = functions[0]
        .args
        .iter()
        .map(|arg| (arg.name.as_str(), arg.kind))
        .collect();
    assert_eq!(
        args,
        [("a", ScalarType::Float64), ("b", ScalarType::Float64)]
    );
    assert!(functions[0].strict && !functions[1].strict);
    assert_eq!(functions[2].returns, ScalarType::Text);
}

#[test]
fn every_length_is_evaluated_whole() {
    for rows in [0u32, 1, 31, 32, 33, 200] {
        let a: Vec<f64> = (0..rows).map(f64::from).collect();
        let args = vec![Column::f64s(a.clone()), Column::f64s(a.clone())];
        let sum = call("add", rows, args).unwrap();
        let expected: Vec<f64> = a.iter().map(|value| value * 2.0).collect();
        assert_eq!(sum.as_f64s().unwrap(), expected);
        let answers = call("answer", rows, vec![]).unwrap();
        assert!(matches!(answers.values, Values::S32s(v) if v == vec![42; rows as usize]));
    }
}

#[test]
fn nulls_stay_nulls_unless_they_are_seen() {
    let column = Column {
        values: Values::F64s(vec![1.0, 2.0, 3.0]),
        validity: Some(vec![0b101]),
    };
    let sum = call("add", 3, vec![column.clone(), column.clone()]).unwrap();
    assert_eq!(sum.validity, Some(vec![0b101]));
    let seen = call("or_zero", 3, vec![column]).unwrap();
    assert_eq!(seen.as_f64s().unwrap(), [1.0, 0.0, 3.0]);
    assert_eq!(seen.validity, None);
}

#[test]
fn other_types_go_in_and_out() {
    let shouted = call("shout", 2, vec![Column::text(["ab", "ß"])]).unwrap();
    assert!(matches!(&shouted.values, Values::Utf8(v) if v.text(0) == "AB" && v.text(1) == "SS"));
    let halves = call("half", 2, vec![Column::s64s(vec![4, 5])]).unwrap();
    assert_eq!(halves.validity, Some(vec![0b01]));
    let hot = call("is_hot", 40, vec![Column::of(Values::F32s(vec![2.0; 40]))]).unwrap();
    assert!(matches!(&hot.values, Values::Bits(bits) if bits == &[0xff; 5]));
}

#[test]
fn errors_refuse_the_call() {
    let error = call("root", 2, vec![Column::f64s(vec![4.0, -1.0])]).unwrap_err();
    assert!(matches!(error, Error::Invalid(text) if text == "-1 has no root"));
    assert!(call("add", 1, vec![]).is_err());
    let text = Column::of(Values::Utf8(VarBytes::of(["1"])));
    assert!(call("root", 1, vec![text]).is_err());
    assert!(ActivestorePlugin::eval(99, 0, vec![]).is_err());
}
