//! What a replay found, and how it is told.

use std::time::Duration;

use activestore_plugin_host::PluginKind;

use super::outputs::{Counts, Difference, Outputs};
use crate::figures::{grouped, shown, size};
use crate::sql::Grid;

/// What one version did.
#[derive(Clone, Debug, Default)]
pub struct Ran {
    /// What people call it.
    pub label: String,
    /// Time spent in its calls, the host's share included.
    pub busy: Duration,
    /// Batches that it did not get through.
    pub failed: u64,
    /// Why it did not get through the first of them.
    pub first_error: Option<String>,
    /// Faults of the sandbox among them.
    pub faults: u64,
    /// Most bytes of linear memory that one of its instances held.
    pub memory_bytes_peak: u64,
    /// Keys of state at the end.
    pub state_keys: Option<usize>,
}

/// Rows that were refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rejections {
    /// By both, for the same reason.
    pub same: u64,
    /// By the old version alone.
    pub only_old: u64,
    /// By the new version alone.
    pub only_new: u64,
    /// By both, for different reasons.
    pub other_reason: u64,
}

/// One output of both versions.
#[derive(Clone, Debug, Default)]
pub struct Compared {
    /// The columns by which rows belong together.
    pub key: Vec<String>,
    /// How many are alike.
    pub counts: Counts,
    /// How the declared columns differ.
    pub declared: Option<String>,
    /// Whether rows were given up on that might have found their counterpart later.
    pub gave_up: bool,
}

impl Compared {
    /// Of a comparison that is over.
    pub fn of(outputs: &Outputs) -> Self {
        Compared {
            key: outputs
                .key_columns()
                .into_iter()
                .map(str::to_owned)
                .collect(),
            counts: outputs.counts,
            declared: outputs.declared.clone(),
            gave_up: outputs.gave_up,
        }
    }
}

/// What a replay found.
#[derive(Debug)]
pub struct Report {
    /// What the plugin is.
    pub kind: PluginKind,
    /// What the rows are.
    pub what: String,
    /// Rows that were run.
    pub rows: u64,
    /// Batches that they came in.
    pub batches: u64,
    /// Rows or values that the new version put out.
    pub sent: u64,
    /// Its outputs beside those of the old version.
    pub outputs: Vec<Compared>,
    /// Refused rows.
    pub rejections: Rejections,
    /// The first differences.
    pub differences: Vec<Difference>,
    /// What the old version did, if there is one.
    pub old: Option<Ran>,
    /// What the new version did.
    pub new: Ran,
    /// Why it ended before the rows did.
    pub stopped: Option<String>,
    /// The circumstances.
    pub notes: Vec<String>,
}

impl Report {
    /// Why the new version does not pass: it faulted, failed on more batches than the old one, or got through
    /// none. `None` where it does pass.
    pub fn fault(&self) -> Option<String> {
        let before = self.old.as_ref().map_or(0, |old| old.failed);
        let new = &self.new;
        let nothing = self.batches > 0 && new.failed >= self.batches;
        if new.faults == 0 && new.failed <= before && !nothing {
            return None;
        }
        Some(format!(
            "the new version failed on {} of the batches, first with: {}",
            grouped(new.failed),
            new.first_error.as_deref().unwrap_or("a fault")
        ))
    }

