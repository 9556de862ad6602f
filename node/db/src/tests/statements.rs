//! Statements that nobody means well: they get a sentence, and the node goes on.

use activestore_types::ErrorKind;

use super::*;

/// How deep they are nested.
const DEEP: usize = 10_000;

#[tokio::test]
async fn statements_nested_deeper_than_any_stack_get_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path(), Role::Cloud);
    let nested = |open: &str, inner: &str, close: &str| {
        format!("SELECT {}{inner}{}", open.repeat(DEEP), close.repeat(DEEP))
    };
    for sql in [
        nested("(", "1", ")"),
        nested("(", "", ""),
        nested("abs(", "1", ")"),
        nested("(SELECT ", "1", ")"),
        nested("[", "", "]"),
        nested("ARRAY[", "1", "]"),
        nested("NOT ", "true", ""),
        nested("- ", "1", ""),
        nested("CASE WHEN ", "true", " THEN true END"),
        nested("CAST(", "1", " AS INT)"),
        nested("json_get(", "'{}'", ", 'a')"),
        nested("EXISTS (SELECT ", "1", ")"),
        format!("SELECT 1 FROM {}t{}", "(".repeat(DEEP), ")".repeat(DEEP)),
        format!("SELECT 1{}", " + 1".repeat(DEEP)),
        format!("SELECT 1{}", " IS NULL".repeat(DEEP)),
        format!("SELECT '{{}}'{}", " -> 'a'".repeat(DEEP)),
        format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(DEEP)),
        format!("SELECT 1::INT{}", "::INT".repeat(DEEP)),
        format!("SELECT a{}", ".a".repeat(DEEP)),
        format!("SELECT a{}", "[1]".repeat(DEEP)),
        format!("SELECT * FROM a{}", " JOIN a ON true".repeat(DEEP)),
        format!("DELETE FROM a.b WHERE {}1", "(".repeat(DEEP)),
        format!("INSERT INTO a.b VALUES ({}1)", "(".repeat(DEEP)),
        format!("EXPLAIN SELECT {}1", "(".repeat(DEEP)),
        format!(
            "BEGIN BATCH UPDATE a.b SET c = {}1; APPLY BATCH",
            "(".repeat(DEEP)
        ),
    ] {
        let shown: String = sql.chars().take(60).collect();
        let error = match db.sql(&sql, &[]).await {
            Err(error) => error,
            Ok(_) => panic!("{shown}… was taken"),
        };
        assert_eq!(error.kind(), ErrorKind::Invalid, "{shown}…: {error}");
        assert!(error.to_string().len() < 1_000, "{shown}…: {error}");
    }
    assert_eq!(rows(&db, "SELECT 1").await, ["1"]);
}
