//! `ALTER TABLE … SEAL PARTITION` and `… ERASE PARTITION`: a partition gets a data key of its own, and
//! is erased by destroying it.
//!
//! An erasure deletes the rows as `DELETE` does, so that they go from other nodes too, and takes their
//! key away from what this node and its backups hold. What of them waits in the outbox goes under the
//! new key first, so that the chain of segments stays whole.

use std::sync::Arc;
use std::time::Duration;

use activestore_query::{DeletePlan, Param, PartitionStatement, PartitionStep, quote};
use activestore_types::{Error, KeyRange, Result, TableId, TableSchema, encode_keys};
use arrow::array::ArrayRef;

use super::SqlOutcome;
use crate::db::{Db, Inner};
use crate::write::effect::Erasure;

/// How long segments that were just sealed may take to be acknowledged.
const SHIPPING_WAIT: Duration = Duration::from_secs(3);
const SHIPPING_LOOK: Duration = Duration::from_millis(50);

impl Db {
    pub(super) async fn partition(
        &self,
        statement: PartitionStatement,
        params: &[Param],
    ) -> Result<SqlOutcome> {
        let schema = self.inner.catalog.state().table(&statement.table)?.clone();
        let prefix = self.prefix(&schema, &statement, params).await?;
        let (inner, params) = (self.inner.clone(), params.to_vec());
        self.blocking(move || {
            let Some(_no_backup) = inner.backing_up.try_lock() else {
                return Err(Error::conflict(
                    "a backup of this node is running, and copies its keys",
                )
                .with_hint("wait for its end, and run the statement again"));
            };
            match statement.step {
                PartitionStep::Seal => {
                    let name = name_of(&statement, &params);
                    inner.store.seal_partition(schema.id, &prefix, &name)?;
                    inner.erase_stream()?;
                    inner.wipe_outbox("the partition has its key")?;
                }
                PartitionStep::Erase => {
                    inner.erase_partition(&schema, &prefix)?;
                    inner.wipe_outbox("the partition is erased here")?;
                }
            }
            Ok(SqlOutcome::definition("ALTER TABLE"))
        })
        .await
    }

    /// What the keys of the partition's rows begin with.
    async fn prefix(
        &self,
        schema: &Arc<TableSchema>,
        statement: &PartitionStatement,
        params: &[Param],
    ) -> Result<Vec<u8>> {
        let names: Vec<&str> = schema
            .partition_key
            .iter()
            .filter_map(|id| schema.column_by_id(*id))
            .map(|column| column.name.as_str())
            .collect();
        let wanted = || {
            Error::invalid(format!(
                "PARTITION names one value for each column of the partition key of {}: {}",
                schema.name,
                names.join(", ")
            ))
            .with_hint("PARTITION (column = value, …)")
        };
        let given = |name: &&str| statement.values.iter().any(|(given, _)| given == name);
        if statement.values.len() != names.len() || !names.iter().all(given) {
            return Err(wanted());
        }
        let filter: Vec<String> = statement
            .values
            .iter()
            .map(|(name, value)| format!("{} = ({value})", quote(name)))
            .collect();
        let filter = filter.join(" AND ");
        let engine = self.engine();
        match engine.delete_plan(schema, Some(&filter), params).await? {
            DeletePlan::Ranges(ranges) => match ranges.as_slice() {
                [range] if *range == KeyRange::prefix(&range.start) => Ok(range.start.clone()),
                _ => Err(wanted()),
            },
            // A table without clustering columns: the key is the partition.
            DeletePlan::Keys(keys) if keys.num_rows() == 1 => {
                let columns: Vec<(ArrayRef, bool)> = names
                    .iter()
                    .filter_map(|name| keys.column_by_name(name))
                    .map(|column| (Arc::clone(column), false))
                    .collect();
                Ok(encode_keys(&columns)?.key(0).to_vec())
            }
            _ => Err(wanted()),
        }
    }
}

