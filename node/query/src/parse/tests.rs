//! Every statement of the contract reads as meant, and every wrong one says where and what.

use std::collections::BTreeMap;

use activestore_catalog::{Change, ClusteringDefinition, ProcessorSource};
use activestore_types::{DataType, SyncMode, TableName};
use proptest::prelude::*;

use super::*;

mod plugins;
mod roles;
mod sharing;

fn one(sql: &str) -> Statement {
    let mut all = parse(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    assert_eq!(all.len(), 1, "{sql}");
    all.remove(0)
}

fn change(sql: &str) -> (Change, &'static str) {
    match one(sql) {
        Statement::Change { change, tag } => (change, tag),
        other => panic!("{sql}: {other:?}"),
    }
}

#[track_caller]
fn wrong(sql: &str, says: &str) {
    let error = parse(sql).expect_err(sql).to_string();
    assert!(error.contains(says), "{sql}\n said: {error}\n want: {says}");
}

#[test]
fn keyspaces() {
    let (made, tag) =
        change("CREATE KEYSPACE IF NOT EXISTS Plant WITH (ttl = '90d', sync = 'up');");
    assert_eq!(tag, "CREATE KEYSPACE");
    let Change::CreateKeyspace { def, if_not_exists } = made else {
        panic!()
    };
    assert_eq!(
        (def.name.as_str(), def.ttl_s, def.sync, if_not_exists),
        ("plant", Some(90 * 86_400), SyncMode::Up, true)
    );
    assert!(
        matches!(change("DROP SCHEMA IF EXISTS \"Big\"").0, Change::DropKeyspace { name, if_exists: true } if name == "Big")
    );
    assert!(
        matches!(change("ALTER KEYSPACE plant SET (ttl = 'none')").0, Change::AlterKeyspace { options, .. } if options.ttl_s == Some(0))
    );
}

#[test]
fn tables() {
    let (made, _) = change(
        "CREATE TABLE plant.readings (
           device TEXT, ts TIMESTAMP, temp DOUBLE, vib DOUBLE PRECISION, status TEXT,
           price DECIMAL(10, 2), raw BYTES, tag UUID, body JSON, n INT, big BIGINT, r REAL, ok BOOLEAN, d DATE,
           tz timestamp  with time zone,
           PRIMARY KEY ((device), ts)                 -- (partition key), clustering key
         ) WITH (flexible = true, ttl = '30d', sync = 'up');",
    );
    let Change::CreateTable {
        definition,
        if_not_exists: false,
    } = made
    else {
        panic!()
    };
    assert_eq!(definition.name, TableName::new("plant", "readings"));
    assert_eq!(definition.columns.len(), 15);
    assert_eq!(definition.columns[3].data_type, DataType::Double);
    assert_eq!(
        definition.columns[5].data_type,
        DataType::Decimal {
            precision: 10,
            scale: 2
        }
    );
    assert_eq!(definition.columns[14].data_type, DataType::Timestamp);
    assert_eq!(definition.partition_key, ["device"]);
    assert_eq!(definition.options.flexible, Some(true));
    assert_eq!(definition.options.ttl_s, Some(30 * 86_400));
    let (made, _) = change(
        "create table if not exists t (a int not null, b text, c date, primary key ((a, b), c desc))",
    );
    let Change::CreateTable {
        definition,
        if_not_exists: true,
    } = made
    else {
        panic!()
    };
    assert_eq!(definition.name, TableName::new("public", "t"));
    assert_eq!(definition.partition_key, ["a", "b"]);
    assert_eq!(
        definition.clustering_key,
        [ClusteringDefinition {
            name: "c".into(),
            descending: true
        }]
    );
    let (made, _) = change("CREATE TABLE t (a INT PRIMARY KEY, \"Weird name\" TEXT NULL)");
    let Change::CreateTable { definition, .. } = made else {
        panic!()
    };
    assert_eq!(
        (
            definition.partition_key,
            definition.columns[1].name.as_str()
        ),
        (vec!["a".to_owned()], "Weird name")
    );
    let (made, _) = change("CREATE TABLE t (a INT, b INT, c INT, PRIMARY KEY (a, b ASC, c))");
    let Change::CreateTable { definition, .. } = made else {
        panic!()
    };
    assert_eq!(
        (
            definition.partition_key.len(),
            definition.clustering_key.len()
        ),
        (1, 2)
    );
}

