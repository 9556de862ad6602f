//! Tables for late rows: made with the view where there is none, and refused where late rows could not be written into
//! them or would not stay there.

use activestore_catalog::{CatalogState, Change, Sharing, TableOptions, late_table};
use activestore_types::{Error, Result, SyncMode, TableName};

use super::defining::one_way;
use crate::db::Inner;

impl Inner {
    /// Makes the table for late rows where there is none. Whether it was made.
    ///
    /// # Errors
    /// As `CREATE TABLE`.
    pub(super) fn make_late_table(&self, name: &TableName, base: &TableName) -> Result<bool> {
        let state = self.catalog.state();
        if state.tables.contains_key(name) {
            return Ok(false);
        }
        // Its rows are the base's, and go no further than they: those of which some are held back go nowhere.
        let held_back = state.sharing.get(base).is_some_and(Sharing::holds_back);
        let base = state.table(base)?;
        let sync = match held_back {
            true => SyncMode::None,
            false => one_way(base.sync, self.options.role),
        };
        self.change(Change::CreateTable {
            definition: late_table(name, base, sync),
            if_not_exists: false,
        })?;
        Ok(true)
    }

    /// Refuses a table for late rows that these cannot be written into here, or that does not keep them for as long as
    /// the base does: what went from it would be counted in.
    ///
    /// # Errors
    /// `Invalid`.
    fn check_late_table(&self, late: &TableName, base: &TableName) -> Result<()> {
        let state = self.catalog.state();
        match self.unfit_late(&state, late, base, None) {
            None => Ok(()),
            Some(why) => Err(Error::invalid(why)
                .with_hint("name another table; where there is none of that name it is made")),
        }
    }

    /// Refuses options of a table with which late rows could not be written or kept any more.
    ///
    /// # Errors
    /// `Invalid`, naming a view.
    pub(super) fn check_late_after(
        &self,
        state: &CatalogState,
        table: &TableName,
        options: &TableOptions,
    ) -> Result<()> {
        let kept = options.ttl_s.is_some() || options.keeping.keep_local_s.is_some();
        for (view, def) in &state.views {
            let Some(late) = def.late.table() else {
                continue;
            };
            let is_late = late == table;
            let concerned =
                (is_late && options.sync.is_some()) || (kept && (is_late || def.base == *table));
            if !concerned {
                continue;
            }
            if let Some(why) = self.unfit_late(state, late, &def.base, Some((table, options))) {
                return Err(
                    Error::invalid(format!("materialized view {view}: {why}")).with_hint(format!(
                        "change {late}, which takes the late rows, first where rows are to be kept longer, {} first where shorter; or DROP MATERIALIZED VIEW {view}",
                        def.base
                    )),
                );
            }
        }
        Ok(())
    }

    /// Why a table cannot take late rows, maybe once options of it or of the base are set.
    pub(super) fn unfit_late(
        &self,
        state: &CatalogState,
        late: &TableName,
        base: &TableName,
        set: Option<(&TableName, &TableOptions)>,
    ) -> Option<String> {
        let given = |name: &TableName| {
            let set = set.filter(|(table, _)| *table == name);
            set.map(|(_, options)| options.clone()).unwrap_or_default()
        };
        let there = state.tables.get(late)?;
        let sync = given(late).sync.unwrap_or(there.sync);
        if sync == SyncMode::Down && self.options.role.has_cloud() {
            return Some(format!(
                "late rows are made here, so those of {late} cannot come down from the cloud: say sync = 'up', or sync = 'none'"
            ));
        }
        let kept_ms = |name| self.kept_ms(state, name, &given(name)).unwrap_or(u64::MAX);
        (kept_ms(late) < kept_ms(base)).then(|| {
            format!(
                "{late} keeps its rows for less time than {base} does, and what went from it would be counted in: give it the same ttl and keep_local, or longer ones"
            )
        })
    }

    /// Makes a view, and its table for late rows with it, which goes again where the view cannot be made.
    ///
    /// # Errors
    /// As the definitions.
    pub(super) fn make_view(&self, change: Change) -> Result<()> {
        let Change::CreateView {
            definition, def, ..
        } = &change
        else {
            return Err(Error::internal("this makes no view"));
        };
        let late = def.late.table().filter(|late| **late != definition.name);
        let made = match late {
            Some(late) if self.make_late_table(late, &def.base)? => Some(late.clone()),
            Some(late) => {
                self.check_late_table(late, &def.base)?;
                None
            }
            None => None,
        };
        let outcome = self.change(change).map(|_| ());
        if let (Err(_), Some(name)) = (&outcome, made) {
            let if_exists = true;
            if let Err(error) = self.change(Change::DropTable { name, if_exists }) {
                tracing::warn!(%error, "a table for late rows stays, though the view was not made");
            }
        }
        outcome
    }
}
