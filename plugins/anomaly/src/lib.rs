//! Flags values that are not normal for their device, as they are written.
//!
//! For each key and column it remembers the last points and the medians of longer stretches, in the
//! processor's durable state, and sends one row to the output table when an abnormal episode begins:
//! the key columns, the column's name, the value, the median that it was compared with, and the score.
//! It changes and rejects nothing. See [`detector`] for what counts as abnormal.

pub mod detector;
pub mod memory;

use std::collections::BTreeMap;

use activestore_plugin::{
    Batch, Column, Config, Error, Field, Processed, Processor, ScalarType, Spec, State, log,
};

use detector::{Alarm, History, Settings};

/// Points in a window and blocks in a history at most: what is kept per key and column is bounded.
const WINDOW_MAX: usize = 10_000;
const SETTINGS: [&str; 8] = [
    "columns",
    "key",
    "window",
    "threshold",
    "history",
    "level_threshold",
    "min_mad",
    "rearm",
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
        let processor = Anomaly {
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
        Ok((processor, Spec { outputs, columns }))
    }

    fn process(&mut self, batch: &Batch, state: &mut dyn State) -> Result<Processed, Error> {
        let rows = batch.rows as usize;
        let series = self.series(batch, rows);
        let mut alarms = self.watch(batch, &series, state);
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
        Ok(Processed {
            rows: alarms.len(),
            columns,
            rejected: Vec::new(),
        })
    }
}

impl Anomaly {
    /// The batch's rows by the value of their key, in the order of writing.
    fn series(&self, batch: &Batch, rows: usize) -> BTreeMap<Vec<u8>, Vec<usize>> {
        let mut series: BTreeMap<Vec<u8>, Vec<usize>> = BTreeMap::new();
        for row in 0..rows {
            let mut key = Vec::new();
            for place in &self.key {
                batch.columns[*place].push_key(row, &mut key);
            }
            series.entry(key).or_default().push(row);
        }
        series
    }

    /// Looks at every watched value; gives the alarms as (row, watched column, alarm).
    fn watch(
        &self,
        batch: &Batch,
        series: &BTreeMap<Vec<u8>, Vec<usize>>,
        state: &mut dyn State,
    ) -> Vec<(usize, usize, Alarm)> {
        let mut jobs = Vec::new();
        for (key, rows) in series {
            for (watched, (place, name)) in self.watched.iter().enumerate() {
                let column = &batch.columns[*place];
                let values: Vec<(usize, f64)> = rows
                    .iter()
                    .filter_map(|row| Some((*row, column.number(*row)?)))
                    .filter(|(_, value)| value.is_finite())
                    .collect();
                if !values.is_empty() {
                    jobs.push((
                        watched,
                        state_key(b'r', name, key),
                        state_key(b'h', name, key),
                        values,
                    ));
                }
            }
        }
        let keys: Vec<_> = jobs.iter().map(|(_, recent, ..)| recent.clone()).collect();
        let memories = state.get_many(&keys);
        let mut alarms = Vec::new();
        let mut writes = Vec::new();
        for ((watched, recent_key, history_key, values), memory) in jobs.into_iter().zip(memories) {
            let mut recent = memory
                .as_deref()
                .map(memory::read_recent)
                .unwrap_or_default();
            let mut history: Option<History> = None;
            for (row, value) in values {
                let alarm = recent.push(value, &self.settings, || {
                    history.get_or_insert_with(|| read_history(state, &history_key))
                });
                alarms.extend(alarm.map(|alarm| (row, watched, alarm)));
            }
            writes.push((recent_key, Some(memory::write_recent(&recent))));
            if let Some(history) = history {
                writes.push((history_key, Some(memory::write_history(&history))));
            }
        }
        state.put_many(&writes);
        alarms
    }
}

fn read_history(state: &dyn State, key: &[u8]) -> History {
    let found = state.get_many(&[key.to_vec()]).pop().flatten();
    found
        .as_deref()
        .map(memory::read_history)
        .unwrap_or_default()
}

fn state_key(kind: u8, column: &str, key: &[u8]) -> Vec<u8> {
    [&[kind], column.as_bytes(), &[0], key].concat()
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
    let within = |name: &str, value: usize, least: usize| {
        if (least..=WINDOW_MAX).contains(&value) {
            Ok(())
        } else {
            Err(Error::Invalid(format!(
                "{name} = '{value}' is not within {least} and {WINDOW_MAX}"
            )))
        }
    };
    within("window", settings.window, 4)?;
    within("history", settings.history, 6)?;
    within("rearm", settings.rearm, 0)?;
    if !(settings.threshold > 0.0 && settings.level_threshold >= 0.0 && settings.min_mad >= 0.0) {
        return Err(Error::Invalid(
            "thresholds and min_mad are numbers above zero".to_owned(),
        ));
    }
    Ok(settings)
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
