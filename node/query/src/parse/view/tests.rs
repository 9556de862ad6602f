//! Options before the query and behind it.

use activestore_catalog::{Change, Late};
use activestore_types::TableName;

use crate::parse::{Statement, ViewStatement, parse};

fn read(sql: &str) -> ViewStatement {
    match parse(sql).unwrap().pop() {
        Some(Statement::CreateView(statement)) => statement,
        other => panic!("{sql}: {other:?}"),
    }
}

#[test]
fn options_stand_before_the_query_or_behind_it() {
    let query = "SELECT d, tumble(ts, '1 minute') AS w, count(*) AS n FROM p.t GROUP BY d, w";
    for sql in [
        format!(
            "CREATE MATERIALIZED VIEW p.v WITH (late = 'drop', allowed_lateness = '10 s') AS {query}"
        ),
        format!("create materialized view p.v as {query} with (late = drop, watermark = '10 s');"),
        format!(
            "CREATE MATERIALIZED VIEW p.v WITH (late = 'drop') AS {query} WITH (watermark = '10 s')"
        ),
    ] {
        let view = read(&sql);
        assert_eq!(
            (view.query.as_str(), view.if_not_exists),
            (query, false),
            "{sql}"
        );
        assert_eq!(view.name, TableName::new("p", "v"));
        assert_eq!(
            (view.options.late, view.options.lateness_ms),
            (Late::Drop, 10_000)
        );
    }
    let plain = read(&format!(
        "CREATE MATERIALIZED VIEW IF NOT EXISTS v WITH (refresh = '5 s', ttl = '1 d') AS {query}"
    ));
    assert!(plain.if_not_exists);
    assert_eq!(
        (plain.options.refresh_ms, plain.options.late),
        (5_000, Late::Update)
    );
    assert_eq!(plain.options.table.ttl_s, Some(86_400));
    let aside = read(&format!(
        "CREATE MATERIALIZED VIEW v WITH (late = 'table', late_table = 'p.late') AS {query}"
    ));
    assert_eq!(aside.options.late, Late::Table(TableName::new("p", "late")));
}

#[test]
fn what_does_not_fit_is_refused_in_a_sentence() {
    for (sql, says) in [
        (
            "CREATE MATERIALIZED VIEW v AS DELETE FROM t",
            "expected SELECT",
        ),
        ("CREATE MATERIALIZED VIEW v SELECT 1", "expected AS"),
        (
            "CREATE MATERIALIZED VIEW v WITH (lat = 'drop') AS SELECT 1",
            "did you mean 'late'",
        ),
        (
            "CREATE MATERIALIZED VIEW v WITH (late = 'maybe') AS SELECT 1",
            "'update', 'drop' or 'table'",
        ),
        (
            "CREATE MATERIALIZED VIEW v WITH (late = 'drop') AS SELECT 1 FROM t WITH (late = 'drop')",
            "given twice",
        ),
        (
            "CREATE MATERIALIZED VIEW v WITH (refresh = '1 ms') AS SELECT 1",
            "not between",
        ),
        (
            "CREATE MATERIALIZED VIEW v WITH (sync = 'both') AS SELECT 1",
            "one writer",
        ),
        (
            "CREATE MATERIALIZED VIEW v WITH (flexible = true) AS SELECT 1",
            "no option 'flexible'",
        ),
        ("REFRESH v", "expected MATERIALIZED"),
    ] {
        let error = parse(sql).unwrap_err();
        let told = format!("{error} {}", error.hint().unwrap_or_default());
        assert!(told.contains(says), "{sql}: {told}");
    }
}

#[test]
fn a_view_is_dropped_and_refreshed_by_name() {
    let statements =
        parse("DROP MATERIALIZED VIEW IF EXISTS p.v; REFRESH MATERIALIZED VIEW p.v").unwrap();
    let name = TableName::new("p", "v");
    let dropped = Change::DropView {
        name: name.clone(),
        if_exists: true,
    };
    assert!(matches!(&statements[0], Statement::Change { change, .. } if *change == dropped));
    assert_eq!(statements[1], Statement::RefreshView { name });
}
