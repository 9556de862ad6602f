//! fjall 3: one keyspace with its defaults, a batch a journal sync.

use std::ops::Range;
use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::data::records::{Records, fields};
use crate::key_value::Engine;
use crate::task::Result;

/// A database.
pub struct Fjall {
    database: Database,
    rows: Keyspace,
}

impl Engine for Fjall {
    const CONCURRENT: bool = true;

    fn create(dir: &Path) -> Result<Self> {
        let database = Database::builder(dir).cache_size(64 << 20).open()?;
        let rows = database.keyspace("readings", KeyspaceCreateOptions::default)?;
        Ok(Fjall { database, rows })
    }

    fn write(&self, records: &Records, rows: Range<usize>) -> Result<()> {
        let mut batch = self
            .database
            .batch()
            .durability(Some(PersistMode::SyncData));
        for row in rows {
            batch.insert(&self.rows, records.key(row), records.value(row));
        }
        batch.commit()?;
        Ok(())
    }

    fn read(&self, records: &Records, row: usize) -> Result<f64> {
        let value = self.rows.get(records.key(row))?.ok_or("a row is missing")?;
        Ok(fields(&value).iter().sum())
    }

    fn settle(&self) -> Result<()> {
        self.rows.rotate_memtable_and_wait()?;
        self.rows.major_compact()?;
        Ok(())
    }
}
