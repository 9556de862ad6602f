//! What comes of requests, whole, odd and hostile.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod rules;
mod wire;

use std::collections::BTreeMap;

use activestore_types::NamedBatch;
use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Float64Type, TimestampNanosecondType};
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};
use wire::{bytes, number, request, request_v2, sample, series};

use super::tables::STALE_BITS;
use super::{
    LABELS_MAX, RemoteWrite, RemoteWriteOptions, SYMBOLS_MAX, TABLES_MAX, Version, parse, unpack,
    unpacked_len,
};

fn options() -> RemoteWriteOptions {
    RemoteWriteOptions::new("metrics")
}

fn read(body: &[u8]) -> RemoteWrite {
    parse(body, Version::One, &options()).unwrap()
}

/// Column by column, rows as text; what is absent is nothing.
fn shown(batch: &NamedBatch) -> Vec<BTreeMap<String, String>> {
    let mut rows = vec![BTreeMap::new(); batch.rows];
    for column in &batch.columns {
        for (row, cells) in rows.iter_mut().enumerate() {
            if column.array.is_null(row) {
                continue;
            }
            let text = match column.array.data_type() {
                DataType::Utf8 => column.array.as_string::<i32>().value(row).to_owned(),
                DataType::Float64 => {
                    let value = column.array.as_primitive::<Float64Type>().value(row);
                    format!("{value:?}")
                }
                DataType::Timestamp(..) => {
                    let array = column.array.as_primitive::<TimestampNanosecondType>();
                    array.value(row).to_string()
                }
                DataType::Boolean => column.array.as_boolean().value(row).to_string(),
                other => panic!("{other} is no type of a sample"),
            };
            cells.insert(column.name.clone(), text);
        }
    }
    rows
}

fn row(cells: &[(&str, &str)]) -> BTreeMap<String, String> {
    let cells = cells.iter();
    cells
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect()
}

#[test]
fn a_metric_is_a_table_as_a_measurement_is() {
    let body = request(&[
        series(
            &[("__name__", "up"), ("job", "node"), ("instance", "a:1")],
            &[(1_000, 1.0), (500, 0.0)],
        ),
        series(
            &[("__name__", "load"), ("empty", "")],
            &[(7, f64::INFINITY)],
        ),
    ]);
    let written = read(&body);
    assert_eq!(
        (written.samples, written.refused, written.left_out()),
        (3, 0, None)
    );
    let [up, load] = &written.batches[..] else {
        panic!("{:?}", written.batches);
    };
    assert_eq!(up.table.to_string(), "metrics.up");
    let labels = [
        ("_series", "instance=a:1,job=node"),
        ("instance", "a:1"),
        ("job", "node"),
    ];
    let with = |time, value| row(&[&labels[..], &[("time", time), ("value", value)]].concat());
    assert_eq!(
        shown(up),
        [with("1000000000", "1.0"), with("500000000", "0.0")]
    );
    assert_eq!(
        shown(load),
        [row(&[
            ("_series", ""),
            ("time", "7000000"),
            ("value", "inf")
        ])]
    );
    let key = up.create.as_ref().unwrap();
    assert_eq!(
        (&key.partition[0][..], &key.clustering[0][..]),
        ("_series", "time")
    );
}

#[test]
fn all_metrics_may_share_a_table() {
    let body = request(&[
        series(
            &[("__name__", "http.requests"), ("code", "200")],
            &[(1, 1.0)],
        ),
        series(&[("__name__", "up"), ("A", "b")], &[(1, 2.0)]),
    ]);
    let options = RemoteWriteOptions {
        table: Some("samples".to_owned()),
        ..options()
    };
    let written = parse(&body, Version::One, &options).unwrap();
    assert_eq!(written.batches.len(), 1);
    let texts: Vec<_> = shown(&written.batches[0])
        .into_iter()
        .map(|row| (row["metric"].clone(), row["_series"].clone()))
        .collect();
    let expected = [
        ("http.requests", "__name__=http.requests,code=200"),
        ("up", "A=b,__name__=up"),
    ];
    assert_eq!(
        texts,
        expected.map(|(metric, text)| (metric.to_owned(), text.to_owned()))
    );
}

#[test]
fn the_end_of_a_series_is_a_row_without_a_value() {
    let stale = f64::from_bits(STALE_BITS);
    let body = request(&[series(
        &[("__name__", "up")],
        &[(1, 1.0), (2, stale), (3, f64::NAN)],
    )]);
    let written = read(&body);
    assert_eq!((written.samples, written.stale), (3, 1));
    assert_eq!(
        shown(&written.batches[0]),
        [
            row(&[("_series", ""), ("time", "1000000"), ("value", "1.0")]),
            row(&[("_series", ""), ("time", "2000000"), ("stale", "true")]),
            row(&[("_series", ""), ("time", "3000000"), ("value", "NaN")]),
        ]
    );
}

