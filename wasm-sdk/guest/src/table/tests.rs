//! Rows come in parts, and constants are read.

use super::{Constant, Giving, Row, Rows};
use crate::scalar::Timestamp;
use crate::{Column, ScalarType, Values};

#[test]
fn rows_come_a_few_at_a_time_and_end() {
    let mut rows = Rows(Box::new(
        (0..5_i64).map(|n| (n, (n != 3).then(|| n.to_string()))),
    ));
    let batch = rows.next(4).unwrap().unwrap();
    assert_eq!(batch.rows, 4);
    assert_eq!(batch.columns[0].as_s64s().unwrap(), [0, 1, 2, 3]);
    assert!(batch.columns[1].is_valid(2) && !batch.columns[1].is_valid(3));
    assert_eq!(rows.next(4).unwrap().unwrap().rows, 1);
    assert!(rows.next(4).unwrap().is_none());
    let fields = <(Timestamp, Option<f64>)>::fields(&["ts", "x"]);
    assert_eq!(
        (fields[0].kind, fields[0].nullable),
        (ScalarType::Timestamp, false)
    );
    assert_eq!((fields[1].name.as_str(), fields[1].nullable), ("x", true));
}

#[test]
fn constants_are_read_and_a_null_needs_an_option() {
    let null = Column {
        values: Values::F64s(vec![0.0]),
        validity: Some(vec![0]),
    };
    assert!(
        f64::constant(&null, "x")
            .unwrap_err()
            .to_string()
            .contains("x must not be null")
    );
    assert_eq!(Option::<f64>::constant(&null, "x").unwrap(), None);
    assert_eq!(String::constant(&Column::text(["a"]), "t").unwrap(), "a");
    assert!(i64::constant(&Column::text(["a"]), "t").is_err());
}
