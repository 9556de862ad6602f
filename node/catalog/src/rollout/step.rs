//! What happens to a rollout, as changes of the catalog.

use std::collections::BTreeMap;

use activestore_types::{Error, Result};

use super::{ALL_CALLS_PPM, MAX_SOAK_MS, MAX_WAVES, Rollout, RolloutState};
use crate::plugin::PluginVersion;
use crate::state::CatalogState;

/// Bytes of the sentence that says why a rollout was stopped.
const REASON_BYTES_MAX: usize = 1024;

/// What happens to a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RolloutStep {
    /// Its present wave has been watched for so long, in milliseconds. Nothing that edges see changes.
    Soaked(u64),
    /// The next wave gets the version.
    Advance,
    /// All waves have been passed: the version comes into force everywhere.
    Finish,
    /// The version did not do: edges get the old one back.
    Stop(String),
    /// They have it.
    Back,
    /// No wave follows until `Resume`.
    Pause,
    /// Waves follow again.
    Resume,
}

/// Begins a rollout.
pub(crate) fn start(state: &mut CatalogState, mut rollout: Rollout) -> Result<()> {
    let name = rollout.plugin.clone();
    let Some(before) = state.plugins.get(&name) else {
        return Err(Error::not_found(format!(
            "plugin '{name}' is not deployed, so there is no version to go back to"
        ))
        .with_hint("deploy its first version without --wave: nothing uses it yet"));
    };
    refuse_while_open(state, &name)?;
    if before.version == rollout.to.version {
        return Err(Error::conflict(format!(
            "version {} of plugin '{name}' is in force already",
            before.version
        ))
        .with_hint("deploy it under a new version, with --as"));
    }
    if !(1..=MAX_WAVES).contains(&rollout.waves.len()) {
        return Err(Error::invalid(format!(
            "a rollout has 1 to {MAX_WAVES} waves, this one {}",
            rollout.waves.len()
        )));
    }
    if rollout.soak_ms > MAX_SOAK_MS {
        return Err(Error::invalid("a wave is watched for 30 days at most"));
    }
    if rollout.errors_max_ppm > ALL_CALLS_PPM {
        return Err(Error::invalid("more than 100 % of calls cannot fail"));
    }
    rollout.applied(before)?; // other bytes under a known version
    rollout.from.clone_from(&before.version);
    rollout.published = state.version + 1;
    state.rollouts.insert(name, rollout);
    Ok(())
}

/// Refuses what would change the version of a plugin that is being rolled out.
pub(crate) fn refuse_while_open(state: &CatalogState, plugin: &str) -> Result<()> {
    match state.rollouts.get(plugin) {
        Some(open) if open.is_open() => Err(Error::conflict(format!(
            "version {} of plugin '{plugin}' is being rolled out",
            open.to.version
        ))
        .with_hint(format!(
            "wait for its end, or say activestore plugin rollout abort {plugin}"
        ))),
        _ => Ok(()),
    }
}

/// Takes a step of a rollout. `wave` is the one that the step was decided at; one that has been left since
/// makes it void.
pub(crate) fn step(
    state: &mut CatalogState,
    plugin: &str,
    wave: Option<u32>,
    step: RolloutStep,
    at_ms: u64,
) -> Result<()> {
    let mut rollout = state.rollout(plugin)?.clone();
    let void = |rollout: &Rollout| {
        Error::conflict(format!(
            "the rollout of plugin '{plugin}' is {} at wave {}",
            rollout.state.name(),
            rollout.wave + 1
        ))
    };
    if wave.is_some_and(|wave| wave != rollout.wave) {
        return Err(void(&rollout));
    }
    match (step, rollout.state) {
        (RolloutStep::Soaked(soaked_ms), RolloutState::Running) => {
            rollout.soaked_ms = soaked_ms.max(rollout.soaked_ms);
        }
        (RolloutStep::Advance, RolloutState::Running)
            if rollout.wave as usize + 1 < rollout.waves.len() =>
        {
            rollout.wave += 1;
            rollout.soaked_ms = 0;
            rollout.published = state.version + 1;
        }
        (RolloutStep::Finish, RolloutState::Running) => {
            if let Some(before) = state.plugins.get(plugin) {
                let def = rollout.applied(before)?;
                state.plugins.insert(plugin.to_owned(), def);
            }
            rollout.state = RolloutState::Done;
            rollout.ended_ms = Some(at_ms);
        }
        (RolloutStep::Stop(mut reason), RolloutState::Running | RolloutState::Paused) => {
            let end = reason.floor_char_boundary(REASON_BYTES_MAX);
            reason.truncate(end);
            rollout.state = RolloutState::Stopped;
            rollout.reason = Some(reason);
            rollout.ended_ms = Some(at_ms);
            rollout.published = state.version + 1;
        }
        (RolloutStep::Back, RolloutState::Stopped) => rollout.state = RolloutState::RolledBack,
        (RolloutStep::Pause, RolloutState::Running) => rollout.state = RolloutState::Paused,
        (RolloutStep::Resume, RolloutState::Paused) => rollout.state = RolloutState::Running,
        _ => return Err(void(&rollout)),
    }
    state.rollouts.insert(plugin.to_owned(), rollout);
    Ok(())
}

/// What edges see of a rollout: the version that it offers, to which waves.
fn offer(rollout: &Rollout) -> Option<(&PluginVersion, &[String], u32)> {
    rollout
        .is_open()
        .then_some((&rollout.to, rollout.grants.as_slice(), rollout.wave))
}

/// Whether edges see the same of both.
pub(crate) fn same_offers(
    before: &BTreeMap<String, Rollout>,
    after: &BTreeMap<String, Rollout>,
) -> bool {
    let offers = |all: &BTreeMap<String, Rollout>| -> Vec<_> {
        all.iter()
            .filter_map(|(name, rollout)| Some((name.clone(), offer(rollout)?)))
            .map(|(name, (to, grants, wave))| (name, to.clone(), grants.to_vec(), wave))
            .collect()
    };
    offers(before) == offers(after)
}
