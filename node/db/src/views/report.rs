//! What a view's upkeep tells: for `system.views`, for metrics, and for those who wait for it.

use activestore_types::{Lsn, TableId, TableName};

use super::upkeep::{Done, Upkeep};
use crate::counters::{CounterKind, Figures};
use crate::db::Inner;

/// How one view stands.
#[derive(Clone, Debug)]
pub(crate) struct ViewReport {
    pub(super) id: TableId,
    pub(crate) name: TableName,
    /// All up to there is in it.
    settled: Lsn,
    /// All up to there was looked at.
    seen: Lsn,
    /// Before this nothing of what it holds has expired, in milliseconds since 1970.
    expires_ms: u64,
    pub(crate) state: &'static str,
    /// How much of what is looked at as a whole is done, from 0 to 1.
    pub(crate) progress: f64,
    pub(crate) lag_s: f64,
    pub(crate) watermark_ns: Option<i64>,
    pub(crate) late: u64,
    /// Why the last late rows could not be written that were lost.
    pub(crate) late_error: Option<String>,
    pub(crate) dirty: u64,
    pub(crate) regions: u64,
    pub(crate) error: Option<String>,
    pub(crate) tries: u64,
    done: Done,
}

impl Upkeep {
    pub(super) fn report(&self, inner: &Inner) -> ViewReport {
        let now = inner.env.clock.monotonic();
        let lag = self.behind_since.map(|since| now.saturating_sub(since));
        let regions = self.dirty.all_regions();
        let left = regions.first();
        let progress = match (left, self.extent) {
            (None, _) => 1.0,
            (Some(region), Some((from, to))) if to > from => {
                let done = region.from.saturating_sub(from) as f64;
                (done / to.saturating_sub(from) as f64).clamp(0.0, 1.0)
            }
            (Some(_), _) => 0.0,
        };
        let error = self.error.clone().or_else(|| self.starved(inner));
        let state = match (&error, left) {
            (Some(_), _) => "failing",
            (None, Some(_)) => "computing",
            (None, None) => "current",
        };
        ViewReport {
            id: self.id,
            name: self.name.clone(),
            settled: if self.is_current() {
                Lsn(self.next.0.saturating_sub(1))
            } else {
                Lsn(self.saved.upto)
            },
            seen: Lsn(self.next.0.saturating_sub(1)),
            expires_ms: self.joined.holds_until_ms(self.noted_expiry),
            state,
            progress,
            lag_s: lag.map_or(0.0, |lag| lag.as_secs_f64()),
            watermark_ns: self.watermark_ns(),
            late: self.late,
            late_error: self.late_rows.why_lost.clone(),
            dirty: self.dirty.count() as u64,
            regions: regions.len() as u64,
            error,
            tries: self.tries,
            done: Done {
                rows_read: self.rows_read.get(),
                ..self.done
            },
        }
    }
}

impl ViewReport {
    /// Whether everything up to a record is in it, and what had expired by a moment is not.
    pub(super) fn holds(&self, upto: Lsn, now_ms: u64) -> bool {
        self.settled >= upto && self.regions == 0 && self.expires_ms > now_ms
    }

    /// Records that are not in it, up to a last one.
    pub(crate) fn lag_records(&self, last: Lsn) -> u64 {
        last.0.saturating_sub(self.settled.0)
    }

    pub(crate) fn rows_written(&self) -> u64 {
        self.done.rows_written
    }

    pub(crate) fn rows_deleted(&self) -> u64 {
        self.done.rows_deleted
    }

    /// Late rows that could not be written into their table, since the start.
    pub(crate) fn late_lost(&self) -> u64 {
        self.done.late_lost
    }

    /// Records that were not looked at yet.
    fn unseen(&self, last: Lsn) -> u64 {
        last.0.saturating_sub(self.seen.0)
    }
}

/// A figure of a view: name, meaning, kind, and how it is read.
type Figure = (
    &'static str,
    &'static str,
    CounterKind,
    fn(&ViewReport, Lsn) -> f64,
);

const FIGURES: [Figure; 16] = [
    (
        "activestore_view_lag_records",
        "Records of the log that are not in the view yet.",
        CounterKind::Gauge,
        |view, last| view.lag_records(last) as f64,
    ),
    (
        "activestore_view_unseen_records",
        "Records of the log that the view was not shown yet.",
        CounterKind::Gauge,
        |view, last| view.unseen(last) as f64,
    ),
    (
        "activestore_view_lag_seconds",
        "Since when the view does not hold everything.",
        CounterKind::Gauge,
        |view, _| view.lag_s,
    ),
    (
        "activestore_view_dirty_groups",
        "Windows of groups that are to be computed again.",
        CounterKind::Gauge,
        |view, _| view.dirty as f64,
    ),
    (
        "activestore_view_regions",
        "Stretches of time that are to be computed as a whole: a view that was made, ranges that were deleted.",
        CounterKind::Gauge,
        |view, _| view.regions as f64,
    ),
    (
        "activestore_view_recomputed_rows_total",
        "Rows of the view that were computed or compared.",
        CounterKind::Counter,
        |view, _| view.done.rows_looked_at as f64,
    ),
    (
        "activestore_view_read_rows_total",
        "Rows of tables, and of the view itself, that were read to compute or compare it.",
        CounterKind::Counter,
        |view, _| view.done.rows_read as f64,
    ),
    (
        "activestore_view_written_rows_total",
        "Rows of the view that were written because they are new or other ones.",
        CounterKind::Counter,
        |view, _| view.done.rows_written as f64,
    ),
    (
        "activestore_view_deleted_rows_total",
        "Rows of the view that were deleted because nothing is left of their group.",
        CounterKind::Counter,
        |view, _| view.done.rows_deleted as f64,
    ),
    (
        "activestore_view_late_rows_total",
        "Rows of the table that came after the view's watermark, or after the table's age.",
        CounterKind::Counter,
        |view, _| view.late as f64,
    ),
    (
        "activestore_view_late_rows_kept_total",
        "Late rows that were written into the view's table of late rows.",
        CounterKind::Counter,
        |view, _| view.done.late_kept as f64,
    ),
    (
        "activestore_view_late_rows_lost_total",
        "Late rows that could not be written into the view's table of late rows before the log had to be let go, and are counted in instead.",
        CounterKind::Counter,
        |view, _| view.done.late_lost as f64,
    ),
    (
        "activestore_view_failures_total",
        "Attempts to bring the view up to date that failed.",
        CounterKind::Counter,
        |view, _| view.done.failures as f64,
    ),
    (
        "activestore_view_reference_rows_total",
        "Rows of tables that the view looks something up in, of which a change was followed.",
        CounterKind::Counter,
        |view, _| view.done.references_followed as f64,
    ),
    (
        "activestore_view_reference_found_rows_total",
        "Rows of the view's base that were found to look up a row that changed.",
        CounterKind::Counter,
        |view, _| view.done.references_found as f64,
    ),
    (
        "activestore_view_rebuilds_total",
        "Times that the view was computed anew because the log did not reach back.",
        CounterKind::Counter,
        |view, _| view.done.rebuilds as f64,
    ),
];

impl Inner {
    pub(crate) fn view_figures(&self, all: &mut Figures) {
        let reports = self.views.reports();
        let last = self.store.last_lsn();
        for (name, help, kind, read) in FIGURES {
            for report in &reports {
                let label = vec![("view", report.name.to_string())];
                all.push(name, help, kind, label, read(report, last));
            }
        }
    }
}
