//! What only the store itself is asked: overlapping runs, reads beside ingest, memory, replay.

use crate::engine::Engine::Activestore;
use crate::report::{Goal, Goals, table};
use crate::session::Session;
use crate::task::{Result, Work};

/// Scans over one run and over four.
pub fn overlap(session: &mut Session, goals: &mut Goals) -> Result<()> {
    let data = session.fleet()?;
    let task = session.task(Work::Overlap, &data);
    let Some(figures) = session.measure(Activestore, "overlap", &task)? else {
        return Ok(());
    };
    let get = |metric: &str| figures.get(metric).copied();
    for (name, metric) in [
        ("follow each other in time", "in_time_ratio"),
        ("alternate tick by tick", "alternating_ratio"),
    ] {
        let what = format!("scan over four overlapping runs that {name}, to one run");
        goals.add(what, get(metric), Goal::AtMost(1.5), "×");
    }
    let columns = [
        ("one run, ns a value", "in_time_one_ns", 1.0, 3),
        ("four in time", "in_time_ns", 1.0, 3),
        ("by key", "in_time_sorted_ns", 1.0, 3),
        ("four alternating", "alternating_ns", 1.0, 3),
        ("by key", "alternating_sorted_ns", 1.0, 3),
        ("files in time", "files_in_time", 1.0, 0),
        ("files alternating", "files_alternating", 1.0, 0),
    ];
    let rows = vec![("activestore".to_owned(), figures)];
    table("scan of ten fields, one core", &columns, &rows, None);
    Ok(())
}

/// Reads while rows come in.
pub fn mixed(session: &mut Session, goals: &mut Goals) -> Result<()> {
    let data = session.fleet()?;
    let task = session.task(Work::Mixed, &data);
    let Some(figures) = session.measure(Activestore, "mixed", &task)? else {
        return Ok(());
    };
    let get = |metric: &str| figures.get(metric).copied();
    let scan = get("scan_busy_ms").zip(get("scan_idle_ms"));
    goals.add(
        "scan while 0.5 M rows/s come in, to idle",
        scan.map(|(busy, idle)| busy / idle),
        Goal::AtMost(2.0),
        "×",
    );
    goals.add(
        "point read p99 while 0.5 M rows/s come in",
        get("point_busy_p99_us"),
        Goal::AtMost(1_000.0),
        "µs",
    );
    let rate = get("incoming_rows_s").map(|rate| rate / 1e6);
    goals.add(
        "rows that came in meanwhile",
        rate,
        Goal::AtLeast(0.49),
        "M rows/s",
    );
    let columns = [
        ("M rows/s in", "incoming_rows_s", 1e-6, 3),
        ("scan idle ms", "scan_idle_ms", 1.0, 2),
        ("scan busy ms", "scan_busy_ms", 1.0, 2),
        ("point p99 idle µs", "point_idle_p99_us", 1.0, 1),
        ("busy p50 µs", "point_busy_p50_us", 1.0, 1),
        ("busy p99 µs", "point_busy_p99_us", 1.0, 1),
        ("busy p999 µs", "point_busy_p999_us", 1.0, 1),
        ("files", "files", 1.0, 0),
    ];
    let rows = vec![("activestore".to_owned(), figures)];
    table("reads of older rows beside ingest", &columns, &rows, None);
    Ok(())
}

/// Memory under a limit, and write amplification.
pub fn memory(session: &mut Session, goals: &mut Goals) -> Result<()> {
    let data = session.fleet()?;
    let task = session.task(Work::Memory, &data);
    let Some(figures) = session.measure(Activestore, "memory", &task)? else {
        return Ok(());
    };
    let limit = task.memory as f64 / f64::from(1 << 20);
    for phase in ["ingest", "scan", "compaction", "recovery"] {
        let peak = figures.get(&format!("peak_{phase}_bytes")).copied();
        let peak = peak.map(|bytes| bytes / f64::from(1 << 20));
        let what = format!("resident memory of the store, {phase}");
        goals.add(what, peak, Goal::AtMost(limit), "MiB");
    }
    for (metric, what) in [
        (
            "write_amp_files",
            "all SSTables written, to those of the flushes",
        ),
        (
            "write_amp_all",
            "log and SSTables written, to the rows in Arrow",
        ),
    ] {
        let value = figures.get(metric).copied();
        let what = format!("write amplification: {what}");
        goals.add(what, value, Goal::AtMost(4.0), "×");
    }
    let mib = 1.0 / f64::from(1 << 20);
    let columns = [
        ("ingest MiB", "peak_ingest_bytes", mib, 1),
        ("scan MiB", "peak_scan_bytes", mib, 1),
        ("compaction MiB", "peak_compaction_bytes", mib, 1),
        ("recovery MiB", "peak_recovery_bytes", mib, 1),
        ("process without it MiB", "process_bytes", mib, 1),
    ];
    let rows = vec![("activestore".to_owned(), figures)];
    let title = format!("resident memory, limit {limit:.0} MiB");
    table(&title, &columns, &rows, None);
    Ok(())
}

/// How fast a log is replayed. With the default rows, opening files is most of it: `--full`.
pub fn replay(session: &mut Session, goals: &mut Goals) -> Result<()> {
    let data = session.fleet()?;
    let task = session.task(Work::Replay, &data);
    let Some(figures) = session.measure(Activestore, "replay", &task)? else {
        return Ok(());
    };
    let columns = [
        ("log MB", "log_bytes", 1e-6, 1),
        ("s", "replay_s", 1.0, 2),
        ("s per GiB", "s_per_gib", 1.0, 2),
        ("fastest", "fastest_s_per_gib", 1.0, 2),
        ("slowest", "slowest_s_per_gib", 1.0, 2),
        ("records", "records", 1.0, 0),
    ];
    let what = "opening a store, a GiB of log, the middle of five times".to_owned();
    goals.add(
        what,
        figures.get("s_per_gib").copied(),
        Goal::AtMost(1.0),
        "s",
    );
    let rows = vec![("activestore".to_owned(), figures)];
    table(
        "opening a store whose rows are all in the log",
        &columns,
        &rows,
        None,
    );
    Ok(())
}
