//! Flags values that are not normal for their device, as they are written.
//!
//! For each key and column it remembers the last points and the medians of longer stretches, in the
//! processor's durable state, and sends one row to the output table when an abnormal episode begins:
//! the key columns, the column's name, the value, the median that it was compared with, and the score.
//! It changes and rejects nothing. See [`detector`] for what counts as abnormal.

pub mod detector;
mod fleet;
pub mod memory;
pub mod window;

use activestore_plugin::{
    Batch, Column, Config, Error, Field, Processed, Processor, ScalarType, Spec, State, VarBytes,
    log,
};

use detector::{Alarm, Settings};
use fleet::{Fleet, Series};

/// Points in a window and blocks in a history at most: what is kept per key and column is bounded.
const WINDOW_MAX: usize = 10_000;
/// Mebibytes for series that are kept between batches, unless told otherwise, and at most.
const MEMORY_MIB: usize = 20;
const MEMORY_MIB_MAX: usize = 1024;
/// Series that are read, judged and written together.
const SERIES_AT_ONCE: usize = 2048;
const SETTINGS: [&str; 9] = [
    "columns",
    "key",
    "window",
    "threshold",
    "history",
    "level_threshold",
    "min_mad",
    "rearm",
    "memory_mib",
];

/// The processor.
pub struct Anomaly {
    settings: Settings,
    /// Positions, among the columns asked for, of the primary key.
    primary: Vec<usize>,
    /// Positions of the columns that tell series apart.
    key: Vec<usize>,
    /// Positions and names of the columns watched.
    watched: Vec<(usize, String)>,
    fleet: Fleet,
}

/// The points of one series in a batch.
struct Job {
    device: usize,
    watched: usize,
    /// Where they lie among the points of all jobs.
    points: std::ops::Range<usize>,
}

impl Processor for Anomaly {
    fn init(config: &Config, fields: &[Field]) -> Result<(Self, Spec), Error> {
        config.only(&SETTINGS)?;
        let settings = settings(config)?;
        let find = |name: &String| {
            fields
                .iter()
                .position(|field| field.name == *name)
                .ok_or_else(|| Error::Invalid(format!("the table has no column '{name}'")))
        };
        let primary: Vec<usize> = (0..fields.len()).filter(|i| !fields[*i].nullable).collect();
        let key: Vec<usize> = match config.list("key") {
            names if names.is_empty() => primary
                .iter()
                .copied()
                .filter(|i| !is_time(fields[*i].kind))
                .collect(),
            names => names.iter().map(find).collect::<Result<_, _>>()?,
        };
        let watched: Vec<usize> = match config.list("columns") {
            names if names.is_empty() => (0..fields.len())
                .filter(|i| fields[*i].nullable && is_float(fields[*i].kind))
                .collect(),
            names => names.iter().map(find).collect::<Result<_, _>>()?,
        };
        for index in &watched {
            let field = &fields[*index];
            if matches!(field.kind, ScalarType::Text | ScalarType::Bytes) || is_time(field.kind) {
                return Err(Error::Invalid(format!(
                    "column '{}' holds no numbers",
                    field.name
                )));
            }
        }
        if watched.is_empty() {
            log::warn("the table has no column of floats yet; name others with columns = 'a,b'");
        }

        // The columns asked for, and where each of them stands there.
        let mut columns: Vec<usize> = Vec::new();
        let mut place = |index: usize| match columns.iter().position(|other| *other == index) {
            Some(place) => place,
            None => {
                columns.push(index);
                columns.len() - 1
            }
        };
        let memory = config.parse("memory_mib", MEMORY_MIB)?;
        within("memory_mib", memory, 1, MEMORY_MIB_MAX)?;
        let processor = Anomaly {
            fleet: Fleet::new(watched.len(), memory << 20),
            settings,
            primary: primary.iter().map(|index| place(*index)).collect(),
            key: key.iter().map(|index| place(*index)).collect(),
            watched: watched
                .iter()
                .map(|index| (place(*index), fields[*index].name.clone()))
                .collect(),
        };
        let output = |name: &str, kind, nullable| Field {
            name: name.to_owned(),
            kind,
            nullable,
        };
        // Times last, so that a table made of these columns is partitioned by device.
        let (times, others): (Vec<usize>, Vec<usize>) = primary
            .iter()
            .partition(|index| is_time(fields[**index].kind));
        let mut outputs: Vec<Field> = others
            .iter()
            .chain(&times)
            .map(|index| fields[*index].clone())
            .collect();
        outputs.extend([
            output("column", ScalarType::Text, false),
            output("value", ScalarType::Float64, true),
            output("median", ScalarType::Float64, true),
            output("score", ScalarType::Float64, true),
        ]);
        let mut processor = processor;
        processor.primary = others
            .iter()
            .chain(&times)
            .filter_map(|index| columns.iter().position(|other| other == index))
            .collect();
        let columns = columns.into_iter().map(|index| index as u32).collect();
        Ok((processor, Spec::sending(outputs, columns)))
    }

