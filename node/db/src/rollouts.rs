//! Rollouts at a cloud: which edge is to have which version of a plugin, how it does there, and the thread that
//! takes a rollout from wave to wave or back. What is to be done is decided in the catalog's package, by a
//! function of what is known; here it is known, and done.

mod info;
mod known;
mod told;
mod worker;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use activestore_catalog::{
    Change, MAX_SOAK_MS, PluginDef, Rollout, RolloutStep, Wave, parse_duration,
};
use activestore_sync_proto::Health;
use activestore_types::{Error, Labels, NodeId, Result};
use parking_lot::{Condvar, Mutex};

use crate::db::{Db, Inner};
use crate::events::{Kind, step_text};
use crate::options::Role;

pub use info::RolloutInfo;
use known::{EdgeKnown, EdgePlugin};
pub(crate) use worker::start;

/// How long a wave is watched unless the deployment says otherwise.
const SOAK: Duration = Duration::from_secs(600);
/// How many calls in a million may fail unless the deployment says otherwise.
const ERRORS_MAX_PPM: u32 = 10_000;

/// The least time between two looks of the thread, however much news there is.
const REST: Duration = Duration::from_millis(50);

/// How a new version is to go to the edges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutPlan {
    waves: Vec<Wave>,
    soak_ms: u64,
    errors_max_ppm: u32,
}

impl RolloutPlan {
    /// From text: waves (`ring=canary`, `all`), how long each is watched (`10m`), how many calls may fail
    /// (`1%`).
    ///
    /// # Errors
    /// `Invalid` for text that is none of these.
    pub fn parse<'a>(
        waves: impl IntoIterator<Item = &'a str>,
        soak: Option<&str>,
        errors_max: Option<&str>,
    ) -> Result<Self> {
        let waves = waves.into_iter().map(str::parse).collect::<Result<_>>()?;
        let soak = soak.map_or(Ok(SOAK), parse_duration)?;
        Ok(RolloutPlan {
            waves,
            soak_ms: u64::try_from(soak.as_millis())
                .unwrap_or(u64::MAX)
                .min(MAX_SOAK_MS + 1),
            errors_max_ppm: errors_max.map_or(Ok(ERRORS_MAX_PPM), share_ppm)?,
        })
    }
}

/// A share in millionths: `1%`, `0.5 %`.
fn share_ppm(text: &str) -> Result<u32> {
    let wrong = || {
        Error::invalid(format!("'{text}' is not a share of calls"))
            .with_hint("write 1%, 0.5% or 0%")
    };
    let percent = text.trim().strip_suffix('%').ok_or_else(wrong)?;
    let percent: f64 = percent.trim().parse().map_err(|_| wrong())?;
    if !(0.0..=100.0).contains(&percent) {
        return Err(wrong());
    }
    Ok((percent * 10_000.0).round() as u32)
}

/// What is asked of a rollout by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolloutAct {
    /// No wave follows for now.
    Pause,
    /// Waves follow again.
    Resume,
    /// Back to the old version.
    Abort,
}

impl std::str::FromStr for RolloutAct {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "pause" => Ok(RolloutAct::Pause),
            "resume" => Ok(RolloutAct::Resume),
            "abort" => Ok(RolloutAct::Abort),
            other => Err(
                Error::invalid(format!("'{other}' is nothing that a rollout can do"))
                    .with_hint("it can pause, resume and abort"),
            ),
        }
    }
}

