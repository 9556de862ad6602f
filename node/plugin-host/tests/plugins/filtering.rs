//! Sync filters: the first-party ones say what leaves, and a hostile one lets nothing through that was not
//! there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use activestore_plugin_host::{HostOptions, PluginHost, SyncFilter};
use activestore_types::{ErrorKind, Result};
use arrow::array::{Array, ArrayRef, AsArray, Float64Array, StringArray, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, Float64Type, Schema, TimeUnit};
use arrow::record_batch::RecordBatch;

use crate::built::{options, plugin};
use crate::hand;

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("device", DataType::Utf8, false),
        Field::new("ts", DataType::Timestamp(TimeUnit::Nanosecond, None), false),
        Field::new("temp", DataType::Float64, true),
        Field::new("driver", DataType::Utf8, true),
    ])
}

/// Rows of one device, a second apart.
fn rows(count: i64) -> RecordBatch {
    let texts = |text: &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values((0..count).map(|_| text)))
    };
    let times = (0..count).map(|row| row * 1_000_000_000);
    let columns: Vec<ArrayRef> = vec![
        texts("a"),
        Arc::new(TimestampNanosecondArray::from_iter_values(times)),
        Arc::new(Float64Array::from_iter_values(
            (0..count).map(|row| row as f64),
        )),
        texts("jane"),
    ];
    RecordBatch::try_new(schema().into(), columns).unwrap()
}

fn filter(name: &str, settings: &[(&str, &str)]) -> Result<SyncFilter> {
    let settings = settings.iter();
    let settings: BTreeMap<String, String> = settings
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    plugin(name).filter(&settings, &schema())
}

#[test]
fn redaction_changes_what_it_names_and_lets_every_row_through() {
    let filter = filter("redact-filter", &[("mask", "driver"), ("withhold", "temp")]).unwrap();
    let named: Vec<&str> = filter
        .columns()
        .chain(filter.gives())
        .chain(filter.withholds())
        .collect();
    assert_eq!(named, ["driver", "driver", "temp"]);
    let filtered = filter.filter(&rows(3)).unwrap();
    assert_eq!(filtered.rows, [0, 1, 2]);
    assert_eq!(filtered.columns[0].as_string::<i32>().value(2), "****");
    // A column that a batch lacks is null, and nothing comes of it.
    let without = rows(3).project(&[0, 1]).unwrap();
    assert_eq!(filter.filter(&without).unwrap().columns[0].null_count(), 3);
}

#[test]
fn thinning_lets_the_last_row_of_a_bucket_through() {
    let filter = filter("downsample-filter", &[("bucket", "10s")]).unwrap();
    let filtered = filter.filter(&rows(25)).unwrap();
    assert_eq!(filtered.rows, [9, 19, 24]);
    let means = filtered.columns[0].as_primitive::<Float64Type>();
    assert_eq!(means.values(), &[4.5, 14.5, 22.0]);
    // More rows than one call sees: buckets are cut where calls are.
    let many = filter.filter(&rows(70_000)).unwrap();
    assert_eq!(many.rows.len(), 7001);
    assert!(many.rows.is_sorted() && many.columns[0].len() == 7001);
}

#[test]
fn settings_and_columns_that_do_not_fit_are_refused() {
    for (name, settings, words) in [
        (
            "redact-filter",
            &[("mask", "nobody")][..],
            "no column 'nobody'",
        ),
        (
            "redact-filter",
            &[("mask", "device")],
            "belongs to the primary key",
        ),
        ("downsample-filter", &[], "bucket"),
        ("units", &[], "not filter"),
    ] {
        let error = filter(name, settings).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.message().contains(words), "{name}: {error}");
    }
}

