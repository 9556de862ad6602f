//! The definitions that flow from the cloud to the edges, by name: ids stay with each node.

use std::collections::{BTreeMap, BTreeSet};

use activestore_types::{Error, Result, SyncClass, TableName};
use serde::{Deserialize, Serialize};

use crate::at_limit::AtLimit;
use crate::definition::{FunctionDef, KeyspaceDef, ModelDef, ProcessorDef, TableDefinition};
use crate::keeping::Keeping;
use crate::plugin::PluginDef;
use crate::role::RoleDef;
use crate::sharing::{FilterDef, Sharing};

/// All definitions of a catalog. Two catalogs that hold the same definitions make equal bundles,
/// whatever ids and versions they use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// Keyspaces by name.
    pub keyspaces: BTreeMap<String, KeyspaceDef>,
    /// Tables in the order of their names, every option explicit.
    pub tables: Vec<TableDefinition>,
    /// Functions by name.
    pub functions: BTreeMap<String, FunctionDef>,
    /// Processors by name.
    pub processors: BTreeMap<String, ProcessorDef>,
    /// Models by name.
    pub models: BTreeMap<String, ModelDef>,
    /// Plugins by name.
    pub plugins: BTreeMap<String, PluginDef>,
    /// Merge functions by name.
    pub merges: BTreeMap<String, FunctionDef>,
    /// Sync filters by name.
    pub filters: BTreeMap<String, FilterDef>,
    /// How the tables' rows are shared, of those of which something is said.
    pub sharing: BTreeMap<TableName, Sharing>,
    /// How urgent the tables' rows are, of those that are not live. Older nodes do not read it.
    pub classes: BTreeMap<TableName, SyncClass>,
    /// How long edges keep the tables' rows, of those of which something is said.
    pub keeping: BTreeMap<TableName, Keeping>,
    /// The tables of which the values are kept that lose a conflict.
    pub keep_conflicts: BTreeSet<TableName>,
    /// Roles by name; `None` of a node of an earlier release, which knows of none.
    pub roles: Option<BTreeMap<String, RoleDef>>,
    /// What becomes of tables' rows when an edge's outbox is full, of those that do not hold.
    pub at_limit: BTreeMap<TableName, AtLimit>,
}

/// Maps and sets at the end that bundles of the first release do not have, the roles included.
const MAPS_SINCE: usize = 5;

impl Bundle {
    /// As [`crate::CatalogState::bundle`] was encoded, also by a node of an earlier release, whose bundles end before
    /// the last of the maps: what an empty one takes stands for each.
    ///
    /// # Errors
    /// `Invalid` when the bytes are no bundle.
    pub fn decode(bytes: &[u8]) -> Result<Bundle> {
        let read = postcard::from_bytes(bytes).or_else(|error| {
            let padded = [bytes, &[0; MAPS_SINCE]].concat();
            postcard::from_bytes(&padded).map_err(|_| error)
        });
        read.map_err(|error| {
            Error::invalid(format!("the cloud's definitions cannot be read: {error}"))
        })
    }

    /// SHA-256 of every component and model artifact that the definitions in force need: what an
    /// adopting node has to hold before it can run them.
    pub fn blobs(&self) -> BTreeSet<[u8; 32]> {
        let pinned = self
            .functions
            .values()
            .map(|function| &function.plugin)
            .chain(self.models.values().map(|model| &model.plugin))
            .chain(self.merges.values().map(|merge| &merge.plugin))
            .chain(self.filters.values().map(|filter| &filter.plugin))
            .chain(
                self.processors
                    .values()
                    .filter_map(|processor| match &processor.source {
                        crate::ProcessorSource::Plugin(plugin) => Some(plugin),
                        crate::ProcessorSource::Model(_) => None,
                    }),
            )
            .filter_map(|reference| {
                self.plugins
                    .get(&reference.name)?
                    .find(reference.version.as_deref())
            })
            .map(|version| version.sha256);
        self.plugins
            .values()
            .map(|plugin| plugin.sha256)
            .chain(self.models.values().map(|model| model.artifact_sha256))
            .chain(pinned)
            .collect()
    }
}
