//! Statements with a condition and batches: all of it or nothing, and nobody comes between a
//! condition and what hangs on it.

use super::*;
use activestore_types::ErrorKind;

const LEASES: &str = "CREATE KEYSPACE k;
    CREATE TABLE k.leases (name TEXT, owner TEXT, n BIGINT, PRIMARY KEY ((name)))";

#[test]
fn insert_if_not_exists_writes_only_new_rows() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, LEASES).await;
        let first = "INSERT INTO k.leases (name, owner) VALUES ('a', 'me') IF NOT EXISTS";
        assert_eq!(run(&db, first).await, 1);
        let error = fails(&db, first).await;
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.to_string().contains("key (a)"), "{error}");
        // One row that exists refuses the whole statement.
        let two =
            "INSERT INTO k.leases (name, owner) VALUES ('b', 'me'), ('a', 'you') IF NOT EXISTS";
        assert_eq!(fails(&db, two).await.kind(), ErrorKind::Conflict);
        let twice = "INSERT INTO k.leases (name) VALUES ('c'), ('c') IF NOT EXISTS";
        assert_eq!(fails(&db, twice).await.kind(), ErrorKind::Conflict);
        let all = "SELECT name, owner FROM k.leases ORDER BY name";
        assert_eq!(rows(&db, all).await, ["a|me"]);
        // DO NOTHING leaves the rows that exist and writes the others.
        let skipped =
            "INSERT INTO k.leases (name, owner) VALUES ('a', 'you'), ('b', 'you'), ('b', 'x')
            ON CONFLICT DO NOTHING";
        assert_eq!(run(&db, skipped).await, 1);
        assert_eq!(rows(&db, all).await, ["a|me", "b|you"]);
        // A row that was erased, or whose time is over, does not exist.
        run(&db, "DELETE FROM k.leases WHERE name = 'a'").await;
        assert_eq!(run(&db, first).await, 1);
        db.shutdown().await.unwrap();
    });
}

#[test]
fn update_and_delete_ask_their_condition_first() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, LEASES).await;
        run(
            &db,
            "INSERT INTO k.leases (name, owner, n) VALUES ('a', NULL, 1), ('b', 'x', 2)",
        )
        .await;
        let take = "UPDATE k.leases SET owner = 'me', n = n + 1 WHERE name = 'a' IF owner IS NULL";
        assert_eq!(run(&db, take).await, 1);
        let error = fails(&db, take).await;
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.to_string().contains("owner IS NULL"), "{error}");
        let all = "SELECT name, owner, n FROM k.leases ORDER BY name";
        assert_eq!(rows(&db, all).await, ["a|me|2", "b|x|2"]);
        // Every row named has to fulfil it.
        for (sql, word) in [
            (
                "UPDATE k.leases SET n = 0 WHERE name IN ('a', 'b') IF owner = 'x'",
                "does not hold",
            ),
            (
                "UPDATE k.leases SET n = 0 WHERE name IN ('b', 'c') IF owner = 'x'",
                "1 of the 2 rows",
            ),
            (
                "UPDATE k.leases SET n = 0 WHERE name = 'c' IF EXISTS",
                "does not exist",
            ),
            (
                "DELETE FROM k.leases WHERE name = 'b' IF owner = 'me'",
                "does not hold",
            ),
        ] {
            let error = fails(&db, sql).await;
            assert_eq!(error.kind(), ErrorKind::Conflict, "{sql}: {error}");
            assert!(error.to_string().contains(word), "{sql}: {error}");
        }
        for sql in [
            "UPDATE k.leases SET n = 0 IF EXISTS",
            "UPDATE k.leases SET n = 0 WHERE owner = 'x' IF EXISTS",
            "DELETE FROM k.leases WHERE name > 'a' IF EXISTS",
        ] {
            let error = fails(&db, sql).await;
            assert_eq!(error.kind(), ErrorKind::Invalid, "{sql}: {error}");
            assert!(error.to_string().contains("whole primary key"), "{error}");
        }
        assert_eq!(rows(&db, all).await, ["a|me|2", "b|x|2"]);
        assert_eq!(
            run(&db, "DELETE FROM k.leases WHERE name = 'b' IF n = 2").await,
            1
        );
        assert_eq!(rows(&db, all).await, ["a|me|2"]);
        db.shutdown().await.unwrap();
    });
}

#[test]
fn a_batch_is_one_write_in_the_order_of_its_statements() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, LEASES).await;
        run(
            &db,
            "INSERT INTO k.leases (name, n) VALUES ('a', 1), ('old', 9)",
        )
        .await;
        let affected = run(
            &db,
            "BEGIN BATCH
               INSERT INTO k.leases (name, n) VALUES ('b', 1), ('c', 1);
               DELETE FROM k.leases WHERE name = 'c';
               UPDATE k.leases SET n = n + 10 WHERE name = 'a';
               DELETE FROM k.leases WHERE name = 'd';
               INSERT INTO k.leases (name, n) VALUES ('d', 4);
               DELETE FROM k.leases WHERE n = 9;
             APPLY BATCH",
        )
        .await;
        assert_eq!(affected, 7);
        let all = "SELECT name, n FROM k.leases ORDER BY name";
        assert_eq!(rows(&db, all).await, ["a|11", "b|1", "d|4"]);
        // A condition that fails, or a statement that is wrong, leaves nothing of the batch.
        for sql in [
            "BEGIN BATCH INSERT INTO k.leases (name) VALUES ('e');
               UPDATE k.leases SET n = 0 WHERE name = 'a' IF n = 1; APPLY BATCH",
            "BEGIN BATCH INSERT INTO k.leases (name) VALUES ('e');
               INSERT INTO k.leases (name, n) VALUES ('f', 'text'); APPLY BATCH",
        ] {
            fails(&db, sql).await;
            assert_eq!(rows(&db, all).await, ["a|11", "b|1", "d|4"], "{sql}");
        }
        db.shutdown().await.unwrap();
    });
}

