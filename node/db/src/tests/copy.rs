//! Rows to files and back.

use super::*;

const TABLE: &str = "CREATE KEYSPACE k; CREATE TABLE k.t (device TEXT, ts TIMESTAMP, temp DOUBLE, n BIGINT, ok BOOLEAN, day DATE, id UUID, body JSON, price DECIMAL(10, 2), note TEXT, raw BYTES, PRIMARY KEY ((device), ts)); CREATE TABLE k.u (device TEXT, ts TIMESTAMP, temp DOUBLE, n BIGINT, ok BOOLEAN, day DATE, id UUID, body JSON, price DECIMAL(10, 2), note TEXT, raw BYTES, PRIMARY KEY ((device), ts)); \
    INSERT INTO k.t VALUES ('a', '2026-01-01T00:00:00.000000001', 0.1, -5, true, '2026-02-03', '0e984725-c51c-4bf4-9960-e1c80e27aba0', '{\"a\": [1.50]}', 12.30, 'a, \"quoted\"\nline', X'00ff5c'), ('a', '2026-01-02', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), ('b', '2026-01-01', 1e300, 9007199254740993, false, '1960-01-01', NULL, 'null', -0.01, 'é', X'')";

fn open_with_folder(dir: &Path) -> Db {
    let mut options = DbOptions::new(dir.join("data"), Role::Cloud);
    let folder = dir.join("files");
    std::fs::create_dir_all(folder.join("inner")).unwrap();
    options.copy_dir = Some(folder);
    Db::open(options).unwrap()
}

/// The formats that this build has.
fn formats() -> impl Iterator<Item = &'static str> {
    let parquet = cfg!(feature = "parquet").then_some("parquet");
    ["csv", "ndjson", "arrow"].into_iter().chain(parquet)
}

