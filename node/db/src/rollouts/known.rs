//! What the cloud knows of an edge, gathered from its connection, its labels and what it said of its plugins.

use activestore_catalog::{EdgeView, Used};
use activestore_sync_proto::PluginHealth;
use activestore_types::Labels;

use crate::db::Inner;

/// How a plugin does on an edge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EdgePlugin {
    /// The version in force there.
    pub(crate) version: String,
    /// Calls of it, over restarts of the edge too as far as this node heard of them.
    pub(crate) calls: u64,
    /// Calls of it that failed.
    pub(crate) failures: u64,
    /// Whether it is switched off.
    pub(crate) off: bool,
    /// When the edge said so, by this node's clock.
    pub(crate) at_ms: u64,
    /// Since when the edge counts, by its own clock, and what it had counted before that.
    since_ms: u64,
    calls_before: u64,
    failures_before: u64,
}

impl EdgePlugin {
    /// What is known once an edge said so, after what was known.
    pub(crate) fn after(known: Option<&EdgePlugin>, told: PluginHealth, at_ms: u64) -> EdgePlugin {
        let (calls_before, failures_before) = match known {
            Some(known) if known.version != told.version => (0, 0),
            Some(known) if known.since_ms != told.since_ms => (known.calls, known.failures),
            Some(known) => (known.calls_before, known.failures_before),
            None => (0, 0),
        };
        EdgePlugin {
            version: told.version,
            calls: calls_before.saturating_add(told.calls),
            failures: failures_before.saturating_add(told.failures),
            off: told.off,
            at_ms,
            since_ms: told.since_ms,
            calls_before,
            failures_before,
        }
    }

    fn used(&self) -> Used<'_> {
        Used {
            version: &self.version,
            calls: self.calls,
            failures: self.failures,
            off: self.off,
        }
    }
}

/// An edge with one plugin on it.
#[derive(Clone, Debug)]
pub(crate) struct EdgeKnown {
    pub(crate) name: String,
    pub(crate) labels: Labels,
    pub(crate) connected: bool,
    held: u64,
    refused: Option<(u64, String)>,
    pub(crate) plugin: Option<EdgePlugin>,
}

impl EdgeKnown {
    /// As the catalog's policy looks at it.
    pub(crate) fn view(&self) -> EdgeView<'_> {
        EdgeView {
            name: &self.name,
            labels: &self.labels,
            connected: self.connected,
            held: self.held,
            used: self.plugin.as_ref().map(EdgePlugin::used),
            refused: self
                .refused
                .as_ref()
                .map(|(version, why)| (*version, why.as_str())),
        }
    }
}

impl Inner {
    /// Every member as it is known, with one plugin on it.
    pub(crate) fn edges_known(&self, plugin: &str) -> Vec<EdgeKnown> {
        let labels = self.rollouts.labels.lock().clone();
        let plugins = self.rollouts.plugins.lock();
        let peers = self.peers.lock();
        let known = labels.into_iter().map(|(node, labels)| {
            let seen = peers.get(&node);
            let used = plugins.get(&node).and_then(|all| all.get(plugin));
            EdgeKnown {
                name: seen.map_or_else(|| node.to_string(), |peer| peer.name.clone()),
                labels,
                connected: seen.is_some_and(|peer| peer.connected),
                held: seen.map_or(0, |peer| peer.catalog_version),
                refused: seen.and_then(|peer| peer.refused_definitions.clone()),
                plugin: used.cloned(),
            }
        });
        known.collect()
    }
}
