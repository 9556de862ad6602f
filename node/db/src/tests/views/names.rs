//! What names in a view's query mean stays as it was when the view was made.

use super::*;

#[test]
fn an_alias_stays_one_when_the_table_gets_a_column_of_its_name() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, BASE).await;
        // As they are made, and what they are to say for good.
        let views = [
            ("plant.plain", "SELECT device, tumble(ts, '1 minute') AS w, count(*) AS n FROM plant.t GROUP BY device, w",
             "SELECT device, tumble(ts, '1 minute') AS w, count(*) AS n FROM plant.t GROUP BY device, tumble(ts, '1 minute')"),
            ("plant.having", "SELECT tumble(ts, '1 minute') AS \"w\", count(*) AS n, v * 2 AS twice, v * 2 + 1 AS more FROM plant.t t GROUP BY W, twice, twice + 1 HAVING n > 1 AND twice + n > 3",
             "SELECT tumble(ts, '1 minute') AS w, count(*) AS n, v * 2 AS twice, v * 2 + 1 AS more FROM plant.t GROUP BY 1, 3, 4 HAVING count(*) > 1 AND v * 2 + count(*) > 3"),
            // A column's name was one before it was an alias.
            ("plant.column", "SELECT v AS line, line AS place, tumble(ts, '1 minute') AS w, count(*) AS n FROM plant.t GROUP BY line, v, w",
             "SELECT v AS line, t.line AS place, tumble(ts, '1 minute') AS w, count(*) AS n FROM plant.t t GROUP BY v, t.line, tumble(ts, '1 minute')"),
        ];
        for (name, query, _) in views {
            run(&db, &format!("CREATE MATERIALIZED VIEW {name} AS {query}")).await;
        }
        run(&db, "INSERT INTO plant.t (device, ts, v, line) VALUES ('a', '2026-01-01', 1, 'x'), ('a', '2026-01-01T00:00:01', 1, 'y'), ('b', '2026-01-01', 2, 'x')").await;
        for (name, _, says) in views {
            agrees(&db, name, says).await;
        }
        assert_eq!(rows(&db, "SELECT n, twice FROM plant.having").await, ["2|2"]);
        run(&db, "ALTER TABLE plant.t ADD COLUMN w TEXT; ALTER TABLE plant.t ADD COLUMN n BIGINT; ALTER TABLE plant.t ADD COLUMN twice BIGINT").await;
        run(&db, "INSERT INTO plant.t (device, ts, v, line, w, n, twice) VALUES ('a', '2026-01-01T00:00:02', 1, 'z', 'p', 0, 0), ('b', '2026-01-01T00:00:02', 2, 'z', 'q', 0, 0)").await;
        for (name, _, says) in views {
            agrees(&db, name, says).await;
        }
        db.shutdown().await.unwrap();
        drop(db);
        // Understood anew.
        let db = open(dir.path(), Role::Edge);
        run(&db, "INSERT INTO plant.t (device, ts, v, line, w, n, twice) VALUES ('a', '2026-01-01T00:01:02', 1, 'z', 'p', 9, 9), ('a', '2026-01-01T00:01:03', 1, 'z', 'p', 9, 9)").await;
        for (name, _, says) in views {
            agrees(&db, name, says).await;
        }
        let told = told(&db, "CREATE MATERIALIZED VIEW plant.all AS SELECT *, tumble(ts, '1 s') AS second FROM plant.t GROUP BY ALL").await;
        assert!(told.contains("one by one"), "{told}");
        db.shutdown().await.unwrap();
    });
}
