//! Two pieces meet where they share a key, and nowhere else.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::Arc;

use activestore_types::{NamedBatch, TableName};
use arrow::array::{Int64Array, StringArray, TimestampNanosecondArray};
use arrow::record_batch::RecordBatch;

use super::super::rows::LineNumbers;
use super::*;

type Key = (u8, i64, i64);

fn rows(keys: &[Key]) -> Rows {
    let devices = keys.iter().map(|(device, _, _)| Some(format!("d{device}")));
    let batch = RecordBatch::try_from_iter([
        (
            "device",
            Arc::new(devices.collect::<StringArray>()) as ArrayRef,
        ),
        (
            "at",
            Arc::new(
                keys.iter()
                    .map(|key| Some(key.1))
                    .collect::<TimestampNanosecondArray>(),
            ) as _,
        ),
        (
            "part",
            Arc::new(keys.iter().map(|key| Some(key.2)).collect::<Int64Array>()) as _,
        ),
    ])
    .unwrap();
    Rows {
        batch: NamedBatch::from_record_batch(TableName::new("k", "t"), &batch),
        lines: LineNumbers::From(1),
    }
}

/// The keys of a piece that came in two parts.
fn keys(of: &[Key], named: &[&str]) -> Keys {
    let named: Vec<String> = named.iter().map(|name| (*name).to_owned()).collect();
    let (one, other) = of.split_at(of.len() / 3);
    let mut keys = Keys::of(&rows(one), &named).unwrap();
    keys.extend(Keys::of(&rows(other), &named).unwrap());
    keys
}

/// So many keys of few devices and times, as a number says.
fn drawn(seed: &mut u64, count: u64) -> Vec<Key> {
    let mut next = |below: u64| {
        *seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 33) % below
    };
    (0..count)
        .map(|_| (next(4) as u8, next(40) as i64, next(2) as i64))
        .collect()
}

#[test]
fn pieces_meet_where_they_share_a_key() {
    let all = ["device", "at", "part"];
    let (mut met, mut apart) = (0, 0);
    for case in 0..400_u64 {
        let mut seed = case;
        let one = drawn(&mut seed, case % 30);
        // From the same times to later ones.
        let later = (case / 10) as i64;
        let mut other = drawn(&mut seed, case % 23);
        other.iter_mut().for_each(|key| key.1 += later);
        for columns in 1..=all.len() {
            let same = |left: &Key, right: &Key| {
                left.0 == right.0
                    && (columns < 2 || left.1 == right.1)
                    && (columns < 3 || left.2 == right.2)
            };
            let shares = one
                .iter()
                .any(|key| other.iter().any(|other| same(key, other)));
            let named = &all[..columns];
            let found = keys(&one, named).meet(&keys(&other, named));
            assert_eq!(found, shares, "case {case}, {columns} columns");
            if shares { met += 1 } else { apart += 1 }
        }
    }
    assert!(met > 100 && apart > 100, "{met} {apart}");
}
