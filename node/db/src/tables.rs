//! The database as the query engine sees it: user tables as snapshots of the store, system tables
//! made on demand, models behind `predict`.

use std::sync::{Arc, OnceLock, Weak};

use activestore_catalog::Catalog;
use activestore_env::Env;
use activestore_query::{Models, Predict, Tables};
use activestore_store::{Snapshot, Store};
use activestore_types::{NodeId, Result, TableName, TableSchema};
use arrow::array::ArrayRef;
use arrow::record_batch::RecordBatch;

use crate::db::Inner;
use crate::options::DbOptions;
use crate::plugins::Plugins;
use crate::system;

/// What a query may see.
pub(crate) struct Relations {
    pub(crate) options: DbOptions,
    pub(crate) node: NodeId,
    pub(crate) env: Env,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) store: Arc<Store>,
    pub(crate) plugins: Arc<Plugins>,
    inner: OnceLock<Weak<Inner>>,
}

impl Relations {
    pub(crate) fn new(
        options: DbOptions,
        node: NodeId,
        env: Env,
        catalog: Arc<Catalog>,
        store: Arc<Store>,
        plugins: Arc<Plugins>,
    ) -> Self {
        Relations {
            options,
            node,
            env,
            catalog,
            store,
            plugins,
            inner: OnceLock::new(),
        }
    }

    /// Gives system tables their view of the running database; the engine is made before it.
    pub(crate) fn attach(&self, inner: &Arc<Inner>) {
        if self.inner.set(Arc::downgrade(inner)).is_err() {
            tracing::error!("a database was attached twice");
        }
    }

    pub(crate) fn database(&self) -> Option<Arc<Inner>> {
        self.inner.get().and_then(Weak::upgrade)
    }

    /// As [`Inner::wall_ms`]; before there is a database, the clock as it is.
    pub(crate) fn wall_ms(&self) -> u64 {
        match self.database() {
            Some(inner) => inner.wall_ms(),
            None => self.env.clock.wall_ms(),
        }
    }

    /// As [`Inner::snapshot_of`].
    pub(crate) fn snapshot_of(&self, schema: &TableSchema) -> Result<Option<Snapshot>> {
        match self.database() {
            Some(inner) => inner.snapshot_of(schema),
            None => self.store.snapshot(schema.id).map(Some),
        }
    }
}

impl Tables for Relations {
    fn keyspaces(&self) -> Vec<String> {
        self.catalog.state().keyspaces.keys().cloned().collect()
    }

    fn tables(&self, keyspace: &str) -> Vec<String> {
        self.catalog
            .state()
            .tables
            .keys()
            .filter(|name| name.keyspace == keyspace)
            .map(|name| name.table.clone())
            .collect()
    }

    fn snapshot(&self, name: &TableName) -> Result<Option<Snapshot>> {
        match self.catalog.state().tables.get(name) {
            Some(schema) => self.snapshot_of(schema),
            None => Ok(None),
        }
    }

    fn view(&self, name: &TableName) -> Option<String> {
        let state = self.catalog.state();
        state.views.get(name).map(|view| view.query.clone())
    }

    fn system_table(&self, name: &str) -> Result<Option<RecordBatch>> {
        system::table(self, name)
    }

    fn system_tables(&self) -> Vec<String> {
        system::NAMES
            .iter()
            .map(|name| (*name).to_owned())
            .collect()
    }

    fn now_ns(&self) -> i64 {
        self.env.clock.wall_ns()
    }
}

impl Models for Relations {
    fn model(&self, name: &str, output: Option<&str>) -> Result<(usize, Predict)> {
        let model = self.plugins.current().model(name)?;
        let place = model.output(name, output)?;
        Ok((
            model.inputs().len(),
            Arc::new(move |arrays: &[ArrayRef]| model.predict(place, arrays)),
        ))
    }
}
