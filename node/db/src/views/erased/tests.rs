//! Deletes of ranges, as statements make them, tell the groups and windows that they are about.

use std::sync::Arc;

use activestore_types::{KeyRange, encode_keys};
use arrow::array::{ArrayRef, StringArray, TimestampNanosecondArray};

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
        assert_eq!(of(Vec::new(), Vec::new()), Region::all());
        // The site is no group: only the device tells groups apart.
        let site = key(&[text("s")]);
        assert_eq!(of(site.clone(), KeyRange::prefix(&site).end), Region::all());
        let one = key(&[text("s"), text("d")]);
        let among = vec![(device, key(&[text("d")]))];
        let whole = of(one.clone(), KeyRange::prefix(&one).end);
        assert_eq!(whole.among, among);
        assert_eq!((whole.from, whole.to), (i64::MIN, i64::MAX));
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
