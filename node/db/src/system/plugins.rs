//! What plugins are to this node: the tables of functions, models, plugins and processors.

mod models;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use activestore_types::Result;
use arrow::array::Float64Array;
use arrow::record_batch::RecordBatch;

use super::{batch, count, optional, text};
use crate::outgoing::Figures;
use crate::tables::Relations;
use crate::write::processor::Source;
use crate::write::replay::Progress;
use crate::write::timer::timers;

pub(super) use models::models;

pub(super) fn functions(relations: &Relations) -> Result<RecordBatch> {
    let state = relations.catalog.state();
    let loaded = relations.plugins.current();
    let all: Vec<_> = state.functions.values().collect();
    batch(vec![
        ("name", text(all.iter().map(|f| f.name.as_str()))),
        ("plugin", text(all.iter().map(|f| f.plugin.to_string()))),
        ("function", text(all.iter().map(|f| f.function.as_str()))),
        (
            "kind",
            optional(
                all.iter()
                    .map(|f| Some(loaded.function(&f.name)?.kind.name().to_owned())),
            ),
        ),
        (
            "usage",
            optional(
                all.iter()
                    .map(|f| Some(loaded.function(&f.name)?.usage.join("; "))),
            ),
        ),
        (
            "error",
            optional(
                all.iter()
                    .map(|f| loaded.failed.get(&format!("function {}", f.name)).cloned()),
            ),
        ),
    ])
}

pub(super) fn plugins(relations: &Relations) -> Result<RecordBatch> {
    let infos = relations
        .database()
        .map(|database| database.plugin_infos())
        .unwrap_or_default();
    batch(vec![
        ("name", text(infos.iter().map(|p| p.name.as_str()))),
        ("version", text(infos.iter().map(|p| p.version.as_str()))),
        ("kind", text(infos.iter().map(|p| p.kind.as_str()))),
        ("sha256", text(infos.iter().map(|p| p.sha256.as_str()))),
        ("size_bytes", count(infos.iter().map(|p| p.size_bytes))),
        (
            "signed_by",
            optional(infos.iter().map(|p| p.signed_by.clone())),
        ),
        (
            "functions",
            text(infos.iter().map(|p| p.functions.join(", "))),
        ),
        ("state", text(infos.iter().map(|p| p.state.as_str()))),
        ("calls", count(infos.iter().map(|p| p.calls))),
        ("traps", count(infos.iter().map(|p| p.traps))),
        ("rows", count(infos.iter().map(|p| p.rows))),
        (
            "busy_s",
            Arc::new(Float64Array::from_iter_values(
                infos.iter().map(|p| p.busy_ns as f64 / 1e9),
            )),
        ),
        (
            "last_fault",
            optional(infos.iter().map(|p| p.last_fault.clone())),
        ),
        ("grants", text(infos.iter().map(|p| p.grants.join(", ")))),
    ])
}

pub(super) fn processors(relations: &Relations) -> Result<RecordBatch> {
    let state = relations.catalog.state();
    let loaded = relations.plugins.current();
    let all: Vec<_> = state.processors.values().collect();
    let runtimes: Vec<_> = all
        .iter()
        .map(|def| {
            loaded
                .all_processors()
                .find(|runtime| runtime.def.name == def.name)
        })
        .collect();
    let counted = |read: &dyn Fn(&crate::write::processor::Runtime) -> u64| {
        count(
            runtimes
                .iter()
                .map(|runtime| runtime.map_or(0, |runtime| read(runtime)))
                .collect::<Vec<_>>(),
        )
    };
    let database = relations.database();
    let requests: Vec<Figures> = all
        .iter()
        .map(|def| {
            let database = database.as_ref();
            database.map_or_else(Figures::default, |db| db.outgoing.figures(&def.name))
        })
        .collect();
    let requested =
        |read: &dyn Fn(&Figures) -> u64| count(requests.iter().map(read).collect::<Vec<_>>());
    batch(vec![
        ("name", text(all.iter().map(|p| p.name.as_str()))),
        ("table", text(all.iter().map(|p| p.table.to_string()))),
        (
            "source",
            text(all.iter().map(|p| match &p.source {
                activestore_catalog::ProcessorSource::Plugin(plugin) => format!("plugin {plugin}"),
                activestore_catalog::ProcessorSource::Model(model) => format!("model {model}"),
            })),
        ),
        (
            "into",
            optional(all.iter().zip(&runtimes).map(|(p, runtime)| {
                match runtime.map(|runtime| &runtime.source) {
                    Some(Source::Model { column, .. }) => Some(format!("{}.{column}", p.table)),
                    _ if p.into.is_empty() => None,
                    _ => {
                        let into: Vec<String> = p.into.iter().map(ToString::to_string).collect();
                        Some(into.join(", "))
                    }
                }
            })),
        ),
        (
            "options",
            text(all.iter().map(|p| {
                let options = p.options.iter().map(|(name, value)| (name, value.as_str()));
                serde_json::Value::from_iter(options).to_string()
            })),
        ),
        ("rows", counted(&|r| r.rows.load(Ordering::Relaxed))),
        (
            "rows_sent",
            counted(&|r| r.rows_sent.load(Ordering::Relaxed)),
        ),
        (
            "rows_rejected",
            counted(&|r| r.rows_rejected.load(Ordering::Relaxed)),
        ),
        (
            "replay",
            optional(all.iter().map(|p| {
                let asked = p.options.get("start").is_some_and(|start| start != "now");
                let database = relations.database()?;
                Some(match database.progress(&p.name) {
                    _ if !asked => return None,
                    None => "begins".to_owned(),
                    Some(Progress::Under { rows, .. }) => format!("{rows} rows so far"),
                    Some(Progress::Done { rows }) => format!("{rows} rows, done"),
                })
            })),
        ),
        (
            "timers",
            count(
                all.iter()
                    .map(|p| timers(&relations.store, &p.name).len() as u64)
                    .collect::<Vec<_>>(),
            ),
        ),
        (
            "timers_fired",
            counted(&|r| r.timers_fired.load(Ordering::Relaxed)),
        ),
        ("requests_waiting", requested(&|figures| figures.waiting)),
        (
            "requests_delivered",
            requested(&|figures| figures.delivered),
        ),
        ("requests_failed", requested(&|figures| figures.failed)),
        ("requests_dead", requested(&|figures| figures.dead)),
        ("failures", counted(&|r| r.failures.load(Ordering::Relaxed))),
        (
            "busy_s",
            Arc::new(Float64Array::from_iter_values(runtimes.iter().map(
                |runtime| runtime.map_or(0.0, |r| r.busy_ns.load(Ordering::Relaxed) as f64 / 1e9),
            ))),
        ),
        (
            "error",
            optional(all.iter().zip(&runtimes).map(|(p, runtime)| match runtime {
                Some(runtime) => runtime.last_error.lock().clone(),
                None => loaded.failed.get(&format!("processor {}", p.name)).cloned(),
            })),
        ),
    ])
}
