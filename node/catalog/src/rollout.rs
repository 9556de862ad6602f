//! Rollouts: a new version of a plugin that goes to the edges in waves, by their labels, before it comes into
//! force. Until then the version in force is the old one: for the cloud itself, and in the definitions of every
//! edge that no wave has reached. So an edge that was never reached never sees the new one, and the way back is
//! to offer it no more.

mod policy;
mod step;

use std::fmt;
use std::str::FromStr;

use activestore_types::{Error, Labels, Result};
use serde::{Deserialize, Serialize};

use crate::bundle::Bundle;
use crate::plugin::{PluginDef, PluginVersion};
use crate::state::{CatalogState, missing};

pub use policy::{EdgeView, Next, Used};
pub use step::RolloutStep;
pub(crate) use step::{refuse_while_open, same_offers, start, step};

/// Waves of one rollout, at most.
pub const MAX_WAVES: usize = 32;
/// The longest that a wave may be watched before the next, in milliseconds.
pub const MAX_SOAK_MS: u64 = 30 * 24 * 3_600_000;
/// All calls, in the unit of a limit on errors.
pub const ALL_CALLS_PPM: u32 = 1_000_000;

/// The edges of one wave: those that hold all of its labels; without labels, all edges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wave(pub Labels);

impl Wave {
    /// Whether an edge with these labels belongs to it.
    pub fn takes(&self, labels: &Labels) -> bool {
        labels.hold(&self.0)
    }
}

impl FromStr for Wave {
    type Err = Error;

    /// `all`, or labels separated by commas.
    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("all") {
            return Ok(Wave(Labels::default()));
        }
        let labels: Labels = text.parse()?;
        if labels.is_empty() {
            return Err(Error::invalid("a wave names no label")
                .with_hint("write ring=canary, or all for every edge"));
        }
        Ok(Wave(labels))
    }
}

impl fmt::Display for Wave {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            f.write_str("all")
        } else {
            self.0.fmt(f)
        }
    }
}

/// Where a rollout stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RolloutState {
    /// Waves follow one another.
    Running,
    /// No wave follows until it is resumed; it is watched all the same.
    Paused,
    /// The new version is in force.
    Done,
    /// It is over without that, and edges that have the new version are taking the old one back.
    Stopped,
    /// They have.
    RolledBack,
}

impl RolloutState {
    /// As tables and commands show it.
    pub fn name(self) -> &'static str {
        match self {
            RolloutState::Running => "running",
            RolloutState::Paused => "paused",
            RolloutState::Done => "done",
            RolloutState::Stopped => "stopped",
            RolloutState::RolledBack => "rolled back",
        }
    }
}

/// A new version on its way to the edges; the catalog keeps one for each plugin, the last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// The plugin.
    pub plugin: String,
    /// The version in force when it began.
    pub from: String,
    /// The new one.
    pub to: PluginVersion,
    /// What the new one may reach.
    pub grants: Vec<String>,
    /// The waves in their order.
    pub waves: Vec<Wave>,
    /// How long a wave is watched, once it has the version, before the next follows.
    pub soak_ms: u64,
    /// How many calls in a million may fail.
    pub errors_max_ppm: u32,
    /// Where it stands.
    pub state: RolloutState,
    /// The wave that has been reached, from 0.
    pub wave: u32,
    /// How long that wave has been watched.
    pub soaked_ms: u64,
    /// The version of the definitions that this wave, or the way back, was published with.
    pub published: u64,
    /// When it began, in milliseconds since 1970.
    pub started_ms: u64,
    /// When it was over.
    pub ended_ms: Option<u64>,
    /// Why it was stopped, in one sentence.
    pub reason: Option<String>,
}

impl Rollout {
    /// A rollout that has reached its first wave; the catalog fills in what it knows itself.
    pub fn new(plugin: &str, to: PluginVersion, waves: Vec<Wave>) -> Self {
        Rollout {
            plugin: plugin.to_owned(),
            from: String::new(),
            started_ms: to.deployed_ms,
            to,
            grants: Vec::new(),
            waves,
            soak_ms: 0,
            errors_max_ppm: 0,
            state: RolloutState::Running,
            wave: 0,
            soaked_ms: 0,
            published: 0,
            ended_ms: None,
            reason: None,
        }
    }

    /// Whether it is under way: the new version is offered to the waves that were reached.
    pub fn is_open(&self) -> bool {
        matches!(self.state, RolloutState::Running | RolloutState::Paused)
    }

    /// The wave that was reached last.
    pub fn present_wave(&self) -> Option<&Wave> {
        self.waves.get(self.wave as usize)
    }

    /// The first wave that an edge with these labels belongs to, from 0; `None` where it gets the version
    /// once it is in force.
    pub fn wave_of(&self, labels: &Labels) -> Option<u32> {
        let found = self.waves.iter().position(|wave| wave.takes(labels))?;
        u32::try_from(found).ok()
    }

    /// Whether an edge with these labels is to have the new version now.
    pub fn reaches(&self, labels: &Labels) -> bool {
        self.is_open() && self.wave_of(labels).is_some_and(|wave| wave <= self.wave)
    }

    /// The plugin as edges have it that were reached.
    fn applied(&self, before: &PluginDef) -> Result<PluginDef> {
        let def = PluginDef {
            name: self.plugin.clone(),
            version: self.to.version.clone(),
            sha256: self.to.sha256,
            size_bytes: self.to.size_bytes,
            kind: self.to.kind.clone(),
            deployed_ms: self.to.deployed_ms,
            earlier: Vec::new(),
            grants: self.grants.clone(),
        };
        def.after(Some(before))
    }
}

impl CatalogState {
    /// The last rollout of a plugin.
    ///
    /// # Errors
    /// `NotFound`, with the nearest name as a hint.
    pub fn rollout(&self, plugin: &str) -> Result<&Rollout> {
        self.rollouts.get(plugin).ok_or_else(|| {
            let error = missing(
                "rollout of plugin",
                plugin,
                self.rollouts.keys().map(String::as_str),
            );
            if error.hint().is_some() {
                error
            } else {
                error.with_hint(
                    "begin one with activestore plugin deploy FILE --wave ring=canary --wave all",
                )
            }
        })
    }

    /// All definitions by name, as an edge with these labels is to have them now.
    ///
    /// # Errors
    /// None in practice: a rollout was checked when it began.
    pub fn bundle_for(&self, labels: &Labels) -> Result<Bundle> {
        let mut bundle = self.bundle();
        for rollout in self.rollouts.values() {
            if rollout.reaches(labels)
                && let Some(plugin) = bundle.plugins.get_mut(&rollout.plugin)
            {
                *plugin = rollout.applied(plugin)?;
            }
        }
        Ok(bundle)
    }

    /// The version of a plugin that an edge with these labels is to have now.
    pub fn version_for(&self, plugin: &str, labels: &Labels) -> Option<&str> {
        let rollout = self.rollouts.get(plugin);
        match rollout.filter(|rollout| rollout.reaches(labels)) {
            Some(rollout) => Some(&rollout.to.version),
            None => self.plugins.get(plugin).map(|def| def.version.as_str()),
        }
    }
}
