//! How long things took: percentiles of many.

use std::time::Duration;

/// Waits in seconds.
#[derive(Default)]
pub struct Waits(Vec<f64>);

impl Waits {
    pub fn add(&mut self, wait: Duration) {
        self.0.push(wait.as_secs_f64());
    }

    pub fn append(&mut self, others: Waits) {
        self.0.extend(others.0);
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// `p50 110 µs, p99 800 µs, …`
    pub fn shown(&mut self) -> String {
        self.0.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = (self.0.len().saturating_sub(1) as f64 * share) as usize;
            self.0.get(place).map_or(f64::NAN, |wait| wait * 1e6)
        };
        format!(
            "p50 {:.0} µs, p90 {:.0} µs, p99 {:.0} µs, p99.9 {:.0} µs, most {:.0} µs",
            at(0.5),
            at(0.9),
            at(0.99),
            at(0.999),
            at(1.0)
        )
    }
}
