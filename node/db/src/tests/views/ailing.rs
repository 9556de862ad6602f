//! What cannot be computed, or not at once, holds nothing else of its view.

use super::*;

/// A query that fails for a group with a zero.
const BROKEN: &str = "SELECT device, tumble(ts, '1 minute') AS w, 100 / min(v) AS share FROM plant.t GROUP BY device, w";

#[test]
fn one_group_that_cannot_be_computed_holds_no_other() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, BASE).await;
        run(&db, &format!("CREATE MATERIALIZED VIEW plant.broken AS {BROKEN}")).await;
        let add = async |value: i64, minute: i64| {
            let values: Vec<String> = (0..50)
                .map(|device| {
                    let v = if device == 20 { 0 } else { value };
                    format!("('d{device}', to_timestamp_nanos({minute} * 60000000000), {v})")
                })
                .collect();
            run(&db, &format!("INSERT INTO plant.t (device, ts, v) VALUES {}", values.join(", "))).await;
        };
        for (minute, value) in [(0, 4), (1, 5), (5, 20)] {
            add(value, minute).await;
            let error = fails(&db, "REFRESH MATERIALIZED VIEW plant.broken").await;
            assert!(error.to_string().contains("zero"), "{error}");
            let held = format!("SELECT count(*), min(share), max(share) FROM plant.broken WHERE w = to_timestamp_nanos({minute} * 60000000000)");
            let share = 100 / value;
            // What one round had no time for comes with the next.
            eventually(&db, &held, &[&format!("49|{share}|{share}")]).await;
        }
        // Through a restart, and as the history of a view that is made later: all windows but those of it.
        db.shutdown().await.unwrap();
        drop(db);
        let db = open(dir.path(), Role::Edge);
        run(&db, "INSERT INTO plant.t (device, ts, v) VALUES ('d1', '2026-01-01', 10), ('d1', '2026-01-02', 0), ('d2', '2026-01-03', 50)").await;
        run(&db, &format!("CREATE MATERIALIZED VIEW plant.later AS {BROKEN}")).await;
        let error = fails(&db, "REFRESH MATERIALIZED VIEW plant.later").await;
        assert!(error.to_string().contains("zero"), "{error}");
        eventually(&db, "SELECT share FROM plant.later ORDER BY w", &["10", "2"]).await;
        run(&db, "UPDATE plant.t SET v = 1 WHERE device = 'd20'; DELETE FROM plant.t WHERE device = 'd1' AND ts = '2026-01-02'").await;
        agrees(&db, "plant.broken", BROKEN).await;
        agrees(&db, "plant.later", BROKEN).await;
        db.shutdown().await.unwrap();
    });
}

#[test]
fn history_that_memory_does_not_suffice_for_at_once_is_computed_in_shorter_steps() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let mut options = DbOptions::new(dir.path(), Role::Edge);
        options.query_memory_bytes = 2 * 1024 * 1024;
        let db = Db::open(options).unwrap();
        run(&db, BASE).await;
        // One row a minute for a long time, so that steps become long, and then many a minute.
        run(
            &db,
            "INSERT INTO plant.t (device, ts, v) SELECT 'a', to_timestamp_nanos(i * 60000000000), i FROM generate_series(1, 4000) AS s(i)",
        )
        .await;
        for minute in 4001..4011 {
            run(
                &db,
                &format!("INSERT INTO plant.t (device, ts, v) SELECT 'device number ' || i, to_timestamp_nanos({minute} * 60000000000), i FROM generate_series(1, 4000) AS s(i)"),
            )
            .await;
        }
        let error = fails(&db, QUERY).await;
        assert_eq!(error.kind(), activestore_types::ErrorKind::Overloaded, "{error}");
        run(&db, &format!("CREATE MATERIALIZED VIEW plant.v AS {QUERY}")).await;
        run(&db, "REFRESH MATERIALIZED VIEW plant.v").await;
        assert_eq!(rows(&db, "SELECT count(*), sum(n) FROM plant.v").await, ["44000|44000"]);
        db.shutdown().await.unwrap();
    });
}

