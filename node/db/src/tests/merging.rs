//! Columns with a merge function: what several nodes write becomes one value, whichever comes last.

use activestore_types::ErrorKind;

use super::flowing_down::adopt;
use super::processors::component;
use super::shipping::{sealed, ship};
use super::*;

const EXTREMES: &str = "CREATE KEYSPACE plant WITH (sync = 'up');
    CREATE MERGE FUNCTION greatest USING PLUGIN 'merge-max';
    CREATE MERGE FUNCTION set_union USING PLUGIN 'merge-set';
    CREATE TABLE plant.extremes (device TEXT PRIMARY KEY, peak DOUBLE MERGE greatest, tags JSON MERGE set_union,
      note TEXT)";

async fn opened(dir: &Path, role: Role) -> Db {
    let db = open(dir, role);
    for name in ["merge-max", "merge-set"] {
        db.put_plugin(name, Some("1"), component(name))
            .await
            .unwrap();
    }
    run(&db, EXTREMES).await;
    db
}

async fn read(db: &Db) -> Vec<String> {
    rows(
        db,
        "SELECT device, peak, tags, note FROM plant.extremes ORDER BY device",
    )
    .await
}

#[test]
fn a_write_is_joined_with_what_is_there() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = opened(dir.path(), Role::Edge).await;
        run(&db, "INSERT INTO plant.extremes VALUES ('a', 5, '[\"y\", \"x\"]', 'one')").await;
        run(&db, "INSERT INTO plant.extremes VALUES ('a', 3, '[\"z\"]', 'two')").await;
        assert_eq!(read(&db).await, ["a|5.0|[\"x\",\"y\",\"z\"]|two"]);
        // A key more than once in one write, and a NULL, which says nothing.
        run(&db, "INSERT INTO plant.extremes (device, peak) VALUES ('a', 2), ('b', 1), ('a', 9), ('a', 4), ('b', NULL)").await;
        run(&db, "UPDATE plant.extremes SET peak = NULL WHERE device = 'a'").await;
        assert_eq!(read(&db).await, ["a|9.0|[\"x\",\"y\",\"z\"]|two", "b|1.0||"]);
        // A delete ends it; what is written after it begins anew, in one batch as well.
        run(&db, "DELETE FROM plant.extremes WHERE device = 'a'").await;
        run(&db, "INSERT INTO plant.extremes (device, peak) VALUES ('a', 2)").await;
        run(&db, "BEGIN BATCH; DELETE FROM plant.extremes WHERE device = 'b'; INSERT INTO plant.extremes (device, peak) VALUES ('b', 0.5); APPLY BATCH").await;
        assert_eq!(read(&db).await, ["a|2.0||", "b|0.5||"]);
        let error = fails(&db, "INSERT INTO plant.extremes (device, tags) VALUES ('c', '{}')").await;
        assert!(error.message().contains("no JSON array"), "{error}");
        assert_eq!(read(&db).await.len(), 2);
        db.shutdown().await.unwrap();
        drop(db);
        let db = open(dir.path(), Role::Edge);
        run(&db, "INSERT INTO plant.extremes (device, peak) VALUES ('a', 1)").await;
        assert_eq!(read(&db).await[0], "a|2.0||");
        db.shutdown().await.unwrap();
    });
}