    /// What differs, in a sentence; `None` where nothing does.
    pub fn difference(&self) -> Option<String> {
        let old = self.old.as_ref()?;
        let mut parts = Vec::new();
        let mut add = |count: u64, what: &str| {
            if count > 0 {
                parts.push(format!("{} {what}", grouped(count)));
            }
        };
        let sum = |pick: fn(&Counts) -> u64| self.outputs.iter().map(|one| pick(&one.counts)).sum();
        add(sum(|counts| counts.changed), "outputs are changed");
        add(sum(|counts| counts.only_old), "outputs are gone");
        add(sum(|counts| counts.only_new), "outputs are added");
        let rejected = &self.rejections;
        let others = rejected.only_old + rejected.only_new + rejected.other_reason;
        add(others, "rows are refused otherwise");
        add(
            old.failed.abs_diff(self.new.failed),
            "more batches fail on one side",
        );
        parts.extend(self.outputs.iter().filter_map(|one| one.declared.clone()));
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    /// All of it, for people.
    pub fn render(&self) -> String {
        let mut lines = self.notes.clone();
        lines.push(format!("{} rows of {}", grouped(self.rows), self.what));
        lines.extend(self.stopped.clone());
        if self.old.is_some() {
            self.tell_outputs(&mut lines);
            let rejected = &self.rejections;
            if *rejected != Rejections::default() {
                lines.push(format!(
                    "refused rows: {} the same, {} only by the old version, {} only by the new one, {} for another reason",
                    grouped(rejected.same),
                    grouped(rejected.only_old),
                    grouped(rejected.only_new),
                    grouped(rejected.other_reason),
                ));
            }
        } else {
            lines.push(format!(
                "outputs: {}; refused rows: {}",
                grouped(self.sent),
                grouped(self.rejections.only_new)
            ));
        }
        if !self.differences.is_empty() {
            let rows = self.differences.iter().map(|one| {
                // A side that has nothing is told from a value that is NULL.
                let side = |cells: &Option<String>| Some(cells.clone().unwrap_or_default());
                let what = Some(one.what.to_owned());
                vec![what, Some(one.key.clone()), side(&one.old), side(&one.new)]
            });
            let names = ["difference", "row", "old", "new"];
            lines.push(Grid::of_text(&names, rows.collect()).render(None));
        }
        lines.push(self.ran());
        for (name, ran) in [("old", self.old.as_ref()), ("new", Some(&self.new))] {
            if let Some(error) = ran.and_then(|ran| ran.first_error.as_ref()) {
                lines.push(format!("the {name} version failed first with: {error}"));
            }
        }
        lines.join("\n")
    }

    fn tell_outputs(&self, lines: &mut Vec<String>) {
        let what = match self.kind {
            PluginKind::Processor => "outputs",
            _ => "values",
        };
        for (number, one) in self.outputs.iter().enumerate() {
            let place = match self.outputs.len() {
                1 => String::new(),
                _ => format!(" of output {}", number + 1),
            };
            let key = match one.key.as_slice() {
                [] => "compared as whole rows".to_owned(),
                key => format!("by {}", key.join(", ")),
            };
            lines.push(format!(
                "{what}{place}: {} the same, {} only old, {} only new, {} changed ({key})",
                grouped(one.counts.same),
                grouped(one.counts.only_old),
                grouped(one.counts.only_new),
                grouped(one.counts.changed),
            ));
            lines.extend(one.declared.clone());
            if one.gave_up {
                lines.push(
                    "more outputs waited for a counterpart than are kept: some are counted as only old or only new that may not be"
                        .to_owned(),
                );
            }
        }
    }

    /// Both versions side by side.
    fn ran(&self) -> String {
        let all: Vec<&Ran> = self.old.iter().chain([&self.new]).collect();
        let names: &[&str] = match all.as_slice() {
            [_] => &["", "new"],
            _ => &["", "old", "new"],
        };
        let row = |name: &str, cell: &dyn Fn(&Ran) -> Option<String>| -> Vec<Option<String>> {
            let cells = all.iter().map(|ran| cell(ran));
            std::iter::once(Some(name.to_owned()))
                .chain(cells)
                .collect()
        };
        let per_row = |ran: &Ran| {
            (self.rows > 0).then(|| format!("{:.0}", ran.busy.as_nanos() as f64 / self.rows as f64))
        };
        let mut rows = vec![
            row("version", &|ran| Some(ran.label.clone())),
            row("time", &|ran| Some(shown(ran.busy))),
            row("ns a row", &per_row),
            row("memory peak", &|ran| Some(size(ran.memory_bytes_peak))),
            row("batches failed", &|ran| Some(grouped(ran.failed))),
            row("faults", &|ran| Some(grouped(ran.faults))),
        ];
        if self.kind == PluginKind::Processor {
            let keys = |ran: &Ran| ran.state_keys.map(|keys| grouped(keys as u64));
            rows.push(row("keys of state", &keys));
        }
        Grid::of_text(names, rows).render(None)
    }
}
