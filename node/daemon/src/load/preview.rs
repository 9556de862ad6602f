//! What was found in a file, shown before it is used: columns, types, key, first values.

use std::io::{IsTerminal, Write};

use activestore_ingest::csv::INFER_ROWS;
use activestore_ingest::timestamp::parse_timestamp;
use activestore_types::{DataType, NamedBatch, Result};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use comfy_table::{ContentArrangement, Table, presets};

use super::target::{Mapping, Target};

/// Rows whose values are shown.
const ROWS: usize = 3;

/// The longest value that is shown whole.
const VALUE_CHARS: usize = 24;

/// The columns of the first rows as a table.
///
/// # Errors
/// Those of Arrow.
pub fn table(sample: &NamedBatch, target: &Target, mapping: &Mapping) -> Result<String> {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["column", "type", "goes into", "key", "first rows"]);
    for column in &sample.columns {
        let found = column
            .declared
            .or_else(|| DataType::from_arrow(column.array.data_type()));
        let defined = target.columns.get(&column.name);
        let place = target.key.iter().position(|key| *key == column.name);
        let place = place.map(|place| {
            if place == 0 {
                "partition"
            } else {
                "clustering"
            }
        });
        let goes_into = match defined {
            Some(defined) => format!("{} {defined}", column.name),
            None if target.flexible => format!("{} (new)", column.name),
            None => "nothing".to_owned(),
        };
        let options = FormatOptions::default().with_null("NULL");
        let formatter = ArrayFormatter::try_new(&column.array, &options)?;
        let values: Vec<String> = (0..column.array.len().min(ROWS))
            .map(|row| short(&formatter.value(row).to_string()))
            .collect();
        table.add_row([
            mapping.file_name(&column.name).to_owned(),
            found.map_or_else(
                || column.array.data_type().to_string(),
                |found| found.to_string(),
            ),
            goes_into,
            place.unwrap_or_default().to_owned(),
            values.join(" | "),
        ]);
    }
    Ok(table.to_string())
}

/// Whether the first texts of a column, of which there are some, are moments of date and time.
pub fn are_moments(array: &ArrayRef) -> bool {
    /// Shorter text is a date.
    const SHORTEST: usize = "2026-01-31T06:00".len();
    let Some(texts) = array.as_string_opt::<i32>() else {
        return false;
    };
    let mut texts = texts.iter().flatten().take(INFER_ROWS).peekable();
    texts.peek().is_some()
        && texts.all(|text| {
            text.len() >= SHORTEST && begins_with_date(text) && parse_timestamp(text, None).is_ok()
        })
}

/// `YYYY-MM-DD`. A number is read as a moment too where one is known to be there, but in text that says nothing of itself
/// it is an identifier.
fn begins_with_date(text: &str) -> bool {
    let date = text.as_bytes().get(..10).unwrap_or_default();
    date.len() == 10
        && date.iter().enumerate().all(|(place, byte)| match place {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

/// Asks whether to go on, where somebody is there to answer.
///
/// # Errors
/// Where the answer cannot be read.
pub fn agreed(question: &str) -> Result<bool> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(true);
    }
    eprint!("{question} [Y/n] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    if std::io::stdin().read_line(&mut answer)? == 0 {
        return Ok(false);
    }
    let answer = answer.trim().to_ascii_lowercase();
    Ok(matches!(answer.as_str(), "" | "y" | "yes"))
}

fn short(text: &str) -> String {
    let text = text.replace(char::is_control, " ");
    match text.char_indices().nth(VALUE_CHARS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests;
