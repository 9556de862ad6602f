//! How long a view's table keeps its rows: at least for as long as a whole window needs, or nothing of the view
//! could be computed any more.

use activestore_catalog::{CatalogState, Change, TableOptions};
use activestore_types::{Error, Result, SyncMode, TableName};

use super::defining::comes_down;
use super::upkeep::Upkeep;
use crate::db::Inner;

impl Inner {
    /// How long a table keeps its rows at this node, in milliseconds, once options are set; `None` for ever.
    pub(super) fn kept_ms(
        &self,
        state: &CatalogState,
        table: &TableName,
        options: &TableOptions,
    ) -> Option<u64> {
        let ttl_s = match options.ttl_s {
            Some(seconds) => (seconds > 0).then_some(seconds),
            None => state.tables.get(table).and_then(|table| table.ttl_s),
        };
        let keep_local_s = match options.keeping.keep_local_s {
            Some(seconds) => seconds,
            None => state
                .keeping
                .get(table)
                .and_then(|keeping| keeping.keep_local_s),
        };
        // A cloud holds this for its edges.
        let keep_local_s = keep_local_s.filter(|_| self.options.role.has_cloud());
        let seconds = ttl_s.into_iter().chain(keep_local_s).min()?;
        Some(seconds.saturating_mul(1_000))
    }

    /// Refuses a view of a table that keeps its rows for less than the view needs.
    ///
    /// # Errors
    /// `Invalid`.
    pub(super) fn check_view_age(&self, base: &TableName, needs_ms: u64) -> Result<()> {
        let state = self.catalog.state();
        match self.kept_ms(&state, base, &TableOptions::default()) {
            Some(kept_ms) if kept_ms < needs_ms => Err(Error::invalid(format!(
                "{base} keeps its rows for less than a window lasts and late rows are waited for, so a whole window could never be computed",
            ))
            .with_hint("make a view of shorter windows, which may keep its rows longer, and a second one over that")),
            _ => Ok(()),
        }
    }

    /// Whether rows of a table go from this node before they expire, and nobody is told.
    fn evicts(&self, state: &CatalogState, table: &TableName) -> bool {
        let keeping = state.keeping.get(table);
        self.options.role.has_cloud()
            && keeping.is_some_and(|keeping| keeping.keep_local_s.is_some())
    }

    /// Refuses a view that looks something up in a table whose rows go from this node.
    ///
    /// # Errors
    /// `Invalid`, naming the table.
    pub(super) fn check_view_joins(&self, joined: &[TableName]) -> Result<()> {
        let state = self.catalog.state();
        match joined.iter().find(|table| self.evicts(&state, table)) {
            None => Ok(()),
            Some(table) => Err(Error::invalid(format!(
                "rows of {table} go from this node by its keep_local, and the view would not find them any more"
            ))
            .with_hint(format!("ALTER TABLE {table} SET (keep_local = 'none'), or make the view at the cloud"))),
        }
    }

    /// Refuses options of a table that its views could not go on with, and of a view that its rows could not.
    ///
    /// # Errors
    /// `Invalid`, naming a view.
    pub(crate) fn check_views_after(&self, change: &Change) -> Result<()> {
        let Change::AlterOptions { table, options } = change else {
            return Ok(());
        };
        let state = self.catalog.state();
        let comes = options.sync == Some(SyncMode::Down) && self.options.role.has_cloud();
        if comes && state.views.contains_key(table) {
            return Err(comes_down());
        }
        self.check_late_after(&state, table, options)?;
        let evicts =
            self.options.role.has_cloud() && options.keeping.keep_local_s.flatten().is_some();
        let mut looking_up = state
            .joined
            .iter()
            .filter(|(_, joined)| joined.contains(table));
        if let Some((name, _)) = looking_up.next().filter(|_| evicts) {
            return Err(Error::invalid(format!(
                "the materialized view {name} looks rows of {table} up, so they cannot go from this node"
            ))
            .with_hint(format!("DROP MATERIALIZED VIEW {name} first")));
        }
        if options.ttl_s.is_none() && options.keeping.keep_local_s.is_none() {
            return Ok(());
        }
        let Some(kept_ms) = self.kept_ms(&state, table, options) else {
            return Ok(());
        };
        let mut over = state.views.iter().filter(|(_, view)| view.base == *table);
        match over.find(|(_, view)| view.needs_ms > kept_ms) {
            None => Ok(()),
            Some((name, view)) => Err(Error::invalid(format!(
                "{table} would keep its rows for {} seconds, and the materialized view {name} needs them for {}",
                kept_ms / 1_000,
                view.needs_ms.div_ceil(1_000)
            ))
            .with_hint(format!("keep them longer, or DROP MATERIALIZED VIEW {name}"))),
        }
    }
}

impl Upkeep {
    /// What is wrong where its table keeps rows for less than it needs: the cloud's definitions may have come to say
    /// so.
    pub(super) fn starved(&self, inner: &Inner) -> Option<String> {
        let state = inner.catalog.state();
        let mut joined = state.joined.get(&self.name).into_iter().flatten();
        if let Some(table) = joined.find(|table| inner.evicts(&state, table)) {
            return Some(format!(
                "rows of {table} go from this node by its keep_local, so the view does not find them any more: keep them here, or make the view at the cloud"
            ));
        }
        let base = &self.def.base;
        let late = self.def.late.table();
        if let Some(why) = late.and_then(|late| inner.unfit_late(&state, late, base, None)) {
            return Some(why);
        }
        let kept_ms = inner.kept_ms(&state, base, &TableOptions::default())?;
        (kept_ms < self.def.needs_ms).then(|| {
            format!(
                "{} keeps its rows for {} seconds and the view needs them for {}, so its windows are not computed any more: keep them longer, or make a view of shorter windows",
                self.def.base,
                kept_ms / 1_000,
                self.def.needs_ms.div_ceil(1_000)
            )
        })
    }
}
