//! Thins time series out as they are written: a value goes on to the output table only when it says
//! something that those before do not. It changes and rejects nothing.
//!
//! For each key and watched column it remembers, in the processor's durable state, what it sent last. See
//! [`filter`] for what passes.

pub mod filter;
mod memory;

use activestore_plugin::series::{Bits, ByKey, Cells, Layout};
use activestore_plugin::{
    Batch, Config, Error, Field, Processed, Processor, ScalarType, Spec, State, VarBytes,
};

use filter::{Band, Filter, Mode, Point};

const SETTINGS: [&str; 5] = ["columns", "key", "mode", "band", "max_silence"];

/// The processor.
pub struct Deadband {
    layout: Layout,
    mode: Mode,
    /// One a watched column.
    bands: Vec<Band>,
    /// Nanoseconds after which a value passes in any case.
    silence: Option<i64>,
}

impl Processor for Deadband {
    fn init(config: &Config, fields: &[Field]) -> Result<(Self, Spec), Error> {
        config.only(&SETTINGS)?;
        let number = |field: &Field| {
            !matches!(
                field.kind,
                ScalarType::Text | ScalarType::Bytes | ScalarType::Timestamp | ScalarType::Date
            )
        };
        let layout = Layout::of(config, fields, number)?;
        let mode = match config.get("mode") {
            None | Some("deadband") => Mode::Deadband,
            Some("swinging_door") => Mode::SwingingDoor,
            Some(other) => {
                return Err(Error::Invalid(format!(
                    "mode = '{other}' is unknown; there are 'deadband' and 'swinging_door'"
                )));
            }
        };
        let silence = config.nanoseconds("max_silence")?;
        if mode == Mode::SwingingDoor {
            layout.must_be_timed("mode = 'swinging_door'")?;
        } else if silence.is_some() && layout.time.is_none() {
            return Err(Error::Invalid(
                "max_silence needs a primary key with one TIMESTAMP".to_owned(),
            ));
        }
        let bands = bands(config, &layout)?;
        let spec = Spec::sending(layout.cells(), layout.columns.clone());
        let deadband = Deadband {
            layout,
            mode,
            bands,
            silence,
        };
        Ok((deadband, spec))
    }

    fn process(&mut self, batch: &Batch, state: &mut dyn State) -> Result<Processed, Error> {
        let (rows, columns) = self.thin(batch, state)?.into_rows(batch, &self.layout);
        Ok(Processed::sending(rows, columns))
    }
}

impl Deadband {
    /// The cells that pass.
    fn thin(&self, batch: &Batch, state: &mut dyn State) -> Result<Cells, Error> {
        let mut cells = Cells::default();
        let sorted = ByKey::of(batch, &self.layout.key);
        let times = match self.layout.time {
            Some(place) => Some(batch.columns[place].as_s64s()?),
            None => None,
        };
        let found = state.get_packed(&sorted.keys);
        let mut keys = VarBytes::with_capacity(0, 0);
        let mut values = VarBytes::with_capacity(0, 0);
        let mut filters: Vec<Filter> = Vec::new();
        let mut bytes = Vec::new();
        for key in 0..sorted.len() {
            let before = found.get(key).unwrap_or_default();
            memory::read(before, &self.layout, self.mode, &mut filters);
            let rows = sorted.rows(key);
            for (watched, filter) in filters.iter_mut().enumerate() {
                let place = self.layout.watched[watched];
                let kind = self.layout.fields[place].kind;
                for row in rows {
                    let Some(bits) = Bits::of(&batch.columns[place], *row as usize) else {
                        continue;
                    };
                    let time = times.map_or(0, |times| times[*row as usize]);
                    let point = Point::of(time, bits, kind);
                    // Rows that a held value makes are told from the others by their time alone.
                    let source = match self.mode {
                        Mode::Deadband => *row,
                        Mode::SwingingDoor => rows[0],
                    };
                    filter.see(point, &self.bands[watched], self.silence, |point| {
                        cells.send(source, point.time, watched, point.bits);
                    });
                }
            }
            bytes.clear();
            memory::write(&filters, &self.layout, &mut bytes);
            if bytes != before {
                keys.push(sorted.keys.get(key));
                values.push(&bytes);
            }
        }
        if !keys.is_empty() {
            state.put_packed(&keys, &values);
        }
        Ok(cells)
    }
}

/// `band = '0.5'`, `'2%'` or, with the columns' own before what holds for the others, `'temp:0.1,hum:2%,1'`.
fn bands(config: &Config, layout: &Layout) -> Result<Vec<Band>, Error> {
    let parts = config.list("band");
    let mut others = None;
    let mut own: Vec<Option<Band>> = vec![None; layout.watched.len()];
    for part in &parts {
        match part.rsplit_once(':') {
            None if others.is_none() => others = Some(Band::parse(part)?),
            None => {
                return Err(Error::Invalid(format!(
                    "band = '{}' names two bands for all columns; write a column's own as 'name:0.1'",
                    parts.join(",")
                )));
            }
            Some((name, band)) => {
                let name = name.trim();
                let watched = (0..own.len()).find(|watched| layout.name(*watched) == name);
                let watched = watched.ok_or_else(|| {
                    Error::Invalid(format!("band names '{name}', which is not watched"))
                })?;
                own[watched] = Some(Band::parse(band)?);
            }
        }
    }
    own.into_iter()
        .enumerate()
        .map(|(watched, band)| {
            band.or(others).ok_or_else(|| {
                Error::Invalid(format!(
                    "column '{}' has no band; set band = '0.5', or '2%' of the value",
                    layout.name(watched)
                ))
            })
        })
        .collect()
}

activestore_plugin::processor!(Deadband);

#[cfg(test)]
mod tests;
