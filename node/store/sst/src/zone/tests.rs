//! A zone never rules out a vector that holds a wanted value.

use arrow::array::{ArrayRef, Float64Array, StringArray};
use arrow::datatypes::DataType as ArrowType;
use proptest::prelude::*;

use super::*;
use crate::samples;

fn value_of(array: &ArrayRef, row: usize) -> Option<ZoneValue> {
    let bytes = samples::cell(array, row)?;
    Some(match array.data_type() {
        ArrowType::Boolean => ZoneValue::Bool(bytes == [1]),
        ArrowType::Float32 => {
            ZoneValue::Float(f32::from_be_bytes(bytes.try_into().unwrap()).into())
        }
        ArrowType::Float64 => ZoneValue::Float(f64::from_be_bytes(bytes.try_into().unwrap())),
        ArrowType::Decimal128(_, _) => {
            ZoneValue::Decimal(i128::from_be_bytes(bytes.try_into().unwrap()))
        }
        ArrowType::Utf8 | ArrowType::Binary => ZoneValue::Bytes(bytes),
        ArrowType::Int32 | ArrowType::Date32 => {
            ZoneValue::Int(i32::from_be_bytes(bytes.try_into().unwrap()).into())
        }
        ArrowType::UInt32 => ZoneValue::Int(u32::from_be_bytes(bytes.try_into().unwrap()).into()),
        _ => ZoneValue::Int(i64::from_be_bytes(bytes.try_into().unwrap())),
    })
}

fn zones_of(array: &ArrayRef) -> Zones {
    let family = Family::of(array.data_type()).unwrap();
    let mut zones = Zones::new(family);
    zones.push_empty(9);
    zones.push(array, array.nulls()).unwrap();
    let mut bytes = Vec::new();
    zones.encode(&mut bytes);
    let mut cursor = Cursor::new(&bytes);
    let read = Zones::decode(&mut cursor, family, PACKED_SINCE, 2).unwrap();
    cursor.finish().unwrap();
    read
}

fn wanted(low: Option<ZoneValue>, high: Option<ZoneValue>) -> ZonePredicate {
    ZonePredicate {
        column: ColumnId(1),
        low,
        high,
    }
}

proptest! {
    #[test]
    fn every_value_is_found_in_its_zone(array in samples::arrays(1..300)) {
        let zones = zones_of(&array);
        let any_value = (0..array.len()).any(|row| value_of(&array, row).is_some());
        for row in 0..array.len() {
            let Some(value) = value_of(&array, row) else { continue };
            let point = wanted(Some(value.clone()), Some(value.clone()));
            prop_assert!(zones.may_match(1, array.len(), &point));
            prop_assert!(zones.may_match(1, array.len(), &wanted(Some(value.clone()), None)));
            prop_assert!(zones.may_match(1, array.len(), &wanted(None, Some(value.clone()))));
            prop_assert!(!zones.may_match(0, 9, &wanted(Some(value), None)));
        }
        prop_assert!(zones.may_match(1, array.len(), &wanted(None, None)));
        let everything = wanted(Some(ZoneValue::Int(i64::MIN)), None);
        if !any_value {
            prop_assert!(!zones.may_match(1, array.len(), &everything));
        }
    }
}

#[test]
fn values_outside_are_ruled_out() {
    let floats: ArrayRef = std::sync::Arc::new(Float64Array::from(vec![1.5, 2.5]));
    let zones = zones_of(&floats);
    let float = |value| Some(ZoneValue::Float(value));
    assert!(!zones.may_match(1, 2, &wanted(float(2.6), None)));
    assert!(!zones.may_match(1, 2, &wanted(None, float(1.4))));
    assert!(zones.may_match(1, 2, &wanted(float(2.0), float(2.1))));
    let text: ArrayRef =
        std::sync::Arc::new(StringArray::from(vec!["a".repeat(40), "b".repeat(40)]));
    let zones = zones_of(&text);
    let bytes = |value: &str| Some(ZoneValue::Bytes(value.as_bytes().to_vec()));
    assert!(!zones.may_match(1, 2, &wanted(bytes("c"), None)));
    assert!(!zones.may_match(1, 2, &wanted(None, bytes("a"))));
    assert!(zones.may_match(1, 2, &wanted(bytes(&"b".repeat(40)), None)));
}

#[test]
fn text_above_every_prefix_has_no_upper_bound() {
    assert_eq!(prefix_above(&[0xff; 60]), Vec::<u8>::new());
    assert_eq!(prefix_above(b"short"), b"short");
    assert!(prefix_above("zz".repeat(30).as_bytes()) > "zz".repeat(30).into_bytes());
}
