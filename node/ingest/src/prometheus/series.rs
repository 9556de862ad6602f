//! The labels of a series: the rules that they keep, and the columns that they become.

use std::borrow::Cow;
use std::str::from_utf8;

use super::{LABELS_MAX, METRIC_COLUMN, STALE_COLUMN, VALUE_COLUMN};
use crate::line_protocol::{SERIES_COLUMN, TIME_COLUMN, canonical};

/// The label that holds a metric's name.
const NAME_LABEL: &str = "__name__";

/// What Prometheus itself puts before a label whose name is taken.
const TAKEN_PREFIX: &str = "exported_";

/// The longest name of a metric or a label, in bytes: that of a table and a column.
const NAME_BYTES_MAX: usize = 128;

/// Characters that no table's name has.
const NOT_IN_TABLES: [char; 3] = ['.', '"', '/'];

/// Columns that are no labels.
const TAKEN: [&str; 5] = [
    SERIES_COLUMN,
    TIME_COLUMN,
    VALUE_COLUMN,
    STALE_COLUMN,
    METRIC_COLUMN,
];

/// A series that keeps the rules.
#[derive(Debug, PartialEq)]
pub(super) struct Series<'a> {
    pub(super) metric: &'a str,
    /// The canonical text of all that names the series within its table.
    pub(super) text: String,
    /// The labels by the names of their columns, sorted.
    pub(super) labels: Vec<(Cow<'a, str>, &'a str)>,
}

impl<'a> Series<'a> {
    /// From labels as they stand on the wire; the metric's name is part of the text where tables are `shared`.
    pub(super) fn of(
        pairs: &[(&'a [u8], &'a [u8])],
        shared: bool,
    ) -> std::result::Result<Series<'a>, String> {
        let mut labels: Vec<(&str, &str)> = Vec::with_capacity(pairs.len());
        let mut metric = None;
        for (name, value) in pairs {
            let (Ok(name), Ok(value)) = (from_utf8(name), from_utf8(value)) else {
                return Err("a label is not UTF-8 text".to_owned());
            };
            check_name("label", name, &['"'])?;
            match (name, value) {
                // To Prometheus an empty label is none.
                (_, "") => {}
                (NAME_LABEL, _) if metric.is_some() => {
                    return Err("the metric has two names".to_owned());
                }
                (NAME_LABEL, _) => metric = Some(value),
                _ => labels.push((name, value)),
            }
        }
        let metric = metric.ok_or("a series has no __name__")?;
        if !shared {
            check_name("metric", metric, &NOT_IN_TABLES)?;
        }
        if labels.len() > LABELS_MAX {
            return Err(format!("'{metric}' has more than {LABELS_MAX} labels"));
        }
        labels.sort_unstable();
        let names = labels.iter().zip(labels.iter().skip(1));
        if let Some(((name, _), _)) = names.into_iter().find(|(one, next)| one.0 == next.0) {
            return Err(format!("'{metric}' has the label '{name}' twice"));
        }
        let own = shared.then_some((NAME_LABEL, metric));
        let mut all: Vec<_> = own
            .into_iter()
            .chain(labels.iter().copied())
            .map(|(name, value)| (Cow::Borrowed(name), Cow::Borrowed(value)))
            .collect();
        all.sort_unstable();
        let text = canonical(&all);
        let columns = labels.iter();
        let columns = columns.map(|(name, value)| (column(name, &labels), *value));
        Ok(Series {
            metric,
            text,
            labels: columns.collect(),
        })
    }
}

/// The column of a label: its name, unless that is taken.
fn column<'a>(name: &'a str, labels: &[(&str, &str)]) -> Cow<'a, str> {
    if !TAKEN.contains(&name) {
        return Cow::Borrowed(name);
    }
    let mut column = format!("{TAKEN_PREFIX}{name}");
    while labels.iter().any(|(other, _)| *other == column) {
        column.insert_str(0, TAKEN_PREFIX);
    }
    Cow::Owned(column)
}

fn check_name(what: &str, name: &str, refused: &[char]) -> std::result::Result<(), String> {
    let start = || name.chars().take(24).collect::<String>();
    if name.is_empty() {
        return Err(format!("a {what} has no name"));
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(format!(
            "the {what} name '{}…' is longer than {NAME_BYTES_MAX} bytes",
            start().escape_debug()
        ));
    }
    if name.chars().any(|c| c.is_control() || refused.contains(&c)) {
        return Err(format!(
            "the {what} name '{}' holds a character that no name here has",
            start().escape_debug()
        ));
    }
    Ok(())
}
