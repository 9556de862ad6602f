//! `system.rollouts`: new versions of plugins on their way to the edges. `system.edge_plugins`: which version each
//! edge has, and how it does there.

use std::sync::Arc;

use activestore_types::Result;
use arrow::array::{ArrayRef, BooleanArray, Float64Array, StringArray, TimestampNanosecondArray};
use arrow::record_batch::RecordBatch;

use super::{batch, count, optional, text};
use crate::rollouts::RolloutInfo;
use crate::tables::Relations;

pub(super) fn rollouts(relations: &Relations) -> Result<RecordBatch> {
    let database = relations.database();
    let all = database.map_or_else(Vec::new, |database| database.rollout_infos());
    let floats = |of: fn(&RolloutInfo) -> f64| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(all.iter().map(of)))
    };
    batch(vec![
        ("plugin", text(all.iter().map(|one| one.plugin.as_str()))),
        (
            "from_version",
            text(all.iter().map(|one| one.from.as_str())),
        ),
        ("to_version", text(all.iter().map(|one| one.to.as_str()))),
        ("state", text(all.iter().map(|one| one.state.as_str()))),
        ("wave", count(all.iter().map(|one| u64::from(one.wave)))),
        ("waves", text(all.iter().map(|one| one.waves.join("; ")))),
        ("soak_s", floats(|one| one.soak_s)),
        ("soaked_s", floats(|one| one.soaked_s)),
        ("max_errors_percent", floats(|one| one.max_errors_percent)),
        ("edges", count(all.iter().map(|one| one.edges))),
        (
            "edges_connected",
            count(all.iter().map(|one| one.edges_connected)),
        ),
        (
            "edges_with_new",
            count(all.iter().map(|one| one.edges_with_new)),
        ),
        ("calls", count(all.iter().map(|one| one.calls))),
        ("failures", count(all.iter().map(|one| one.failures))),
        (
            "waiting",
            optional(all.iter().map(|one| one.waiting.clone())),
        ),
        ("reason", optional(all.iter().map(|one| one.reason.clone()))),
        ("started", times(all.iter().map(|one| Some(one.started_ms)))),
        ("ended", times(all.iter().map(|one| one.ended_ms))),
    ])
}

pub(super) fn edge_plugins(relations: &Relations) -> Result<RecordBatch> {
    let database = relations.database();
    let all = database
        .as_ref()
        .map_or_else(Vec::new, |database| database.rollouts.edge_plugins());
    let state = relations.catalog.state();
    let wanted = all.iter().map(|(node, plugin, _)| {
        let labels = database.as_ref()?.rollouts.labels(*node);
        state.version_for(plugin, &labels)
    });
    batch(vec![
        ("node", text(all.iter().map(|(node, ..)| node.to_string()))),
        (
            "plugin",
            text(all.iter().map(|(_, plugin, _)| plugin.as_str())),
        ),
        (
            "version",
            text(all.iter().map(|(_, _, used)| used.version.as_str())),
        ),
        (
            "wanted_version",
            Arc::new(wanted.collect::<StringArray>()) as ArrayRef,
        ),
        ("calls", count(all.iter().map(|(_, _, used)| used.calls))),
        (
            "failures",
            count(all.iter().map(|(_, _, used)| used.failures)),
        ),
        (
            "off",
            Arc::new(
                all.iter()
                    .map(|(_, _, used)| Some(used.off))
                    .collect::<BooleanArray>(),
            ),
        ),
        (
            "told",
            times(all.iter().map(|(_, _, used)| Some(used.at_ms))),
        ),
    ])
}

fn times(values: impl Iterator<Item = Option<u64>>) -> ArrayRef {
    let nanoseconds = values.map(|ms| {
        let ms = i64::try_from(ms?).ok()?;
        Some(ms.saturating_mul(1_000_000))
    });
    Arc::new(nanoseconds.collect::<TimestampNanosecondArray>())
}
