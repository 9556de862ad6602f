//! A comparison with the cloud as JSON: table by table, and the days that differ.

use activestore_db::Db;
use activestore_sync_proto::TableDigest;
use activestore_sync_proto::reconcile::{DayReport, Report, Side};
use activestore_sync_quic::VerifyReport;
use activestore_types::TableName;
use serde_json::{Map, Value, json};

/// What two ends hold; what is filtered between them is not compared, but named.
pub(super) fn report(report: &VerifyReport, db: &Db) -> Value {
    let filtered = match &report.found {
        None => db.filtered_tables(),
        Some(_) => db.held_back_tables(),
    };
    let is_filtered = |table: &TableName| filtered.iter().any(|(name, _)| name == table);
    let mut differing = match &report.found {
        None => report.comparison.differing(),
        Some(found) => {
            let differ = found.tables.iter().filter(|table| !table.equal());
            differ.map(|table| &table.table).collect()
        }
    };
    differing.retain(|table| !is_filtered(table));
    let not_compared = filtered.iter().map(|(table, by)| {
        let why = format!("not comparable, filtered by {by}");
        json!({ "table": table.to_string(), "equal": null, "not_compared": why })
    });
    let tables: Vec<Value> = report
        .comparison
        .tables
        .iter()
        .filter(|(table, ..)| !is_filtered(table))
        .map(|(table, here, there)| {
            json!({
                "table": table.to_string(),
                "equal": !differing.contains(&table),
                "rows_here": here.as_ref().map_or(0, |digest| digest.rows),
                "rows_there": there.as_ref().map_or(0, |digest| digest.rows),
                "digest_here": here.as_ref().map(hex),
                "digest_there": there.as_ref().map(hex),
            })
        })
        .chain(not_compared)
        .collect();
    let mut all = Map::new();
    all.insert("peer".to_owned(), json!(report.peer));
    let left = report.found.as_ref().map(|found| found.outcome.left());
    let unexplored = |found: &Report| {
        let tables = found
            .tables
            .iter()
            .filter(|table| !is_filtered(&table.table));
        tables.filter(|table| table.unexplored.is_some()).count()
    };
    let equal = match &report.found {
        None => differing.is_empty(),
        Some(found) => left == Some(0) && unexplored(found) == 0,
    };
    all.insert("equal".to_owned(), json!(equal));
    all.insert("behind".to_owned(), json!(report.behind));
    all.insert("tables".to_owned(), json!(tables));
    if let Some(found) = &report.found {
        all.insert("differences".to_owned(), json!(found.outcome.differences));
        let mended = found.outcome.mended_here + found.outcome.mended_there;
        all.insert("mended".to_owned(), json!(mended));
        all.insert("days".to_owned(), json!(days(found, db)));
    }
    Value::Object(all)
}

/// Every day that differs, and tables that were not looked at.
fn days(found: &Report, db: &Db) -> Vec<Value> {
    let mut all = Vec::new();
    for table in &found.tables {
        let days = table
            .days
            .iter()
            .filter(|day| day.differences() > 0 || day.overruled > 0);
        all.extend(days.map(|day| of_day(&table.table, day, db)));
        if let Some(why) = &table.unexplored {
            all.push(json!({ "table": table.table.to_string(), "note": why }));
        }
    }
    all
}

fn of_day(table: &TableName, day: &DayReport, db: &Db) -> Value {
    let examples: Vec<String> = day
        .examples
        .iter()
        .map(|(side, key)| {
            let side = match side {
                Side::Here => "here",
                Side::There => "there",
            };
            format!("{} (missing {side})", db.key_text(table, key))
        })
        .collect();
    json!({
        "table": table.to_string(),
        "day": day.day.map(|day| date(i64::from(day))),
        "missing_here": day.missing_here,
        "missing_there": day.missing_there,
        "deletes_missing_here": day.erasures_missing_here,
        "deletes_missing_there": day.erasures_missing_there,
        "undecided": day.undecided,
        "differ_on_purpose": day.overruled,
        "mended_here": day.mended_here,
        "mended_there": day.mended_there,
        "examples": examples.join("; "),
    })
}

/// A day since 1970 as a date of the Gregorian calendar (Howard Hinnant's algorithm).
fn date(day: i64) -> String {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{date:02}")
}

pub(super) fn hex(digest: &TableDigest) -> String {
    digest
        .hash
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