/// What a cloud knows of its edges beside their rows, and what its rollouts did since the start.
#[derive(Debug, Default)]
pub(crate) struct Rollouts {
    labels: Mutex<BTreeMap<NodeId, Labels>>,
    plugins: Mutex<BTreeMap<NodeId, BTreeMap<String, EdgePlugin>>>,
    /// At an edge: which component of each plugin is counted, and since when.
    counting: Mutex<BTreeMap<String, ([u8; 32], u64)>>,
    /// What each rollout waits for.
    waiting: Mutex<BTreeMap<String, String>>,
    /// How long the present wave of each has been watched, in milliseconds; the catalog hears of it now and then.
    soaked: Mutex<BTreeMap<String, u64>>,
    signal: Mutex<Signal>,
    changed: Condvar,
    pub(crate) started: AtomicU64,
    pub(crate) waves_passed: AtomicU64,
    pub(crate) done: AtomicU64,
    pub(crate) stopped: AtomicU64,
}

#[derive(Debug, Default)]
struct Signal {
    set: bool,
    closed: bool,
}

impl Rollouts {
    /// An edge is a member, with these labels.
    pub(crate) fn member(&self, node: NodeId, labels: &Labels) {
        self.labels.lock().insert(node, labels.clone());
        self.wake();
    }

    /// The labels of an edge; none of one that is not known.
    pub(crate) fn labels(&self, node: NodeId) -> Labels {
        self.labels.lock().get(&node).cloned().unwrap_or_default()
    }

    /// An edge said how its plugins do.
    pub(crate) fn told(&self, node: NodeId, health: Health, at_ms: u64) {
        let mut all = self.plugins.lock();
        let before = all.remove(&node).unwrap_or_default();
        let now = health.plugins.into_iter().map(|plugin| {
            let known = before.get(&plugin.plugin);
            (
                plugin.plugin.clone(),
                EdgePlugin::after(known, plugin, at_ms),
            )
        });
        all.insert(node, now.collect());
        drop(all);
        self.wake();
    }

    /// How the plugins do on the edges, as they said last.
    pub(crate) fn edge_plugins(&self) -> Vec<(NodeId, String, EdgePlugin)> {
        let all = self.plugins.lock();
        let each = all.iter().flat_map(|(node, plugins)| {
            let plugins = plugins.iter();
            plugins.map(|(name, plugin)| (*node, name.clone(), plugin.clone()))
        });
        each.collect()
    }

    /// There is news for the thread.
    pub(crate) fn wake(&self) {
        self.signal.lock().set = true;
        self.changed.notify_one();
    }

    /// The thread is to end.
    pub(crate) fn close(&self) {
        self.signal.lock().closed = true;
        self.changed.notify_one();
    }

    /// Waits for news, or for so long where something is under way. Whether to go on.
    fn wait(&self, at_most: Option<Duration>) -> bool {
        let mut signal = self.signal.lock();
        if !signal.set && !signal.closed {
            match at_most {
                Some(at_most) => {
                    self.changed.wait_for(&mut signal, at_most);
                }
                None => self.changed.wait(&mut signal),
            }
        }
        self.changed
            .wait_while_for(&mut signal, |signal| !signal.closed, REST);
        signal.set = false;
        !signal.closed
    }
}

impl Db {
    /// As [`Db::put_granted_plugin`], but the version goes to the edges in waves before it comes into force.
    ///
    /// # Errors
    /// As [`Db::put_granted_plugin`]; `Conflict` on a node that is no cloud, while the plugin is being rolled
    /// out already, and where something that uses the plugin would not work with the version; `NotFound` for
    /// a plugin of which no version is in force.
    pub async fn roll_out_plugin(
        &self,
        name: &str,
        version: Option<&str>,
        grants: Option<Vec<String>>,
        wasm: Vec<u8>,
        plan: RolloutPlan,
    ) -> Result<RolloutInfo> {
        let inner = self.inner.clone();
        let (name, version) = (name.to_owned(), version.map(str::to_owned));
        self.blocking(move || {
            let def = inner.prepared_plugin(&name, version, grants.as_deref(), &wasm)?;
            inner.start_rollout(def, plan)?;
            inner.rollout_info(&name)
        })
        .await
    }

    /// The last rollout of each plugin that had one.
    pub fn rollouts(&self) -> Vec<RolloutInfo> {
        self.inner.rollout_infos()
    }

