//! One JSON object into one row.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::JsonOptions;
use crate::builder::{Cell, RowsBuilder};
use crate::room::Unfit;
use crate::value::from_json;

/// Keys of one row beyond which it is refused.
const KEYS_MAX: usize = crate::builder::COLUMNS_MAX;

/// Reads the object and pushes its row, or says why not and leaves the builder as it was.
pub(crate) fn read_row(
    text: &str,
    options: &JsonOptions,
    builder: &mut RowsBuilder,
) -> Result<(), Unfit> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let members = Members
        .deserialize(&mut reader)
        .and_then(|members| reader.end().map(|()| members))
        .map_err(|error| plain(&error))?;
    let mut row: Vec<Cell<'_>> = Vec::with_capacity(members.len());
    for (name, raw) in &members {
        let (index, bound) = builder.column(name, options.declared(name))?;
        let (value, natural) = from_json(raw.get(), bound, options.precision)
            .map_err(|reason| format!("column '{name}': {reason}"))?;
        row.push((index, value, natural));
    }
    options.added.extend(builder, &mut row)?;
    if row.is_empty() {
        return Err(Unfit::Refused("the object is empty".to_owned()));
    }
    builder.push(&row)
}

/// serde_json's message with the column of the row; its line is always 1 and ours is better.
fn plain(error: &serde_json::Error) -> String {
    let message = error.to_string();
    match message.rsplit_once(" at line ") {
        Some((what, _)) => format!("{what} at column {}", error.column()),
        None => message,
    }
}

struct Members;

impl<'de> DeserializeSeed<'de> for Members {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(name) = map.next_key_seed(Name)? {
            members.push((name, map.next_value()?));
            if members.len() > KEYS_MAX {
                return Err(serde::de::Error::custom(format!(
                    "the row has more than {KEYS_MAX} keys"
                )));
            }
        }
        Ok(members)
    }
}

struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}