#[test]
fn a_view_that_fails_is_not_hurried_by_those_who_wait_for_another() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let world = SimEnv::seeded(3);
        let db = Db::open_in(DbOptions::new(dir.path(), Role::Edge), world.env()).unwrap();
        run(&db, BASE).await;
        run(&db, &format!("CREATE MATERIALIZED VIEW plant.broken AS {BROKEN}")).await;
        run(&db, &format!("CREATE MATERIALIZED VIEW plant.v AS {QUERY}")).await;
        run(&db, "INSERT INTO plant.t (device, ts, v) VALUES ('a', '2020-01-01', 0)").await;
        fails(&db, "REFRESH MATERIALIZED VIEW plant.broken").await;
        let tries = || {
            let reports = db.inner.views.reports();
            let report = reports.iter().find(|view| view.error.is_some());
            report.map(|view| view.tries).unwrap()
        };
        // Whoever waited for it had it hurried once more, maybe: that is over when the other one has worked again.
        run(&db, "INSERT INTO plant.t (device, ts, v) VALUES ('b', '2020-01-01', 1)").await;
        agrees(&db, "plant.v", QUERY).await;
        let before = tries();
        for minute in 1..20 {
            run(&db, &format!("INSERT INTO plant.t (device, ts, v) VALUES ('b', '2020-01-01T00:{minute:02}:00', 1)")).await;
            agrees(&db, "plant.v", QUERY).await;
        }
        // Time stands still, so it is not due.
        assert_eq!(tries(), before);
        db.shutdown().await.unwrap();
    });
}

#[test]
fn a_record_of_the_log_that_cannot_be_read_stops_no_view() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, BASE).await;
        run(&db, &format!("CREATE MATERIALIZED VIEW plant.v AS {QUERY}")).await;
        run(&db, "INSERT INTO plant.t (device, ts, v) VALUES ('a', '2026-01-01', 1)").await;
        agrees(&db, "plant.v", QUERY).await;
        db.shutdown().await.unwrap();
        drop(db);
        // Nobody keeps views yet.
        let mut options = DbOptions::new(dir.path(), Role::Edge);
        options.evicts = false;
        let db = Db::open(options).unwrap();
        let marked = "a mark that is found again";
        run(&db, &format!("INSERT INTO plant.t (device, ts, v, line) VALUES ('b', '2026-01-02', 2, '{marked}')")).await;
        run(&db, "DELETE FROM plant.t WHERE device = 'a'").await;
        let mut damaged = 0;
        for file in std::fs::read_dir(dir.path().join("wal")).unwrap() {
            let path = file.unwrap().path();
            let mut bytes = std::fs::read(&path).unwrap();
            let at = bytes.windows(marked.len()).position(|part| part == marked.as_bytes());
            if let Some(at) = at {
                bytes[at] ^= 0xff;
                std::os::unix::fs::FileExt::write_all_at(
                    &std::fs::OpenOptions::new().write(true).open(&path).unwrap(),
                    &bytes[at..=at],
                    at as u64,
                )
                .unwrap();
                damaged += 1;
            }
        }
        assert_eq!(damaged, 1);
        let error = db.inner.store.log(db.inner.store.first_log_lsn(), usize::MAX).unwrap_err();
        assert_eq!(error.kind(), activestore_types::ErrorKind::Corrupt, "{error}");
        // This starts their thread.
        agrees(&db, "plant.v", QUERY).await;
        run(&db, "INSERT INTO plant.t (device, ts, v) VALUES ('c', '2026-01-03', 4)").await;
        agrees(&db, "plant.v", QUERY).await;
        let reports = db.inner.views.reports();
        assert!(reports.iter().all(|view| view.error.is_none()));
        db.shutdown().await.unwrap();
    });
}
