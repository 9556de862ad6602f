//! Rows go on with what is converted; settings that do not fit are refused by name.

use activestore_plugin::fixture::{batch, config, readings};
use activestore_plugin::{Column, Error, MemoryState, Processor, ScalarType, Values};

use crate::Convert;

fn refusal(settings: &[(&str, &str)]) -> String {
    match Convert::init(&config(settings), &readings()) {
        Err(Error::Invalid(sentence)) => sentence,
        Err(_) => panic!("refused for another reason"),
        Ok(_) => panic!("{settings:?} is taken"),
    }
}

#[test]
fn rows_go_on_with_their_key_and_what_is_converted() {
    let settings = [
        ("columns", "temp:f_to_c:temp_c, count:kmh_to_ms"),
        ("keep", "status"),
    ];
    let (mut convert, spec) = Convert::init(&config(&settings), &readings()).unwrap();
    let sent = &spec.outputs[0].fields;
    let names: Vec<&str> = sent.iter().map(|field| field.name.as_str()).collect();
    assert_eq!(names, ["device", "ts", "temp_c", "count", "status"]);
    assert_eq!(sent[3].kind, ScalarType::Float64);
    assert_eq!(spec.columns, [0, 1, 2, 3, 4]);
    let mut rows = batch(&[("a", 1, 212.0, 36), ("b", 2, -40.0, 72)]);
    rows.columns[3].validity = Some(vec![0b01]);
    rows.columns.push(Column::text(["ok", "late"]));
    let processed = convert.process(&rows, &mut MemoryState::default()).unwrap();
    let out = &processed.outputs[0];
    assert!(processed.rejected.is_empty() && out.rows == 2);
    assert_eq!(out.columns[2].as_f64s().unwrap(), [100.0, -40.0]);
    assert_eq!(out.columns[3].number(0), Some(10.0));
    assert_eq!(out.columns[3].number(1), None);
    assert!(matches!(&out.columns[4].values, Values::Utf8(text) if text.text(1) == "late"));
}

#[test]
fn a_column_may_be_converted_twice_under_two_names() {
    let settings = [("columns", "temp:f_to_c:c, temp:c_to_k:k")];
    let (_, spec) = Convert::init(&config(&settings), &readings()).unwrap();
    assert_eq!(spec.columns, [0, 1, 2]);
    assert_eq!(spec.outputs[0].fields.len(), 4);
}

#[test]
fn settings_that_do_not_fit_are_refused_by_name() {
    for (columns, word) in [
        ("", "is missing"),
        ("temp", "from:formula"),
        ("temp:f_to_c:x:y", "from:formula"),
        ("temp:melt", "there is no formula 'melt'"),
        ("wind:kmh_to_ms", "no column 'wind'"),
        ("status:f_to_c", "'status' cannot be converted"),
        ("ts:f_to_c", "'ts' cannot be converted"),
        ("temp:f_to_c, count:c_to_f:temp", "two columns"),
        ("temp:f_to_c:device", "two columns"),
    ] {
        let sentence = refusal(&[("columns", columns)]);
        assert!(sentence.contains(word), "{columns}: {sentence}");
    }
    assert!(refusal(&[("column", "temp:f_to_c")]).contains("there is no setting 'column'"));
}
