//! What queries did and hold.

use super::Figures;
use crate::db::Db;

impl Db {
    pub(super) fn query_figures(&self, all: &mut Figures) {
        let stats = self.inner.engine.stats();
        all.counter(
            "activestore_queries_total",
            "Queries taken on, those of INSERT, UPDATE and DELETE included.",
            stats.queries as f64,
        );
        all.counter(
            "activestore_queries_failed_total",
            "Queries that ended with an error, too little memory or time included.",
            stats.failed as f64,
        );
        all.counter(
            "activestore_queries_refused_total",
            "Queries refused because too many were running.",
            stats.refused as f64,
        );
        all.gauge(
            "activestore_queries_running",
            "Queries running now.",
            stats.running as f64,
        );
        all.gauge(
            "activestore_query_memory_bytes",
            "Memory that running queries hold for sorts, joins and groups.",
            stats.memory_bytes as f64,
        );
        all.counter(
            "activestore_query_plans_reused_total",
            "Queries that ran by a plan that was kept: of a prepared statement, or of a statement of the same text.",
            stats.plans_reused as f64,
        );
        all.counter(
            "activestore_query_plans_made_total",
            "Queries that came as text and were parsed and planned.",
            stats.planned as f64,
        );
        all.gauge(
            "activestore_query_plans_kept",
            "Plans that are kept by the texts of their statements.",
            stats.plans_kept as f64,
        );
        all.gauge(
            "activestore_query_plan_bytes",
            "About how much memory the plans take that are kept by the texts of their statements.",
            stats.plan_bytes as f64,
        );
    }
}
