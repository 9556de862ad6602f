//! How sinks are written, and that no error and no debug output shows what is secret in them.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use activestore_catalog::{Change, SinkChange};

use crate::parse::{Statement, parse};

fn one(sql: &str) -> Statement {
    let mut all = parse(sql).unwrap();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

#[test]
fn a_sink_is_read_with_its_options_on_either_side() {
    for sql in [
        "CREATE SINK IF NOT EXISTS hot TO 'https://h.example/x?k=1' WITH (batch = 10, header_authorization = 'Bearer s3cret')
         AS SELECT device, temp FROM plant.t WHERE temp > 80",
        "CREATE SINK IF NOT EXISTS hot TO 'https://h.example/x?k=1'
         AS SELECT device, temp FROM plant.t WHERE temp > 80 WITH (batch = 10, header_authorization = 'Bearer s3cret')",
    ] {
        let statement = one(sql);
        assert!(!format!("{statement:?}").contains("s3cret"));
        let Statement::CreateSink(sink) = statement else {
            panic!("{sql}");
        };
        assert_eq!(sink.name, "hot");
        assert_eq!(sink.query, "SELECT device, temp FROM plant.t WHERE temp > 80");
        assert_eq!(sink.address, "https://h.example/x?k=1");
        assert_eq!(sink.options["batch"], "10");
        assert!(sink.if_not_exists);
    }
}

#[test]
fn sinks_are_altered_and_dropped() {
    let change = |sql: &str| match one(sql) {
        Statement::Change {
            change: Change::Sink(change),
            tag,
        } => (change, tag),
        other => panic!("{other:?}"),
    };
    let name = || "hot".to_owned();
    assert_eq!(
        change("ALTER SINK hot PAUSE"),
        (
            SinkChange::Pause {
                name: name(),
                paused: true
            },
            "ALTER SINK"
        )
    );
    assert_eq!(
        change("ALTER SINK hot SET (batch = 3) RESET (timeout, retain)").0,
        SinkChange::Alter {
            name: name(),
            set: [("batch".to_owned(), "3".to_owned())].into(),
            reset: ["timeout".to_owned(), "retain".to_owned()].into(),
        }
    );
    assert_eq!(
        change("DROP SINK IF EXISTS hot"),
        (
            SinkChange::Drop {
                name: name(),
                if_exists: true
            },
            "DROP SINK"
        )
    );
}

#[test]
fn what_is_no_sink_is_refused_without_a_word_of_its_secrets() {
    let select = "AS SELECT a FROM k.t";
    for (sql, words) in [
        (
            format!("CREATE SINK s TO 'file:///etc/s3cret' {select}"),
            "names no host",
        ),
        (
            format!("CREATE SINK s TO 'gopher://h/s3cret' {select}"),
            "scheme",
        ),
        (
            format!("CREATE SINK s TO 'https://u:s3cret@h/' {select}"),
            "login",
        ),
        (
            format!("CREATE SINK s TO 'https://h/ s3cret' {select}"),
            "character",
        ),
        (
            format!("CREATE SINK s TO 'https://h:99999/s3cret' {select}"),
            "no host",
        ),
        (format!("CREATE SINK s TO 'mqtt://h/a/#' {select}"), "topic"),
        (format!("CREATE SINK s TO 'mqtt://h/a/{{b' {select}"), "'{'"),
        (format!("CREATE SINK s TO 'mqtt://h' {select}"), "topic"),
        (
            format!("CREATE SINK s TO 'https://h/' WITH (password = 's3cret') {select}"),
            "one of MQTT",
        ),
        (
            format!("CREATE SINK s TO 'mqtt://h/t' WITH (password = 's3cret') {select}"),
            "a user",
        ),
        (
            format!("CREATE SINK s TO 'https://h/' WITH (header_host = 's3cret') {select}"),
            "set by the node",
        ),
        (
            format!(
                "CREATE SINK s TO 'https://h/' WITH (header_authorization = E's3cret\\n') {select}"
            ),
            "no header",
        ),
        (
            format!("CREATE SINK s TO 'https://h/' WITH (btch = 1) {select}"),
            "no option 'btch'",
        ),
        (
            format!("CREATE SINK s TO 'https://h/' WITH (batch = 0) {select}"),
            "batch",
        ),
        (
            format!("CREATE SINK s TO 'https://h/' WITH (on = 'edges') {select}"),
            "on = 'edges'",
        ),
        (
            format!("CREATE SINK s TO 'mqtt://h/t/{{a}}' WITH (deletes = true) {select}"),
            "range",
        ),
        (
            format!("CREATE SINK s TO 'https://h/' WITH (header_authorization 's3cret') {select}"),
            "expected",
        ),
        (
            "CREATE SINK s TO 'https://h/' 's3cret'".to_owned(),
            "expected AS",
        ),
        ("CREATE SINK s 'https://h/s3cret'".to_owned(), "expected TO"),
        (
            "CREATE SINK 'https://h/s3cret'".to_owned(),
            "the name of a sink",
        ),
        ("ALTER SINK s 's3cret'".to_owned(), "PAUSE"),
        (
            "ALTER SINK s SET (header_authorization = (s3cret))".to_owned(),
            "expected",
        ),
    ] {
        let error = parse(&sql).unwrap_err().to_string();
        assert!(error.contains(words), "{sql}: {error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
}