    fn process(&mut self, batch: &Batch, state: &mut dyn State) -> Result<Processed, Error> {
        let mut alarms = self.watch(batch, state);
        alarms.sort_by_key(|(row, watched, _)| (*row, *watched));
        let picked: Vec<usize> = alarms.iter().map(|(row, ..)| *row).collect();
        let mut columns: Vec<Column> = self
            .primary
            .iter()
            .map(|place| batch.columns[*place].take(&picked))
            .collect();
        columns.push(Column::text(
            alarms
                .iter()
                .map(|(_, watched, _)| &self.watched[*watched].1),
        ));
        let floats = |pick: fn(&Alarm) -> f64| {
            Column::f64s(alarms.iter().map(|(.., alarm)| pick(alarm)).collect())
        };
        columns.push(floats(|alarm| alarm.value));
        columns.push(floats(|alarm| alarm.median));
        columns.push(floats(|alarm| alarm.score));
        Ok(Processed::sending(alarms.len(), columns))
    }
}

impl Anomaly {
    /// Looks at every watched value; gives the alarms as (row, watched column, alarm).
    fn watch(&mut self, batch: &Batch, state: &mut dyn State) -> Vec<(usize, usize, Alarm)> {
        self.fleet.tidy();
        let key = &self.key;
        let sorted = self.fleet.sort(batch.rows as usize, |row, out| {
            for place in key {
                batch.columns[*place].push_key(row, out);
            }
        });
        let mut alarms = Vec::new();
        let at_once = (SERIES_AT_ONCE / self.watched.len().max(1)).max(1);
        for devices in sorted.devices.chunks(at_once) {
            let (jobs, points) = self.jobs(batch, devices, &sorted.rows);
            self.read(&jobs, state);
            self.judge(&jobs, &points, state, &mut alarms);
            for job in jobs.iter().rev() {
                if !self.fleet.is_over() {
                    break;
                }
                self.fleet.forget(job.device, job.watched);
            }
        }
        alarms
    }

    /// The values of these devices that are to be looked at, each with its row, by series.
    fn jobs(&self, batch: &Batch, devices: &[usize], rows: &[u32]) -> (Vec<Job>, Vec<(u32, f64)>) {
        let (mut jobs, mut points) = (Vec::new(), Vec::new());
        for device in devices {
            let (first, count) = self.fleet.device(*device).rows;
            let rows = &rows[first..first + count];
            for (watched, (place, _)) in self.watched.iter().enumerate() {
                let column = &batch.columns[*place];
                let begin = points.len();
                let values = rows.iter().filter_map(|row| {
                    let value = column.number(*row as usize)?;
                    value.is_finite().then_some((*row, value))
                });
                points.extend(values);
                if points.len() > begin {
                    jobs.push(Job {
                        device: *device,
                        watched,
                        points: begin..points.len(),
                    });
                }
            }
        }
        (jobs, points)
    }

    /// Reads what is not here: the short memories, and the long ones that will be looked at.
    fn read(&mut self, jobs: &[Job], state: &dyn State) {
        let missing = |job: &&Job| self.fleet.series(job.device, job.watched).is_none();
        let missing: Vec<&Job> = jobs.iter().filter(missing).collect();
        if !missing.is_empty() {
            let found = state.get_packed(&self.keys(b'r', &missing));
            for (place, job) in missing.iter().enumerate() {
                let bytes = found.get(place).unwrap_or_default();
                let series = Series::of(memory::read_recent(bytes), memory::packed(bytes).to_vec());
                self.fleet.put(job.device, job.watched, series);
            }
        }
        let closing = |job: &&Job| {
            let series = self.fleet.series(job.device, job.watched);
            series.is_some_and(|series| {
                series.history.is_none()
                    && series
                        .recent
                        .closes_within(job.points.len(), &self.settings)
            })
        };
        let closing: Vec<&Job> = jobs.iter().filter(closing).collect();
        if !closing.is_empty() {
            let found = state.get_packed(&self.keys(b'h', &closing));
            for (place, job) in closing.iter().enumerate() {
                let history = found.get(place).unwrap_or_default().to_vec();
                self.fleet.work(job.device, job.watched, |series| {
                    series.history = Some(history)
                });
            }
        }
    }

