//! Rows to files and back.

use super::*;

const TABLE: &str = "CREATE KEYSPACE k; CREATE TABLE k.t (device TEXT, ts TIMESTAMP, temp DOUBLE, n BIGINT, ok BOOLEAN, day DATE, id UUID, body JSON, price DECIMAL(10, 2), note TEXT, PRIMARY KEY ((device), ts)); CREATE TABLE k.u (device TEXT, ts TIMESTAMP, temp DOUBLE, n BIGINT, ok BOOLEAN, day DATE, id UUID, body JSON, price DECIMAL(10, 2), note TEXT, PRIMARY KEY ((device), ts)); \
    INSERT INTO k.t VALUES ('a', '2026-01-01T00:00:00.000000001', 0.1, -5, true, '2026-02-03', '0e984725-c51c-4bf4-9960-e1c80e27aba0', '{\"a\": [1.50]}', 12.30, 'a, \"quoted\"\nline'), ('a', '2026-01-02', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), ('b', '2026-01-01', 1e300, 9007199254740993, false, '1960-01-01', NULL, 'null', -0.01, 'é')";

fn open_with_folder(dir: &Path) -> Db {
    let mut options = DbOptions::new(dir.join("data"), Role::Cloud);
    let folder = dir.join("files");
    std::fs::create_dir_all(folder.join("inner")).unwrap();
    options.copy_dir = Some(folder);
    Db::open(options).unwrap()
}

#[tokio::test]
async fn rows_come_back_from_every_format() {
    let dir = tempfile::tempdir().unwrap();
    let db = open_with_folder(dir.path());
    run(&db, TABLE).await;
    let all = "ORDER BY device, ts";
    let before = rows(&db, &format!("SELECT * FROM k.t {all}")).await;
    for file in ["t.csv", "inner/t.ndjson", "t.arrow", "t.csv"] {
        assert_eq!(
            run(&db, &format!("COPY k.t TO '{file}'")).await,
            3,
            "{file}"
        );
        run(&db, "DELETE FROM k.u").await;
        assert_eq!(
            run(&db, &format!("COPY k.u FROM '{file}'")).await,
            3,
            "{file}"
        );
        assert_eq!(
            rows(&db, &format!("SELECT * FROM k.u {all}")).await,
            before,
            "{file}"
        );
    }
    let query = "COPY (SELECT device, ts, temp * 2 AS temp FROM k.t WHERE device = 'b') TO 'part' WITH (FORMAT csv, HEADER)";
    assert_eq!(run(&db, query).await, 1);
    run(&db, "DELETE FROM k.u").await;
    run(&db, "COPY k.u (ts, device) FROM 'part' (FORMAT 'csv')").await;
    assert_eq!(rows(&db, "SELECT device, temp FROM k.u").await, ["b|"]);
    // Nothing is left beside the files.
    let left = std::fs::read_dir(dir.path().join("files")).unwrap();
    assert!(
        left.into_iter()
            .all(|entry| !entry.unwrap().path().to_string_lossy().ends_with(".part"))
    );
}

#[tokio::test]
async fn files_stay_in_the_folder_and_errors_name_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let db = open_with_folder(dir.path());
    run(&db, TABLE).await;
    let files = dir.path().join("files");
    std::fs::write(dir.path().join("secret.csv"), "device,ts\nx,2026-01-01\n").unwrap();
    std::os::unix::fs::symlink(dir.path(), files.join("out")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("secret.csv"), files.join("link.csv")).unwrap();
    for name in [
        "../secret.csv",
        "/etc/passwd.csv",
        "out/secret.csv",
        "link.csv",
        "inner/../../secret.csv",
        "./t.csv",
        "",
    ] {
        for sql in [
            format!("COPY k.t FROM '{name}' (FORMAT csv)"),
            format!("COPY k.t TO '{name}' (FORMAT csv)"),
        ] {
            let error = fails(&db, &sql).await;
            assert!(error.to_string().contains("COPY"), "{sql}: {error}");
        }
    }
    assert_eq!(
        std::fs::read_to_string(dir.path().join("secret.csv"))
            .unwrap()
            .lines()
            .count(),
        2
    );
    std::fs::write(files.join("bad.csv"), "device,ts,temp\na,2026-05-01,warm\n").unwrap();
    std::fs::write(
        files.join("more.ndjson"),
        "{\"device\": \"a\", \"ts\": \"2026-05-01\", \"colour\": \"red\"}\n",
    )
    .unwrap();
    std::fs::write(files.join("half.csv"), "device,ts\na\n").unwrap();
    for (sql, says) in [
        ("COPY k.t FROM 'bad.csv'", "'warm' is not a valid DOUBLE"),
        ("COPY k.t FROM 'more.ndjson'", "colour"),
        ("COPY k.t FROM 'half.csv'", "line"),
        ("COPY k.t FROM 'missing.csv'", "missing.csv"),
        ("COPY k.missing FROM 'bad.csv'", "missing"),
        ("COPY (SELECT 1 / 0 AS x) TO 'x.csv'", "division by zero"),
        ("COPY k.t TO 'x.parquet'", "csv, ndjson and arrow"),
        ("COPY k.t TO STDOUT", "activestore export"),
    ] {
        let error = fails(&db, sql).await;
        assert!(error.to_string().contains(says), "{sql}: {error}");
    }
    assert!(!files.join("x.csv").exists());
    assert_eq!(rows(&db, "SELECT count(*) FROM k.t").await, ["3"]);
    let plain = open(&dir.path().join("other"), Role::Cloud);
    assert!(
        fails(&plain, "COPY (SELECT 1) TO 'x.csv'")
            .await
            .to_string()
            .contains("storage.copy_dir")
    );
}

#[tokio::test]
async fn copy_is_for_superusers() {
    let dir = tempfile::tempdir().unwrap();
    let db = open_with_folder(dir.path());
    run(&db, TABLE).await;
    run(&db, "CREATE ROLE root LOGIN SUPERUSER PASSWORD 'a long password'; CREATE ROLE reader LOGIN PASSWORD 'a long password'; GRANT ALL ON ALL KEYSPACES TO reader").await;
    let reader = super::auth::role(&db, "reader");
    let error = fails(&reader, "COPY k.t TO 't.csv'").await;
    assert_eq!(
        error.kind(),
        activestore_types::ErrorKind::Denied,
        "{error}"
    );
}
