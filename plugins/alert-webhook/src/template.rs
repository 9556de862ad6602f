//! What a message says: the rows as JSON, or a text of the user's with places to fill.

use activestore_plugin::Error;

use crate::group::Group;
use crate::json;

/// Bytes that a template may have.
const BYTES_MAX: usize = 16 << 10;

/// A message before it is filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// All rows, an array of objects.
    Rows,
    /// How many rows there were, those that are left out included.
    Count,
    /// A column of the last row: a number as it is, a text without its quotes.
    Column(usize),
}

impl Template {
    /// Reads `${column}`, `${rows}` and `${count}` in a text; without one the message is
    /// `{"count": …, "rows": […]}`.
    ///
    /// # Errors
    /// `invalid` for a column that is not among those told, and for a place that does not end.
    pub fn parse(text: Option<&str>, columns: &[&str]) -> Result<Template, Error> {
        let mut rest = text.unwrap_or("{\"count\":${count},\"rows\":${rows}}");
        if rest.len() > BYTES_MAX {
            return Err(Error::Invalid(format!(
                "template has {} bytes where {BYTES_MAX} are allowed",
                rest.len()
            )));
        }
        let mut parts = Vec::new();
        while let Some((text, after)) = rest.split_once("${") {
            let Some((name, after)) = after.split_once('}') else {
                return Err(Error::Invalid(
                    "template has a '${' that no '}' ends".to_owned(),
                ));
            };
            parts.push(Part::Text(text.to_owned()));
            // A column of such a name is told by it.
            let column = columns.iter().position(|column| *column == name);
            parts.push(match (column, name) {
                (Some(column), _) => Part::Column(column),
                (None, "rows") => Part::Rows,
                (None, "count") => Part::Count,
                (None, _) => {
                    return Err(Error::Invalid(format!(
                        "template names '{name}'; there are rows, count, {}",
                        columns.join(", ")
                    )));
                }
            });
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Template(parts))
    }

    /// The message of a group; `columns` are the names of what its rows hold.
    pub fn fill(&self, group: &Group, columns: &[&str]) -> String {
        let mut message = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => message.push_str(text),
                Part::Count => message.push_str(&group.count.to_string()),
                Part::Rows => rows(group, columns, &mut message),
                Part::Column(column) => {
                    let value = group.rows.last().and_then(|row| row.get(*column));
                    let value = value.map_or("null", String::as_str);
                    let quoted = value
                        .strip_prefix('"')
                        .and_then(|value| value.strip_suffix('"'));
                    message.push_str(quoted.unwrap_or(value));
                }
            }
        }
        message
    }
}

fn rows(group: &Group, columns: &[&str], into: &mut String) {
    into.push('[');
    for (number, row) in group.rows.iter().enumerate() {
        into.push_str(if number == 0 { "{" } else { ",{" });
        for (number, (name, value)) in columns.iter().zip(row).enumerate() {
            into.push_str(if number == 0 { "\"" } else { ",\"" });
            json::escape(name, into);
            into.push_str("\":");
            into.push_str(value);
        }
        into.push('}');
    }
    into.push(']');
}

#[cfg(test)]
mod tests;
