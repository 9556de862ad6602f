//! Columns survive the way in and out, sliced or not; whatever a guest could return wrongly is
//! refused with a sentence, and random returns never panic.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Float32Array, Float64Array,
    Int32Array, Int64Array, StringArray, TimestampNanosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::DataType as ArrowType;
use proptest::prelude::*;

use super::{Lowered, lift, scalar_type};
use crate::abi::{Column, OwnedColumn, OwnedValues, OwnedVarBytes, ScalarType, Values, VarBytes};

fn owned(column: Column<'_>) -> OwnedColumn {
    let bytes = |values: VarBytes<'_>| OwnedVarBytes {
        offsets: values.offsets.to_vec(),
        data: values.data.to_vec(),
    };
    OwnedColumn {
        values: match column.values {
            Values::Bits(v) => OwnedValues::Bits(v.to_vec()),
            Values::S32s(v) => OwnedValues::S32s(v.to_vec()),
            Values::S64s(v) => OwnedValues::S64s(v.to_vec()),
            Values::F32s(v) => OwnedValues::F32s(v.to_vec()),
            Values::F64s(v) => OwnedValues::F64s(v.to_vec()),
            Values::Utf8(v) => OwnedValues::Utf8(bytes(v)),
            Values::Binary(v) => OwnedValues::Binary(bytes(v)),
        },
        validity: column.validity.map(<[u8]>::to_vec),
    }
}

fn samples() -> Vec<ArrayRef> {
    let n = 37;
    vec![
        Arc::new(
            (0..n)
                .map(|i| (i % 5 != 0).then_some(i % 3 == 0))
                .collect::<BooleanArray>(),
        ),
        Arc::new(
            (0..n)
                .map(|i| (i % 5 != 0).then_some(i))
                .collect::<Int32Array>(),
        ),
        Arc::new(
            (0..n)
                .map(|i| (i % 7 != 0).then_some(i64::from(i) << 40))
                .collect::<Int64Array>(),
        ),
        Arc::new(
            (0..n)
                .map(|i| i as f32 / 3.0)
                .collect::<Vec<_>>()
                .into_iter()
                .map(Some)
                .collect::<Float32Array>(),
        ),
        Arc::new(
            (0..n)
                .map(|i| (i % 4 != 0).then_some(f64::from(i) / 7.0))
                .collect::<Float64Array>(),
        ),
        Arc::new(
            (0..n)
                .map(|i| (i % 6 != 0).then(|| "ä".repeat(i as usize % 4)))
                .collect::<StringArray>(),
        ),
        Arc::new(
            (0..n)
                .map(|i| (i % 6 != 0).then(|| vec![i as u8; i as usize % 4]))
                .collect::<BinaryArray>(),
        ),
        Arc::new(
            (0..n)
                .map(|i| Some(i64::from(i) * 1_000_000_007))
                .collect::<TimestampNanosecondArray>(),
        ),
        Arc::new(
            (0..n)
                .map(|i| (i % 2 == 0).then_some(i))
                .collect::<Date32Array>(),
        ),
    ]
}

#[test]
fn columns_come_back_as_they_went_in() {
    for array in samples() {
        let kind = scalar_type(array.data_type()).unwrap();
        for (offset, length) in [(0, 37), (3, 20), (8, 29), (36, 1), (10, 0)] {
            let slice = array.slice(offset, length);
            let lowered = Lowered::new(&slice, kind).unwrap();
            let back = lift(owned(lowered.column()), kind, length).unwrap();
            assert_eq!(&back, &slice, "{kind:?} {offset} {length}");
        }
    }
}

#[test]
fn other_arrow_types_are_cast() {
    let text: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    let view = cast(&text, &ArrowType::Utf8View).unwrap();
    let lowered = Lowered::new(&view, ScalarType::Text).unwrap();
    assert_eq!(
        &lift(owned(lowered.column()), ScalarType::Text, 2).unwrap(),
        &text
    );
    let large: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX]));
    assert!(Lowered::new(&large, ScalarType::Int32).is_err());
}

#[test]
fn what_does_not_fit_is_refused() {
    let column = |values| OwnedColumn {
        values,
        validity: None,
    };
    let text = |offsets: Vec<i32>, data: &[u8]| {
        column(OwnedValues::Utf8(OwnedVarBytes {
            offsets,
            data: data.to_vec(),
        }))
    };
    let refused = |column, kind, rows, words: &str| {
        let error = lift(column, kind, rows).unwrap_err();
        assert!(error.contains(words), "{error}");
    };
    refused(
        column(OwnedValues::F64s(vec![1.0])),
        ScalarType::Float64,
        2,
        "1 rows where 2",
    );
    refused(
        column(OwnedValues::F32s(vec![1.0])),
        ScalarType::Float64,
        1,
        "f32s where DOUBLE",
    );
    refused(
        column(OwnedValues::Bits(vec![1, 2])),
        ScalarType::Boolean,
        8,
        "2 bytes",
    );
    refused(text(vec![0, 1], b"ab"), ScalarType::Text, 1, "last offset");
    refused(text(vec![1, 2], b"ab"), ScalarType::Text, 1, "first offset");
    refused(text(vec![0, 2, 1, 2], b"ab"), ScalarType::Text, 3, "fall");
    refused(
        text(vec![0, 1, 2], "ä".as_bytes()),
        ScalarType::Text,
        2,
        "not valid text",
    );
    refused(text(vec![], b""), ScalarType::Text, 0, "0 offsets");
    refused(
        OwnedColumn {
            values: OwnedValues::S32s(vec![1; 9]),
            validity: Some(vec![0xff]),
        },
        ScalarType::Int32,
        9,
        "validity",
    );
}

proptest! {
    #[test]
    fn random_returns_never_panic(
        offsets in proptest::collection::vec(-4i32..12, 0..6),
        data in proptest::collection::vec(any::<u8>(), 0..10),
        validity in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..3)),
        rows in 0usize..6,
    ) {
        let values = OwnedValues::Utf8(OwnedVarBytes { offsets, data });
        if let Ok(array) = lift(OwnedColumn { values, validity }, ScalarType::Text, rows) {
            prop_assert_eq!(array.len(), rows);
        }
    }
}
