//! The base is looked through in stretches that are as short as they have to be.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::Arc;

use activestore_query::MAX_CONCURRENT_QUERIES;
use arrow::array::StringArray;

use super::*;
use crate::tests::{run, runtime};
use crate::views::keeper;
use crate::{Db, DbOptions, Role};

#[test]
fn a_stretch_that_fails_is_followed_by_shorter_ones() {
    let dir = tempfile::tempdir().unwrap();
    let outer = runtime();
    outer.block_on(async {
        let db = Db::open(DbOptions::new(dir.path(), Role::Edge)).unwrap();
        run(&db, "CREATE KEYSPACE k; CREATE TABLE k.t (d TEXT, ts TIMESTAMP, PRIMARY KEY ((d), ts)); CREATE TABLE k.p (d TEXT PRIMARY KEY, site TEXT)").await;
        run(&db, "INSERT INTO k.p (d, site) VALUES ('a', 'north')").await;
        run(&db, "CREATE MATERIALIZED VIEW k.v AS SELECT p.site, tumble(t.ts, '1 s') AS w, count(*) AS n FROM k.t t JOIN k.p p ON p.d = t.d GROUP BY p.site, w").await;
        run(&db, "INSERT INTO k.t (d, ts) SELECT 'a', to_timestamp_nanos(i * 1000000000) FROM generate_series(1, 100) AS s(i)").await;
        db.shutdown().await.unwrap();
    });
    // As a tool opens it: no thread keeps views.
    let mut options = DbOptions::new(dir.path(), Role::Edge);
    options.evicts = false;
    let db = Db::open(options).unwrap();
    let of_the_thread = keeper::runtime().unwrap();
    let state = db.inner.catalog.state();
    let (name, def) = state.views.iter().next().unwrap();
    let mut upkeep = Upkeep::new(&db.inner, state.tables.get(name).unwrap(), def);
    upkeep.begin(&db.inner, &of_the_thread);
    let query = upkeep.query.clone().unwrap();
    let column = query.base.column("d").unwrap().id;
    upkeep.joined.step = 64;
    upkeep.joined.hunts.push_back(Hunt {
        among: vec![(column, Arc::new(StringArray::from(vec!["a"])))],
        left: Some((0, 100_000_000_000)),
        empty: 0,
    });
    let hunts = |upkeep: &mut Upkeep| upkeep.hunt(&db.inner, &of_the_thread, &query, &|| true);
    // As if each took too long: nobody has room for one more query.
    let busy: Vec<_> = (0..MAX_CONCURRENT_QUERIES)
        .map(|_| outer.block_on(db.inner.engine.query("SELECT d FROM k.t", &[])))
        .collect();
    assert!(busy.iter().all(Result::is_ok));
    // It works for a while at a time.
    assert!((0..100).any(|_| hunts(&mut upkeep).is_err()));
    assert_eq!(upkeep.joined.step, 1);
    assert_eq!(upkeep.joined.hunts.len(), 1);
    drop(busy);
    for _ in 0..1_000 {
        if upkeep.joined.hunts.is_empty() {
            break;
        }
        hunts(&mut upkeep).unwrap();
    }
    assert!(upkeep.joined.hunts.is_empty());
    assert_eq!(upkeep.done.references_found, 100);
    outer.block_on(async { db.shutdown().await.unwrap() });
}