#[test]
fn labels_give_way_to_columns_of_the_row() {
    let labels = [
        ("__name__", "m"),
        ("exported_value", "x"),
        ("time", "t"),
        ("value", "v"),
    ];
    let written = read(&request(&[series(&labels, &[(1, 1.0)])]));
    assert_eq!(
        shown(&written.batches[0]),
        [row(&[
            ("_series", "exported_value=x,time=t,value=v"),
            ("time", "1000000"),
            ("value", "1.0"),
            ("exported_value", "x"),
            ("exported_exported_value", "v"),
            ("exported_time", "t"),
        ])]
    );
}

#[test]
fn what_is_not_kept_is_counted_and_told() {
    let mut with = series(&[("__name__", "m")], &[(1, 1.0)]);
    bytes(3, b"", &mut with);
    let mut body = request(&[with.clone()]);
    // Metadata, and a field of a version to come.
    bytes(3, &[8, 1], &mut body);
    bytes(77, b"whatever", &mut body);
    let written = read(&body);
    assert_eq!(
        (written.samples, written.exemplars, written.left_out()),
        (1, 1, None)
    );
    bytes(4, b"", &mut with);
    let written = read(&request(&[with]));
    assert_eq!((written.samples, written.histograms), (1, 1));
    assert!(written.left_out().unwrap().contains("1 native histograms"));
}

#[test]
fn version_two_says_the_same_in_other_bytes() {
    let labels = [("__name__", "up"), ("instance", "a"), ("job", "a")];
    let samples = [(1, 1.0), (2, f64::from_bits(STALE_BITS))];
    let one = read(&request(&[series(&labels, &samples)]));
    let body = request_v2(&[(&labels, &samples)]);
    let two = parse(&body, Version::Two, &options()).unwrap();
    assert_eq!(shown(&one.batches[0]), shown(&two.batches[0]));
    assert_eq!((two.samples, two.stale), (2, 1));

    let reference = |numbers: &[u64]| {
        let (mut references, mut series) = (Vec::new(), Vec::new());
        numbers.iter().for_each(|n| number(*n, &mut references));
        bytes(1, &references, &mut series);
        bytes(2, &sample(1, 1.0), &mut series);
        let mut body = Vec::new();
        bytes(5, &series, &mut body);
        bytes(4, b"", &mut body);
        parse(&body, Version::Two, &options())
            .unwrap()
            .refusal
            .unwrap()
    };
    assert!(reference(&[0, 9]).contains("a text that is not there"));
    assert!(reference(&[0]).contains("has no value"));
    let mut texts = Vec::new();
    (0..=SYMBOLS_MAX).for_each(|_| bytes(4, b"", &mut texts));
    let error = parse(&texts, Version::Two, &options()).unwrap_err();
    assert!(error.message().contains("262144 texts"), "{error}");
}

#[test]
fn few_bytes_cannot_make_any_number_of_rows() {
    let long = "x".repeat(1_000);
    let samples = vec![(0, 0.0); 1_000];
    let body = request(&[series(&[("__name__", "m"), ("long", &long)], &samples)]);
    let small = RemoteWriteOptions {
        rows_bytes_max: 1_000_000,
        ..options()
    };
    let error = parse(&body, Version::One, &small).unwrap_err();
    assert!(error.message().contains("1000000 bytes of rows"), "{error}");
    assert!(error.hint().unwrap().contains("max_samples_per_send"));
    // Who has room for more reads it again, and learns how much of it was taken.
    assert!(
        super::parse_within(&body, Version::One, &small)
            .unwrap()
            .is_none()
    );
    let rows_bytes = read(&body).rows_bytes;
    assert!((2_000_000..2_100_000).contains(&rows_bytes), "{rows_bytes}");

    // A column that one row names takes room in all rows of its table.
    let columns: Vec<_> = (0..1_000).map(|n| format!("c{n}")).collect();
    let mut all = vec![series(&[("__name__", "m")], &samples)];
    for column in &columns {
        all.push(series(&[("__name__", "m"), (column, "1")], &[(0, 0.0)]));
    }
    assert!(parse(&request(&all), Version::One, &small).is_err());

    let metrics: Vec<_> = (0..=TABLES_MAX).map(|n| format!("m{n}")).collect();
    let of = |name: &String| series(&[("__name__", name)], &[(0, 0.0)]);
    let all: Vec<_> = metrics.iter().map(of).collect();
    assert!(parse(&request(&all), Version::One, &options()).is_err());
}

