//! What a rollout does next, from what is known of the edges. A choice and no act: no clock, no catalog.

use activestore_types::Labels;

use super::{Rollout, RolloutState, Wave};

/// How a plugin does on an edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used<'a> {
    /// The version that is in force there.
    pub version: &'a str,
    /// Calls of that version since it came into force there.
    pub calls: u64,
    /// Those that trapped, ran too long or took too much.
    pub failures: u64,
    /// Whether the edge has switched it off for a while.
    pub off: bool,
}

/// An edge as the cloud knows it.
#[derive(Clone, Copy, Debug)]
pub struct EdgeView<'a> {
    /// Its name for people.
    pub name: &'a str,
    /// Its labels.
    pub labels: &'a Labels,
    /// Whether a connection is up.
    pub connected: bool,
    /// The version of the definitions that it holds.
    pub held: u64,
    /// How the plugin does there; `None` of an edge that has not said, or does not know how to.
    pub used: Option<Used<'a>>,
    /// The version of the definitions that it refused last, and why.
    pub refused: Option<(u64, &'a str)>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: it is over, or paused.
    Nothing,
    /// Nothing yet, for this reason.
    Wait(String),
    /// The wave is being watched: so long so far, in milliseconds.
    Soak(u64),
    /// The next wave.
    Advance,
    /// The version comes into force.
    Finish,
    /// Back to the old version, for this reason.
    Stop(String),
    /// All edges that can be seen have the old version.
    Back,
}

impl Rollout {
    /// What is to be done now. `watched_ms` is how long the edges have been watched since it was asked last.
    ///
    /// A wave is passed when every connected edge of it has the version and it was watched for the time
    /// that the rollout asks for, counted only while that holds. It is stopped when more calls failed than
    /// the limit allows, over all edges that have the version, when an edge has switched it off, or refused
    /// the definitions that brought it.
    pub fn next(&self, edges: &[EdgeView<'_>], watched_ms: u64) -> Next {
        match self.state {
            RolloutState::Done | RolloutState::RolledBack => Next::Nothing,
            RolloutState::Stopped => {
                let left = edges.iter().filter(|edge| self.has_new_yet(edge)).count();
                match left {
                    0 => Next::Back,
                    left => Next::Wait(format!(
                        "{left} connected edges have not taken version {} back yet",
                        self.from
                    )),
                }
            }
            RolloutState::Running | RolloutState::Paused => {
                if let Some(reason) = self.fault(edges) {
                    return Next::Stop(reason);
                }
                if self.state == RolloutState::Paused {
                    return Next::Nothing;
                }
                self.progress(edges, watched_ms)
            }
        }
    }

    fn progress(&self, edges: &[EdgeView<'_>], watched_ms: u64) -> Next {
        let Some(wave) = self.present_wave() else {
            return Next::Nothing;
        };
        let (there, lacking) = self.standing(wave, edges);
        if there == 0 {
            return Next::Wait(format!("no edge of wave {wave} is connected"));
        }
        if lacking > 0 {
            return Next::Wait(format!(
                "{lacking} of {there} connected edges of wave {wave} do not have version {} yet",
                self.to.version
            ));
        }
        let soaked_ms = self.soaked_ms.saturating_add(watched_ms);
        if soaked_ms < self.soak_ms {
            return Next::Soak(soaked_ms);
        }
        if self.wave as usize + 1 < self.waves.len() {
            Next::Advance
        } else {
            Next::Finish
        }
    }

    /// The connected edges of a wave, and those of them that do not have the version.
    fn standing(&self, wave: &Wave, edges: &[EdgeView<'_>]) -> (usize, usize) {
        let of_wave = edges
            .iter()
            .filter(|edge| edge.connected && wave.takes(edge.labels));
        of_wave.fold((0, 0), |(there, lacking), edge| {
            (there + 1, lacking + usize::from(!self.has(edge)))
        })
    }

    /// Whether an edge has the new version: by its own word or, where it has none for that, by the
    /// definitions that it holds.
    pub fn has(&self, edge: &EdgeView<'_>) -> bool {
        match edge.used {
            Some(used) => used.version == self.to.version,
            None => edge.held >= self.published,
        }
    }

    /// After the stop: whether an edge still has to go back.
    fn has_new_yet(&self, edge: &EdgeView<'_>) -> bool {
        edge.connected
            && match edge.used {
                Some(used) => used.version == self.to.version,
                None => {
                    let reached = self.wave_of(edge.labels);
                    reached.is_some_and(|wave| wave <= self.wave) && edge.held < self.published
                }
            }
    }

    /// Why the version will not do, if it will not.
    fn fault(&self, edges: &[EdgeView<'_>]) -> Option<String> {
        let (mut calls, mut failures) = (0_u64, 0_u64);
        for edge in edges.iter().filter(|edge| self.reaches(edge.labels)) {
            if let Some((version, why)) = edge.refused
                && version >= self.published
                && edge.held < version
            {
                return Some(format!("edge '{}' refused it: {why}", edge.name));
            }
            let Some(used) = edge.used.filter(|used| used.version == self.to.version) else {
                continue;
            };
            if used.off {
                return Some(format!(
                    "edge '{}' has switched it off after {} failures in {} calls",
                    edge.name, used.failures, used.calls
                ));
            }
            calls = calls.saturating_add(used.calls.max(used.failures));
            failures = failures.saturating_add(used.failures);
        }
        let allowed = u128::from(calls) * u128::from(self.errors_max_ppm);
        if u128::from(failures) * u128::from(super::ALL_CALLS_PPM) > allowed {
            return Some(format!(
                "{failures} of {calls} calls failed, more than the {} % that are allowed",
                f64::from(self.errors_max_ppm) / 10_000.0
            ));
        }
        None
    }
}
