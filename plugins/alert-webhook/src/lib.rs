//! Sends the rows of a table, say of alarms, to a webhook: one message a group of rows, at most one in so long.
//!
//! What waits of a group lies in the processor's durable state, and a timer says when it goes; the node delivers what
//! is sent. It changes and rejects nothing.

mod group;
mod json;
mod template;

use std::time::Duration;

use activestore_plugin::http::{self, Method, Request};
use activestore_plugin::series::ByKey;
use activestore_plugin::{
    Batch, Config, Error, Field, Processed, Processor, ScalarType, Spec, State, Timer,
};

use group::Group;
use template::Template;

const SETTINGS: [&str; 9] = [
    "url",
    "method",
    "authorization",
    "columns",
    "by",
    "wait",
    "interval",
    "rows",
    "template",
];
/// What tells a group's key from no key.
const KEY_TAG: u8 = b'g';

/// The processor.
pub struct AlertWebhook {
    method: Method,
    url: String,
    authorization: Option<String>,
    template: Template,
    /// The columns asked for: first those that are told, then those that only tell groups apart.
    fields: Vec<Field>,
    told: usize,
    /// The places of the columns that tell groups apart.
    by: Vec<usize>,
    /// How long a group's first row waits for others.
    wait: Duration,
    /// How long it is at least from one message of a group to the next.
    interval: Duration,
    /// Rows that a message holds at most; of the others it says how many they are.
    rows: usize,
}

impl Processor for AlertWebhook {
    fn init(config: &Config, fields: &[Field]) -> Result<(Self, Spec), Error> {
        config.only(&SETTINGS)?;
        let url = config.get("url").unwrap_or_default().trim().to_owned();
        if !url.starts_with("https://") && !url.starts_with("http://") {
            return Err(Error::Invalid(
                "url = 'https://…' says where the rows go".to_owned(),
            ));
        }
        let method = match config.get("method") {
            None | Some("POST") => Method::Post,
            Some("PUT") => Method::Put,
            Some("PATCH") => Method::Patch,
            Some(other) => {
                return Err(Error::Invalid(format!(
                    "method = '{other}' is unknown; there are POST, PUT and PATCH"
                )));
            }
        };
        let rows = config.parse("rows", 100_usize)?;
        if !(1..=group::ROWS_MAX).contains(&rows) {
            return Err(Error::Invalid(format!(
                "rows = '{rows}' is not between 1 and {}",
                group::ROWS_MAX
            )));
        }
        let told = config.columns("columns", fields, |field| field.kind != ScalarType::Bytes)?;
        if let Some(bytes) = told
            .iter()
            .find(|place| fields[**place].kind == ScalarType::Bytes)
        {
            return Err(Error::Invalid(format!(
                "column '{}' holds bytes, which JSON does not carry",
                fields[*bytes].name
            )));
        }
        let is_time =
            |field: &Field| matches!(field.kind, ScalarType::Timestamp | ScalarType::Date);
        let by = match config.get("by") {
            Some(text) if text.trim().is_empty() => Vec::new(),
            _ => config.columns("by", fields, |field| !field.nullable && !is_time(field))?,
        };
        let mut columns = told.clone();
        let by = by
            .into_iter()
            .map(|place| {
                columns
                    .iter()
                    .position(|other| *other == place)
                    .unwrap_or_else(|| {
                        columns.push(place);
                        columns.len() - 1
                    })
            })
            .collect();
        let fields: Vec<Field> = columns.iter().map(|place| fields[*place].clone()).collect();
        let named: Vec<&str> = fields[..told.len()]
            .iter()
            .map(|field| field.name.as_str())
            .collect();
        let webhook = AlertWebhook {
            template: Template::parse(config.get("template"), &named)?,
            authorization: config.get("authorization").map(str::to_owned),
            wait: config.duration("wait", Duration::ZERO)?,
            interval: config.duration("interval", Duration::ZERO)?,
            told: told.len(),
            method,
            url,
            fields,
            by,
            rows,
        };
        let spec = Spec {
            outputs: Vec::new(),
            columns: columns.iter().map(|place| *place as u32).collect(),
        };
        Ok((webhook, spec))
    }

    fn process(&mut self, batch: &Batch, state: &mut dyn State) -> Result<Processed, Error> {
        let groups = ByKey::of(batch, &self.by);
        let keys: Vec<Vec<u8>> = (0..groups.len())
            .map(|group| [&[KEY_TAG], groups.keys.get(group)].concat())
            .collect();
        let held = state.get_many(&keys);
        let mut writes = Vec::new();
        let mut timers = Vec::new();
        for (number, (key, held)) in keys.into_iter().zip(held).enumerate() {
            let known = held.is_some();
            let mut group = held
                .and_then(|held| Group::decode(&held, self.told))
                .unwrap_or_default();
            for row in groups.rows(number) {
                group.add(self.row(batch, *row as usize), self.rows);
            }
            // A group that is known has a timer: it says when the rows go.
            if !known && self.wait.is_zero() {
                self.send(&group)?;
                group = Group::default();
            }
            let after = if self.wait.is_zero() {
                self.interval
            } else {
                self.wait
            };
            if !known && after.is_zero() {
                continue; // nothing is to be remembered of it
            }
            if !known {
                timers.push((key.clone(), Some(after)));
            }
            writes.push((key, Some(group.encode())));
        }
        state.put_many(&writes);
        state.set_timers(&timers);
        Ok(Processed::default())
    }

    /// Nobody is told of what was stored before.
    fn replay(&mut self, _batch: &Batch, _state: &mut dyn State) -> Result<Processed, Error> {
        Ok(Processed::default())
    }

    fn on_timer(&mut self, due: &[Timer], state: &mut dyn State) -> Result<Vec<Batch>, Error> {
        let keys: Vec<Vec<u8>> = due.iter().map(|timer| timer.key.clone()).collect();
        let mut writes = Vec::new();
        let mut timers = Vec::new();
        for (key, held) in keys.iter().zip(state.get_many(&keys)) {
            let group = held
                .and_then(|held| Group::decode(&held, self.told))
                .unwrap_or_default();
            if !group.is_empty() {
                self.send(&group)?;
            }
            if group.is_empty() || self.interval.is_zero() {
                // It was quiet for so long: the next row is told like a first one.
                writes.push((key.clone(), None));
            } else {
                timers.push((key.clone(), Some(self.interval)));
                writes.push((key.clone(), Some(Group::default().encode())));
            }
        }
        state.put_many(&writes);
        state.set_timers(&timers);
        Ok(Vec::new())
    }
}

impl AlertWebhook {
    /// A row's values as JSON, in the order of the columns that are told.
    fn row(&self, batch: &Batch, row: usize) -> Vec<String> {
        let columns = batch.columns.iter().zip(&self.fields).take(self.told);
        columns
            .map(|(column, field)| json::value(column, row, field.kind))
            .collect()
    }

    fn send(&self, group: &Group) -> Result<(), Error> {
        let names = self.fields.iter().take(self.told);
        let names: Vec<&str> = names.map(|field| field.name.as_str()).collect();
        let mut request = Request {
            method: self.method,
            ..Request::post_json(&*self.url, self.template.fill(group, &names))
        };
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        http::send(request)
    }
}

activestore_plugin::processor!(AlertWebhook);

#[cfg(test)]
mod tests;
