//! Rows of a view's table that look a changed row up are found wherever in time they are and however many, and no more is
//! read of what is looked up than groups need.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};

use super::*;

const PLACES: &str = "CREATE TABLE plant.places (device TEXT PRIMARY KEY, site TEXT)";
const SITES: &str = "SELECT p.site, tumble(t.ts, '1 second') AS w, count(*) AS n FROM plant.t t JOIN plant.places p ON p.device = t.device GROUP BY p.site, w";

async fn places(dir: &std::path::Path) -> Db {
    let db = open(dir, Role::Edge);
    run(&db, BASE).await;
    run(&db, PLACES).await;
    run(
        &db,
        "INSERT INTO plant.places (device, site) VALUES ('a', 'north'), ('x', 'east')",
    )
    .await;
    db
}

#[test]
fn rows_that_are_ages_apart_are_found() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = places(dir.path()).await;
        run(&db, "INSERT INTO plant.t (device, ts, v) VALUES ('a', '1700-01-01', 1), ('b', '1970-01-01', 1), ('a', '2026-01-01', 1), ('a', '2026-01-01T00:00:01', 1), ('a', '2250-01-01', 1)").await;
        run(&db, &format!("CREATE MATERIALIZED VIEW plant.sites AS {SITES}")).await;
        agrees(&db, "plant.sites", SITES).await;
        run(&db, "UPDATE plant.places SET site = 'south' WHERE device = 'a'").await;
        agrees(&db, "plant.sites", SITES).await;
        assert_eq!(rows(&db, "SELECT DISTINCT site, count(*) FROM plant.sites GROUP BY site").await, ["south|4"]);
        db.shutdown().await.unwrap();
    });
}

#[test]
fn rows_of_more_windows_than_are_remembered_are_found() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = places(dir.path()).await;
        run(&db, "INSERT INTO plant.t (device, ts, v) SELECT 'a', to_timestamp_nanos(i * 1000000000), i FROM generate_series(1, 70000) AS s(i)").await;
        run(&db, &format!("CREATE MATERIALIZED VIEW plant.sites AS {SITES}")).await;
        run(&db, "REFRESH MATERIALIZED VIEW plant.sites; UPDATE plant.places SET site = 'south' WHERE device = 'a'; REFRESH MATERIALIZED VIEW plant.sites").await;
        assert_eq!(rows(&db, "SELECT site, count(*), sum(n) FROM plant.sites GROUP BY site").await, ["south|70000|70000"]);
        db.shutdown().await.unwrap();
    });
}

#[test]
fn what_is_looked_up_is_read_for_the_groups_alone_but_of_a_table_that_is_joined_twice() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = places(dir.path()).await;
        let once = "SELECT t.device, tumble(t.ts, '1 minute') AS w, max(p.site) AS site FROM plant.t t LEFT JOIN plant.places p ON p.device = t.device GROUP BY t.device, w";
        let twice = "SELECT t.device, tumble(t.ts, '1 minute') AS w, max(p.site) AS site, max(q.site) AS other FROM plant.t t JOIN plant.places p ON p.device = t.device LEFT JOIN plant.places q ON q.device = t.line GROUP BY t.device, w";
        let table = db.inner.catalog.state();
        let table = &table.tables[&activestore_types::TableName::new("plant", "t")];
        let values: ArrayRef = Arc::new(StringArray::from(vec!["a", "c"]));
        let among = [(table.column("device").unwrap().id, values.clone())];
        let looked_up = async |sql: &str| db.inner.engine.view(sql).await.unwrap().looked_up(&among);
        let beside = looked_up(once).await;
        assert_eq!((beside.len(), beside[0].1.as_str(), &beside[0].2), (1, "device", &values));
        assert!(looked_up(twice).await.is_empty());
        for (name, query) in [("plant.once", once), ("plant.twice", twice)] {
            run(&db, &format!("CREATE MATERIALIZED VIEW {name} AS {query}")).await;
        }
        for (device, line) in [("a", "x"), ("b", "a"), ("x", "a")] {
            run(&db, &format!("INSERT INTO plant.t (device, ts, v, line) VALUES ('{device}', '2026-01-01', 1, '{line}')")).await;
            agrees(&db, "plant.once", once).await;
            agrees(&db, "plant.twice", twice).await;
        }
        run(&db, "UPDATE plant.places SET site = 'south' WHERE device = 'a'").await;
        agrees(&db, "plant.twice", twice).await;
        let held = rows(&db, "SELECT device, site, other FROM plant.twice ORDER BY device").await;
        assert_eq!(held, ["a|south|east", "x|east|south"]);
        db.shutdown().await.unwrap();
    });
}