#[test]
fn alterations() {
    let (made, tag) = change("ALTER TABLE plant.t ADD COLUMN a INT, ADD b DECIMAL(4,1)");
    let Change::AddColumns {
        columns,
        if_not_exists: false,
        ..
    } = made
    else {
        panic!()
    };
    assert_eq!(
        columns,
        [
            ("a".into(), DataType::Int),
            (
                "b".into(),
                DataType::Decimal {
                    precision: 4,
                    scale: 1
                }
            )
        ]
    );
    assert_eq!(tag, "ALTER TABLE");
    assert!(matches!(
        change("ALTER TABLE t ADD COLUMN IF NOT EXISTS a INT").0,
        Change::AddColumns {
            if_not_exists: true,
            ..
        }
    ));
    assert!(
        matches!(change("ALTER TABLE t SET (flexible = off)").0, Change::AlterOptions { options, .. } if options.flexible == Some(false))
    );
    assert!(matches!(
        change("DROP TABLE IF EXISTS plant.t").0,
        Change::DropTable {
            if_exists: true,
            ..
        }
    ));
}

#[test]
fn rows() {
    assert_eq!(
        one(
            "INSERT INTO plant.readings (device, ts, temp) VALUES ('p1', now(), 21.5) USING TTL 3600;"
        ),
        Statement::Insert(Insert {
            table: TableName::new("plant", "readings"),
            columns: vec!["device".into(), "ts".into(), "temp".into()],
            source: "VALUES ('p1', now(), 21.5)".into(),
            ttl_s: Some(3600),
            existing: Existing::Merge,
        })
    );
    let Statement::Insert(insert) =
        one("insert into t select * from plant.u where x > $1 using ttl '1 day'")
    else {
        panic!()
    };
    assert_eq!(
        (insert.source.as_str(), insert.ttl_s, insert.columns.len()),
        ("select * from plant.u where x > $1", Some(86_400), 0)
    );
    let Statement::Insert(insert) = one("INSERT INTO t (\"Ä b\")\nVALUES ('ü', -- why\n 'x')")
    else {
        panic!()
    };
    assert_eq!(
        (insert.columns[0].as_str(), insert.source.as_str()),
        ("Ä b", "VALUES ('ü', -- why\n 'x')")
    );
    assert_eq!(
        one(
            "UPDATE plant.readings SET status = 'ok', temp = temp + 1 WHERE device = 'p1' AND ts = '2026-01-01'"
        ),
        Statement::Update(Update {
            table: TableName::new("plant", "readings"),
            assignments: vec![
                ("status".into(), "'ok'".into()),
                ("temp".into(), "temp + 1".into())
            ],
            filter: Some("device = 'p1' AND ts = '2026-01-01'".into()),
            ttl_s: None,
            condition: None,
        })
    );
    assert!(matches!(
        one("UPDATE t USING TTL 9 SET a = 1"),
        Statement::Update(Update {
            ttl_s: Some(9),
            filter: None,
            ..
        })
    ));
    assert_eq!(
        one("DELETE FROM plant.readings WHERE device = 'p1' AND ts < now() - interval '1 day'"),
        Statement::Delete(Delete {
            table: TableName::new("plant", "readings"),
            filter: Some("device = 'p1' AND ts < now() - interval '1 day'".into()),
            condition: None,
        })
    );
    assert!(matches!(
        one("delete from t"),
        Statement::Delete(Delete { filter: None, .. })
    ));
}

