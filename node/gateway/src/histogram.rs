//! How often something took how long, in Prometheus' text format.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets, in seconds: the same for all, so that they can be laid beside each other.
const BOUNDS_S: [f64; 15] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
    30.0,
];

/// Counts by how long something took.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    /// Those above the bound before and not above this one.
    buckets: [AtomicU64; BOUNDS_S.len()],
    count: AtomicU64,
    micros: AtomicU64,
}

impl Histogram {
    /// Something took so long.
    pub(crate) fn add(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let place = BOUNDS_S.partition_point(|bound| *bound < seconds);
        if let Some(bucket) = self.buckets.get(place) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether nothing was counted.
    pub(crate) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    /// Appends its samples; `labels` are `a="x",b="y"`, or nothing.
    pub(crate) fn write(&self, name: &str, labels: &str, out: &mut String) {
        let count = self.count.load(Ordering::Relaxed);
        let (comma, set) = if labels.is_empty() {
            ("", String::new())
        } else {
            (",", format!("{{{labels}}}"))
        };
        let mut below = 0_u64;
        // Writing to a string cannot fail.
        for (bound, bucket) in BOUNDS_S.iter().zip(&self.buckets) {
            below = below.saturating_add(bucket.load(Ordering::Relaxed));
            // What is counted meanwhile must not make a bucket larger than all.
            let value = below.min(count);
            let _ = writeln!(
                out,
                "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {value}"
            );
        }
        let seconds = self.micros.load(Ordering::Relaxed) as f64 / 1e6;
        let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {count}");
        let _ = writeln!(out, "{name}_sum{set} {seconds}\n{name}_count{set} {count}");
    }
}