#[test]
fn what_edges_write_is_joined_at_the_cloud_in_either_order() {
    runtime().block_on(async {
        let dirs: Vec<_> = (0..4).map(|_| tempfile::tempdir().unwrap()).collect();
        let (one, two) = (
            opened(dirs[0].path(), Role::Edge).await,
            opened(dirs[1].path(), Role::Edge).await,
        );
        run(
            &one,
            "INSERT INTO plant.extremes VALUES ('a', 10, '[\"x\"]', 'one')",
        )
        .await;
        run(
            &two,
            "INSERT INTO plant.extremes VALUES ('a', 7, '[\"y\"]', 'two')",
        )
        .await;
        run(
            &one,
            "INSERT INTO plant.extremes (device, peak) VALUES ('b', 1)",
        )
        .await;
        for (dir, order) in [(&dirs[2], [&one, &two]), (&dirs[3], [&two, &one])] {
            let cloud = opened(dir.path(), Role::Cloud).await;
            let inbox = cloud.sync_hosts().inbox;
            for edge in order {
                let (node, _, epoch) = edge.sync_hosts().outbox.unwrap().identity();
                for segment in sealed(edge) {
                    inbox.apply(node, epoch, &segment).unwrap();
                    inbox.apply(node, epoch, &segment).unwrap();
                }
            }
            // The greater value stands although the lesser was written later; the other column is the last one's.
            assert_eq!(read(&cloud).await, ["a|10.0|[\"x\",\"y\"]|two", "b|1.0||"]);
            let own = cloud.counters();
            let own = own
                .iter()
                .find(|one| one.name == "activestore_merge_rows_total");
            assert_eq!(own.unwrap().value, 1.0);
            cloud.shutdown().await.unwrap();
        }
        one.shutdown().await.unwrap();
        two.shutdown().await.unwrap();
    });
}

