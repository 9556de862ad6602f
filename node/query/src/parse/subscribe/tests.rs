//! Where the query ends and its options begin.

use crate::parse::{Statement, Subscribe, WhenSlow, parse};

fn read(sql: &str) -> Subscribe {
    match parse(sql).unwrap().pop() {
        Some(Statement::Subscribe(statement)) => statement,
        other => panic!("{sql}: {other:?}"),
    }
}

#[test]
fn options_stand_behind_the_query_whatever_is_in_it() {
    let plain = read("SUBSCRIBE SELECT * FROM plant.alerts;");
    assert_eq!(plain.sql, "SELECT * FROM plant.alerts");
    assert_eq!(plain.when_slow, WhenSlow::Disconnect);
    assert!(!plain.snapshot && !plain.leaving);
    for (query, rest) in [
        ("SELECT * FROM t", "with (on_slow = drop, leaving = true)"),
        (
            "SELECT a, (b) FROM t WHERE c IN (1, 2)",
            "WITH(on_slow='drop',leaving=true)",
        ),
        (
            "SELECT 'WITH (' FROM t -- WITH (x)\n WHERE a = 1",
            "/* , */ WITH ( on_slow = 'drop', leaving = true )",
        ),
        (
            "WITH x AS (SELECT * FROM t) SELECT \"WITH\" FROM x",
            "WITH (leaving = true, on_slow = 'drop')",
        ),
        (
            "SELECT * FROM t WHERE (a > 1) AND (b < 2)",
            "WITH (leaving = true, on_slow = 'drop')",
        ),
    ] {
        let read = read(&format!("subscribe {query} {rest}"));
        assert_eq!(read.sql, query);
        assert_eq!(
            (read.when_slow, read.leaving, read.snapshot),
            (WhenSlow::Drop, true, false)
        );
    }
    let two = parse("SUBSCRIBE SELECT 1 FROM t; SELECT 2 FROM u WITH (snapshot = true)");
    assert!(
        two.is_err() || two.unwrap().len() == 2,
        "options of another statement"
    );
}

#[test]
fn what_is_wrong_is_said() {
    for (sql, words) in [
        ("SUBSCRIBE", "xpected"),
        ("SUBSCRIBE DELETE FROM t", "xpected"),
        ("SUBSCRIBE SELECT * FROM t WITH", "xpected"),
        ("SUBSCRIBE SELECT * FROM t WITH (snapshot)", "expected '='"),
        (
            "SUBSCRIBE SELECT * FROM t WITH (snapshot = 3)",
            "neither true nor false",
        ),
        (
            "SUBSCRIBE SELECT * FROM t WITH (on_slow = 'wait')",
            "'wait' is unknown",
        ),
        (
            "SUBSCRIBE SELECT * FROM t WITH (buffer = 1)",
            "no option 'buffer'",
        ),
        (
            "SUBSCRIBE SELECT * FROM t WITH (snapshot = true, snapshot = true)",
            "twice",
        ),
        (
            "SUBSCRIBE SELECT * FROM t extra words WITH (snapshot = true)",
            "end of the query",
        ),
        (
            "SUBSCRIBE SELECT * FROM t WITH (snapshot = true) WHERE a",
            "end of the statement",
        ),
        (
            "SUBSCRIBE SELECT (1 FROM t WITH (snapshot = true)",
            "xpected",
        ),
        ("SUBSCRIBE ) WITH (snapshot = true)", "xpected"),
    ] {
        let error = parse(sql).unwrap_err().to_string();
        assert!(error.contains(words), "{sql}: {error}");
    }
}

#[test]
fn an_id_to_go_on_behind_stands_among_the_options() {
    let plain = read("SUBSCRIBE SELECT * FROM t");
    assert_eq!(plain.after, None);
    let behind = read("SUBSCRIBE SELECT * FROM t WITH (after = '8def15ed.1A.ffffffff.0')");
    assert_eq!(behind.after.as_deref(), Some("8def15ed.1A.ffffffff.0"));
    assert_eq!(
        read("SUBSCRIBE SELECT * FROM t WITH (after = '')").after,
        None
    );
}
