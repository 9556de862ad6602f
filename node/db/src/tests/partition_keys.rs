//! SEAL and ERASE PARTITION: what a user sees of them, what they do to the outbox and to backups made
//! before, and what they refuse.

use activestore_env::MasterKey;
use activestore_types::ErrorKind;
use serde_json::Value;

use super::backups::objects;
use super::encryption::{marked, with_key};
use super::shipping::{same, sealed, ship};
use super::*;
use crate::backup::{BackupReport, Directory, Restored, restore};

const COUNTS: &str = "SELECT device, count(*) FROM plant.readings GROUP BY device ORDER BY device";

async fn insert(db: &Db, device: &str, days: std::ops::Range<u32>) {
    for day in days {
        let sql = format!(
            "INSERT INTO plant.readings (device, ts, status) VALUES ('{device}', '2026-01-{day:02}', 'text of {device}')"
        );
        run(db, &sql).await;
    }
}

async fn keys(db: &Db) -> Vec<String> {
    rows(
        db,
        "SELECT \"table\", partition, state FROM system.partition_keys",
    )
    .await
}

fn back_up(db: &Db, place: &Path) -> BackupReport {
    db.backup(&Directory::at(place), &mut |_| Ok(())).unwrap()
}

fn restored(place: &Path, id: &str, to: &Path) -> Restored {
    let master = MasterKey::parse(&[1; 32]).unwrap();
    let target = Directory::at(place);
    restore(&target, Some(id), to, Some(&master), &mut |_| Ok(())).unwrap()
}

#[test]
fn a_partition_is_sealed_and_erased_and_goes_on() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let open = || with_key(dir.path(), Some(1)).unwrap();
        let db = open();
        run(&db, &PLANT.replace("'up'", "'none'")).await;
        insert(&db, "a", 1..4).await;
        insert(&db, "b", 1..3).await;
        run(
            &db,
            "ALTER TABLE plant.readings SEAL PARTITION (device = 'a')",
        )
        .await;
        assert_eq!(keys(&db).await, ["readings|device = 'a'|sealed"]);
        insert(&db, "a", 4..6).await;
        assert_eq!(rows(&db, COUNTS).await, ["a|5", "b|2"]);
        let sealed = rows(&db, "SELECT key, files > 0 FROM system.partition_keys").await;
        assert!(sealed[0].ends_with("|true"), "{sealed:?}");
        run(
            &db,
            "ALTER TABLE plant.readings ERASE PARTITION (device = 'a')",
        )
        .await;
        assert_eq!(rows(&db, COUNTS).await, ["b|2"]);
        assert_eq!(keys(&db).await, ["readings|device = 'a'|sealed"]);
        let next = rows(&db, "SELECT key, files FROM system.partition_keys").await;
        assert_ne!(next[0][..8], sealed[0][..8]);
        assert!(next[0].ends_with("|0"), "{next:?}");
        insert(&db, "a", 8..9).await;
        db.shutdown().await.unwrap();
        drop(db);
        let db = open();
        assert_eq!(rows(&db, COUNTS).await, ["a|1", "b|2"]);
        db.shutdown().await.unwrap();
    });
}

