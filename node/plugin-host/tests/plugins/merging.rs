//! Merge functions: the first-party ones are joins, those that are none are found out, and what a hostile one
//! returns is not believed.

use std::sync::Arc;
use std::time::Duration;

use activestore_plugin_host::{HostOptions, MergeFunction, PluginHost};
use activestore_types::{DataType, ErrorKind, Result};
use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, StringArray, TimestampNanosecondArray,
};
use arrow::datatypes::{Float64Type, Int64Type, TimestampNanosecondType};

use crate::built::{options, plugin};
use crate::hand;

/// Where a module written by hand puts its result.
const OUT: &str = "(i32.const 2097152)";

/// The merge function of this name for values of a type.
fn function(name: &str, function: &str, kind: DataType) -> Arc<MergeFunction> {
    let all = plugin(name).merges(function).unwrap();
    all.into_iter().find(|one| one.takes(kind)).unwrap()
}

#[test]
fn values_are_joined_and_null_gives_way() {
    let greatest = function("merge-max", "greatest", DataType::BigInt);
    let left: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(9), None]));
    let right: ArrayRef = Arc::new(Int64Array::from(vec![Some(5), Some(2), None, None]));
    let joined = greatest.merge(&left, &right).unwrap();
    let expected = Int64Array::from(vec![Some(5), Some(2), Some(9), None]);
    assert_eq!(joined.as_primitive::<Int64Type>(), &expected);
    assert!(greatest.merge(&left, &left.slice(0, 2)).is_err());
    let least = function("merge-max", "least", DataType::Timestamp);
    let times = |ns| Arc::new(TimestampNanosecondArray::from(vec![ns])) as ArrayRef;
    let joined = least.merge(&times(7), &times(3)).unwrap();
    assert_eq!(joined.as_primitive::<TimestampNanosecondType>().value(0), 3);
    let union = function("merge-set", "set_union", DataType::Json);
    let text = |text: &str| Arc::new(StringArray::from(vec![text])) as ArrayRef;
    let joined = union
        .merge(&text(r#"["b"]"#), &text(r#"["a","b"]"#))
        .unwrap();
    assert_eq!(joined.as_string::<i32>().value(0), r#"["a","b"]"#);
    let error = union.merge(&text("{}"), &text("[]")).unwrap_err();
    assert!(error.message().contains("no JSON array"), "{error}");
}

#[test]
fn zeroes_and_nans_are_settled() {
    let greatest = function("merge-max", "greatest", DataType::Double);
    let column = |value: f64| Arc::new(Float64Array::from(vec![value])) as ArrayRef;
    let bits = |array: ArrayRef| array.as_primitive::<Float64Type>().value(0).to_bits();
    assert_eq!(
        bits(greatest.merge(&column(-0.0), &column(-0.0)).unwrap()),
        0
    );
    let odd = column(f64::from_bits(0x7ff8_0000_dead_beef));
    let nan = bits(greatest.merge(&odd, &odd).unwrap());
    assert_eq!(nan, f64::NAN.to_bits());
}

#[test]
fn a_column_gets_the_function_of_its_type() {
    let all = plugin("merge-max").merges("greatest").unwrap();
    let takes = |kind| all.iter().filter(|one| one.takes(kind)).count();
    assert_eq!((takes(DataType::Double), takes(DataType::Uuid)), (1, 1));
    let decimal = DataType::Decimal {
        precision: 9,
        scale: 2,
    };
    assert_eq!(takes(decimal), 0, "a decimal would be a float");
    let error = plugin("merge-max").merges("mean").unwrap_err();
    assert!(error.message().contains("no function 'mean'"), "{error}");
    let error = plugin("units").merges("f_to_c").unwrap_err();
    assert!(error.message().contains("not merge"), "{error}");
}

#[test]
fn the_first_party_functions_are_joins() {
    for name in ["merge-max", "merge-set"] {
        let plugin = plugin(name);
        for signature in plugin.functions() {
            for function in plugin.merges(&signature.name).unwrap() {
                function
                    .check_laws()
                    .unwrap_or_else(|error| panic!("{name} {}: {error}", signature.name));
            }
        }
    }
}

/// A component with the merge function `f` of DOUBLE that does this with its parameters at `$at`.
fn module(merge: &str) -> Vec<u8> {
    hand::component(
        "merge-functions",
        &format!(
            r#"(module
              (memory (export "memory") 64)
              (global $free (mut i32) (i32.const 4096))
              (data (i32.const 16) "\20\00\00\00\01\00\00\00")
              (data (i32.const 32) "\40\00\00\00\01\00\00\00\04\00\00\00")
              (data (i32.const 64) "f")
              (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (global.get $free)
                (global.set $free (i32.and (i32.const -16)
                  (i32.add (global.get $free) (i32.add (local.get 3) (i32.const 15))))))
              (func (export "merge/describe") (result i32) (i32.const 16))
              (func (export "merge/merge") (param $at i32) (result i32)
                (local $i i32) (local $l f64) (local $r f64) {merge})
              (func (export "cabi_post_merge/merge") (param i32) (global.set $free (i32.const 4096))))"#
        ),
    )
}

/// Gives for each row what this makes of `$l` and `$r`.
fn by_row(value: &str) -> String {
    let value_at = |offset: u32| {
        format!(
            "(f64.load (i32.add (i32.load offset={offset} (local.get $at)) (i32.shl (local.get $i) (i32.const 3))))"
        )
    };
    format!(
        "(loop $on
           (local.set $l {left}) (local.set $r {right})
           (f64.store (i32.add {OUT} (i32.shl (local.get $i) (i32.const 3))) {value})
           (local.set $i (i32.add (local.get $i) (i32.const 1)))
           (br_if $on (i32.lt_u (local.get $i) (i32.load offset=4 (local.get $at)))))
         {floats} (i32.const 128)",
        left = value_at(12),
        right = value_at(44),
        floats = floats("(i32.load offset=4 (local.get $at))"),
    )
}