/// A filter whose `init` gives the specification at 96 and whose `filter` gives what lies at 128: the columns
/// that it is given at 1024, those that it gives at 1040, those that it withholds at 1056.
fn module(init: &str, filter: &str) -> Vec<u8> {
    hand::component(
        "sync-filter",
        &format!(
            r#"(module
              (memory (export "memory") 16)
              (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
              (func (export "filter/init") (param i32 i32 i32 i32) (result i32)
                (i32.store (i32.const 100) (i32.const 1024)) (i32.store (i32.const 108) (i32.const 1040))
                (i32.store (i32.const 116) (i32.const 1056)) {init} (i32.const 96))
              (func (export "filter/filter") (param $rows i32) (param i32 i32) (result i32)
                (i32.store (i32.const 132) (i32.const 2048)) (i32.store (i32.const 140) (i32.const 3072))
                {filter} (i32.const 128)))"#
        ),
    )
}

fn host() -> Arc<PluginHost> {
    PluginHost::new(HostOptions {
        call_deadline: Duration::from_secs(1),
        ..options()
    })
    .unwrap()
}

/// Which number stands at a place.
fn put(place: u32, number: i32) -> String {
    format!("(i32.store (i32.const {place}) (i32.const {number}))")
}

#[test]
fn a_specification_that_names_what_it_may_not_is_refused() {
    let host = host();
    let one = |place: u32, list: u32, column: i32| put(place, 1) + &put(list, column);
    for (what, init, words) in [
        ("no such column", one(104, 1024, 9), "column 9 of 4"),
        (
            "a key to give",
            one(112, 1040, 1),
            "'ts', which belongs to the primary key",
        ),
        (
            "a key to withhold",
            one(120, 1056, 0),
            "'device', which belongs to the primary key",
        ),
        (
            "twice",
            put(112, 2) + &put(1040, 2) + &put(1044, 2),
            "named before",
        ),
        (
            "given and withheld",
            one(112, 1040, 3) + &one(120, 1056, 3),
            "named before",
        ),
        ("beyond its memory", put(104, 1 << 28), "out of bounds"),
        ("a loop", "(loop $on (br $on))".to_owned(), "deadline"),
    ] {
        let plugin = host.load("hostile", &module(&init, "")).unwrap();
        let error = plugin.filter(&BTreeMap::new(), &schema()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{what}: {error}");
        assert!(error.message().contains(words), "{what}: {error}");
    }
}

#[test]
fn a_hostile_filter_lets_no_row_through_that_was_not_there() {
    let host = host();
    let gives_temp = put(112, 1) + &put(1040, 2);
    // A column of two floats at 3072.
    let column = put(144, 1)
        + "(i32.store8 (i32.const 3072) (i32.const 4))"
        + &put(3076, 8192)
        + &put(3080, 2);
    for (what, filter, words) in [
        ("honest", put(136, 2) + &put(2052, 1) + &column, ""),
        (
            "beyond",
            put(136, 2) + &put(2052, 7) + &column,
            "do not rise within the 3 rows",
        ),
        (
            "falling",
            put(136, 2) + &put(2048, 1) + &column,
            "do not rise",
        ),
        ("twice the same", put(136, 2) + &column, "do not rise"),
        (
            "more than came",
            put(136, 4) + &put(2052, 1) + &put(2056, 2) + &put(2060, 3) + &column,
            "do not rise within the 3 rows",
        ),
        (
            "fewer columns",
            put(136, 1),
            "gave 0 columns where it declared 1",
        ),
        (
            "a shorter column",
            put(136, 3) + &put(2052, 1) + &put(2056, 2) + &column,
            "2 rows where 3",
        ),
        (
            "another type",
            put(136, 2) + &put(2052, 1) + &column + "(i32.store8 (i32.const 3072) (i32.const 2))",
            "s64s where DOUBLE",
        ),
        ("a trap", "(unreachable)".to_owned(), "unreachable"),
        ("a loop", "(loop $on (br $on))".to_owned(), "deadline"),
    ] {
        let plugin = host.load("hostile", &module(&gives_temp, &filter)).unwrap();
        let made = plugin.filter(&BTreeMap::new(), &schema()).unwrap();
        let done = made.filter(&rows(3)).map(|filtered| filtered.rows);
        match done {
            Ok(rows) => assert_eq!((what, rows), ("honest", vec![0, 1])),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Invalid, "{what}: {error}");
                assert!(
                    !words.is_empty() && error.message().contains(words),
                    "{what}: {error}"
                );
            }
        }
    }
}
