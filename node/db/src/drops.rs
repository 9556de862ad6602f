//! Tables that are dropped: their definition goes first, their rows follow.

use activestore_types::{Result, TableId};

use crate::db::Inner;

impl Inner {
    pub(crate) fn drop_rows(&self, table: TableId) -> Result<()> {
        self.leave_keys_of(table)?;
        self.store.drop_table(table)
    }

    /// At the start: a table's definition goes before its rows, so a crash between the two leaves rows that
    /// nothing names. A table whose id the definitions never gave out is not touched: then it is they
    /// that are not whole.
    pub(crate) fn end_drops(&self) -> Result<()> {
        let state = self.catalog.state();
        for table in self.store.tables() {
            if state.was_dropped(table) {
                self.drop_rows(table)?;
                tracing::info!(
                    table = table.0,
                    "the drop of a table that was cut off is complete"
                );
            } else if state.table_by_id(table).is_none() {
                tracing::warn!(
                    table = table.0,
                    "the store holds a table that was never defined; it is kept. Restore the definitions from a backup"
                );
            }
        }
        Ok(())
    }
}
