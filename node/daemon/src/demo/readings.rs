//! Where the demo's readings come from: this machine's own load and sensors, or a CSV file.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use activestore_types::{Error, Result};
use serde_json::{Map, Value, json};

/// What this machine's counters said last, to take differences from.
#[derive(Default)]
pub(crate) struct Machine {
    cores: BTreeMap<String, (u64, u64)>,
}

/// Nanoseconds since 1970.
pub(crate) fn now_ns() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as u64)
}

impl Machine {
    /// How busy each processor core was since the last call, in percent, with the load of the last
    /// minute per core: `(device, object)`.
    pub(crate) fn cores(&mut self) -> Vec<(String, Value)> {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let mut found = Vec::new();
        for line in stat.lines() {
            let mut words = line.split_whitespace();
            let Some(name) = words.next().filter(|name| {
                name.strip_prefix("cpu")
                    .is_some_and(|number| number.parse::<u32>().is_ok())
            }) else {
                continue;
            };
            let times: Vec<u64> = words.filter_map(|word| word.parse().ok()).collect();
            let total: u64 = times.iter().take(8).sum();
            // Fields four and five are idle and waiting for a disk.
            let idle: u64 = times.iter().skip(3).take(2).sum();
            if let Some((last_total, last_idle)) = self.cores.insert(name.to_owned(), (total, idle))
                && total > last_total
            {
                let span = (total - last_total) as f64;
                let busy = span - idle.saturating_sub(last_idle) as f64;
                found.push((name.to_owned(), (busy / span * 1000.0).round() / 10.0));
            }
        }
        let count = found.len().max(1) as f64;
        let load = load() / count;
        let ts = now_ns();
        found
            .into_iter()
            .map(|(device, cpu)| {
                let load = (load * 1000.0).round() / 1000.0;
                (device, json!({ "ts": ts, "cpu": cpu, "load": load }))
            })
            .collect()
    }

    /// Memory in use and temperatures, as one text of line protocol for a host of this name.
    pub(crate) fn lines(&self, host: &str) -> (String, u64) {
        let ts = now_ns();
        let mut text = String::new();
        let mut rows = 0;
        if let Some((used_kib, percent)) = memory() {
            text.push_str(&format!(
                "machine,host={host},part=memory used_kib={used_kib}i,used_percent={percent:.2} {ts}\n"
            ));
            rows += 1;
        }
        for (zone, celsius) in temperatures() {
            text.push_str(&format!(
                "machine,host={host},part={zone} celsius={celsius} {ts}\n"
            ));
            rows += 1;
        }
        (text, rows)
    }
}

fn load() -> f64 {
    fs::read_to_string("/proc/loadavg")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .unwrap_or(0.0)
}

fn memory() -> Option<(u64, f64)> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let read = |name: &str| -> Option<u64> {
        text.lines()
            .find_map(|line| line.strip_prefix(name))?
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    };
    let total: u64 = read("MemTotal:")?;
    let available: u64 = read("MemAvailable:")?;
    let used = total.saturating_sub(available);
    Some((used, used as f64 / total.max(1) as f64 * 100.0))
}

fn temperatures() -> Vec<(String, f64)> {
    let Ok(zones) = fs::read_dir("/sys/class/thermal") else {
        return Vec::new();
    };
    let mut found: Vec<(String, f64)> = zones
        .filter_map(std::result::Result::ok)
        .filter_map(|zone| {
            let millis: f64 = fs::read_to_string(zone.path().join("temp"))
                .ok()?
                .trim()
                .parse()
                .ok()?;
            Some((
                zone.file_name().to_string_lossy().into_owned(),
                millis / 1000.0,
            ))
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// Reads a CSV of `timestamp,value…` into objects with `ts` and the value columns.
///
/// # Errors
/// When the file cannot be read or holds no usable row; a broken line is counted and left out.
pub(crate) fn from_csv(path: &Path) -> Result<(Vec<Value>, usize)> {
    let text =
        fs::read_to_string(path).map_err(|error| Error::from(error).context(path.display()))?;
    let mut lines = text.lines();
    let header: Vec<String> = lines
        .next()
        .unwrap_or_default()
        .split(',')
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    if header.len() < 2 {
        return Err(Error::invalid(format!(
            "{} has no header of a time and at least one value",
            path.display()
        ))
        .with_hint("the first line is like: timestamp,value"));
    }
    let (mut rows, mut broken) = (Vec::new(), 0);
    for line in lines.filter(|line| !line.trim().is_empty()) {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let values: Option<Vec<f64>> = fields
            .iter()
            .skip(1)
            .map(|field| field.parse().ok())
            .collect();
        match (fields.first(), values) {
            (Some(time), Some(values)) if fields.len() == header.len() && time.len() >= 10 => {
                let mut object = Map::new();
                object.insert("ts".to_owned(), json!(time.replacen(' ', "T", 1)));
                for (name, value) in header.iter().skip(1).zip(values) {
                    object.insert(name.clone(), json!(value));
                }
                rows.push(Value::Object(object));
            }
            _ => broken += 1,
        }
    }
    if rows.is_empty() {
        return Err(Error::invalid(format!(
            "{} holds no line of a time and numbers",
            path.display()
        )));
    }
    Ok((rows, broken))
}
