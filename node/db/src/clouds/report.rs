//! How shipping to each cloud stands: `sync status`, `system.sync_clouds` and metrics.

use serde::Serialize;

use crate::counters::{CounterKind, Figures};
use crate::db::Inner;
use crate::options::FullOutbox;
use crate::outbox::{ClassReport, Lag, LetGoReport, Sealer};
use crate::receipts::ReceiptReport;
use crate::status::VerifiedReport;

/// Where shipping to one cloud stands.
#[derive(Clone, Debug, Serialize)]
pub struct ShippingReport {
    /// What this node calls it; `own` for its own.
    pub cloud: String,
    /// The tables that it takes of those that travel up.
    pub tables: Vec<String>,
    /// The epoch that live rows are shipped to it in, 16 hex digits.
    pub epoch: String,
    /// The lowest sequence of it that is not acknowledged.
    pub first_unacked: u64,
    /// The highest sealed sequence of it.
    pub last_sealed: u64,
    /// What waits of each class of rows.
    pub classes: Vec<ClassReport>,
    /// Rows sealed and not acknowledged.
    pub pending_rows: u64,
    /// Bytes sealed and not acknowledged.
    pub pending_bytes: u64,
    /// Bytes that may wait; `null` is no limit.
    pub outbox_bytes: Option<u64>,
    /// What happens then: `hold` or `drop_oldest`; for the own cloud the tables say.
    pub at_limit: &'static str,
    /// Log records that are not looked at yet.
    pub unsealed_records: u64,
    /// Failed attempts to seal since the start.
    pub seal_failures: u64,
    /// Why nothing can be sealed now; `null` while it can.
    pub blocked: Option<String>,
    /// Rows that will not be shipped, because the outbox was full. `sync verify --repair` ships them.
    pub let_go: Vec<LetGoReport>,
    /// Why rows that may be let go cannot be; `null` while they can.
    pub no_room: Option<String>,
    /// Why it refused a segment last; `null` when it takes them.
    pub refused: Option<String>,
    /// Its newest receipt; `null` where there is none.
    pub receipt: Option<ReceiptReport>,
    /// Why a receipt of it was refused last; `null` where none was since.
    pub receipt_refused: Option<String>,
    /// The last comparison with it since the start; `null` before the first.
    pub verified: Option<VerifiedReport>,
}

/// A figure of what waits of a class, given the wall clock in milliseconds.
type LagFigure = (&'static str, &'static str, fn(&Lag, u64) -> f64);
/// A figure of an outbox.
type OutboxFigure = (&'static str, &'static str, CounterKind, fn(&Sealer) -> f64);

/// What reports and metrics call the node's own cloud.
pub const OWN_CLOUD: &str = "own";

impl Inner {
    /// Every cloud that is shipped to: the own one, then further ones in the order of the configuration.
    pub(crate) fn shipping_reports(&self) -> Vec<ShippingReport> {
        let receipts = self.receipt_reports();
        self.outboxes()
            .map(|outbox| self.shipping_report(outbox, &receipts))
            .collect()
    }

