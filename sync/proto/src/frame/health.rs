//! How the plugins do on an edge, as it tells the cloud from version 3 on: what a rollout is decided by.

use activestore_types::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::limits::{MAX_HEALTH_PLUGINS, MAX_NAME_BYTES};

/// How one plugin does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginHealth {
    /// The plugin.
    pub plugin: String,
    /// The version that is in force on the edge.
    pub version: String,
    /// Calls of it since `since_ms`.
    pub calls: u64,
    /// Those that trapped, ran too long or took too much.
    pub failures: u64,
    /// Whether it is switched off for a while, because too many failed in a row.
    pub off: bool,
    /// Since when is counted: the edge's wall clock, milliseconds since 1970. Another moment means that
    /// counting began anew.
    pub since_ms: u64,
}

/// Edge: how my plugins do. A frame holds all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// One entry a plugin.
    pub plugins: Vec<PluginHealth>,
    /// What the cloud's clock said more than the edge's at the last round trip, in milliseconds, as a multiple of
    /// [`CLOCK_STEP_MS`]: what goes to and fro with the link's delay is not worth a frame.
    pub clock_offset_ms: i64,
}

/// How exactly an edge tells of its clock, in milliseconds.
pub const CLOCK_STEP_MS: i64 = 1_000;

impl Health {
    /// Whether every part keeps within the protocol's bounds.
    pub(super) fn check_bounds(&self) -> Result<()> {
        if self.plugins.len() > MAX_HEALTH_PLUGINS {
            return Err(Error::invalid(format!(
                "a health frame tells of {} plugins where {MAX_HEALTH_PLUGINS} are allowed",
                self.plugins.len()
            )));
        }
        let long = |plugin: &PluginHealth| {
            plugin.plugin.len() > MAX_NAME_BYTES || plugin.version.len() > MAX_NAME_BYTES
        };
        if self.plugins.iter().any(long) {
            return Err(Error::invalid(
                "a health frame names a plugin or a version that is too long",
            ));
        }
        Ok(())
    }

    /// What of this is worth telling at once after `before` was told: another version, a failure, a plugin
    /// that was switched off or on, or came or went, a clock that was set. That calls went well can wait.
    pub fn is_news_after(&self, before: &Health) -> bool {
        let telling = |plugin: &PluginHealth| {
            (
                plugin.plugin.clone(),
                plugin.version.clone(),
                plugin.failures,
                plugin.off,
                plugin.since_ms,
            )
        };
        if self.clock_offset_ms.abs_diff(before.clock_offset_ms) > CLOCK_STEP_MS.unsigned_abs() {
            return true;
        }
        !self
            .plugins
            .iter()
            .map(telling)
            .eq(before.plugins.iter().map(telling))
    }
}