#[test]
fn queries_are_cut_as_written() {
    let text = "SELECT device, predict('pump_health', temp, vib) FROM plant.readings WHERE x = 'a;b'; \n\n WITH a AS (SELECT 1) SELECT * FROM a;; (SELECT 2);VALUES (1), (2)";
    let sql: Vec<String> = parse(text)
        .unwrap()
        .into_iter()
        .map(|statement| match statement {
            Statement::Query { sql } => sql,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        sql,
        [
            "SELECT device, predict('pump_health', temp, vib) FROM plant.readings WHERE x = 'a;b'",
            "WITH a AS (SELECT 1) SELECT * FROM a",
            "(SELECT 2)",
            "VALUES (1), (2)",
        ]
    );
    assert_eq!(
        one("explain analyze select 1"),
        Statement::Explain {
            sql: "EXPLAIN ANALYZE select 1".into(),
            analyze: true,
        }
    );
}

#[test]
fn looking_around() {
    for (sql, show) in [
        ("SHOW TABLES", Show::Tables { keyspace: None }),
        (
            "SHOW TABLES FROM plant",
            Show::Tables {
                keyspace: Some("plant".into()),
            },
        ),
        ("SHOW KEYSPACES", Show::Keyspaces),
        ("show schemas", Show::Keyspaces),
        ("SHOW FUNCTIONS", Show::Functions),
        ("SHOW PROCESSORS", Show::Processors),
        ("SHOW MODELS", Show::Models),
        ("SHOW PLUGINS;", Show::Plugins),
    ] {
        assert_eq!(one(sql), Statement::Show(show));
    }
    for sql in [
        "DESCRIBE plant.t",
        "DESC TABLE plant.t",
        "SHOW COLUMNS FROM plant.t",
    ] {
        assert_eq!(
            one(sql),
            Statement::Describe {
                name: TableName::new("plant", "t")
            }
        );
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    wrong("", "empty");
    wrong(" ; -- nothing\n", "empty");
    wrong("SELEC 1", "did you mean SELECT");
    wrong("SELECT 1 SELECT 2", "line 1, column 10");
    wrong(
        "CREATE TABLE t (a INT,\n  b NOPE,\n PRIMARY KEY (a))",
        "line 2, column 5: 'NOPE' is not a column type",
    );
    wrong(
        "CREATE TABLE t (a INT b TEXT)",
        "line 1, column 23: expected ',' or ')', found 'b'",
    );
    wrong("CREATE TABLE t (a INT)", "no primary key");
    wrong(
        "CREATE TABLE t (a INT PRIMARY KEY, PRIMARY KEY (a))",
        "a primary key already",
    );
    wrong(
        "CREATE TABLE t (a INT PRIMARY KEY, b INT NOT NULL)",
        "'b' cannot be NOT NULL",
    );
    wrong(
        "CREATE TABLE t (a INT PRIMARY KEY DEFAULT 4)",
        "DEFAULT is not available",
    );
    wrong(
        "CREATE TABLE t (a INT PRIMARY KEY) WITH (flexibel = true)",
        "did you mean 'flexible'",
    );
    wrong(
        "CREATE TABLE t (a INT PRIMARY KEY) WITH (ttl = '1d', ttl = '2d')",
        "given twice",
    );
    wrong("CREATE TABLE a.b.c (a INT PRIMARY KEY)", "KEYSPACE.TABLE");
    wrong("INSERT INTO t VALUES (1", "expected");
    wrong("INSERT INTO t (a, a) VALUES (1, 2)", "named twice");
    wrong("INSERT INTO t SET a = 1", "expected VALUES or SELECT");
    wrong(
        "INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 2",
        "DO UPDATE is not needed",
    );
    wrong(
        "INSERT INTO t SELECT a FROM u ON CONFLICT DO NOTHING",
        "only an INSERT of VALUES",
    );
    wrong(
        "BEGIN BATCH INSERT INTO t VALUES (1); SELECT 1; APPLY BATCH",
        "expected INSERT, UPDATE, DELETE or APPLY BATCH, found 'SELECT'",
    );
    wrong("BEGIN BATCH APPLY BATCH", "the batch is empty");
    wrong(
        "BEGIN BATCH INSERT INTO t VALUES (1)",
        "expected ';' or APPLY BATCH",
    );
    wrong("INSERT INTO t VALUES (1) RETURNING a", "RETURNING");
    wrong(
        "INSERT INTO t VALUES (1) USING TTL 0",
        "at least one second",
    );
    wrong("UPDATE t SET a = 1, a = 2", "set twice");
    wrong("UPDATE t SET a = ", "found the end of the text");
    wrong("DELETE t WHERE a = 1", "expected FROM");
    wrong(
        "SELECT 'unfinished",
        "line 1, column 8: unterminated string literal",
    );
    wrong("SELECT * FROM", "line 1");
    wrong("CREATE FUNCTION f AS 'x'", "functions are made by plugins");
    wrong(
        "CREATE MODEL m USING PLUGIN 'onnx' WITH (a = 1)",
        "names no file",
    );
    wrong(
        "CREATE PROCESSOR p ON t USING TABLE x",
        "expected PLUGIN or MODEL",
    );
    wrong("EXPLAIN INSERT INTO t VALUES (1)", "queries only");
    wrong("DROP TABLE t CASCADE", "CASCADE");
    wrong("ALTER TABLE t DROP COLUMN a", "DROP is not available");
    wrong("SHOW STATUS", "expected TABLES, KEYSPACES");
}

#[test]
fn conditions_and_batches_are_read() {
    let all = parse(
        "INSERT INTO t VALUES (1, 2) IF NOT EXISTS USING TTL 5;
         INSERT INTO t VALUES (1, 2) USING TTL 5 ON CONFLICT (a, b) DO NOTHING;
         UPDATE t SET b = 3 WHERE a = 1 IF b = 2 AND c IS NULL;
         UPDATE t SET b = 3 WHERE a = 1 IF EXISTS;
         DELETE FROM t WHERE a = 1 IF b > 2;
         BEGIN BATCH DELETE FROM t WHERE a = 1; INSERT INTO t VALUES (1, 2); APPLY BATCH;
         ALTER TABLE t COMPACT",
    )
    .unwrap();
    let [
        Statement::Insert(fail),
        Statement::Insert(keep),
        Statement::Update(holds),
        Statement::Update(exists),
        Statement::Delete(delete),
        Statement::Batch(batch),
        Statement::Compact { table },
    ] = all.as_slice()
    else {
        panic!("{all:?}");
    };
    assert_eq!((fail.existing, fail.ttl_s), (Existing::Fail, Some(5)));
    assert_eq!((keep.existing, keep.ttl_s), (Existing::Keep, Some(5)));
    assert_eq!(fail.source, "VALUES (1, 2)");
    let text = |condition: &str| Some(Condition::Holds(condition.to_owned()));
    assert_eq!(holds.condition, text("b = 2 AND c IS NULL"));
    assert_eq!(holds.filter.as_deref(), Some("a = 1"));
    assert_eq!(exists.condition, Some(Condition::Exists));
    assert_eq!(delete.condition, text("b > 2"));
    assert!(matches!(
        batch.as_slice(),
        [Statement::Delete(_), Statement::Insert(_)]
    ));
    assert_eq!(table.table, "t");
}

#[test]
fn what_is_not_here_is_refused_in_a_sentence() {
    wrong("CREATE VIEW plant.m AS SELECT 1", "views are not available");
    wrong("COPY t TO 'x'", "let it end in .csv");
    wrong("COPY t TO STDOUT", "activestore export");
    wrong("COPY t FROM 'x.orc'", "csv, ndjson, arrow and parquet");
    for sql in [
        "BEGIN",
        "COMMIT",
        "CREATE VIEW v AS SELECT 1",
        "CREATE INDEX i ON t (a)",
        "TRUNCATE t",
        "SET a = 1",
        "CREATE DATABASE d",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
    ] {
        wrong(sql, "(");
    }
}

#[test]
fn nesting_and_chains_are_bounded() {
    for depth in [60, 1_000, 200_000] {
        wrong(
            &format!("SELECT {}1{}", "(".repeat(depth), ")".repeat(depth)),
            "nested deeper",
        );
        wrong(
            &format!("SELECT {}1", "(SELECT ".repeat(depth)),
            "nested deeper",
        );
    }
    wrong(
        &format!("SELECT {}1", "NOT ".repeat(1_000)),
        "nested deeper",
    );
    wrong(
        &format!("SELECT 1{}", " + 1".repeat(100_000)),
        "one expression holds more",
    );
    wrong(
        &format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(100_000)),
        "one expression holds more",
    );
    wrong(
        &format!("SELECT x{}", "::INT".repeat(100_000)),
        "one expression holds more",
    );
    wrong(&"SELECT 1;".repeat(MAX_STATEMENTS + 1), "statements");
    one(&format!("SELECT 1{}", " + 1".repeat(240)));
    one(&format!(
        "INSERT INTO t VALUES {}(1, 'x', -1.5)",
        "(1, 'x', -1.5), ".repeat(20_000)
    ));
}

proptest! {
    /// Whatever the text, reading it ends with statements or an error, never with a panic.
    #[test]
    fn any_text_is_survived(text in "\\PC{0,60}") {
        let _either = parse(&text);
    }

    /// The same for texts that look like SQL.
    #[test]
    fn any_words_are_survived(words in proptest::collection::vec(proptest::sample::select(vec![
        "SELECT", "FROM", "WHERE", "CREATE", "TABLE", "(", ")", ",", "a", "b.c", "'x'", "1", "PRIMARY", "KEY", "WITH", "=",
        "INSERT", "INTO", "VALUES", "USING", "TTL", "UPDATE", "SET", "DELETE", "PLUGIN", "MODEL", "ON", "é", "\n", "--", "$1", "IF", "NOT", "EXISTS", ";",
    ]), 0..25)) {
        let _either = parse(&words.join(" "));
    }
}
