//! Redacts columns before rows leave the node: hashes, masks and coarser coordinates, as those of `redact`, and
//! columns that never leave. A column that no setting names leaves as it was written, unless `others` says that
//! it stays.

#[path = "../../redact/src/mask.rs"]
mod mask;

use activestore_plugin::{
    Batch, Column, Config, Error, Field, Filter, FilterSpec, Filtered, ScalarType, Values, VarBytes,
};
use sha2::{Digest, Sha256};

/// What becomes of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Hash,
    Mask,
    Digits,
    Email,
    Round,
}

/// The settings that name columns, and what becomes of these.
const CHANGES: [(&str, Change); 5] = [
    ("hash", Change::Hash),
    ("mask", Change::Mask),
    ("mask_digits", Change::Digits),
    ("email", Change::Email),
    ("round", Change::Round),
];

/// A filter that redacts.
pub struct Redact {
    changes: Vec<Change>,
    salt: String,
    keep: i64,
    digits: i64,
}

impl Filter for Redact {
    fn init(config: &Config, fields: &[Field]) -> Result<(Self, FilterSpec), Error> {
        config.only(&[
            "hash",
            "mask",
            "mask_digits",
            "email",
            "round",
            "withhold",
            "others",
            "salt",
            "keep",
            "digits",
        ])?;
        let mut spec = FilterSpec::default();
        let mut redact = Redact {
            changes: Vec::new(),
            salt: config.get("salt").unwrap_or_default().to_owned(),
            keep: config.parse("keep", 0)?,
            digits: config.parse("digits", 3)?,
        };
        for (setting, change) in CHANGES {
            for name in config.list(setting) {
                let place = place(fields, &name)?;
                let kind = fields[place].kind;
                let fits = match change {
                    Change::Round => matches!(kind, ScalarType::Float64 | ScalarType::Float32),
                    _ => kind == ScalarType::Text,
                };
                if !fits {
                    let wanted = if change == Change::Round {
                        "a float"
                    } else {
                        "text"
                    };
                    return Err(Error::Invalid(format!(
                        "{setting}: column '{name}' is not {wanted}"
                    )));
                }
                spec.gives.push(place as u32);
                redact.changes.push(change);
            }
        }
        if redact.changes.contains(&Change::Hash) && redact.salt.is_empty() {
            return Err(Error::Invalid(
                "hash needs a salt: without one, short texts are found by trying".to_owned(),
            ));
        }
        spec.columns.clone_from(&spec.gives);
        for name in config.list("withhold") {
            spec.withholds.push(place(fields, &name)? as u32);
        }
        match config.get("others").unwrap_or("pass") {
            "pass" => {}
            "withhold" => {
                for (place, field) in (0..).zip(fields) {
                    let named = spec.gives.contains(&place) || spec.withholds.contains(&place);
                    if field.nullable && !named {
                        spec.withholds.push(place);
                    }
                }
            }
            other => {
                return Err(Error::Invalid(format!(
                    "others = '{other}' is neither 'pass' nor 'withhold'"
                )));
            }
        }
        Ok((redact, spec))
    }

    fn filter(&mut self, batch: &Batch) -> Result<Filtered, Error> {
        let rows = batch.rows as usize;
        let columns = self.changes.iter().zip(&batch.columns);
        Ok(Filtered {
            rows: (0..rows).collect(),
            columns: columns
                .map(|(change, column)| self.changed(*change, column, rows))
                .collect::<Result<_, _>>()?,
        })
    }
}

fn place(fields: &[Field], name: &str) -> Result<usize, Error> {
    let found = fields.iter().position(|field| field.name == name);
    found.ok_or_else(|| Error::Invalid(format!("the table has no column '{name}'")))
}

impl Redact {
    fn changed(&self, change: Change, column: &Column, rows: usize) -> Result<Column, Error> {
        let values = match &column.values {
            Values::F64s(values) => {
                let round = |value: &f64| mask::coordinate(*value, self.digits);
                Values::F64s(values.iter().map(round).collect())
            }
            Values::F32s(values) => {
                let round = |value: &f32| mask::coordinate(f64::from(*value), self.digits) as f32;
                Values::F32s(values.iter().map(round).collect())
            }
            Values::Utf8(values) => Values::Utf8(VarBytes::of((0..rows).map(|row| {
                // What stands in a null row means nothing, and must not leave either.
                if column.is_valid(row) {
                    self.text(change, values.text(row))
                } else {
                    String::new()
                }
            }))),
            other => return Err(other.is_not("text")),
        };
        Ok(Column {
            values,
            validity: column.validity.clone(),
        })
    }

    fn text(&self, change: Change, text: &str) -> String {
        match change {
            Change::Hash => {
                let hash = Sha256::new()
                    .chain_update(&self.salt)
                    .chain_update(text)
                    .finalize();
                mask::hexadecimal(&hash)
            }
            Change::Digits => mask::digits(text, self.keep),
            Change::Email => mask::email(text),
            Change::Mask | Change::Round => mask::text(text, self.keep),
        }
    }
}

activestore_plugin::filter!(Redact);

#[cfg(test)]
mod tests;
