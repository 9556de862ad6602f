//! `CREATE` and `REFRESH MATERIALIZED VIEW`.

use activestore_catalog::{
    CatalogState, Change, ClusteringDefinition, ColumnDefinition, TableDefinition, ViewDef,
};
use activestore_query::{ViewQuery, ViewStatement, quote};
use activestore_types::{Error, Result, SyncMode, TableId, TableName};

use crate::db::{Db, Inner};
use crate::options::Role;
use crate::sql::SqlOutcome;

impl Db {
    /// Makes a view; its rows come behind the answer. Its query is understood under the rights of who makes it, and
    /// runs under the node's from then on.
    pub(crate) async fn create_view(&self, statement: ViewStatement) -> Result<SqlOutcome> {
        let made = || SqlOutcome::definition("CREATE MATERIALIZED VIEW");
        let state = self.inner.catalog.state();
        if statement.if_not_exists && state.views.contains_key(&statement.name) {
            return Ok(made());
        }
        let query = self.engine().view(&statement.query).await?;
        let takes_over = self.may_become_view(&statement.name).await?;
        let inner = self.inner.clone();
        self.blocking(move || {
            let definition = inner.view_table(&statement, &query)?;
            let options = statement.options;
            let longest_ms = u64::try_from(query.windows.longest(inner.wall_ns()) / 1_000_000);
            let needs_ms = longest_ms
                .unwrap_or_default()
                .saturating_add(options.lateness_ms);
            inner.check_view_age(&query.base.name, needs_ms)?;
            let mut joined: Vec<TableName> = Vec::new();
            for reference in &query.references {
                if !joined.contains(&reference.table.name) {
                    joined.push(reference.table.name.clone());
                }
            }
            inner.check_view_joins(&joined)?;
            inner.make_view(Change::CreateView {
                definition,
                def: ViewDef {
                    query: query.text,
                    base: query.base.name.clone(),
                    refresh_ms: options.refresh_ms,
                    late: options.late,
                    lateness_ms: options.lateness_ms,
                    needs_ms,
                },
                joined,
                if_not_exists: statement.if_not_exists,
                takes_over,
            })?;
            inner.keep_views()
        })
        .await?;
        Ok(made())
    }

    /// Whether a table is there that a view may take the place of: one that holds nothing, at a node to which definitions
    /// come from a cloud.
    async fn may_become_view(&self, name: &TableName) -> Result<bool> {
        let state = self.inner.catalog.state();
        let is_table = state.tables.contains_key(name) && !state.views.contains_key(name);
        if !is_table || !self.inner.options.role.has_cloud() {
            return Ok(false);
        }
        let sql = format!(
            "SELECT 1 FROM {}.{} LIMIT 1",
            quote(&name.keyspace),
            quote(&name.table)
        );
        let rows = self.inner.engine.query(&sql, &[]).await?.collect().await?;
        if rows.iter().any(|batch| batch.num_rows() > 0) {
            return Err(Error::conflict(format!(
                "table {name} exists already and holds rows, so no view can take its place"
            ))
            .with_hint("give the view another name, or delete what the table holds"));
        }
        Ok(true)
    }

    /// Waits until a view holds everything that was committed before, and so what it stands on.
    pub(crate) async fn refresh_view(&self, name: &TableName) -> Result<SqlOutcome> {
        let state = self.inner.catalog.state();
        state.view(name)?;
        // What it stands on comes first: that a view is up to date puts rows into the log for the next one.
        let mut chain: Vec<TableId> = Vec::new();
        stand_on(&state, name, &mut chain)?;
        let inner = self.inner.clone();
        Db::unqueued(move || {
            inner.keep_views()?;
            chain.iter().try_for_each(|id| {
                let is_defined = || inner.catalog.state().table_by_id(*id).is_some();
                let upto = (inner.store.last_lsn(), inner.wall_ms());
                inner.views.settled(*id, upto, &is_defined)
            })
        })
        .await?;
        Ok(SqlOutcome::definition("REFRESH MATERIALIZED VIEW"))
    }
}

/// The views that a view stands on, each behind those that it stands on itself, and then it.
fn stand_on(state: &CatalogState, name: &TableName, chain: &mut Vec<TableId>) -> Result<()> {
    let Some(view) = state.views.get(name) else {
        return Ok(());
    };
    let id = state.table(name)?.id;
    if !chain.contains(&id) {
        let mut tables = state.tables_of_view(name, view);
        tables.try_for_each(|table| stand_on(state, table, chain))?;
        chain.push(id);
    }
    Ok(())
}

impl Inner {
    /// The table for a view's rows.
    fn view_table(&self, statement: &ViewStatement, query: &ViewQuery) -> Result<TableDefinition> {
        let mut definition = TableDefinition::named(statement.name.clone());
        definition.options = statement.options.table.clone();
        let columns = query.columns.iter();
        definition.columns = columns
            .map(|(name, data_type)| ColumnDefinition::new(name, *data_type))
            .collect();
        let (partition, clustering) = query.key();
        definition.partition_key = partition;
        definition.clustering_key = clustering
            .into_iter()
            .map(|name| ClusteringDefinition {
                name,
                descending: false,
            })
            .collect();
        let state = self.catalog.state();
        let inherited = state.keyspace(&statement.name.keyspace)?.sync;
        let below = self.options.role.has_cloud();
        match definition.options.sync {
            Some(SyncMode::Down) if below => {
                return Err(comes_down());
            }
            Some(_) => {}
            None => {
                definition.options.sync = Some(one_way(inherited, self.options.role));
            }
        }
        Ok(definition)
    }
}

/// How rows that are made at a node travel, in a keyspace: one writer, one way.
pub(super) fn one_way(inherited: SyncMode, role: Role) -> SyncMode {
    match (inherited, role) {
        (SyncMode::Both, Role::Cloud) => SyncMode::Down,
        (SyncMode::Both, _) => SyncMode::Up,
        (SyncMode::Down, role) if role.has_cloud() => SyncMode::None,
        (inherited, _) => inherited,
    }
}

/// A view's rows do not come from above.
pub(super) fn comes_down() -> Error {
    Error::invalid("the rows of a view are made here, so they cannot come down from the cloud")
        .with_hint("say sync = 'up', or sync = 'none'")
}