    fn shipping_report(&self, outbox: &Sealer, receipts: &[ReceiptReport]) -> ShippingReport {
        let name = outbox.addressee().further();
        let further = name.and_then(|name| self.clouds.named(name));
        let cloud = further.map(|further| &further.cloud);
        let standing = outbox.standing();
        let live = standing.live();
        let lags = outbox.lags();
        let receipts = receipts
            .iter()
            .filter(|receipt| receipt.side == "held" && receipt.is_of(name));
        let outcome = match further {
            Some(further) => *further.outcome.lock(),
            None => self.compared(self.node),
        };
        ShippingReport {
            cloud: called(outbox),
            tables: cloud.map_or_else(|| vec!["*".to_owned()], |cloud| cloud.tables.clone()),
            epoch: format!("{:016x}", live.epoch.0),
            first_unacked: live.acknowledged + 1,
            last_sealed: live.last_sealed,
            pending_rows: lags.iter().map(|lag| lag.rows).sum(),
            pending_bytes: lags.iter().map(|lag| lag.bytes).sum(),
            classes: lags
                .iter()
                .map(|lag| ClassReport::of(lag, self.wall_ms()))
                .collect(),
            outbox_bytes: match cloud {
                Some(cloud) => Some(cloud.outbox_bytes_max),
                None => self.options.outbox_bytes_max,
            },
            at_limit: match cloud.map(|cloud| cloud.at_limit) {
                Some(FullOutbox::Hold) => "hold",
                Some(FullOutbox::DropOldest) => "drop_oldest",
                None => "sync_at_limit",
            },
            unsealed_records: (self.store.last_lsn().0 + 1).saturating_sub(standing.cursor.0),
            seal_failures: outbox.failures(),
            blocked: outbox.blocked(),
            let_go: LetGoReport::all_of(outbox),
            no_room: outbox.no_room(),
            refused: outbox.refused(),
            receipt: receipts.max_by_key(|receipt| receipt.issued_ms).cloned(),
            receipt_refused: match further {
                Some(further) => further.refused_receipt.lock().clone(),
                None => self.refused_receipt(),
            },
            verified: outcome.map(VerifiedReport::from),
        }
    }

    /// What waits for each cloud, where there are several.
    pub(crate) fn cloud_figures(&self, all: &mut Figures) {
        if self.clouds.iter().next().is_none() {
            return;
        }
        let now_ms = self.wall_ms();
        let lags: Vec<(String, Vec<Lag>)> = self
            .outboxes()
            .map(|outbox| (called(outbox), outbox.lags()))
            .collect();
        let of_classes: [LagFigure; 3] = [
            (
                "activestore_sync_cloud_rows",
                "Rows of a class sealed for a cloud and not acknowledged by it.",
                |lag, _| lag.rows as f64,
            ),
            (
                "activestore_sync_cloud_bytes",
                "Bytes of a class sealed for a cloud and not acknowledged by it.",
                |lag, _| lag.bytes as f64,
            ),
            (
                "activestore_sync_cloud_oldest_seconds",
                "Age of the oldest row of a class that is sealed for a cloud and not acknowledged by it.",
                |lag, now_ms| lag.age_s(now_ms).unwrap_or(0.0),
            ),
        ];
        for (name, help, value) in of_classes {
            for (cloud, lag) in lags
                .iter()
                .flat_map(|(cloud, lags)| lags.iter().map(move |lag| (cloud, lag)))
            {
                let labels = vec![
                    ("cloud", cloud.clone()),
                    ("class", lag.class.name().to_owned()),
                ];
                all.push(name, help, CounterKind::Gauge, labels, value(lag, now_ms));
            }
        }
        let of_outboxes: [OutboxFigure; 4] = [
            (
                "activestore_sync_cloud_sealed_total",
                "Segments of live rows sealed for a cloud in this epoch.",
                CounterKind::Counter,
                |outbox| outbox.live().last_sealed as f64,
            ),
            (
                "activestore_sync_cloud_acknowledged_total",
                "Segments of live rows that a cloud acknowledged in this epoch.",
                CounterKind::Counter,
                |outbox| outbox.live().acknowledged as f64,
            ),
            (
                "activestore_sync_cloud_seal_failures_total",
                "Failed attempts to seal for a cloud.",
                CounterKind::Counter,
                |outbox| outbox.failures() as f64,
            ),
            (
                "activestore_sync_cloud_rows_let_go_total",
                "Rows that will not be shipped to a cloud, because as much waited for it as may.",
                CounterKind::Counter,
                |outbox| outbox.let_go().values().map(|gone| gone.rows as f64).sum(),
            ),
        ];
        for (name, help, kind, value) in of_outboxes {
            for outbox in self.outboxes() {
                let label = ("cloud", called(outbox));
                all.push(name, help, kind, vec![label], value(outbox));
            }
        }
    }
}

fn called(outbox: &Sealer) -> String {
    outbox.addressee().further().unwrap_or(OWN_CLOUD).to_owned()
}
