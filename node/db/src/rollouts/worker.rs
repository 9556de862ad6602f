//! The thread that takes rollouts on: it looks at what is known of the edges when there is news, and each second
//! while one is under way, asks the policy what is to be done, and does it.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use activestore_catalog::{EdgeView, Next, Rollout, RolloutState, RolloutStep};
use activestore_types::Result;
use parking_lot::Mutex;

use super::{EdgeKnown, Rollouts};
use crate::db::Inner;
use crate::options::Role;
use crate::visit::Visits;

/// How often an open rollout is looked at without news.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Two looks further apart than this were not watching: the process was held up.
const GAP_MAX: Duration = Duration::from_secs(5);
/// How much watched time a crash of the cloud may cost.
const KEEP_EVERY_MS: u64 = 10_000;

/// A wave that is being watched.
#[derive(Clone, Copy, Debug)]
struct Soaking {
    wave: u32,
    /// When it was looked at last.
    looked: Duration,
    /// How long it has been watched in all.
    soaked_ms: u64,
}

/// Starts the thread at a cloud; it ends with the database.
///
/// # Errors
/// When the machine has no thread left.
pub(crate) fn start(inner: &Arc<Inner>) -> Result<()> {
    if inner.options.role != Role::Cloud {
        return Ok(());
    }
    let rollouts = inner.rollouts.clone();
    let visits = inner.visits.clone();
    let inner = Arc::downgrade(inner);
    std::thread::Builder::new()
        .name("rollouts".to_owned())
        .spawn(move || run(&rollouts, &visits, &inner))?;
    Ok(())
}

fn run(rollouts: &Rollouts, visits: &Arc<Visits>, inner: &Weak<Inner>) {
    let mut soaking = BTreeMap::new();
    // One may have been under way when the node was stopped.
    let mut at_most = Some(Duration::ZERO);
    while rollouts.wait(at_most) {
        let Some(inner) = visits.enter(inner) else {
            return;
        };
        at_most = inner.take_rollouts_on(&mut soaking).then_some(LOOK_EVERY);
    }
}

impl Inner {
    /// Looks at every rollout once; whether one is under way.
    fn take_rollouts_on(&self, soaking: &mut BTreeMap<String, Soaking>) -> bool {
        let state = self.catalog.state();
        let under_way =
            |rollout: &&Rollout| rollout.is_open() || rollout.state == RolloutState::Stopped;
        let mut any = false;
        for rollout in state.rollouts.values().filter(under_way) {
            any = true;
            let edges = self.edges_known(&rollout.plugin);
            if let Err(error) = self.take_on(rollout, &edges, soaking) {
                tracing::warn!(plugin = rollout.plugin, "a rollout does not go on: {error}");
            }
        }
        soaking.retain(|plugin, _| state.rollouts.contains_key(plugin));
        any
    }

    fn take_on(
        &self,
        rollout: &Rollout,
        edges: &[EdgeKnown],
        soaking: &mut BTreeMap<String, Soaking>,
    ) -> Result<()> {
        let plugin = rollout.plugin.as_str();
        let now = self.env.clock.monotonic();
        // Time counts from one look at which all was well to the next.
        let before = soaking
            .remove(plugin)
            .filter(|one| one.wave == rollout.wave);
        let watched_ms = before.map_or(0, |before| {
            let gap = now.saturating_sub(before.looked).min(GAP_MAX);
            (before.soaked_ms + gap.as_millis() as u64).saturating_sub(rollout.soaked_ms)
        });
        let views: Vec<EdgeView<'_>> = edges.iter().map(EdgeKnown::view).collect();
        let (mut waits, mut soaked) = (None, None);
        let step = match rollout.next(&views, watched_ms) {
            Next::Nothing => None,
            Next::Wait(why) => {
                waits = Some(why);
                None
            }
            Next::Soak(soaked_ms) => {
                let one = Soaking {
                    wave: rollout.wave,
                    looked: now,
                    soaked_ms,
                };
                soaking.insert(plugin.to_owned(), one);
                soaked = Some(soaked_ms);
                (soaked_ms >= rollout.soaked_ms + KEEP_EVERY_MS)
                    .then_some(RolloutStep::Soaked(soaked_ms))
            }
            Next::Advance => Some(RolloutStep::Advance),
            Next::Finish => Some(RolloutStep::Finish),
            Next::Stop(reason) => Some(RolloutStep::Stop(reason)),
            Next::Back => Some(RolloutStep::Back),
        };
        note(&self.rollouts.waiting, plugin, waits);
        note(&self.rollouts.soaked, plugin, soaked);
        match step {
            None => Ok(()),
            Some(step) => {
                self.step_rollout(plugin, Some(rollout.wave), step)?;
                // What follows from it is looked at without delay.
                self.rollouts.wake();
                Ok(())
            }
        }
    }
}

impl Rollouts {
    pub(super) fn note_start(&self) {
        self.started.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts what happened, and says so.
    pub(super) fn note_step(&self, plugin: &str, step: &RolloutStep) {
        let count = match step {
            RolloutStep::Soaked(_) => return,
            RolloutStep::Advance => {
                tracing::info!(
                    plugin,
                    "a wave of a rollout was passed, the next one follows"
                );
                &self.waves_passed
            }
            RolloutStep::Finish => {
                tracing::info!(plugin, "a rollout is done: the version is in force");
                self.waves_passed.fetch_add(1, Ordering::Relaxed);
                &self.done
            }
            RolloutStep::Stop(reason) => {
                tracing::warn!(plugin, "a rollout was stopped, and is taken back: {reason}");
                &self.stopped
            }
            RolloutStep::Back => {
                tracing::info!(plugin, "a rollout was taken back");
                return;
            }
            RolloutStep::Pause => {
                tracing::info!(plugin, "a rollout is paused");
                return;
            }
            RolloutStep::Resume => {
                tracing::info!(plugin, "a rollout goes on");
                return;
            }
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// What a rollout waits for, as of the last look.
    pub(super) fn waits_for(&self, plugin: &str) -> Option<String> {
        self.waiting.lock().get(plugin).cloned()
    }

    /// How long its present wave has been watched, as of the last look; `None` while that rests.
    pub(super) fn soaked_ms(&self, plugin: &str) -> Option<u64> {
        self.soaked.lock().get(plugin).copied()
    }
}

/// Notes what a look at a rollout came to.
fn note<T>(all: &Mutex<BTreeMap<String, T>>, plugin: &str, value: Option<T>) {
    let mut all = all.lock();
    match value {
        Some(value) => all.insert(plugin.to_owned(), value),
        None => all.remove(plugin),
    };
}
