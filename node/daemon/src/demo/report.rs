//! What the demo shows: answers of SQL, and at the end, for each node, what it holds.

use std::path::Path;

use activestore_types::{Error, Result};
use serde_json::Value;

use super::node::Node;
use super::stage::{EDGES, Stage};
use crate::sql::Grid;

/// The tables that travel up.
const TABLES: [&str; 3] = ["plant.alerts", "plant.machine", "plant.readings"];

/// Shows queries on an edge and in the cloud.
pub(crate) fn queries(stage: &Stage, say: &dyn Fn(&str)) -> Result<()> {
    for edge in &stage.edges {
        let sql = "SELECT device, count(*) AS readings, round(avg(coalesce(cpu, f_to_c(value))), 1) AS average, \
                   round(max(strain), 3) AS most_strained FROM plant.readings GROUP BY device ORDER BY device";
        say(&format!(
            "SQL on {}: readings, with the model's score and a sandboxed function",
            edge.name
        ));
        show(edge, sql)?;
    }
    let sql = "SELECT host, count(*) AS rows, round(kib_to_gib(CAST(max(used_kib) AS DOUBLE)), 2) AS memory_gib \
               FROM plant.machine WHERE part = 'memory' GROUP BY host ORDER BY host";
    say("SQL in the cloud, over both edges");
    show(&stage.cloud, sql)?;
    let sql = "SELECT device, ts, \"column\", value, round(score, 1) AS score FROM plant.alerts ORDER BY ts DESC LIMIT 3";
    say("The newest anomalies that the processor flagged, in the cloud");
    show(&stage.cloud, sql)
}

fn show(node: &Node, sql: &str) -> Result<()> {
    println!("  {}", sql.split_whitespace().collect::<Vec<_>>().join(" "));
    let answer = node
        .client
        .post("/v1/sql", "text/plain; charset=utf-8", sql.as_bytes())?;
    let names: Vec<&str> = answer
        .get("columns")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|column| column.get("name").and_then(Value::as_str))
        .collect();
    let cells = answer
        .get("rows")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_array)
        .map(|row| row.iter().map(cell).collect())
        .collect();
    println!("{}", Grid::of_text(&names, cells).render(None));
    Ok(())
}

fn cell(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Rows that a node's SQL counts in all tables of the demo.
pub(crate) fn rows_held(node: &Node) -> Result<u64> {
    let known = node.query(
        "SELECT keyspace || '.' || name FROM system.tables WHERE keyspace = 'plant' ORDER BY 1",
    )?;
    let mut rows = 0;
    for table in known.iter().filter_map(|row| row.first()?.as_str()) {
        rows += node.number(&format!("SELECT count(*) FROM {table}"))?;
    }
    Ok(rows)
}

/// Whether both ends hold the same, as the node reports it.
pub(crate) fn equal(verified: &Value) -> bool {
    verified.get("equal").and_then(Value::as_bool) == Some(true)
}

/// The last table: for each edge and table, rows and digests at both ends, and what the link carried.
///
/// # Errors
/// When a row is missing or doubled.
pub(crate) fn result(stage: &Stage, acknowledged: &[(u64, u64)], verified: &[Value]) -> Result<()> {
    let mut cells = Vec::new();
    for (edge, verified) in stage.edges.iter().zip(verified) {
        for table in tables(verified) {
            let read = |name: &str| table.get(name).and_then(cell);
            cells.push(vec![
                Some(edge.name.clone()),
                read("table"),
                read("rows_here"),
                read("rows_there"),
                read("digest_here"),
                read("digest_there"),
                Some(if equal(table) { "equal" } else { "DIFFERENT" }.to_owned()),
            ]);
        }
    }
    println!(
        "{}",
        Grid::of_text(
            &[
                "edge",
                "table",
                "rows",
                "rows in cloud",
                "digest",
                "digest in cloud",
                ""
            ],
            cells
        )
        .render(None)
    );
    let (mut shipped, mut bytes) = (0, 0);
    for ((edge, link), (readings, machine)) in
        stage.edges.iter().zip(&stage.links).zip(acknowledged)
    {
        for (table, wanted) in [("plant.readings", *readings), ("plant.machine", *machine)] {
            let filter = match table {
                "plant.machine" => format!("host = '{}'", edge.name),
                _ if edge.name == EDGES[0] => format!("device NOT LIKE '{}-%'", EDGES[1]),
                _ => format!("device LIKE '{}-%'", edge.name),
            };
            let held = stage
                .cloud
                .number(&format!("SELECT count(*) FROM {table} WHERE {filter}"))?;
            if held != wanted {
                return Err(Error::internal(format!(
                    "{} acknowledged {wanted} rows of {table} and the cloud holds {held}",
                    edge.name
                )));
            }
        }
        shipped += rows_held(edge)?;
        let crossed = link.take_bytes();
        bytes += crossed;
        println!(
            "{}: {} datagrams were lost in the cut; {crossed} bytes crossed the link",
            edge.name,
            link.dropped()
        );
    }
    println!(
        "Every acknowledged row is in the cloud exactly once: {} rows, {:.1} bytes of UDP payload per row, both ways.",
        rows_held(&stage.cloud)?,
        bytes as f64 / shipped.max(1) as f64
    );
    Ok(())
}

fn tables(verified: &Value) -> Vec<&Value> {
    let mut found: Vec<&Value> = verified
        .get("tables")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .collect();
    found.sort_by_key(|table| {
        let name = table
            .get("table")
            .and_then(Value::as_str)
            .unwrap_or_default();
        TABLES.iter().position(|known| *known == name)
    });
    found
}

/// Where to try things by hand.
pub(crate) fn addresses(stage: &Stage) -> Result<()> {
    println!("\nEverything stays up until Ctrl-C. Try, in another terminal:");
    println!("  activestore sql --url {}", stage.cloud.client.url());
    for edge in &stage.edges {
        println!(
            "  activestore sync status --url {}    # {}, MQTT on {}",
            edge.client.url(),
            edge.name,
            edge.listener("mqtt")?
        );
    }
    println!("  open {} in a browser", stage.cloud.client.url());
    Ok(())
}

/// A file's name as a device's: letters, digits and '-'.
pub(crate) fn device_name(path: &Path) -> String {
    let stem = path.file_stem().map_or_else(
        || "file".to_owned(),
        |stem| stem.to_string_lossy().into_owned(),
    );
    stem.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect()
}
