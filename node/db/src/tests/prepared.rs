//! Which prepared statements read one row by its key, and that they read it as it is when they run.

use activestore_query::{Param, ParamTypes, Statement, parse};
use serde_json::json;

use super::auth::role;
use super::*;
use crate::Prepared;

async fn prepared(db: &Db, sql: &str) -> (Statement, Prepared) {
    let statement = parse(sql).unwrap().pop().unwrap();
    let prepared = db.prepare(&statement, &ParamTypes::default()).await;
    (statement, prepared.unwrap())
}

/// The rows, as [`rows`] has them; with whether it was one row by its key.
async fn read(db: &Db, of: &(Statement, Prepared), params: &[Param]) -> (Vec<String>, bool) {
    let one = db.reads_one_row(&of.0, &of.1, params);
    let outcome = db.execute_prepared(&of.0, &of.1, params).await.unwrap();
    let SqlOutcome::Rows(rows) = outcome else {
        panic!("a query answers with rows");
    };
    let mut lines = Vec::new();
    for batch in rows.collect().await.unwrap() {
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter();
            let cells: Vec<String> = cells
                .map(|column| array_value_to_string(column, row).unwrap())
                .collect();
            lines.push(cells.join("|"));
        }
    }
    (lines, one)
}

#[test]
fn one_row_by_its_key_is_told_from_all_else_and_is_what_it_is_now() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let db = open(dir.path(), Role::Edge);
        run(&db, PLANT).await;
        run(&db, "INSERT INTO plant.readings VALUES ('a', '2026-01-01', 1.5, 'ok'), ('a', '2026-01-02', 2.5, 'ok')").await;
        let key = Param::all(&[json!("a"), json!("2026-01-01")]);
        let select = "SELECT temp, status FROM plant.readings WHERE device = $1 AND ts = $2";
        let point = prepared(&db, select).await;
        assert_eq!(read(&db, &point, &key).await, (vec!["1.5|ok".to_owned()], true));
        let other = Param::all(&[json!("b"), json!("2026-01-01")]);
        assert_eq!(read(&db, &point, &other).await, (vec![], true));
        let nothing = Param::all(&[json!("a"), json!(null)]);
        assert_eq!(read(&db, &point, &nothing).await, (vec![], false));

        // More than one row, or more than columns of it.
        for (sql, found) in [
            ("SELECT temp FROM plant.readings WHERE device = $1 AND ts >= $2", vec!["1.5", "2.5"]),
            ("SELECT temp FROM plant.readings WHERE device = $1 AND ts = $2 AND temp > 2", vec![]),
            ("SELECT temp FROM plant.readings WHERE device = $1 AND device = $1 AND ts = $2", vec!["1.5"]),
            ("SELECT temp FROM plant.readings WHERE device = $1 OR ts = $2", vec!["1.5", "2.5"]),
            ("SELECT temp + 1 AS t FROM plant.readings WHERE device = $1 AND ts = $2", vec!["2.5"]),
            ("SELECT max(temp) FROM plant.readings WHERE device = $1 AND ts = $2", vec!["1.5"]),
        ] {
            let of = prepared(&db, sql).await;
            assert_eq!(read(&db, &of, &key).await, (found.iter().map(ToString::to_string).collect(), false), "{sql}");
        }

        run(&db, "UPDATE plant.readings SET temp = 9.0 WHERE device = 'a' AND ts = '2026-01-01'").await;
        assert_eq!(read(&db, &point, &key).await, (vec!["9.0|ok".to_owned()], true));
        run(&db, "DELETE FROM plant.readings WHERE device = 'a' AND ts = '2026-01-01'").await;
        assert_eq!(read(&db, &point, &key).await, (vec![], true));
        // Planned anew where definitions are others, which takes longer.
        run(&db, "ALTER TABLE plant.readings ADD COLUMN note TEXT").await;
        assert_eq!(read(&db, &point, &key).await, (vec![], false));
        db.shutdown().await.unwrap();
    });
}

#[test]
fn a_text_that_comes_again_is_not_parsed_and_says_what_is_so_now() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let db = open(dir.path(), Role::Edge);
        run(&db, PLANT).await;
        run(&db, "INSERT INTO plant.readings VALUES ('a', '2026-01-01', 1.5, 'ok')").await;
        run(&db, "CREATE ROLE admin WITH LOGIN SUPERUSER PASSWORD 'open sesame'; CREATE ROLE reader WITH LOGIN PASSWORD 'let me in'").await;
        let (admin, reader) = (role(&db, "admin"), role(&db, "reader"));
        let sql = "SELECT * FROM plant.readings WHERE temp > 1";
        let cells = async |db: &Db, sql: &str| rows(db, sql).await.concat().split('|').count();
        for known in [false, false, true, true, true] {
            assert_eq!(admin.known(sql).is_some(), known);
            assert_eq!(cells(&admin, sql).await, 4);
        }
        assert_eq!(cells(&admin, &format!("\n {sql};\n; ")).await, 4);
        assert!(admin.known(&format!("{sql} -- and more")).is_none());
        let two = format!("{sql}; {sql}");
        assert!(admin.known(&two).is_none());
        assert_eq!(admin.parse(&two).unwrap().len(), 2);

        // Rights are those of each run.
        for _ in 0..3 {
            let error = try_rows(&reader, sql).await.unwrap_err();
            assert_eq!(error.hint(), Some("GRANT SELECT ON TABLE plant.readings TO reader"));
        }
        run(&admin, "GRANT SELECT ON TABLE plant.readings TO reader").await;
        assert_eq!(cells(&reader, sql).await, 4);
        run(&admin, "REVOKE SELECT ON TABLE plant.readings FROM reader").await;
        assert!(try_rows(&reader, sql).await.is_err());

        // Definitions too.
        run(&admin, "ALTER TABLE plant.readings ADD COLUMN note TEXT").await;
        for _ in 0..4 {
            assert_eq!(cells(&admin, sql).await, 5);
        }
        run(&admin, "DROP TABLE plant.readings").await;
        for _ in 0..2 {
            let error = try_rows(&admin, sql).await.unwrap_err();
            assert_eq!(error.kind(), activestore_types::ErrorKind::NotFound);
        }
        run(&admin, "CREATE TABLE plant.readings (device TEXT, temp DOUBLE, PRIMARY KEY (device))").await;
        for _ in 0..4 {
            assert!(rows(&admin, sql).await.is_empty());
        }
        run(&admin, "INSERT INTO plant.readings VALUES ('b', 2.0)").await;
        assert_eq!(cells(&admin, sql).await, 2);

        let all = db.counters();
        let figure = |name: &str| all.iter().find(|one| one.name == name).unwrap().value;
        assert!(figure("activestore_query_plans_reused_total") >= 8.0);
        assert!(figure("activestore_query_plans_made_total") >= 12.0);
        assert!(figure("activestore_query_plans_kept") >= 1.0);
        assert!(figure("activestore_query_plan_bytes") > 100.0);
        db.shutdown().await.unwrap();
    });
}