    /// Whether edges may be given other labels now.
    ///
    /// # Errors
    /// `Conflict` while a rollout is under way: what an edge is to have would change behind its back.
    pub fn may_label_edges(&self) -> Result<()> {
        let state = self.inner.catalog.state();
        match state.rollouts.values().find(|rollout| rollout.is_open()) {
            None => Ok(()),
            Some(open) => Err(Error::conflict(format!(
                "plugin '{}' is being rolled out by the labels that edges have now",
                open.plugin
            ))
            .with_hint("wait for its end, or abort it with activestore plugin rollout abort")),
        }
    }

    /// Holds a rollout, lets it go on, or takes it back.
    ///
    /// # Errors
    /// `NotFound` where there is none, `Conflict` where it is not at that.
    pub async fn act_on_rollout(&self, plugin: &str, act: RolloutAct) -> Result<RolloutInfo> {
        let inner = self.inner.clone();
        let plugin = plugin.to_owned();
        self.blocking(move || {
            let step = match act {
                RolloutAct::Pause => RolloutStep::Pause,
                RolloutAct::Resume => RolloutStep::Resume,
                RolloutAct::Abort => RolloutStep::Stop("it was aborted by hand".to_owned()),
            };
            inner.step_rollout(&plugin, None, step)?;
            inner.rollouts.wake();
            inner.rollout_info(&plugin)
        })
        .await
    }
}

impl Inner {
    fn start_rollout(&self, def: PluginDef, plan: RolloutPlan) -> Result<()> {
        if self.options.role != Role::Cloud {
            return Err(
                Error::conflict("this node has no edges to roll a plugin out to")
                    .with_hint("deploy it at the cloud node with --wave, or here without"),
            );
        }
        let name = def.name.clone();
        let rollout = Rollout {
            grants: def.grants.clone(),
            soak_ms: plan.soak_ms,
            errors_max_ppm: plan.errors_max_ppm,
            ..Rollout::new(&name, def.current(), plan.waves)
        };
        // What the cloud cannot run itself is not tried on edges.
        let state = self.catalog.state();
        if state.plugins.contains_key(&name) {
            let next = self.catalog.preview(Change::PutPlugin(def))?;
            self.plugins.rehearse(&state, &next)?;
        }
        self.change(Change::StartRollout(rollout))?;
        self.rollouts.note_start();
        tracing::info!(plugin = name, "a rollout began");
        let text = format!("the rollout of plugin {name} began");
        self.events.tell(Kind::Rollout, None, text);
        self.rollouts.wake();
        Ok(())
    }

    /// Takes a step of a rollout and counts it.
    fn step_rollout(&self, plugin: &str, wave: Option<u32>, step: RolloutStep) -> Result<()> {
        self.change(Change::StepRollout {
            plugin: plugin.to_owned(),
            wave,
            step: step.clone(),
            at_ms: self.wall_ms(),
        })?;
        self.rollouts.note_step(plugin, &step);
        if let Some(text) = step_text(plugin, &step) {
            self.events.tell(Kind::Rollout, None, text);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    //! Plans as text.
    use super::*;

    #[test]
    fn plans_are_read_from_text() {
        let plan = RolloutPlan::parse(["ring=canary", "all"], Some("90s"), Some("0.5%")).unwrap();
        assert_eq!(
            (plan.waves.len(), plan.soak_ms, plan.errors_max_ppm),
            (2, 90_000, 5_000)
        );
        let plan = RolloutPlan::parse(["all"], None, None).unwrap();
        assert_eq!((plan.soak_ms, plan.errors_max_ppm), (600_000, 10_000));
        for wrong in ["1", "-1%", "101%", "x%", "%"] {
            assert!(share_ppm(wrong).is_err(), "{wrong}");
        }
        assert!(RolloutPlan::parse(["canary"], None, None).is_err());
    }
}
