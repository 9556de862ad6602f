//! What an edge says of its plugins.

use std::sync::atomic::Ordering;

use activestore_sync_proto::limits::{MAX_HEALTH_PLUGINS, MAX_NAME_BYTES};
use activestore_sync_proto::{CLOCK_STEP_MS, Health, PluginHealth};

use crate::db::Inner;

impl Inner {
    /// How the plugins in force do here. Each counts anew when another component comes into force.
    pub(crate) fn plugin_health(&self) -> Health {
        let state = self.catalog.state();
        let stats = self.plugins.host().stats();
        let mut counting = self.rollouts.counting.lock();
        counting.retain(|name, _| state.plugins.contains_key(name));
        let fits = |text: &str| text.len() <= MAX_NAME_BYTES;
        let told = state
            .plugins
            .values()
            .filter(|def| fits(&def.name) && fits(&def.version))
            .take(MAX_HEALTH_PLUGINS)
            .map(|def| {
                let counted = counting
                    .entry(def.name.clone())
                    .or_insert((def.sha256, self.wall_ms()));
                if counted.0 != def.sha256 {
                    *counted = (def.sha256, self.wall_ms());
                }
                let mut health = PluginHealth {
                    plugin: def.name.clone(),
                    version: def.version.clone(),
                    since_ms: counted.1,
                    ..PluginHealth::default()
                };
                for stats in stats.iter().filter(|stats| stats.sha256 == def.sha256) {
                    health.calls += stats.calls;
                    health.failures += stats.faults;
                    health.off |= stats.off_for.is_some();
                }
                health
            });
        let offset_ms = self.clock_offset_ms.load(Ordering::Relaxed);
        Health {
            plugins: told.collect(),
            clock_offset_ms: offset_ms / CLOCK_STEP_MS * CLOCK_STEP_MS,
        }
    }
}