#[test]
fn a_block_is_measured_before_it_is_unpacked() {
    let body = vec![7_u8; 1 << 20];
    let packed = snap::raw::Encoder::new().compress_vec(&body).unwrap();
    assert_eq!(unpacked_len(&packed).unwrap(), body.len());
    assert_eq!(unpack(&packed).unwrap(), body);
    // It says that it is four gigabytes and is six bytes.
    assert!(unpacked_len(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0]).is_err());
    assert!(unpacked_len(&[]).is_err());
    for cut in 0..packed.len().min(200) {
        assert!(unpack(&packed[..cut]).is_err(), "{cut}");
    }
}

fn label() -> impl Strategy<Value = (String, String)> {
    let name = prop_oneof![
        "[a-c]{1,2}",
        Just("value".to_owned()),
        Just("time".to_owned())
    ];
    (name, "[x-z=,\\\\é]{0,3}")
}

proptest! {
    /// Whatever a sender says in one version or the other comes out once, where it belongs.
    #[test]
    fn samples_arrive(
        all in prop::collection::vec(
            ("m[0-2]", prop::collection::btree_map(label().prop_map(|l| l.0), "[x-z=,\\\\é]{0,3}", 0..4),
             prop::collection::vec((-1_000_000_i64..1_000_000, any::<f64>()), 1..4)),
            0..8),
        shared: bool,
    ) {
        let labels: Vec<Vec<(&str, &str)>> = all.iter().map(|(metric, labels, _)| {
            let labels = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            std::iter::once(("__name__", metric.as_str())).chain(labels).collect()
        }).collect();
        let told: Vec<wire::Told<'_>> = labels.iter().zip(&all)
            .map(|(labels, (_, _, samples))| (&labels[..], &samples[..])).collect();
        let one: Vec<_> = told.iter().map(|(labels, samples)| series(labels, samples)).collect();
        let options = RemoteWriteOptions { table: shared.then(|| "t".to_owned()), ..options() };
        let bodies = [(request(&one), Version::One), (request_v2(&told), Version::Two)];
        for (body, version) in bodies {
            let written = parse(&body, version, &options).unwrap();
            let samples: usize = all.iter().map(|(_, _, samples)| samples.len()).sum();
            assert_eq!(written.samples, samples as u64);
            let rows: usize = written.batches.iter().map(|batch| batch.rows).sum();
            assert_eq!(rows, samples);
            let mut arrived: Vec<_> = written.batches.iter().flat_map(|batch| {
                shown(batch).into_iter().map(|row| {
                    let metric = row.get("metric").unwrap_or(&batch.table.table).clone();
                    (metric, row["time"].clone(), row.get("value").cloned())
                })
            }).collect();
            let mut sent: Vec<_> = all.iter().flat_map(|(metric, _, samples)| {
                samples.iter().map(|(ms, value)| {
                    let value = (value.to_bits() != STALE_BITS).then(|| format!("{value:?}"));
                    (metric.clone(), (ms * 1_000_000).to_string(), value)
                })
            }).collect();
            arrived.sort();
            sent.sort();
            assert_eq!(arrived, sent);
        }
    }

    /// Any bytes end in rows or in an error.
    #[test]
    fn any_bytes_end(body in prop::collection::vec(any::<u8>(), 0..200)) {
        for version in [Version::One, Version::Two] {
            let _ = parse(&body, version, &options());
        }
        let _ = unpack(&body);
    }

    /// So do messages of which some bytes are others.
    #[test]
    fn damaged_messages_end(at in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), cut: prop::sample::Index) {
        let labels: [(&str, &str); 2] = [("__name__", "up"), ("job", "node")];
        let told: [wire::Told<'_>; 2] = [(&labels, &[(1, 1.0), (2, 2.0)]), (&labels, &[(3, 1.0)])];
        let one: Vec<_> = told.iter().map(|(labels, samples)| series(labels, samples)).collect();
        for (body, version) in [(request(&one), Version::One), (request_v2(&told), Version::Two)] {
            let mut other = body.clone();
            for (place, byte) in &at {
                let place = place.index(other.len());
                other[place] = *byte;
            }
            let _ = parse(&other, version, &options());
            let cut = cut.index(body.len());
            if let Ok(written) = parse(&body[..cut], version, &options()) {
                assert!(written.samples <= 3);
            }
        }
    }
}
