//! What is kept of what was typed, and what is not.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use reedline::{FileBackedHistory, History, HistoryItem};

use super::DiscreetHistory;

#[test]
fn no_secret_comes_into_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history");
    let file = FileBackedHistory::with_file(100, path.clone()).unwrap();
    let mut history = DiscreetHistory(file);
    for secret in [
        "CREATE SINK hot TO 'https://h.example/s3cret' AS SELECT a FROM k.t;",
        "create /* a */ sink hot to 'mqtt://h/t' with (user = 'u', word = 's3cret') as select 1;",
        "ALTER SINK hot SET (header_authorization = 's3cret');",
        "CREAT SINK hot TO 'https://h.example/s3cret' AS SELECT a FROM k.t;",
        "SET (header_x_key = 's3cret');",
        "CREATE ROLE r WITH LOGIN PASSWORD 's3cret';",
        "ALTER USER r WITH PASSWORD 's3cret';",
        "SELECT 1; ALTER SINK hot\nSET (user = 's3cret');",
    ] {
        assert!(
            history
                .save(HistoryItem::from_command_line(secret))
                .is_err()
        );
    }
    let plain = [
        "SELECT * FROM system.sinks;",
        "SHOW SINKS;",
        "DROP SINK hot;",
        "SELECT reason FROM k.refused WHERE sink = 'hot';",
        "CREATE TABLE k.t (a TEXT PRIMARY KEY); -- 'password'",
    ];
    for text in plain {
        history.save(HistoryItem::from_command_line(text)).unwrap();
    }
    history.sync().unwrap();
    let kept = std::fs::read_to_string(path).unwrap();
    assert!(!kept.contains("s3cret"), "{kept}");
    assert_eq!(kept.lines().collect::<Vec<_>>(), plain);
}