/// A counter that only moves from n to n + 1 under a condition ends at the number of moves that
/// were acknowledged, whoever else writes to the table meanwhile.
#[test]
fn concurrent_compare_and_set_loses_no_move() {
    const TASKS: u64 = 6;
    const MOVES: u64 = 12;
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, LEASES).await;
        run(&db, "INSERT INTO k.leases (name, n) VALUES ('counter', 0)").await;
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..TASKS {
            let db = db.clone();
            tasks.spawn(async move {
                let mut moved = 0;
                while moved < MOVES {
                    let read = rows(&db, "SELECT n FROM k.leases WHERE name = 'counter'").await;
                    let n: u64 = read[0].parse().unwrap();
                    let sql = format!(
                        "UPDATE k.leases SET n = {} WHERE name = 'counter' IF n = {n}",
                        n + 1
                    );
                    match db.sql(&sql, &[]).await {
                        Ok(_) => moved += 1,
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
                    }
                    run(
                        &db,
                        &format!("INSERT INTO k.leases (name, n) VALUES ('other', {task})"),
                    )
                    .await;
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        assert_eq!(
            rows(&db, "SELECT n FROM k.leases WHERE name = 'counter'").await,
            [(TASKS * MOVES).to_string()]
        );
        db.shutdown().await.unwrap();
    });
}

/// Conditional writes of one table do not keep its plain writers out for good, nor the other way
/// round, even when all places in the queue of writes are taken.
#[test]
fn writers_of_both_kinds_finish() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, LEASES).await;
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..200 {
            let db = db.clone();
            tasks.spawn(async move {
                let condition = if task % 4 == 0 { "IF NOT EXISTS" } else { "" };
                let sql =
                    format!("INSERT INTO k.leases (name, n) VALUES ('{task}', 1) {condition}");
                // More queries than may run at once are told to come back.
                loop {
                    match db.sql(&sql, &[]).await {
                        Ok(_) => return 1,
                        Err(error) if error.kind() == ErrorKind::Overloaded => {
                            tokio::task::yield_now().await;
                        }
                        Err(error) => panic!("{sql}: {error}"),
                    }
                }
            });
        }
        let mut written = 0;
        while let Some(done) = tasks.join_next().await {
            written += done.unwrap();
        }
        assert_eq!(written, 200);
        assert_eq!(rows(&db, "SELECT count(*) FROM k.leases").await, ["200"]);
        db.shutdown().await.unwrap();
    });
}

/// The files under a directory that hold the bytes.
fn holding(dir: &std::path::Path, needle: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path, needle));
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let mut windows = bytes.windows(needle.len());
        if windows.any(|window| window == needle.as_bytes()) {
            found.push(path);
        }
    }
    found
}

#[test]
fn compaction_removes_the_bytes_of_what_was_deleted() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, LEASES).await;
        run(
            &db,
            "INSERT INTO k.leases (name, owner) VALUES ('a', 'secret owner'), ('b', 'known owner')",
        )
        .await;
        assert!(!holding(dir.path(), "secret owner").is_empty());
        run(&db, "DELETE FROM k.leases WHERE name = 'a'").await;
        run(&db, "ALTER TABLE k.leases COMPACT").await;
        let left = holding(dir.path(), "secret owner");
        assert!(left.is_empty(), "{left:?}");
        let all = "SELECT name, owner FROM k.leases";
        assert_eq!(rows(&db, all).await, ["b|known owner"]);
        db.shutdown().await.unwrap();
    });
}

#[test]
fn a_table_is_compacted_on_demand() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, LEASES).await;
        for round in 0..3 {
            run(
                &db,
                &format!("INSERT INTO k.leases (name, n) VALUES ('a', {round}), ('{round}', 1)"),
            )
            .await;
            run(&db, "ALTER TABLE k.leases COMPACT").await;
        }
        let files =
            "SELECT count(*), sum(\"rows\") FROM system.sstables WHERE \"table\" = 'k.leases'";
        assert_eq!(rows(&db, files).await, ["1|4"]);
        assert_eq!(
            fails(&db, "ALTER TABLE k.nothing COMPACT").await.kind(),
            ErrorKind::NotFound
        );
        assert_eq!(
            rows(&db, "SELECT n FROM k.leases WHERE name = 'a'").await,
            ["2"]
        );
        db.shutdown().await.unwrap();
    });
}
