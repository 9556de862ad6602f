//! What the system says about this process: memory, processor time, and when it has come to rest.

use std::time::{Duration, Instant};

/// How long nothing may happen before a process counts as at rest.
const QUIET: Duration = Duration::from_millis(500);
/// How long rest is waited for at most.
const QUIET_LIMIT: Duration = Duration::from_secs(300);

/// A value of `/proc/self/status` in bytes, such as `VmHWM`, the most memory that was ever resident.
pub fn status_bytes(name: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok())
        .map_or(f64::NAN, |kib| kib * 1024.0)
}

/// Forgets the most memory that was ever resident, so that `VmHWM` counts from now on.
pub fn reset_peak() {
    // Where the system refuses, the peak stays the higher one: never in favour of who is measured.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Processor time of the process so far, all threads, in seconds; a hundredth of a second fine.
pub fn cpu_s() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut fields = after.split_whitespace().skip(11);
    let mut ticks = || fields.next().and_then(|text| text.parse::<f64>().ok());
    (ticks().unwrap_or(f64::NAN) + ticks().unwrap_or(f64::NAN)) / 100.0
}

/// Processor time of this thread so far, in seconds.
pub fn thread_cpu_s() -> f64 {
    // The kernel counts at its ticks, and when a thread gives way.
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ns = text
        .split_whitespace()
        .next()
        .and_then(|ns| ns.parse().ok());
    ns.unwrap_or(f64::NAN) / 1e9
}

/// Waits until the process has done nothing for a while, and returns when it last did something: the
/// end of the flushes and compactions that the writes before have caused.
pub fn wait_until_quiet() -> Instant {
    let begun = Instant::now();
    let (mut last, mut cpu) = (begun, cpu_s());
    while last.elapsed() < QUIET && begun.elapsed() < QUIET_LIMIT {
        std::thread::sleep(Duration::from_millis(20));
        let now = cpu_s();
        // The polling itself costs a tick now and then.
        if now - cpu > 0.015 {
            (last, cpu) = (Instant::now(), now);
        }
    }
    last
}

/// The value at a share of the times, which it sorts.
pub fn percentile(times: &mut [f64], share: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    let last = times.len().saturating_sub(1);
    times
        .get((last as f64 * share) as usize)
        .copied()
        .unwrap_or(f64::NAN)
}
