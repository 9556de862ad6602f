//! Watches the machine and asks compaction to rest while it is hot, on battery or short of I/O, as
//! far as Linux tells under `/sys` and `/proc`. What the machine does not tell never pauses
//! anything, and the store goes on by itself where files pile up.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use activestore_db::{Db, PauseReason};
use tokio::task::{JoinHandle, spawn_blocking};

/// How often the machine is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How far below its limit the temperature falls before compaction goes on, in degrees.
const CELSIUS_BACK: f64 = 5.0;

/// The part of its limit that the I/O pressure falls to before compaction goes on.
const PRESSURE_BACK: f64 = 0.5;

/// When compaction rests; nothing by default.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Watch {
    /// Above this temperature of the hottest sensor, in degrees Celsius.
    pub celsius_max: Option<f64>,
    /// On battery.
    pub on_battery: bool,
    /// While tasks wait for the disk for more than this part of the time, in percent.
    pub io_pressure_max: Option<f64>,
}

/// The watch; it ends when it is dropped.
pub struct Governor(JoinHandle<()>);

impl Governor {
    /// Starts to watch; `None` where there is nothing to watch for.
    pub fn start(watch: Watch, db: Db) -> Option<Governor> {
        if watch == Watch::default() {
            return None;
        }
        let machine = Machine::default();
        Some(Governor(tokio::spawn(async move {
            let mut state = State::default();
            loop {
                let (looking, before) = (machine.clone(), state);
                // A sensor may take its time.
                let Ok(now) = spawn_blocking(move || before.next(&watch, &looking)).await else {
                    return;
                };
                for (reason, was, is) in now.since(&state) {
                    tracing::info!(reason = reason.name(), rest = is, "compaction");
                    debug_assert_ne!(was, is);
                    if is {
                        db.pause_compaction(reason);
                    } else {
                        db.resume_compaction(reason);
                    }
                }
                state = now;
                tokio::time::sleep(LOOK_EVERY).await;
            }
        })))
    }
}

impl Drop for Governor {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Which reasons hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    hot: bool,
    battery: bool,
    io: bool,
}

impl State {
    /// What holds after another look.
    fn next(self, watch: &Watch, machine: &Machine) -> State {
        let over =
            |limit: Option<f64>, value: Option<f64>, was: bool, back: &dyn Fn(f64) -> f64| {
                limit
                    .zip(value)
                    .is_some_and(|(limit, value)| value > if was { back(limit) } else { limit })
            };
        State {
            hot: over(watch.celsius_max, machine.celsius(), self.hot, &|max| {
                max - CELSIUS_BACK
            }),
            battery: watch.on_battery && machine.on_battery(),
            io: over(
                watch.io_pressure_max,
                machine.io_pressure(),
                self.io,
                &|max| max * PRESSURE_BACK,
            ),
        }
    }

    /// The reasons that changed, with what they were and are.
    fn since(self, before: &State) -> impl Iterator<Item = (PauseReason, bool, bool)> {
        let all = [
            (PauseReason::Hot, before.hot, self.hot),
            (PauseReason::Battery, before.battery, self.battery),
            (PauseReason::Io, before.io, self.io),
        ];
        all.into_iter().filter(|(_, was, is)| was != is)
    }
}

/// Where the system tells about itself.
#[derive(Clone, Debug)]
struct Machine {
    sys: PathBuf,
    proc: PathBuf,
}

impl Default for Machine {
    fn default() -> Self {
        Machine {
            sys: PathBuf::from("/sys"),
            proc: PathBuf::from("/proc"),
        }
    }
}

impl Machine {
    /// The hottest thermal zone, in degrees Celsius; `None` without a sensor.
    fn celsius(&self) -> Option<f64> {
        let zones = entries(&self.sys.join("class/thermal"), "thermal_zone");
        let celsius = zones.filter_map(|zone| {
            let milli: f64 = read(&zone.join("temp"))?.parse().ok()?;
            Some(milli / 1000.0)
        });
        celsius.reduce(f64::max)
    }

    /// Whether a battery is being discharged and no mains supply is online.
    fn on_battery(&self) -> bool {
        let supplies: Vec<PathBuf> = entries(&self.sys.join("class/power_supply"), "").collect();
        let says = |supply: &Path, file: &str, word: &str| {
            read(&supply.join(file)).is_some_and(|text| text.eq_ignore_ascii_case(word))
        };
        let mains = supplies.iter().any(|supply| {
            let fed = says(supply, "type", "Mains") || says(supply, "type", "USB");
            fed && says(supply, "online", "1")
        });
        let discharging = supplies.iter().any(|supply| {
            // The battery of a mouse says nothing about the machine.
            says(supply, "type", "Battery")
                && !says(supply, "scope", "Device")
                && says(supply, "status", "Discharging")
        });
        discharging && !mains
    }

    /// The part of the last ten seconds in which some task waited for the disk, in percent.
    fn io_pressure(&self) -> Option<f64> {
        let text = read(&self.proc.join("pressure/io"))?;
        let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
        let average = some
            .split_whitespace()
            .find_map(|word| word.strip_prefix("avg10="))?;
        average.parse().ok()
    }
}

fn entries(dir: &Path, prefix: &'static str) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter(move |entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
}

fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path)
        .ok()
        .map(|text| text.trim().to_owned())
}

#[cfg(test)]
mod tests;
