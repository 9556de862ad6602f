//! redb: one table, a transaction a batch, durable at once, which is its default.

use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;

use redb::{Database, ReadableDatabase, TableDefinition};

use crate::data::records::{Records, fields};
use crate::key_value::Engine;
use crate::task::Result;

const ROWS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("readings");

/// A database.
pub struct Redb(Mutex<Database>);

impl Redb {
    fn with<T>(&self, work: impl FnOnce(&mut Database) -> Result<T>) -> Result<T> {
        let mut database = self.0.lock().map_err(|_| "a writer panicked")?;
        work(&mut database)
    }
}

impl Engine for Redb {
    const CONCURRENT: bool = false;

    fn create(dir: &Path) -> Result<Self> {
        Ok(Redb(Mutex::new(Database::create(dir.join("bench.redb"))?)))
    }

    fn write(&self, records: &Records, rows: Range<usize>) -> Result<()> {
        self.with(|database| {
            let transaction = database.begin_write()?;
            {
                let mut table = transaction.open_table(ROWS)?;
                for row in rows {
                    table.insert(records.key(row), records.value(row))?;
                }
            }
            transaction.commit()?;
            Ok(())
        })
    }

    fn read(&self, records: &Records, row: usize) -> Result<f64> {
        self.with(|database| {
            let table = database.begin_read()?.open_table(ROWS)?;
            let value = table.get(records.key(row))?.ok_or("a row is missing")?;
            Ok(fields(value.value()).iter().sum())
        })
    }

    fn settle(&self) -> Result<()> {
        self.with(|database| {
            database.compact()?;
            Ok(())
        })
    }
}