/// The result at 128: so many floats.
fn floats(rows: &str) -> String {
    format!(
        "(i32.store8 (i32.const 132) (i32.const 4)) (i32.store (i32.const 136) {OUT})
         (i32.store (i32.const 140) {rows})"
    )
}

fn host() -> Arc<PluginHost> {
    PluginHost::new(HostOptions {
        call_deadline: Duration::from_secs(1),
        ..options()
    })
    .unwrap()
}

fn laws(host: &PluginHost, merge: &str) -> Result<()> {
    let plugin = host.load("by-hand", &module(merge))?;
    plugin.merges("f")?.remove(0).check_laws()
}

#[test]
fn a_function_that_is_no_join_is_found_out_with_the_values_that_show_it() {
    let host = host();
    laws(&host, &by_row("(f64.max (local.get $l) (local.get $r))")).unwrap();
    for (what, value, words) in [
        ("the first", "(local.get $l)", "is not commutative: merge("),
        ("the last", "(local.get $r)", "is not commutative: merge("),
        (
            "the sum",
            "(f64.add (local.get $l) (local.get $r))",
            "is not idempotent: merge(x, x) of",
        ),
        (
            "the mean",
            "(f64.mul (f64.const 0.5) (f64.add (f64.max (f64.const -1e6) (f64.min (f64.const 1e6) (local.get $l)))
               (f64.max (f64.const -1e6) (f64.min (f64.const 1e6) (local.get $r)))))",
            "is not associative: merge(merge(",
        ),
    ] {
        let error = laws(&host, &by_row(value)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{what}: {error}");
        assert!(error.message().contains(words), "{what}: {error}");
    }
    let refuses_all =
        "(i32.store8 (i32.const 128) (i32.const 1)) (i32.store (i32.const 136) (i32.const 64))
        (i32.store (i32.const 140) (i32.const 1)) (i32.const 128)";
    let error = laws(&host, refuses_all).unwrap_err();
    assert!(error.message().contains("refuses every value"), "{error}");
}

#[test]
fn what_a_hostile_function_returns_is_not_believed() {
    let host = host();
    let rows = "(i32.load offset=4 (local.get $at))";
    let fewer = floats("(i32.const 9)");
    let more = floats("(i32.const 11)");
    let whole = floats(rows);
    for (what, merge, words) in [
        ("fewer rows", format!("{fewer} (i32.const 128)"), "9 rows where 10"),
        ("more rows", format!("{more} (i32.const 128)"), "11 rows where 10"),
        (
            "another type",
            format!("{whole} (i32.store8 (i32.const 132) (i32.const 2)) (i32.const 128)"),
            "s64s where DOUBLE",
        ),
        (
            "a null",
            format!(
                "{whole} (i32.store8 (i32.const 152) (i32.const 1)) (i32.store (i32.const 156) (i32.const 1024))
                 (i32.store (i32.const 160) (i32.const 2)) (i32.const 128)"
            ),
            "it gave a null",
        ),
        ("nowhere", "(i32.const -4)".to_owned(), "out of bounds"),
        ("a trap", "(unreachable)".to_owned(), "unreachable"),
        (
            "a loop",
            "(loop $on (br $on)) (unreachable)".to_owned(),
            "longer than its deadline",
        ),
    ] {
        let plugin = host.load("hostile", &module(&merge)).unwrap();
        let column: ArrayRef = Arc::new(Float64Array::from(vec![1.0; 10]));
        let function = plugin.merges("f").unwrap().remove(0);
        let error = function.merge(&column, &column).map(|array| array.len());
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{what}: {error}");
        assert!(error.message().contains(words), "{what}: {error}");
    }
}
