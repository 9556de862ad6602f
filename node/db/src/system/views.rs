//! `system.views`: the materialized views that this node keeps, and how far each is.

use std::sync::Arc;

use activestore_catalog::ViewDef;
use activestore_types::{Result, TableName};
use arrow::array::{ArrayRef, Float64Array, TimestampNanosecondArray};
use arrow::record_batch::RecordBatch;

use super::{batch, count, optional, text};
use crate::tables::Relations;
use crate::views::ViewReport;

/// A view as it is defined and how it does.
type Shown<'a> = (&'a TableName, &'a ViewDef, Option<&'a ViewReport>);

pub(super) fn views(relations: &Relations) -> Result<RecordBatch> {
    let state = relations.catalog.state();
    let last = relations.store.last_lsn();
    let reports = relations
        .database()
        .map_or_else(Vec::new, |inner| inner.views.reports());
    let all: Vec<(&TableName, &ViewDef, Option<&ViewReport>)> = state
        .views
        .iter()
        .map(|(name, def)| {
            let report = reports.iter().find(|report| report.name == *name);
            (name, def, report)
        })
        .collect();
    let told = |read: &dyn Fn(&ViewReport) -> u64| {
        let figures = all.iter().map(|(_, _, report)| report.map_or(0, read));
        count(figures.collect::<Vec<_>>())
    };
    let seconds = |read: &dyn Fn(&Shown) -> f64| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(all.iter().map(read)))
    };
    let mut rows = Vec::new();
    for (name, _, _) in &all {
        let table = state.tables.get(*name);
        let snapshot = table
            .map(|table| relations.snapshot_of(table))
            .transpose()?;
        let held = snapshot.flatten();
        rows.push(held.map_or(0, |snapshot| snapshot.row_count_estimate()));
    }
    batch(vec![
        (
            "keyspace",
            text(all.iter().map(|(name, ..)| name.keyspace.as_str())),
        ),
        (
            "name",
            text(all.iter().map(|(name, ..)| name.table.as_str())),
        ),
        (
            "base",
            text(all.iter().map(|(_, def, _)| def.base.to_string())),
        ),
        (
            "joined",
            text(all.iter().map(|(name, ..)| {
                let joined = state.joined.get(*name).into_iter().flatten();
                joined
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(", ")
            })),
        ),
        (
            "state",
            text(
                all.iter()
                    .map(|(_, _, report)| report.map_or("waiting", |report| report.state)),
            ),
        ),
        (
            "progress",
            seconds(&|(_, _, report)| report.map_or(0.0, |report| report.progress)),
        ),
        ("lag_records", told(&|report| report.lag_records(last))),
        (
            "lag_s",
            seconds(&|(_, _, report)| report.map_or(0.0, |report| report.lag_s)),
        ),
        (
            "watermark",
            Arc::new(
                all.iter()
                    .map(|(_, _, report)| report.and_then(|report| report.watermark_ns))
                    .collect::<TimestampNanosecondArray>(),
            ),
        ),
        ("rows", count(rows)),
        ("rows_written", told(&ViewReport::rows_written)),
        ("rows_deleted", told(&ViewReport::rows_deleted)),
        ("late_rows", told(&|report| report.late)),
        ("dirty_groups", told(&|report| report.dirty)),
        ("regions", told(&|report| report.regions)),
        (
            "last_error",
            optional(
                all.iter()
                    .map(|(_, _, report)| report.and_then(|report| report.error.clone())),
            ),
        ),
        ("late", text(all.iter().map(|(_, def, _)| def.late.name()))),
        (
            "late_table",
            optional(
                all.iter()
                    .map(|(_, def, _)| def.late.table().map(ToString::to_string)),
            ),
        ),
        ("late_rows_lost", told(&ViewReport::late_lost)),
        (
            "late_error",
            optional(
                all.iter()
                    .map(|(_, _, report)| report.and_then(|report| report.late_error.clone())),
            ),
        ),
        (
            "allowed_lateness_s",
            seconds(&|(_, def, _)| def.lateness_ms as f64 / 1e3),
        ),
        (
            "refresh_s",
            seconds(&|(_, def, _)| def.refresh_ms as f64 / 1e3),
        ),
        (
            "definition",
            text(all.iter().map(|(_, def, _)| def.query.as_str())),
        ),
    ])
}