#[test]
fn what_cannot_be_joined_is_not_applied_and_says_why() {
    runtime().block_on(async {
        let (edge_dir, cloud_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let cloud = opened(cloud_dir.path(), Role::Cloud).await;
        let edge = open(edge_dir.path(), Role::Edge);
        run(&edge, "CREATE KEYSPACE plant WITH (sync = 'up'); CREATE TABLE plant.extremes (device TEXT PRIMARY KEY, tags JSON)").await;
        run(&edge, "INSERT INTO plant.extremes VALUES ('a', '{\"no\": \"set\"}')").await;
        let (node, _, epoch) = edge.sync_hosts().outbox.unwrap().identity();
        let inbox = cloud.sync_hosts().inbox;
        let segments = sealed(&edge);
        let error = inbox.apply(node, epoch, &segments[0]).unwrap_err();
        assert!(error.message().contains("no JSON array"), "{error}");
        assert!(inbox.progress(node, epoch).unwrap().is_none());
        assert!(read(&cloud).await.is_empty());
        // Once nothing has to be joined any more, the same segment is taken.
        run(&cloud, "ALTER TABLE plant.extremes SET (merge_tags = 'none')").await;
        ship(&edge, &cloud);
        assert_eq!(read(&cloud).await.len(), 1);
        edge.shutdown().await.unwrap();
        cloud.shutdown().await.unwrap();
    });
}

#[test]
fn definitions_that_do_not_fit_are_refused() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = opened(dir.path(), Role::Cloud).await;
        db.put_plugin("units", Some("1"), component("units")).await.unwrap();
        for (sql, kind, words) in [
            ("CREATE MERGE FUNCTION f USING PLUGIN 'units'", ErrorKind::Invalid, "not merge"),
            ("CREATE MERGE FUNCTION f USING PLUGIN 'merge-max'", ErrorKind::NotFound, "no function 'f'"),
            ("CREATE MERGE FUNCTION f USING PLUGIN 'merge-max' WITH (function = 'least', size = '3')", ErrorKind::Invalid, "no option 'size'"),
            ("CREATE MERGE FUNCTION greatest USING PLUGIN 'merge-max'", ErrorKind::Conflict, "exists already"),
            ("CREATE OR REPLACE MERGE FUNCTION greatest USING PLUGIN 'merge-set' WITH (function = 'words_union')", ErrorKind::Invalid, "does not take DOUBLE"),
            ("CREATE TABLE plant.t (a TEXT PRIMARY KEY, b BIGINT MERGE nobody)", ErrorKind::NotFound, "no merge function 'nobody'"),
            ("CREATE TABLE plant.t (a TEXT PRIMARY KEY, b BIGINT MERGE set_union)", ErrorKind::Invalid, "does not take BIGINT"),
            ("CREATE TABLE plant.t (a TEXT MERGE greatest PRIMARY KEY)", ErrorKind::Invalid, "belongs to the primary key"),
            ("CREATE TABLE plant.t (a TEXT PRIMARY KEY, b BIGINT MERGE greatest) WITH (sync = 'none')", ErrorKind::Invalid, "sync = 'none'"),
            ("ALTER TABLE plant.extremes SET (sync = 'none')", ErrorKind::Invalid, "sync = 'none'"),
            ("ALTER TABLE plant.extremes SET (merge_nothing = 'greatest')", ErrorKind::NotFound, "no column 'nothing'"),
            ("DROP MERGE FUNCTION greatest", ErrorKind::Conflict, "is used by table 'plant.extremes'"),
            ("DROP PLUGIN 'merge-max'", ErrorKind::Conflict, "merge function 'greatest'"),
        ] {
            let error = fails(&db, sql).await;
            assert_eq!(error.kind(), kind, "{sql}: {error}");
            assert!(error.message().contains(words), "{sql}: {error}");
        }
        assert_eq!(
            rows(&db, "SHOW MERGE FUNCTIONS").await,
            [
                "greatest|merge-max|greatest|BIGINT, INT, DOUBLE, REAL, TEXT, BYTES, TIMESTAMP, DATE, BOOLEAN|plant.extremes|",
                "set_union|merge-set|set_union|TEXT|plant.extremes|"
            ]
        );
        for (sql, words) in [
            ("ALTER MERGE FUNCTION nobody USING PLUGIN 'merge-max'", "no merge function 'nobody'"),
            ("ALTER MERGE FUNCTION greatest USING PLUGIN 'merge-max@9'", "not deployed"),
            ("ALTER MERGE FUNCTION greatest USING PLUGIN 'merge-set' SET (function = 'words_union')", "does not take DOUBLE"),
            ("ALTER MERGE FUNCTION greatest SET (size = '3')", "no option 'size'"),
            ("ALTER MERGE FUNCTION greatest RESET (size)", "is not set"),
        ] {
            let error = fails(&db, sql).await;
            assert!(error.message().contains(words), "{sql}: {error}");
        }
        run(&db, "ALTER MERGE FUNCTION greatest SET (function = 'least')").await;
        run(&db, "INSERT INTO plant.extremes (device, peak) VALUES ('low', 4), ('low', 2)").await;
        assert_eq!(rows(&db, "SELECT peak FROM plant.extremes WHERE device = 'low'").await, ["2.0"]);
        run(&db, "ALTER MERGE FUNCTION greatest USING PLUGIN 'merge-max@1' SET (function = 'greatest')").await;
        assert_eq!(
            rows(&db, "SELECT \"table\", merges FROM system.shared_tables").await,
            ["extremes|peak greatest, tags set_union"]
        );
        run(&db, "ALTER TABLE plant.extremes SET (merge_peak = 'none', merge_tags = ''); DROP MERGE FUNCTION greatest").await;
        db.shutdown().await.unwrap();
    });
}

#[test]
fn a_fleet_takes_the_definitions_over() {
    runtime().block_on(async {
        let (edge_dir, cloud_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let cloud = opened(cloud_dir.path(), Role::Cloud).await;
        let edge = open(edge_dir.path(), Role::Edge);
        adopt(&edge, &cloud);
        run(
            &edge,
            "INSERT INTO plant.extremes (device, peak) VALUES ('a', 4)",
        )
        .await;
        run(
            &edge,
            "INSERT INTO plant.extremes (device, peak) VALUES ('a', 2)",
        )
        .await;
        assert_eq!(read(&edge).await, ["a|4.0||"]);
        edge.shutdown().await.unwrap();
        cloud.shutdown().await.unwrap();
    });
}
