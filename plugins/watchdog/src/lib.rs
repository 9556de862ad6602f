//! Tells when a device falls silent, and when it is back.
//!
//! For each key it keeps when the last row came and whether it is silent, and a timer that each row moves
//! on. It changes and rejects nothing.

use std::time::Duration;

use activestore_plugin::scalar::Timestamp;
use activestore_plugin::series::ByKey;
use activestore_plugin::{
    Batch, Column, Config, Error, Field, Processed, Processor, ScalarType, Spec, State, Timer,
};

/// The processor.
pub struct Watchdog {
    after: Duration,
    /// The columns that tell devices apart.
    key: Vec<Field>,
    /// Where the rows' time stands among the columns asked for.
    time: usize,
}

/// What is known of a device.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Known {
    silent: bool,
    /// The time of its last row, in nanoseconds since 1970.
    last_ns: i64,
}

impl Known {
    fn encode(self) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.silent)];
        bytes.extend(self.last_ns.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (silent, last) = bytes.split_first()?;
        Some(Known {
            silent: *silent == 1,
            last_ns: i64::from_le_bytes(last.try_into().ok()?),
        })
    }
}

/// Something that happened to a device.
struct Event {
    key: Vec<u8>,
    at: i64,
    name: &'static str,
    since: i64,
}

impl Processor for Watchdog {
    fn init(config: &Config, fields: &[Field]) -> Result<(Self, Spec), Error> {
        config.only(&["after", "key"])?;
        let after = config.duration("after", Duration::from_secs(300))?;
        if after.is_zero() {
            return Err(Error::Invalid(
                "after = '0s' would never be quiet".to_owned(),
            ));
        }
        let is_time = |field: &Field| field.kind == ScalarType::Timestamp;
        let key = config.columns("key", fields, |field| !field.nullable && !is_time(field))?;
        if key.is_empty() {
            return Err(Error::Invalid(
                "no column tells devices apart; name one with key = 'device'".to_owned(),
            ));
        }
        let time = fields
            .iter()
            .position(|field| is_time(field) && !field.nullable)
            .ok_or_else(|| {
                Error::Invalid("the table's primary key has no TIMESTAMP column".to_owned())
            })?;
        let mut columns: Vec<u32> = key.iter().map(|place| *place as u32).collect();
        columns.push(time as u32);
        let key: Vec<Field> = key
            .iter()
            .map(|place| Field {
                nullable: false,
                ..fields[*place].clone()
            })
            .collect();
        let output = |name: &str, kind, nullable| Field {
            name: name.to_owned(),
            kind,
            nullable,
        };
        let mut outputs = key.clone();
        outputs.extend([
            output("at", ScalarType::Timestamp, false),
            output("event", ScalarType::Text, true),
            output("since", ScalarType::Timestamp, true),
        ]);
        let spec = Spec::sending(outputs, columns);
        let time = key.len();
        Ok((Watchdog { after, key, time }, spec))
    }

    fn process(&mut self, batch: &Batch, state: &mut dyn State) -> Result<Processed, Error> {
        let times = batch.columns[self.time].as_s64s()?;
        let key: Vec<usize> = (0..self.time).collect();
        let devices = ByKey::of(batch, &key);
        let keys: Vec<Vec<u8>> = (0..devices.len())
            .map(|device| devices.keys.get(device).to_vec())
            .collect();
        let known = state.get_many(&keys);
        let mut events = Vec::new();
        let mut writes = Vec::new();
        for (device, (key, known)) in keys.iter().cloned().zip(known).enumerate() {
            let before = known.as_deref().and_then(Known::decode);
            let of_device = devices.rows(device).iter().map(|row| times[*row as usize]);
            // There is a row of each device.
            let first = of_device.clone().min().unwrap_or_default();
            let last = of_device.max().unwrap_or_default();
            if let Some(before) = before.filter(|before| before.silent) {
                events.push(Event {
                    key: key.clone(),
                    at: first,
                    name: "back",
                    since: before.last_ns,
                });
            }
            let last_ns = before.map_or(last, |before| before.last_ns.max(last));
            let silent = false;
            writes.push((key, Some(Known { silent, last_ns }.encode())));
        }
        state.put_many(&writes);
        let timers = keys.into_iter().map(|key| (key, Some(self.after)));
        state.set_timers(&timers.collect::<Vec<_>>());
        let batch = self.rows(&events)?;
        Ok(Processed {
            outputs: vec![batch],
            rejected: Vec::new(),
        })
    }

    /// Rows of the past say nothing about who is silent now.
    fn replay(&mut self, _batch: &Batch, _state: &mut dyn State) -> Result<Processed, Error> {
        Ok(Processed::default())
    }

    fn on_timer(&mut self, due: &[Timer], state: &mut dyn State) -> Result<Vec<Batch>, Error> {
        let keys: Vec<Vec<u8>> = due.iter().map(|timer| timer.key.clone()).collect();
        let mut events = Vec::new();
        let mut writes = Vec::new();
        for (timer, known) in due.iter().zip(state.get_many(&keys)) {
            let Some(known) = known.as_deref().and_then(Known::decode) else {
                continue;
            };
            let Timestamp(at) = timer.at;
            events.push(Event {
                key: timer.key.clone(),
                at,
                name: "silent",
                since: known.last_ns,
            });
            let known = Known {
                silent: true,
                ..known
            };
            writes.push((timer.key.clone(), Some(known.encode())));
        }
        state.put_many(&writes);
        Ok(vec![self.rows(&events)?])
    }
}

impl Watchdog {
    fn rows(&self, events: &[Event]) -> Result<Batch, Error> {
        let keys: Vec<&[u8]> = events.iter().map(|event| event.key.as_slice()).collect();
        let mut columns = Column::from_keys(&self.key, &keys)
            .ok_or_else(|| Error::Failed("a key is not one of this table".to_owned()))?;
        columns.extend([
            Column::s64s(events.iter().map(|event| event.at).collect()),
            Column::text(events.iter().map(|event| event.name)),
            Column::s64s(events.iter().map(|event| event.since).collect()),
        ]);
        Ok(Batch {
            rows: events.len() as u32,
            columns,
        })
    }
}

activestore_plugin::processor!(Watchdog);

#[cfg(test)]
mod tests;
