//! `system.models`: the registry of models. What each is made of, what it takes and gives, how it was
//! judged by whoever trained it, and what it has done on this node.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use activestore_types::{DataType, Result};
use arrow::array::{ArrayRef, Float64Array, Int64Array};
use arrow::record_batch::RecordBatch;

use super::super::{batch, count, optional, text};
use crate::blobs::hex;
use crate::plugins::{Compared, Deployed, training_metrics};
use crate::tables::Relations;

pub(crate) fn models(relations: &Relations) -> Result<RecordBatch> {
    let state = relations.catalog.state();
    let loaded = relations.plugins.current();
    let all: Vec<_> = state.models.values().collect();
    let deployed: Vec<_> = all.iter().map(|m| loaded.model(&m.name).ok()).collect();
    let shadows: Vec<Option<Compared>> = deployed
        .iter()
        .map(|model| model.as_ref().map(|model| *model.compared.lock()))
        .collect();
    let compared = |read: &dyn Fn(&Compared) -> u64| {
        let counts = shadows.iter().map(|shadow| shadow.as_ref().map_or(0, read));
        count(counts.collect::<Vec<_>>())
    };
    let differences = |read: &dyn Fn(&Compared) -> f64| -> ArrayRef {
        let compared = shadows.iter().map(|shadow| shadow.filter(|s| s.rows > 0));
        let values: Float64Array = compared.map(|shadow| Some(read(&shadow?))).collect();
        Arc::new(values)
    };
    let counted = |read: &dyn Fn(&Deployed) -> &AtomicU64| -> Vec<u64> {
        let counts = deployed.iter().map(|model| {
            let model = model.as_ref();
            model.map_or(0, |model| read(model).load(Ordering::Relaxed))
        });
        counts.collect()
    };
    let told = |read: &dyn Fn(&Deployed) -> String| {
        optional(deployed.iter().map(|model| Some(read(model.as_ref()?))))
    };
    let artifact_bytes: Int64Array = deployed
        .iter()
        .map(|model| i64::try_from(model.as_ref()?.artifact_bytes()).ok())
        .collect();
    let option = |name: &str| optional(all.iter().map(|m| m.options.get(name).cloned()));
    let versions = all.iter().map(|m| {
        let version = state.plugin_version(&m.plugin).ok()?;
        Some(version.version)
    });
    batch(vec![
        ("name", text(all.iter().map(|m| m.name.as_str()))),
        ("version", count(all.iter().map(|m| m.version))),
        ("plugin", text(all.iter().map(|m| m.plugin.to_string()))),
        ("plugin_version", optional(versions)),
        ("file", text(all.iter().map(|m| m.artifact_name.as_str()))),
        ("sha256", text(all.iter().map(|m| hex(&m.artifact_sha256)))),
        ("size_bytes", Arc::new(artifact_bytes)),
        ("inputs", told(&|model| columns(model.inputs()))),
        ("outputs", told(&|model| columns(&model.outputs()))),
        (
            "metrics",
            optional(all.iter().map(|m| {
                let metrics = training_metrics(&m.options).ok()?;
                (!metrics.is_empty()).then(|| serde_json::Value::from_iter(metrics).to_string())
            })),
        ),
        ("calls", count(counted(&|model| &model.done.calls))),
        ("rows", count(counted(&|model| &model.done.rows))),
        (
            "busy_s",
            Arc::new(Float64Array::from_iter_values(
                counted(&|model| &model.done.busy_ns)
                    .into_iter()
                    .map(|ns| ns as f64 / 1e9),
            )),
        ),
        ("failures", count(counted(&|model| &model.done.failures))),
        (
            "last_failure",
            optional(
                deployed
                    .iter()
                    .map(|model| model.as_ref()?.done.last_failure.lock().clone()),
            ),
        ),
        ("shadow", option("shadow")),
        ("shadow_rows", compared(&|shadow| shadow.rows)),
        ("shadow_one_sided", compared(&|shadow| shadow.one_sided)),
        ("shadow_failures", compared(&|shadow| shadow.failures)),
        (
            "shadow_mean_difference",
            differences(&|shadow| shadow.sum / shadow.rows as f64),
        ),
        ("shadow_max_difference", differences(&|shadow| shadow.max)),
        ("split", option("split")),
        ("split_rows", count(counted(&|model| &model.candidate_rows))),
        (
            "error",
            optional(
                all.iter()
                    .map(|m| loaded.failed.get(&format!("model {}", m.name)).cloned()),
            ),
        ),
    ])
}

/// `temp DOUBLE, vib DOUBLE`.
fn columns(columns: &[(String, DataType)]) -> String {
    let told = columns.iter().map(|(name, kind)| format!("{name} {kind}"));
    told.collect::<Vec<_>>().join(", ")
}