/// The partition as its user wrote it, with the parameters in their places.
fn name_of(statement: &PartitionStatement, params: &[Param]) -> String {
    let value = |text: &String| {
        let number = text.strip_prefix('$')?.parse::<usize>().ok()?;
        Some(params.get(number.checked_sub(1)?)?.json().to_string())
    };
    let values = statement.values.iter();
    let values: Vec<String> = values
        .map(|(name, text)| format!("{name} = {}", value(text).unwrap_or_else(|| text.clone())))
        .collect();
    values.join(", ")
}

impl Inner {
    fn erase_partition(&self, schema: &Arc<TableSchema>, prefix: &[u8]) -> Result<()> {
        // Nothing is deleted where the key cannot be destroyed.
        self.store.check_whole(schema.id, prefix)?;
        self.erase(Erasure::Ranges {
            schema: Arc::clone(schema),
            ranges: vec![KeyRange::prefix(prefix)],
        })?;
        self.store.renew_key(schema.id, prefix)?;
        self.destroy_past_keys(schema.id, prefix)
    }

    /// Destroys the keys that a partition had before its present one, after what is to be shipped has left
    /// them: what the log holds of it is sealed, and what the outbox keeps goes under the present one.
    fn destroy_past_keys(&self, id: TableId, prefix: &[u8]) -> Result<()> {
        let own = self.store.own_keys(id);
        if let Some(own) = own.iter().find(|own| own.prefix == prefix) {
            for outbox in self.outboxes() {
                outbox.leave_keys(&own.state.past, Some(own.state.key))?;
                // Kept before the keys go, so that a crash forgets nothing.
                outbox.owe_wipe()?;
            }
        }
        if self
            .store
            .own_keys(id)
            .iter()
            .any(|own| own.prefix == prefix)
        {
            self.erase_stream()?;
        }
        self.store.destroy_past_keys(id, prefix)
    }

    /// Before a table goes with its keys: what is to be shipped of it leaves them.
    pub(crate) fn leave_keys_of(&self, table: TableId) -> Result<()> {
        let own = self.store.own_keys(table);
        let keys: Vec<u32> = own.iter().flat_map(|own| own.state.keys()).collect();
        if keys.is_empty() {
            return Ok(());
        }
        self.erase_stream()?;
        self.outboxes()
            .try_for_each(|outbox| outbox.leave_keys(&keys, None))
    }

    /// At the start: brings erasures to their end that were cut off. One that fails is tried again by
    /// the next start or statement.
    pub(crate) fn end_erasures(&self) {
        for schema in self.catalog.state().tables.values() {
            for own in self.store.own_keys(schema.id) {
                if own.state.past.is_empty() {
                    continue;
                }
                match self.destroy_past_keys(schema.id, &own.prefix) {
                    Ok(()) => tracing::info!(
                        table = %schema.name,
                        partition = own.state.name,
                        "an erasure that was cut off is complete"
                    ),
                    Err(error) => tracing::warn!(
                        %error,
                        table = %schema.name,
                        partition = own.state.name,
                        "an erasure that was cut off is not complete yet"
                    ),
                }
            }
        }
    }

    /// Has the outboxes written anew without the bytes of what they have shipped, and waits a moment for what is
    /// on its way; `done` says what was done before.
    ///
    /// # Errors
    /// `Conflict` where something waits to be shipped still: it is wiped once it is acknowledged.
    pub(crate) fn wipe_outbox(&self, done: &str) -> Result<()> {
        let mut owed = Vec::new();
        for outbox in self.outboxes() {
            owed.push((outbox, outbox.owe_wipe()?));
        }
        let wiped = || {
            owed.iter()
                .all(|(outbox, owed)| outbox.standing().holds_none_of(owed))
        };
        let clock = &self.env.clock;
        let begun = clock.monotonic();
        while !wiped() && clock.monotonic().saturating_sub(begun) < SHIPPING_WAIT {
            std::thread::sleep(SHIPPING_LOOK);
        }
        if wiped() {
            return Ok(());
        }
        let waiting: u64 = owed
            .iter()
            .map(|(outbox, _)| outbox.standing().waiting())
            .sum();
        Err(Error::conflict(format!(
            "{done}, but {waiting} segments that wait to be shipped may hold rows of before; they are wiped as soon as they are shipped"
        ))
        .with_hint("nothing is left to be done: `activestore sync status` shows how far it is"))
    }
}