#[tokio::test]
async fn rows_come_back_from_every_format() {
    let dir = tempfile::tempdir().unwrap();
    let db = open_with_folder(dir.path());
    run(&db, TABLE).await;
    let all = "ORDER BY device, ts";
    let before = rows(&db, &format!("SELECT * FROM k.t {all}")).await;
    let mut names = vec!["t.csv", "inner/t.ndjson", "t.arrow", "t.csv"];
    names.extend(cfg!(feature = "parquet").then_some("t.parquet"));
    for file in names {
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
    std::fs::write(files.join("raw.csv"), "device,ts,raw\na,2026-05-01,00ff\n").unwrap();
    std::fs::write(files.join("odd.csv"), "device,ts,raw\na,2026-05-01,\\x0\n").unwrap();
    let binary = formats().filter(|format| !["csv", "ndjson"].contains(format));
    for format in binary {
        run(&db, &format!("COPY k.t TO 'whole.{format}'")).await;
        let whole = std::fs::read(files.join(format!("whole.{format}"))).unwrap();
        let cut = &whole[..whole.len() - 1];
        std::fs::write(files.join(format!("cut.{format}")), cut).unwrap();
    }
    for (sql, says) in [
        ("COPY k.t FROM 'raw.csv'", "two hex digits a byte"),
        ("COPY k.t FROM 'odd.csv'", "two hex digits a byte"),
        ("COPY k.t FROM 'bad.csv'", "'warm' is not a valid DOUBLE"),
        ("COPY k.t FROM 'more.ndjson'", "colour"),
        ("COPY k.t FROM 'half.csv'", "line"),
        ("COPY k.t FROM 'missing.csv'", "missing.csv"),
        ("COPY k.missing FROM 'bad.csv'", "missing"),
        ("COPY (SELECT 1 / 0 AS x) TO 'x.csv'", "division by zero"),
        ("COPY k.t TO 'x.orc'", "csv, ndjson, arrow and parquet"),
        ("COPY k.t FROM 'cut.arrow'", "whole Arrow file"),
        #[cfg(feature = "parquet")]
        ("COPY k.t FROM 'cut.parquet'", "whole Parquet"),
        #[cfg(not(feature = "parquet"))]
        (
            "COPY k.t TO 'x.parquet'",
            "this build does not write Parquet",
        ),
        ("COPY k.t TO STDOUT", "activestore export"),
        ("COPY k.t TO STDOUT", "PostgreSQL wire"),
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

#[tokio::test]
async fn a_file_of_a_statement_that_went_away_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let db = open_with_folder(dir.path());
    let files = dir.path().join("files");
    for format in formats() {
        let (whole, part) = (
            files.join(format!("x.{format}")),
            files.join(format!("x.{format}.part")),
        );
        std::fs::write(&whole, "as it was").unwrap();
        let sql =
            format!("COPY (SELECT value FROM generate_series(1, 100000000000)) TO 'x.{format}'");
        let copying = tokio::spawn({
            let db = db.clone();
            async move { db.sql(&sql, &[]).await.map(|_| ()) }
        });
        until(async || part.exists()).await;
        copying.abort();
        assert!(copying.await.unwrap_err().is_cancelled());
        until(async || !part.exists()).await;
        assert!(std::fs::read(&whole).unwrap() == b"as it was", "{format}");
    }
}

#[tokio::test]
async fn what_a_crash_left_is_in_nobodys_way() {
    let dir = tempfile::tempdir().unwrap();
    let db = open_with_folder(dir.path());
    let files = dir.path().join("files");
    std::fs::write(files.join("x.csv.part"), "of a node that is no more").unwrap();
    assert_eq!(run(&db, "COPY (SELECT 1 AS n) TO 'x.csv'").await, 1);
    assert_eq!(std::fs::read(files.join("x.csv")).unwrap(), b"n\n1\n");
    assert!(!files.join("x.csv.part").exists());
    // A file that somebody writes, and what is no file, stay as they are.
    let written = std::fs::File::create(files.join("y.csv.part")).unwrap();
    written.lock().unwrap();
    let outside = dir.path().join("outside");
    std::fs::write(&outside, "of others").unwrap();
    std::os::unix::fs::symlink(&outside, files.join("z.csv.part")).unwrap();
    for (name, says) in [("y.csv", "another COPY"), ("z.csv", "z.csv")] {
        let error = fails(&db, &format!("COPY (SELECT 1 AS n) TO '{name}'")).await;
        assert!(error.to_string().contains(says), "{error}");
        assert!(!files.join(name).exists());
    }
    assert_eq!(std::fs::read(&outside).unwrap(), b"of others");
    assert!(files.join("y.csv.part").exists());
}

#[tokio::test]
async fn rows_of_text_have_a_bound() {
    let dir = tempfile::tempdir().unwrap();
    let db = open_with_folder(dir.path());
    run(&db, TABLE).await;
    let files = dir.path().join("files");
    let long = "a".repeat(17 << 20);
    let lines = "a line\n".repeat(3 << 20);
    for (name, text) in [
        ("long.csv", format!("device,ts,note\na,2026-05-01,{long}\n")),
        (
            "open.csv",
            format!("device,ts,note\na,2026-05-01,\"{lines}"),
        ),
        ("long.ndjson", format!("{{\"device\": \"{long}\"}}\n")),
        (
            "open.ndjson",
            format!("{{\"device\": [{}", "1,\n".repeat(6 << 20)),
        ),
    ] {
        std::fs::write(files.join(name), text).unwrap();
        let error = fails(&db, &format!("COPY k.t FROM '{name}'")).await;
        assert!(error.to_string().contains("longer than"), "{name}: {error}");
    }
    // Quotes within a field that is not quoted are text, and lines that end within quotes go on.
    let pipes: String = (0..20_000)
        .map(|n| format!("a,2026-05-01T00:00:00.{n:06},{n}\" pipe,\"b \"\"\nc {n}\"\n"))
        .collect();
    std::fs::write(
        files.join("pipes.csv"),
        format!("device,ts,note,more\n{pipes}"),
    )
    .unwrap();
    assert_eq!(
        run(&db, "COPY k.t (device, ts, note) FROM 'pipes.csv'").await,
        20_000
    );
    assert_eq!(
        rows(
            &db,
            "SELECT count(*), count(DISTINCT note) FROM k.t WHERE note LIKE '%\" pipe'"
        )
        .await,
        ["20000|20000"]
    );
    // Long rows come in several batches, none of which holds all of them.
    let long = "b".repeat(1 << 20);
    let csv: String = (10..50)
        .map(|n| format!("c,2026-05-01T00:00:{n},{n}{long}\n"))
        .collect();
    let ndjson: String = (10..50)
        .map(|n| {
            format!(
                "{{\"device\": \"d\", \"ts\": \"2026-05-01T00:00:{n}\", \"note\": \"{n}{long}\"}}\n"
            )
        })
        .collect();
    std::fs::write(files.join("many.csv"), format!("device,ts,note\n{csv}")).unwrap();
    std::fs::write(files.join("many.ndjson"), ndjson).unwrap();
    for (name, device) in [("many.csv", "c"), ("many.ndjson", "d")] {
        assert_eq!(run(&db, &format!("COPY k.t FROM '{name}'")).await, 40);
        let sql = format!(
            "SELECT count(DISTINCT note), min(length(note)) FROM k.t WHERE device = '{device}'"
        );
        assert_eq!(rows(&db, &sql).await, ["40|1048578"], "{name}");
    }
}

/// A file that has a column beside, which no table takes: only those that are named are read.
#[tokio::test]
async fn columns_that_are_not_named_may_be_of_any_kind() {
    let dir = tempfile::tempdir().unwrap();
    let db = open_with_folder(dir.path());
    run(&db, TABLE).await;
    let lists = "SELECT device, ts, make_array(n, n) AS lists FROM k.t";
    for format in formats().filter(|format| !["csv", "ndjson"].contains(format)) {
        let to = format!("COPY ({lists}) TO 'lists.{format}'");
        assert_eq!(run(&db, &to).await, 3);
        run(&db, "DELETE FROM k.u").await;
        let all = fails(&db, &format!("COPY k.u FROM 'lists.{format}'")).await;
        assert!(all.to_string().contains("lists"), "{all}");
        let named = format!("COPY k.u (ts, device) FROM 'lists.{format}'");
        assert_eq!(run(&db, &named).await, 3);
        assert_eq!(rows(&db, "SELECT count(*) FROM k.u").await, ["3"]);
    }
}
