//! Data keys that partitions have of their own, see [`crate::version::own`].

use activestore_types::{Result, RowBatch, TableId};

use super::{Store, divide, table};
use crate::memtable::RowKeys;
use crate::version::OwnKey;
use crate::worker;

impl Store {
    /// Gives a partition a data key of its own: the partition of which every key begins with `prefix`,
    /// an encoded partition key, which `name` says for people. What it holds already is brought over: files that may hold rows of it
    /// are written anew, and what the log held is overwritten. One that has a key is brought to the
    /// end where that was cut off. Takes as long as that takes.
    ///
    /// # Errors
    /// `NotFound` for an unknown table; `Conflict` where the directory is not encrypted, and where the
    /// log is held from an earlier record on: then what is written from now on is under the key, and
    /// this has to be called again; `Overloaded` where there are too many keys; why a step failed.
    pub fn seal_partition(&self, id: TableId, prefix: &[u8], name: &str) -> Result<()> {
        table(&self.shared.version(), id)?;
        self.shared.check()?;
        worker::seal_partition(&self.shared, id, prefix, name)
    }

    /// Whether all rows of a partition are under a key of its own.
    ///
    /// # Errors
    /// As [`Store::renew_key`], which would refuse it.
    pub fn check_whole(&self, id: TableId, prefix: &[u8]) -> Result<()> {
        table(&self.shared.version(), id)?;
        worker::whole_state(&self.shared, id, prefix).map(|_| ())
    }

    /// Gives a partition another key, for what is written from now on; returns it. The one that it had
    /// is among its past ones until [`Store::destroy_past_keys`].
    ///
    /// # Errors
    /// `NotFound` for an unknown table; `Conflict` where the partition has no key, or not all of it is
    /// under it yet; why a step failed.
    pub fn renew_key(&self, id: TableId, prefix: &[u8]) -> Result<u32> {
        table(&self.shared.version(), id)?;
        self.shared.check()?;
        worker::renew_key(&self.shared, id, prefix)
    }

    /// Brings what counts of a partition under its present key, without what was deleted, and destroys
    /// all earlier ones: what was deleted before [`Store::renew_key`] is then gone from every copy that
    /// there is of its files. Takes as long as that takes.
    ///
    /// # Errors
    /// As [`Store::renew_key`]; the keys are there until it returns without one.
    pub fn destroy_past_keys(&self, id: TableId, prefix: &[u8]) -> Result<()> {
        table(&self.shared.version(), id)?;
        self.shared.check()?;
        worker::destroy_past_keys(&self.shared, id, prefix)
    }

    /// The numbers of the own keys that were destroyed, the latest of them: copies of the keyring are not
    /// to hold them any more.
    pub fn destroyed_keys(&self) -> Vec<u32> {
        worker::destroyed_keys(&self.shared)
    }

    /// A table's partitions that have keys of their own; none for an unknown table.
    pub fn own_keys(&self, id: TableId) -> Vec<OwnKey> {
        let version = self.shared.version();
        let table = version.table(id);
        table.map_or_else(Vec::new, |table| table.own.iter().cloned().collect())
    }

    /// A batch's rows by the key that their partition has of its own, for who keeps copies of them.
    ///
    /// # Errors
    /// `NotFound` for an unknown table; `Invalid` for rows that do not fit it.
    pub fn divide(&self, batch: &RowBatch) -> Result<Vec<(Option<u32>, RowBatch)>> {
        let version = self.shared.version();
        let table = table(&version, batch.table)?;
        if table.own.is_empty() {
            return Ok(vec![(None, batch.clone())]);
        }
        let keys = RowKeys::encode(&table.schema, batch)?;
        divide::divide_batch(&table.schema, &table.own, batch, keys.keys())
    }
}