    /// Shows the series their points and writes what they remember then.
    fn judge(
        &mut self,
        jobs: &[Job],
        points: &[(u32, f64)],
        state: &mut dyn State,
        alarms: &mut Vec<(usize, usize, Alarm)>,
    ) {
        let mut keys = VarBytes::with_capacity(jobs.len(), 0);
        let mut values = VarBytes::with_capacity(jobs.len(), 0);
        let settings = &self.settings;
        for job in jobs {
            let name = &self.watched[job.watched].1;
            let key = self.fleet.device(job.device).key.clone();
            self.fleet.work(job.device, job.watched, |series| {
                let mut history = None;
                let before = series.history.as_deref();
                for (row, value) in &points[job.points.clone()] {
                    let alarm = series.recent.push(*value, settings, || {
                        history.get_or_insert_with(|| {
                            before.map(memory::read_history).unwrap_or_default()
                        })
                    });
                    alarms.extend(alarm.map(|alarm| (*row as usize, job.watched, alarm)));
                }
                if let Some(history) = history {
                    let mut bytes = Vec::new();
                    memory::write_history(&history, &mut bytes);
                    push_key(&mut keys, b'h', name, &key);
                    values.push(&bytes);
                    series.history = Some(bytes);
                    // A shorter form may do by now.
                    series.packed.clear();
                }
                let (recent, packed) = (&series.recent, &mut series.packed);
                memory::write_recent(recent, packed, job.points.len(), &mut values.data);
                values.end();
                push_key(&mut keys, b'r', name, &key);
            });
        }
        if !keys.is_empty() {
            state.put_packed(&keys, &values);
        }
    }

    fn keys(&self, kind: u8, jobs: &[&Job]) -> VarBytes {
        let mut keys = VarBytes::with_capacity(jobs.len(), 0);
        for job in jobs {
            let device = self.fleet.device(job.device);
            push_key(&mut keys, kind, &self.watched[job.watched].1, &device.key);
        }
        keys
    }
}

/// Appends the key that a series' memory of this kind is kept under.
fn push_key(keys: &mut VarBytes, kind: u8, column: &str, key: &[u8]) {
    keys.data.push(kind);
    keys.data.extend_from_slice(column.as_bytes());
    keys.data.push(0);
    keys.data.extend_from_slice(key);
    keys.end();
}

fn settings(config: &Config) -> Result<Settings, Error> {
    let default = Settings::default();
    let window = config.parse("window", default.window)?;
    let settings = Settings {
        window,
        threshold: config.parse("threshold", default.threshold)?,
        history: config.parse("history", default.history)?,
        level_threshold: config.parse("level_threshold", default.level_threshold)?,
        min_mad: config.parse("min_mad", default.min_mad)?,
        rearm: config.parse("rearm", window)?,
    };
    within("window", settings.window, 4, WINDOW_MAX)?;
    within("history", settings.history, 6, WINDOW_MAX)?;
    within("rearm", settings.rearm, 0, WINDOW_MAX)?;
    if !(settings.threshold > 0.0 && settings.level_threshold >= 0.0 && settings.min_mad >= 0.0) {
        return Err(Error::Invalid(
            "thresholds and min_mad are numbers above zero".to_owned(),
        ));
    }
    Ok(settings)
}

fn within(name: &str, value: usize, least: usize, most: usize) -> Result<(), Error> {
    if (least..=most).contains(&value) {
        Ok(())
    } else {
        Err(Error::Invalid(format!(
            "{name} = '{value}' is not within {least} and {most}"
        )))
    }
}

fn is_time(kind: ScalarType) -> bool {
    matches!(kind, ScalarType::Timestamp | ScalarType::Date)
}

fn is_float(kind: ScalarType) -> bool {
    matches!(kind, ScalarType::Float32 | ScalarType::Float64)
}

activestore_plugin::processor!(Anomaly);

#[cfg(test)]
mod tests;
