//! SQLite: WAL journal, `synchronous = FULL`, a WITHOUT ROWID table, one transaction a batch.

use std::time::Instant;

use rusqlite::Connection;

use crate::Plan;
use crate::generate::{Data, FIELDS, Random};
use crate::report::{Figures, percentile};

/// Runs everything.
///
/// # Errors
/// What SQLite says.
pub fn run(plan: &Plan, data: &Data) -> Result<Figures, Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("bench.sqlite");
    let mut database = Connection::open(&path)?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "FULL")?;
    database.pragma_update(None, "mmap_size", 4_i64 << 30)?;
    let columns: Vec<String> = FIELDS
        .iter()
        .map(|field| format!("{} REAL", field.0))
        .collect();
    database.execute_batch(&format!(
        "CREATE TABLE readings (device TEXT, ts INTEGER, {}, PRIMARY KEY (device, ts)) WITHOUT ROWID",
        columns.join(", ")
    ))?;
    let names: Vec<String> = (0..crate::generate::DEVICES as u32)
        .map(Data::name)
        .collect();
    let started = Instant::now();
    for start in (0..plan.rows).step_by(plan.batch) {
        let transaction = database.transaction()?;
        {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO readings VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)",
            )?;
            for row in start..(start + plan.batch).min(plan.rows) {
                let f = |index: usize| data.fields[index][row];
                insert.execute(rusqlite::params![
                    names[data.device[row] as usize],
                    data.ts_ns[row],
                    f(0),
                    f(1),
                    f(2),
                    f(3),
                    f(4),
                    f(5),
                    f(6),
                    f(7),
                    f(8),
                    f(9),
                ])?;
            }
        }
        transaction.commit()?;
    }
    let ingest_rows_s = plan.rows as f64 / started.elapsed().as_secs_f64();
    database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    let disk_bytes = std::fs::metadata(&path)?.len();

    let mut random = Random::seeded(7);
    let mut times = Vec::with_capacity(plan.points);
    {
        let mut select =
            database.prepare("SELECT * FROM readings WHERE device = ?1 AND ts = ?2")?;
        for _ in 0..plan.points {
            let row = random.next() as usize % plan.rows;
            let begun = Instant::now();
            let value: f64 = select.query_row(
                rusqlite::params![names[data.device[row] as usize], data.ts_ns[row]],
                |found| (2..12).map(|index| found.get::<_, f64>(index)).sum(),
            )?;
            times.push(begun.elapsed().as_secs_f64() * 1e6);
            std::hint::black_box(value);
        }
    }
    let averages: Vec<String> = FIELDS
        .iter()
        .map(|field| format!("avg({})", field.0))
        .collect();
    let sql = format!("SELECT {} FROM readings", averages.join(", "));
    let mut scans = Vec::new();
    let mut scan_sum = 0.0;
    for _ in 0..5 {
        let begun = Instant::now();
        scan_sum = database.query_row(&sql, [], |found| {
            (0..10).map(|index| found.get::<_, f64>(index)).sum()
        })?;
        scans.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    Ok(Figures {
        engine: format!("SQLite {} (WAL, synchronous=FULL)", rusqlite::version()),
        ingest_rows_s,
        disk_bytes,
        point_p50_us: percentile(&mut times, 0.5),
        point_p99_us: percentile(&mut times, 0.99),
        scan_ms: percentile(&mut scans, 0.5),
        scan_sum,
    })
}
