//! What came by Prometheus remote write, for `GET /metrics`.

use std::sync::atomic::{AtomicU64, Ordering};

use activestore_db::{Counter, CounterKind};
use activestore_ingest::RemoteWrite;

/// The counts of one listener.
#[derive(Debug, Default)]
pub(crate) struct RemoteWrites {
    samples: AtomicU64,
    stale: AtomicU64,
    series_refused: AtomicU64,
    samples_refused: AtomicU64,
    tables_refused: AtomicU64,
    histograms: AtomicU64,
    exemplars: AtomicU64,
    bytes: AtomicU64,
    refused: AtomicU64,
}

impl RemoteWrites {
    /// What a request brought is durable.
    pub(crate) fn stored(&self, parsed: &RemoteWrite, bytes: usize) {
        let add = |counter: &AtomicU64, count: u64| counter.fetch_add(count, Ordering::Relaxed);
        add(&self.samples, parsed.samples);
        add(&self.stale, parsed.stale);
        add(&self.series_refused, parsed.refused);
        add(&self.samples_refused, parsed.refused_samples);
        add(&self.tables_refused, parsed.refused_tables.len() as u64);
        add(&self.histograms, parsed.histograms);
        add(&self.exemplars, parsed.exemplars);
        add(&self.bytes, u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// A request was answered with an error, though a part of it may be stored.
    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn counters(&self) -> Vec<Counter> {
        let all = [
            (
                "activestore_remote_write_samples_total",
                "Samples stored that came by Prometheus remote write, staleness markers included.",
                &self.samples,
            ),
            (
                "activestore_remote_write_stale_markers_total",
                "Staleness markers among the samples of remote write.",
                &self.stale,
            ),
            (
                "activestore_remote_write_series_refused_total",
                "Series that were left out of requests of remote write, since they break a rule.",
                &self.series_refused,
            ),
            (
                "activestore_remote_write_samples_refused_total",
                "Samples of remote write that their table did not take, though it took others of the request.",
                &self.samples_refused,
            ),
            (
                "activestore_remote_write_tables_refused_total",
                "Tables that did not take the samples that a request of remote write had for them.",
                &self.tables_refused,
            ),
            (
                "activestore_remote_write_histograms_left_out_total",
                "Native histograms of remote write, which are not kept.",
                &self.histograms,
            ),
            (
                "activestore_remote_write_exemplars_left_out_total",
                "Exemplars of remote write, which are not kept.",
                &self.exemplars,
            ),
            (
                "activestore_remote_write_unpacked_bytes_total",
                "Bytes of requests of remote write that were stored, unpacked.",
                &self.bytes,
            ),
            (
                "activestore_remote_write_requests_refused_total",
                "Requests of remote write that were answered with an error, though a part of them may be stored.",
                &self.refused,
            ),
        ];
        let counters = all.into_iter().map(|(name, help, counter)| Counter {
            name,
            help,
            kind: CounterKind::Counter,
            labels: Vec::new(),
            value: counter.load(Ordering::Relaxed) as f64,
        });
        counters.collect()
    }
}
