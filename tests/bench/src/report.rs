//! One engine's figures, and the table of all of them with ratios to ours.

/// What was measured of one engine.
pub struct Figures {
    /// The engine, with what it was asked to guarantee.
    pub engine: String,
    /// Durable rows a second.
    pub ingest_rows_s: f64,
    /// Bytes on disk after the last row, compacted or checkpointed.
    pub disk_bytes: u64,
    /// Median time of a read of one whole row by its key, in microseconds.
    pub point_p50_us: f64,
    /// 99th percentile of the same.
    pub point_p99_us: f64,
    /// Time of a full scan that averages ten columns, in milliseconds, median of five.
    pub scan_ms: f64,
    /// What the scan found, to see that all engines read the same rows.
    pub scan_sum: f64,
}

/// Prints the table; ratios are ours to theirs for rates and theirs to ours for times and sizes, so
/// that more than 1 always means that activestore is ahead.
pub fn print(all: &[Figures], what: &str) {
    let Some(ours) = all.first() else {
        return;
    };
    let wanted = |name: &str| what == "all" || what == name;
    for figures in all {
        println!("{}", figures.engine);
        if wanted("ingest") {
            println!(
                "  durable ingest  {:>12.0} rows/s   ratio {:.2}",
                figures.ingest_rows_s,
                ours.ingest_rows_s / figures.ingest_rows_s
            );
            println!(
                "  on disk         {:>12.1} MB       ratio {:.2}",
                figures.disk_bytes as f64 / 1e6,
                figures.disk_bytes as f64 / ours.disk_bytes as f64
            );
        }
        if wanted("point") {
            println!(
                "  point read p50  {:>12.1} µs       ratio {:.2}   p99 {:.1} µs",
                figures.point_p50_us,
                figures.point_p50_us / ours.point_p50_us,
                figures.point_p99_us
            );
        }
        if wanted("scan") {
            println!(
                "  full scan       {:>12.1} ms       ratio {:.2}   sum {:.3}",
                figures.scan_ms,
                figures.scan_ms / ours.scan_ms,
                figures.scan_sum
            );
        }
    }
}

/// The value at a share of the sorted times.
pub fn percentile(times: &mut [f64], share: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    let last = times.len().saturating_sub(1);
    times
        .get((last as f64 * share) as usize)
        .copied()
        .unwrap_or(f64::NAN)
}