#[test]
fn every_kind_of_partition_key_is_named_and_nothing_else_is() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = with_key(dir.path(), Some(1)).unwrap();
        run(&db, &PLANT.replace("'up'", "'none'")).await;
        run(
            &db,
            "CREATE TABLE plant.people (id BIGINT PRIMARY KEY, name TEXT);
             CREATE TABLE plant.pairs (line TEXT, \"No\" INT, ts TIMESTAMP, n INT, PRIMARY KEY ((line, \"No\"), ts));
             INSERT INTO plant.people (id, name) VALUES (-7, 'x'), (8, 'y');
             INSERT INTO plant.pairs (line, \"No\", ts, n) VALUES ('l', 1, '2026-01-01', 1), ('l', 2, '2026-01-01', 2)",
        )
        .await;
        for (table, partition, query) in [
            ("people", "id = -7", "SELECT id FROM plant.people"),
            ("pairs", "\"No\" = $1, line = 'l'", "SELECT n FROM plant.pairs"),
        ] {
            for step in ["SEAL", "ERASE"] {
                let sql = format!("ALTER TABLE plant.{table} {step} PARTITION ({partition})");
                db.sql(&sql, &[Value::from(1)]).await.unwrap();
            }
            assert_eq!(rows(&db, query).await.len(), 1, "{table}");
        }
        let names = keys(&db).await;
        assert_eq!(names, ["pairs|No = 1, line = 'l'|sealed", "people|id = -7|sealed"]);
        for (sql, says) in [
            ("plant.pairs SEAL PARTITION (line = 'l')", "partition key of plant.pairs: line, No"),
            ("plant.pairs SEAL PARTITION (line = 'l', n = 1)", "line, No"),
            ("plant.pairs SEAL PARTITION (line = 'l', line = 'l')", "twice"),
            ("plant.pairs SEAL PARTITION (line = 'l' AND \"No\" = 1)", "divided by ','"),
            ("plant.pairs SEAL PARTITION (line = NULL, \"No\" = 1)", "one value"),
            ("plant.people SEAL PARTITION (id = 'x')", ""),
            ("plant.people SEAL PARTITION", "("),
            ("plant.people SEAL", "PARTITION (column = value, …)"),
            ("plant.nobody SEAL PARTITION (id = 1)", "nobody"),
        ] {
            let error = fails(&db, &format!("ALTER TABLE {sql}")).await;
            assert!(error.to_string().contains(says), "{sql}: {error}");
        }
        db.shutdown().await.unwrap();
    });
}

