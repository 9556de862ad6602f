//! Rollouts as people see them: in answers, tables and figures.

use std::sync::atomic::{AtomicU64, Ordering};

use activestore_catalog::{Rollout, RolloutState};
use activestore_types::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::counters::Figures;
use crate::db::Inner;

/// A rollout.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RolloutInfo {
    /// The plugin.
    pub plugin: String,
    /// The version that was in force when it began.
    pub from: String,
    /// The new version.
    pub to: String,
    /// `running`, `paused`, `done`, `stopped` (edges are taking the old version back) or `rolled back`.
    pub state: String,
    /// The wave that was reached, from 1.
    pub wave: u32,
    /// The waves in their order: `ring=canary`, `all`.
    pub waves: Vec<String>,
    /// How long each wave is watched, in seconds.
    pub soak_s: f64,
    /// How long the present one has been, in seconds.
    pub soaked_s: f64,
    /// Calls that may fail, in hundredths of all.
    pub max_errors_percent: f64,
    /// Edges that the waves so far mean.
    pub edges: u64,
    /// Those of them that are connected.
    pub edges_connected: u64,
    /// Those of them that have the new version, as they said last.
    pub edges_with_new: u64,
    /// Calls of the new version on edges.
    pub calls: u64,
    /// Those that failed.
    pub failures: u64,
    /// What it waits for; absent while it waits for nothing but time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<String>,
    /// Why it was stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it began, in milliseconds since 1970.
    pub started_ms: u64,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<u64>,
}

impl Inner {
    /// Every rollout that there is or was last of its plugin.
    pub(crate) fn rollout_infos(&self) -> Vec<RolloutInfo> {
        let state = self.catalog.state();
        state
            .rollouts
            .values()
            .map(|rollout| self.describe_rollout(rollout))
            .collect()
    }

    pub(super) fn rollout_info(&self, plugin: &str) -> Result<RolloutInfo> {
        let infos = self.rollout_infos().into_iter();
        let mut found = infos.filter(|info| info.plugin == plugin);
        found
            .next()
            .ok_or_else(|| Error::conflict(format!("plugin '{plugin}' was removed meanwhile")))
    }

    fn describe_rollout(&self, rollout: &Rollout) -> RolloutInfo {
        let mut info = RolloutInfo {
            plugin: rollout.plugin.clone(),
            from: rollout.from.clone(),
            to: rollout.to.version.clone(),
            state: rollout.state.name().to_owned(),
            wave: rollout.wave + 1,
            waves: rollout.waves.iter().map(ToString::to_string).collect(),
            soak_s: seconds(rollout.soak_ms),
            soaked_s: seconds(rollout.soaked_ms),
            max_errors_percent: f64::from(rollout.errors_max_ppm) / 10_000.0,
            reason: rollout.reason.clone(),
            started_ms: rollout.started_ms,
            ended_ms: rollout.ended_ms,
            ..RolloutInfo::default()
        };
        if rollout.is_open() || rollout.state == RolloutState::Stopped {
            info.waiting = self.rollouts.waits_for(&rollout.plugin);
            let soaked_ms = self.rollouts.soaked_ms(&rollout.plugin);
            info.soaked_s = seconds(soaked_ms.unwrap_or(rollout.soaked_ms));
        }
        for edge in self.edges_known(&rollout.plugin) {
            let wave = rollout.wave_of(&edge.labels);
            if wave.is_none_or(|wave| wave > rollout.wave) {
                continue;
            }
            info.edges += 1;
            info.edges_connected += u64::from(edge.connected);
            let used = edge.plugin.as_ref();
            if let Some(used) = used.filter(|used| used.version == rollout.to.version) {
                info.edges_with_new += 1;
                info.calls += used.calls;
                info.failures += used.failures;
            }
        }
        info
    }

    /// The figures of rollouts.
    pub(crate) fn rollout_figures(&self, all: &mut Figures) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        let rollouts = &self.rollouts;
        all.counter(
            "activestore_rollouts_started_total",
            "Rollouts of plugins begun.",
            read(&rollouts.started),
        );
        all.counter(
            "activestore_rollout_waves_passed_total",
            "Waves of rollouts that were passed.",
            read(&rollouts.waves_passed),
        );
        all.counter(
            "activestore_rollouts_done_total",
            "Rollouts whose version came into force.",
            read(&rollouts.done),
        );
        all.counter(
            "activestore_rollouts_stopped_total",
            "Rollouts that were stopped and taken back.",
            read(&rollouts.stopped),
        );
        let state = self.catalog.state();
        let open = state.rollouts.values().filter(|rollout| rollout.is_open());
        all.gauge(
            "activestore_rollouts_open",
            "Rollouts under way.",
            open.count() as f64,
        );
        let told = rollouts.edge_plugins();
        let behind = told.iter().filter(|(node, plugin, used)| {
            let wanted = state.version_for(plugin, &rollouts.labels(*node));
            wanted.is_some_and(|wanted| wanted != used.version)
        });
        all.gauge(
            "activestore_edge_plugins_behind",
            "Plugins on edges that are not of the version that the edge is to have, as edges said last.",
            behind.count() as f64,
        );
    }
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}
