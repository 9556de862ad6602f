//! SQLite: WAL journal, `synchronous = FULL`, a WITHOUT ROWID table, a transaction a batch.

use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use rusqlite::{Connection, params};

use crate::data::fleet::FIELDS;
use crate::data::records::{Records, fields};
use crate::key_value::Engine;
use crate::task::Result;

/// A database.
pub struct Sqlite(Mutex<Connection>);

impl Sqlite {
    fn connection(&self) -> Result<MutexGuard<'_, Connection>> {
        Ok(self.0.lock().map_err(|_| "a writer panicked")?)
    }
}

impl Engine for Sqlite {
    const CONCURRENT: bool = false;

    fn create(dir: &Path) -> Result<Self> {
        let database = Connection::open(dir.join("bench.sqlite"))?;
        database.pragma_update(None, "journal_mode", "WAL")?;
        database.pragma_update(None, "synchronous", "FULL")?;
        database.pragma_update(None, "mmap_size", 4_i64 << 30)?;
        let columns: Vec<String> = FIELDS.iter().map(|field| format!("{field} REAL")).collect();
        database.execute_batch(&format!(
            "CREATE TABLE readings (device TEXT, ts INTEGER, region INTEGER, model INTEGER, {},
             PRIMARY KEY (device, ts)) WITHOUT ROWID",
            columns.join(", ")
        ))?;
        Ok(Sqlite(Mutex::new(database)))
    }

    fn write(&self, records: &Records, rows: Range<usize>) -> Result<()> {
        let mut database = self.connection()?;
        let transaction = database.transaction()?;
        {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO readings VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14)",
            )?;
            for row in rows {
                let (device, at_ms) = records.device_and_time(row);
                let value = records.value(row);
                let f = fields(value);
                insert.execute(params![
                    device, at_ms, value[0], value[1], f[0], f[1], f[2], f[3], f[4], f[5], f[6],
                    f[7], f[8], f[9],
                ])?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn read(&self, records: &Records, row: usize) -> Result<f64> {
        let database = self.connection()?;
        let mut select =
            database.prepare_cached("SELECT * FROM readings WHERE device = ?1 AND ts = ?2")?;
        let (device, at_ms) = records.device_and_time(row);
        let sum = select.query_row(params![device, at_ms], |found| {
            (4..14).map(|index| found.get::<_, f64>(index)).sum()
        })?;
        Ok(sum)
    }

    fn settle(&self) -> Result<()> {
        let database = self.connection()?;
        database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }
}
