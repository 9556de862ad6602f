//! Compares values with limits that stand in another table, and tells when one is passed and when the value
//! is within again. It may read that table by grant only; it changes and rejects nothing.

use std::collections::BTreeMap;

use activestore_plugin::{
    Batch, Column, Config, Error, Field, Output, Processed, Processor, ScalarType, Spec, State,
    tables,
};

/// The processor.
pub struct Limits {
    table: String,
    /// How many of the columns asked for, from the first on, are the primary key without its times.
    key: usize,
    /// How many after them are its times.
    times: usize,
    /// The names of the columns watched, which follow.
    watched: Vec<String>,
}

/// A value that crossed a limit.
struct Crossing {
    row: usize,
    watched: usize,
    value: f64,
    limit: f64,
    alarm: bool,
}

impl Processor for Limits {
    fn init(config: &Config, fields: &[Field]) -> Result<(Self, Spec), Error> {
        config.only(&["table", "columns"])?;
        let table = config.get("table").ok_or_else(|| {
            Error::Invalid("the setting 'table' is missing: where the limits are".to_owned())
        })?;
        let is_time =
            |field: &Field| matches!(field.kind, ScalarType::Timestamp | ScalarType::Date);
        let places = |wanted: &dyn Fn(&Field) -> bool| -> Vec<usize> {
            (0..fields.len())
                .filter(|place| wanted(&fields[*place]))
                .collect()
        };
        let key = places(&|field| !field.nullable && !is_time(field));
        let times = places(&|field| !field.nullable && is_time(field));
        let watched = config.columns("columns", fields, |field| {
            field.nullable && matches!(field.kind, ScalarType::Float32 | ScalarType::Float64)
        })?;
        if watched.is_empty() {
            return Err(Error::Invalid(
                "the table has no column of floats yet; name others with columns = 'a,b'"
                    .to_owned(),
            ));
        }
        let output = |name: &str, kind, nullable| Field {
            name: name.to_owned(),
            kind,
            nullable,
        };
        let mut sent: Vec<Field> = key
            .iter()
            .chain(&times)
            .map(|place| fields[*place].clone())
            .collect();
        sent.extend([
            output("column", ScalarType::Text, false),
            output("value", ScalarType::Float64, true),
            output("limit", ScalarType::Float64, true),
        ]);
        let spec = Spec {
            outputs: ["alarms", "cleared"]
                .map(|name| Output {
                    name: name.to_owned(),
                    fields: sent.clone(),
                })
                .to_vec(),
            columns: [&key, &times, &watched]
                .into_iter()
                .flatten()
                .map(|place| *place as u32)
                .collect(),
        };
        let limits = Limits {
            table: table.to_owned(),
            key: key.len(),
            times: times.len(),
            watched: watched
                .iter()
                .map(|place| fields[*place].name.clone())
                .collect(),
        };
        Ok((limits, spec))
    }

    fn process(&mut self, batch: &Batch, state: &mut dyn State) -> Result<Processed, Error> {
        let series = self.series(batch);
        let limits = self.read(batch, &series)?;
        let keys: Vec<Vec<u8>> = series.keys().cloned().collect();
        let held = state.get_many(&keys);
        let mut crossings = Vec::new();
        let mut writes = Vec::new();
        for (place, ((key, (watched, rows)), held)) in series.iter().zip(held).enumerate() {
            let column = &batch.columns[self.key + self.times + watched];
            let (low, high) = (limits[0].number(place), limits[1].number(place));
            let before = held.is_some();
            let mut alarm = before;
            for row in rows {
                let Some(value) = column.number(*row) else {
                    continue;
                };
                let passed = high
                    .filter(|high| value > *high)
                    .or(low.filter(|low| value < *low));
                if passed.is_some() != alarm {
                    alarm = passed.is_some();
                    crossings.push(Crossing {
                        row: *row,
                        watched: *watched,
                        value,
                        limit: passed.unwrap_or(f64::NAN),
                        alarm,
                    });
                }
            }
            if alarm != before {
                writes.push((key.clone(), alarm.then(Vec::new)));
            }
        }
        state.put_many(&writes);
        crossings.sort_by_key(|crossing| (crossing.row, crossing.watched));
        let outputs = [true, false].map(|alarm| {
            let sent = crossings.iter().filter(|crossing| crossing.alarm == alarm);
            self.rows(batch, &sent.collect::<Vec<_>>())
        });
        Ok(Processed {
            outputs: outputs.to_vec(),
            rejected: Vec::new(),
        })
    }
}

impl Limits {
    /// The rows of each key and watched column, by what state calls them, in the order of writing.
    fn series(&self, batch: &Batch) -> BTreeMap<Vec<u8>, (usize, Vec<usize>)> {
        let mut series: BTreeMap<Vec<u8>, (usize, Vec<usize>)> = BTreeMap::new();
        let mut key = Vec::new();
        for row in 0..batch.rows as usize {
            for (watched, name) in self.watched.iter().enumerate() {
                key.clear();
                for column in &batch.columns[..self.key] {
                    column.push_key(row, &mut key);
                }
                key.extend(name.as_bytes());
                match series.get_mut(&key) {
                    Some((_, rows)) => rows.push(row),
                    None => {
                        series.insert(key.clone(), (watched, vec![row]));
                    }
                }
            }
        }
        series
    }

    /// The lower and the upper limit of each series; null where there is none.
    fn read(
        &self,
        batch: &Batch,
        series: &BTreeMap<Vec<u8>, (usize, Vec<usize>)>,
    ) -> Result<Vec<Column>, Error> {
        let first: Vec<usize> = series.values().map(|(_, rows)| rows[0]).collect();
        let mut keys: Vec<Column> = batch.columns[..self.key]
            .iter()
            .map(|column| column.take(&first))
            .collect();
        let names = series.values().map(|(watched, _)| &self.watched[*watched]);
        keys.push(Column::text(names));
        tables::get(&self.table, series.len(), &keys, &["low", "high"])
    }

    fn rows(&self, batch: &Batch, sent: &[&Crossing]) -> Batch {
        let rows: Vec<usize> = sent.iter().map(|crossing| crossing.row).collect();
        let mut columns: Vec<Column> = batch.columns[..self.key + self.times]
            .iter()
            .map(|column| column.take(&rows))
            .collect();
        columns.push(Column::text(
            sent.iter().map(|one| &self.watched[one.watched]),
        ));
        columns.push(Column::f64s(sent.iter().map(|one| one.value).collect()));
        let mut limits = Column::f64s(sent.iter().map(|one| one.limit).collect());
        let known: Vec<bool> = sent.iter().map(|one| !one.limit.is_nan()).collect();
        if known.contains(&false) {
            limits.validity = Some(activestore_plugin::bitmap::pack(&known));
        }
        columns.push(limits);
        Batch {
            rows: sent.len() as u32,
            columns,
        }
    }
}

activestore_plugin::processor!(Limits);
