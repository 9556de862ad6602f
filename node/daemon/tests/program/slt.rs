//! The statements of `tests/slt`, against the real program. The files are sqllogictest's: `statement ok`,
//! `statement error TEXT`, `query TYPES [rowsort]`, then the statement, and for queries `----` and the rows, cells
//! apart by spaces. A wire takes part by being a [`Connection`]; `skipif NAME` above a record leaves it out on one.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::pg_client::{Client, Reply};
use crate::process::Node;

/// What statements are sent over.
trait Connection {
    /// What files call it.
    fn name(&self) -> &'static str;

    /// Runs one statement: its rows as people see them, or what the error says.
    fn run(&mut self, sql: &str) -> Result<Vec<Vec<String>>, String>;
}

/// `POST /v1/sql`.
struct Http {
    agent: ureq::Agent,
    url: String,
}

impl Http {
    fn to(node: &Node) -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        Http {
            agent: config.build().into(),
            url: format!("{}/v1/sql", node.url()),
        }
    }
}

impl Connection for Http {
    fn name(&self) -> &'static str {
        "http"
    }

    fn run(&mut self, sql: &str) -> Result<Vec<Vec<String>>, String> {
        let mut answer = self
            .agent
            .post(&self.url)
            .send_json(json!({ "sql": sql }))
            .unwrap();
        let failed = !answer.status().is_success();
        let answer: Value = answer.body_mut().read_json().unwrap();
        if failed || answer.get("error").is_some() {
            let error = &answer["error"];
            return Err(format!("{} {}", error["message"], error["hint"]));
        }
        let rows = answer["rows"].as_array().cloned().unwrap_or_default();
        Ok(rows
            .iter()
            .map(|row| row.as_array().unwrap().iter().map(shown).collect())
            .collect())
    }
}

/// The simple protocol of PostgreSQL.
struct Postgres(Client);

impl Postgres {
    fn to(node: &Node) -> Self {
        let address = node.listener("pg").parse().unwrap();
        Postgres(Client::connect(address, &[("user", "anna")]))
    }
}

impl Connection for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn run(&mut self, sql: &str) -> Result<Vec<Vec<String>>, String> {
        let replies = self.0.query(sql);
        let said = replies.iter().find(|reply| reply.tag == 'E');
        if let Some(error) = said {
            let hint = error.field('H').unwrap_or_default();
            return Err(format!("{} {hint}", error.field('M').unwrap()));
        }
        let types: Vec<u32> = replies
            .iter()
            .find(|reply| reply.tag == 'T')
            .map(types)
            .unwrap_or_default();
        let rows = replies.iter().filter(|reply| reply.tag == 'D');
        Ok(rows
            .map(|row| {
                let cells = row.values().into_iter().zip(&types);
                cells.map(|(cell, kind)| of_postgres(cell, *kind)).collect()
            })
            .collect())
    }
}

/// The numbers of the types of a result's columns.
fn types(described: &Reply) -> Vec<u32> {
    let mut rest = &described.body[2..];
    let mut types = Vec::new();
    while let Some(end) = rest.iter().position(|byte| *byte == 0) {
        let column = &rest[end + 1..];
        types.push(u32::from_be_bytes(column[6..10].try_into().unwrap()));
        rest = &column[18..];
    }
    types
}

/// A cell in the words of the files, which are those of JSON.
fn of_postgres(cell: Option<Vec<u8>>, kind: u32) -> String {
    let Some(cell) = cell else {
        return "NULL".to_owned();
    };
    let text = String::from_utf8(cell).unwrap();
    match kind {
        16 => (text == "t").to_string(),
        700 => shown(&text.parse::<f32>().map_or(Value::Null, |real| json!(real))),
        701 => shown(
            &text
                .parse::<f64>()
                .map_or(Value::Null, |double| json!(double)),
        ),
        1114 => format!("{}Z", text.replacen(' ', "T", 1)),
        _ if text.is_empty() => "(empty)".to_owned(),
        _ => text,
    }
}

fn shown(cell: &Value) -> String {
    match cell {
        Value::Null => "NULL".to_owned(),
        Value::String(text) if text.is_empty() => "(empty)".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// One record of a file.
#[derive(Clone)]
struct Record<'a> {
    line: usize,
    head: Vec<&'a str>,
    /// The wire that it is not for.
    skipped: Option<&'a str>,
    sql: String,
    wanted: Vec<String>,
}

impl Record<'_> {
    /// It, as often as it is sent.
    fn sent(self) -> impl Iterator<Item = Self> {
        let is_query = self.head.first() == Some(&"query");
        std::iter::repeat_n(self, if is_query { TIMES } else { 1 })
    }
}

fn records(text: &str) -> Vec<Record<'_>> {
    let mut records = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    let mut skipped = None;
    while let Some((number, line)) = lines.next() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix("skipif ") {
            skipped = Some(name);
            continue;
        }
        let mut record = Record {
            line: number + 1,
            head: line.split(' ').collect(),
            skipped: skipped.take(),
            sql: String::new(),
            wanted: Vec::new(),
        };
        let mut in_rows = false;
        for (_, line) in lines.by_ref().take_while(|(_, line)| !line.is_empty()) {
            if line == "----" {
                in_rows = true;
            } else if in_rows {
                record.wanted.push(line.to_owned());
            } else {
                let _ = writeln!(record.sql, "{line}");
            }
        }
        records.push(record);
    }
    records
}

/// How often a query is sent: planned, planned and kept, run by the plan that was kept, and by what the optimizer made of
/// that. Its rows are the same each time.
const TIMES: usize = 4;

/// Runs a file; what does not hold is told with its place and what came instead.
fn run(file: &Path, connection: &mut dyn Connection) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let mut failed = Vec::new();
    let wire = connection.name();
    let meant = |record: &Record<'_>| record.skipped != Some(wire);
    for record in records(&text)
        .into_iter()
        .filter(meant)
        .flat_map(Record::sent)
    {
        let came = connection.run(&record.sql);
        let wrong = match (record.head.as_slice(), came) {
            (["statement", "ok"], Ok(_)) => None,
            (["statement", "error", says @ ..], Err(said)) => {
                (!said.contains(&says.join(" "))).then_some(said)
            }
            (["query", types, sorted @ ..], Ok(rows)) => {
                let narrow = rows.iter().any(|row| row.len() != types.len());
                let mut rows: Vec<String> = rows.iter().map(|row| row.join(" ")).collect();
                let mut wanted = record.wanted.clone();
                if sorted.contains(&"rowsort") {
                    rows.sort();
                    wanted.sort();
                }
                (narrow || rows != wanted).then(|| rows.join("\n"))
            }
            (_, Ok(rows)) => Some(format!("no error, {} rows", rows.len())),
            (_, Err(said)) => Some(said),
        };
        if let Some(came) = wrong {
            failed.push(format!(
                "{wire}: {}:{}: {}{}\ncame:\n{came}",
                file.display(),
                record.line,
                record.sql,
                record.wanted.join("\n")
            ));
        }
    }
    failed
}

#[test]
fn every_statement_answers_as_its_file_says() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path(), &[]);
    check(&mut Http::to(&node));
}

#[test]
fn every_statement_answers_the_same_over_the_postgresql_wire() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path(), &[]);
    check(&mut Postgres::to(&node));
}

/// Runs all files.
fn check(connection: &mut dyn Connection) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/slt");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "slt"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    let failed: Vec<String> = files
        .iter()
        .flat_map(|file| run(file, connection))
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}
