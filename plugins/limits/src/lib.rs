//! Compares values with limits that stand in another table, and tells when one is passed and when the value
//! is within again. It may read that table by grant only; it changes and rejects nothing.

use activestore_plugin::series::ByKey;
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
        let key: Vec<usize> = (0..self.key).collect();
        let devices = ByKey::of(batch, &key);
        let series = self.series(&devices);
        let limits = self.read(batch, &devices, &series)?;
        // What state calls a series: its key and the column's name.
        let keys: Vec<Vec<u8>> = series
            .iter()
            .map(|(device, watched)| {
                [devices.keys.get(*device), self.watched[*watched].as_bytes()].concat()
            })
            .collect();
        let held = state.get_many(&keys);
        let mut crossings = Vec::new();
        let mut writes = Vec::new();
        for (place, ((key, (device, watched)), held)) in
            keys.iter().zip(&series).zip(held).enumerate()
        {
            let column = &batch.columns[self.key + self.times + watched];
            let (low, high) = (limits[0].number(place), limits[1].number(place));
            let before = held.is_some();
            let mut alarm = before;
            for row in devices.rows(*device).iter().map(|row| *row as usize) {
                let Some(value) = column.number(row) else {
                    continue;
                };
                let passed = high
                    .filter(|high| value > *high)
                    .or(low.filter(|low| value < *low));
                if passed.is_some() != alarm {
                    alarm = passed.is_some();
                    crossings.push(Crossing {
                        row,
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
    /// Each key's number with each watched column's.
    fn series(&self, devices: &ByKey) -> Vec<(usize, usize)> {
        let watched = 0..self.watched.len();
        (0..devices.len())
            .flat_map(|device| watched.clone().map(move |watched| (device, watched)))
            .collect()
    }

    /// The lower and the upper limit of each series; null where there is none.
    fn read(
        &self,
        batch: &Batch,
        devices: &ByKey,
        series: &[(usize, usize)],
    ) -> Result<Vec<Column>, Error> {
        let first = series.iter().map(|(device, _)| devices.rows(*device)[0]);
        let first: Vec<usize> = first.map(|row| row as usize).collect();
        let mut keys: Vec<Column> = batch.columns[..self.key]
            .iter()
            .map(|column| column.take(&first))
            .collect();
        let names = series.iter().map(|(_, watched)| &self.watched[*watched]);
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