#[test]
fn without_a_key_nothing_is_erased() {
    runtime().block_on(async {
        let (plain, sealed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (dir, key, says) in [
            (&plain, None, "not encrypted"),
            (&sealed, Some(1), "no key of its own"),
        ] {
            let db = with_key(dir.path(), key).unwrap();
            run(&db, PLANT).await;
            insert(&db, "a", 1..4).await;
            let erase = "ALTER TABLE plant.readings ERASE PARTITION (device = 'a')";
            let error = fails(&db, erase).await;
            assert_eq!(error.kind(), ErrorKind::Conflict);
            assert!(error.to_string().contains(says), "{error}");
            assert_eq!(rows(&db, COUNTS).await, ["a|3"]);
            db.shutdown().await.unwrap();
        }
    });
}

#[test]
fn what_waits_to_be_shipped_stays_a_chain_and_the_delete_follows_it() {
    runtime().block_on(async {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let edge = with_key(here.path(), Some(1)).unwrap();
        let cloud = open(there.path(), Role::Cloud);
        run(&edge, PLANT).await;
        run(&edge, "ALTER TABLE plant.readings SEAL PARTITION (device = 'a')").await;
        let mixed = "INSERT INTO plant.readings (device, ts, temp) VALUES ('a', '2026-01-01', 1), ('b', '2026-01-01', 2)";
        run(&edge, mixed).await;
        // Rows of the sealed partition travel in segments of their own.
        assert_eq!(sealed(&edge).len(), 2);
        ship(&edge, &cloud);
        assert_eq!(rows(&cloud, COUNTS).await, ["a|1", "b|1"]);

        insert(&edge, "a", 5..8).await;
        assert!(!sealed(&edge).is_empty());
        let erase = "ALTER TABLE plant.readings ERASE PARTITION (device = 'a')";
        let error = fails(&edge, erase).await;
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        assert!(error.message().starts_with("the partition is erased here"), "{error}");
        assert_eq!(rows(&edge, COUNTS).await, ["b|1"]);
        edge.shutdown().await.unwrap();
        drop(edge);
        let edge = with_key(here.path(), Some(1)).unwrap();
        ship(&edge, &cloud);
        assert_eq!(rows(&cloud, COUNTS).await, ["b|1"]);
        insert(&edge, "a", 9..10).await;
        ship(&edge, &cloud);
        assert_eq!(rows(&cloud, COUNTS).await, ["a|1", "b|1"]);
        edge.shutdown().await.unwrap();
        cloud.shutdown().await.unwrap();
    });
}

#[test]
fn an_erased_partition_is_gone_from_earlier_backups_after_the_next_one() {
    runtime().block_on(async {
        let dirs = tempfile::tempdir().unwrap();
        let place = dirs.path().join("place");
        let db = with_key(&dirs.path().join("data"), Some(1)).unwrap();
        run(&db, PLANT).await;
        run(
            &db,
            "ALTER TABLE plant.readings SEAL PARTITION (device = 'a')",
        )
        .await;
        insert(&db, "a", 1..4).await;
        insert(&db, "b", 1..4).await;
        let waiting = sealed(&db).len();
        let first = back_up(&db, &place);
        assert_eq!(first.erased_from, 0);
        insert(&db, "c", 1..3).await;
        let second = back_up(&db, &place);
        let all = ["a|3", "b|3"];
        let to = dirs.path().join("before");
        let back = restored(&place, &first.id, &to);
        assert_eq!(back.erased_files, 0);
        let copy = with_key(&to, Some(1)).unwrap();
        assert_eq!(rows(&copy, COUNTS).await, all);
        assert_eq!(sealed(&copy).len(), waiting);
        copy.shutdown().await.unwrap();

        let error = fails(
            &db,
            "ALTER TABLE plant.readings ERASE PARTITION (device = 'a')",
        )
        .await;
        assert!(
            error.message().starts_with("the partition is erased here"),
            "{error}"
        );
        let before = objects(&place);
        let third = back_up(&db, &place);
        assert_eq!(third.erased_from, 2);
        // One keyring was that of both, and is no more.
        let after = objects(&place);
        let gone = before.iter().filter(|object| !after.contains(object));
        assert_eq!(gone.count(), 1);
        assert_eq!(back_up(&db, &place).erased_from, 0);
        db.shutdown().await.unwrap();
        for (id, left) in [
            (&first.id, vec!["b|3"]),
            (&second.id, vec!["b|3", "c|2"]),
            (&third.id, vec!["b|3", "c|2"]),
        ] {
            let to = dirs.path().join(id);
            let back = restored(&place, id, &to);
            assert_eq!(back.erased_files > 0, *id != third.id);
            let copy = with_key(&to, Some(1)).unwrap();
            assert_eq!(rows(&copy, COUNTS).await, left);
            // What waited in the outbox of the partition is gone as well; the rest is a chain.
            let outbox = copy.sync_hosts().outbox.unwrap();
            let (node, _, epoch) = outbox.identity();
            let segments = sealed(&copy);
            assert!(segments.iter().all(|segment| segment.verify(node, epoch)));
            if *id == first.id {
                assert!(segments.len() < waiting);
            }
            drop(outbox);
            // The partition takes rows again, under a new key.
            insert(&copy, "a", 20..21).await;
            copy.shutdown().await.unwrap();
            drop(copy);
            let copy = with_key(&to, Some(1)).unwrap();
            assert_eq!(rows(&copy, COUNTS).await[0], "a|1");
            copy.shutdown().await.unwrap();
        }
    });
}

#[test]
fn what_was_shipped_and_deleted_is_in_no_file_after_compact() {
    runtime().block_on(async {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let edge = open(here.path(), Role::Edge);
        let cloud = open(there.path(), Role::Cloud);
        run(&edge, PLANT).await;
        run(
            &edge,
            "INSERT INTO plant.readings (device, ts, status) VALUES ('b', '2026-01-01', 'SECRETMARK')",
        )
        .await;
        ship(&edge, &cloud);
        run(&edge, "DELETE FROM plant.readings WHERE device = 'b'").await;
        let compact = "ALTER TABLE plant.readings COMPACT";
        sealed(&edge);
        let error = fails(&edge, compact).await;
        assert!(error.message().contains("wait to be shipped"), "{error}");
        // What is owed is kept through a restart, and done with the acknowledgement.
        edge.shutdown().await.unwrap();
        drop(edge);
        let edge = open(here.path(), Role::Edge);
        ship(&edge, &cloud);
        assert_eq!(marked(here.path()), [""; 0]);
        run(&edge, compact).await;
        // The outbox goes on in its new file.
        insert(&edge, "c", 1..3).await;
        edge.shutdown().await.unwrap();
        drop(edge);
        let edge = open(here.path(), Role::Edge);
        ship(&edge, &cloud);
        assert_eq!(rows(&cloud, COUNTS).await, ["c|2"]);
        edge.shutdown().await.unwrap();
        cloud.shutdown().await.unwrap();
    });
}

#[test]
fn an_erasure_beside_a_writer_loses_nothing_that_came_after_it() {
    runtime().block_on(async {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let edge = std::sync::Arc::new(with_key(here.path(), Some(1)).unwrap());
        let cloud = open(there.path(), Role::Cloud);
        run(&edge, PLANT).await;
        run(&edge, "ALTER TABLE plant.readings SEAL PARTITION (device = 'a')").await;
        let writer = edge.clone();
        let writing = tokio::spawn(async move {
            for nth in 0..200_u32 {
                let (minute, second) = (nth / 60, nth % 60);
                let sql = format!(
                    "INSERT INTO plant.readings (device, ts, temp) VALUES ('a', '2026-01-01T00:{minute:02}:{second:02}', 1), ('b', '2026-01-01T00:{minute:02}:{second:02}', 2)"
                );
                run(&writer, &sql).await;
            }
        });
        while !writing.is_finished() {
            // Nobody takes the segments meanwhile: it says that they wait.
            let erase = "ALTER TABLE plant.readings ERASE PARTITION (device = 'a')";
            let error = fails(&edge, erase).await;
            assert!(error.message().starts_with("the partition is erased here"), "{error}");
        }
        writing.await.unwrap();
        insert(&edge, "a", 20..22).await;
        ship(&edge, &cloud);
        same(&edge, &cloud).await;
        assert_eq!(rows(&edge, COUNTS).await, rows(&cloud, COUNTS).await);
        assert_eq!(rows(&cloud, "SELECT count(*) FROM plant.readings WHERE device = 'b'").await, ["200"]);
        edge.shutdown().await.unwrap();
        cloud.shutdown().await.unwrap();
    });
}

#[test]
fn a_dropped_table_leaves_what_waits_to_be_shipped_readable() {
    runtime().block_on(async {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let edge = with_key(here.path(), Some(1)).unwrap();
        let cloud = open(there.path(), Role::Cloud);
        run(&edge, PLANT).await;
        run(&edge, "CREATE TABLE plant.other (id TEXT PRIMARY KEY)").await;
        run(
            &edge,
            "ALTER TABLE plant.readings SEAL PARTITION (device = 'a')",
        )
        .await;
        insert(&edge, "a", 1..4).await;
        insert(&edge, "b", 1..2).await;
        sealed(&edge);
        run(&edge, "INSERT INTO plant.other (id) VALUES ('x')").await;
        run(&edge, "DROP TABLE plant.readings").await;
        assert_eq!(keys(&edge).await, [""; 0]);
        edge.shutdown().await.unwrap();
        drop(edge);
        let edge = with_key(here.path(), Some(1)).unwrap();
        ship(&edge, &cloud);
        assert_eq!(rows(&cloud, "SELECT id FROM plant.other").await, ["x"]);
        assert_eq!(rows(&cloud, COUNTS).await, ["a|3", "b|1"]);
        edge.shutdown().await.unwrap();
        cloud.shutdown().await.unwrap();
    });
}

#[test]
fn a_restored_node_takes_no_keys_out_of_later_backups() {
    runtime().block_on(async {
        let dirs = tempfile::tempdir().unwrap();
        let place = dirs.path().join("place");
        let db = with_key(&dirs.path().join("data"), Some(1)).unwrap();
        run(&db, &PLANT.replace("'up'", "'none'")).await;
        insert(&db, "a", 1..3).await;
        let monday = back_up(&db, &place);
        run(
            &db,
            "ALTER TABLE plant.readings SEAL PARTITION (device = 'a')",
        )
        .await;
        let tuesday = back_up(&db, &place);
        db.shutdown().await.unwrap();
        let to = dirs.path().join("monday");
        restored(&place, &monday.id, &to);
        let again = with_key(&to, Some(1)).unwrap();
        // It erases something of its own, too.
        insert(&again, "z", 1..3).await;
        run(
            &again,
            "ALTER TABLE plant.readings SEAL PARTITION (device = 'z')",
        )
        .await;
        run(
            &again,
            "ALTER TABLE plant.readings ERASE PARTITION (device = 'z')",
        )
        .await;
        assert_eq!(back_up(&again, &place).erased_from, 0);
        again.shutdown().await.unwrap();
        let to = dirs.path().join("tuesday");
        assert_eq!(restored(&place, &tuesday.id, &to).erased_files, 0);
        let copy = with_key(&to, Some(1)).unwrap();
        assert_eq!(rows(&copy, COUNTS).await, ["a|2"]);
        copy.shutdown().await.unwrap();
    });
}
