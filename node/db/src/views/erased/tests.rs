//! Deletes of ranges, as statements make them, tell the groups and windows that they are about.

use std::sync::Arc;

use activestore_types::{KeyRange, encode_keys};
use arrow::array::{ArrayRef, Int32Array, StringArray, TimestampNanosecondArray};

use super::region;
use crate::Role;
use crate::tests::{open, run, runtime};
use crate::views::saved::Region;

fn text(value: &str) -> (ArrayRef, bool) {
    (Arc::new(StringArray::from(vec![value])), false)
}

fn moment(ns: i64) -> (ArrayRef, bool) {
    (Arc::new(TimestampNanosecondArray::from(vec![ns])), false)
}

fn key(values: &[(ArrayRef, bool)]) -> Vec<u8> {
    encode_keys(values).unwrap().key(0).to_vec()
}

#[test]
fn a_range_tells_its_groups_and_its_windows() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(
            &db,
            "CREATE TABLE t (site TEXT, device TEXT, ts TIMESTAMP, v BIGINT, PRIMARY KEY ((site), device, ts))",
        )
        .await;
        let sql = "SELECT device, tumble(ts, '10 nanoseconds') AS w, count(*) AS n FROM t GROUP BY device, w";
        let query = db.engine().view(sql).await.unwrap();
        let device = query.anchors[0].0.0;
        let of = |start: Vec<u8>, end: Vec<u8>| region(&query, KeyRange { start, end });
        let whole = of(Vec::new(), Vec::new());
        assert!(whole.aged, "all rows are named");
        assert_eq!(Region { aged: false, ..whole }, Region::all());
        // The site is no group: only the device tells groups apart.
        let site = key(&[text("s")]);
        assert_eq!(of(site.clone(), KeyRange::prefix(&site).end), Region::all());
        let one = key(&[text("s"), text("d")]);
        let among = vec![(device, key(&[text("d")]))];
        let whole = of(one.clone(), KeyRange::prefix(&one).end);
        assert_eq!(whole.among, among);
        assert_eq!((whole.from, whole.to), (i64::MIN, i64::MAX));
        assert!(!whole.aged, "other sites have the device as well");
        let from = key(&[text("s"), text("d"), moment(25)]);
        let to = key(&[text("s"), text("d"), moment(61)]);
        let part = of(from.clone(), to.clone());
        assert_eq!((part.among, part.from, part.to), (among, 20, 60));
        let open_end = of(from, KeyRange::prefix(&one).end);
        assert_eq!((open_end.from, open_end.to), (20, i64::MAX));
        let two = of(one, key(&[text("s"), text("e")]));
        assert_eq!(two, Region::all());
        db.shutdown().await.unwrap();
    });
}

#[test]
fn the_end_of_a_number_is_not_the_next_one() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(
            &db,
            "CREATE TABLE t (device INT, ts TIMESTAMP, v BIGINT, PRIMARY KEY ((device), ts DESC))",
        )
        .await;
        let sql = "SELECT device, tumble(ts, '10 nanoseconds') AS w, count(*) AS n FROM t GROUP BY device, w";
        let query = db.engine().view(sql).await.unwrap();
        let int = |value: i32| -> (ArrayRef, bool) {
            (Arc::new(Int32Array::from(vec![value])), false)
        };
        for device in [5, 255, -1, i32::MAX] {
            let one = key(&[int(device)]);
            let end = KeyRange::prefix(&one).end;
            let whole = region(&query, KeyRange { start: one.clone(), end: end.clone() });
            assert_eq!(whole.among, vec![(query.anchors[0].0.0, one.clone())]);
            assert_eq!((whole.from, whole.to, whole.aged), (i64::MIN, i64::MAX, true));
            let start = key(&[int(device), (moment(61).0, true)]);
            let before = region(&query, KeyRange { start, end });
            assert_eq!((before.from, before.to, before.aged), (i64::MIN, 60, true));
            assert_eq!(before.among, whole.among);
        }
        let two = KeyRange { start: key(&[int(5)]), end: key(&[int(7)]) };
        assert_eq!(region(&query, two), Region::all());
        db.shutdown().await.unwrap();
    });
}
