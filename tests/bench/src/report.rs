//! Tables of figures, and the list of what is asked of the store with whether it is reached.

use comfy_table::{CellAlignment, Table, presets};

use crate::session::{Figures, Session};
use crate::task::Result;

/// Engines with their figures.
pub type Rows = Vec<(String, Figures)>;

/// One column of a table: heading, metric, factor, digits.
pub type Column = (&'static str, &'static str, f64, usize);

/// Prints a table. `ratio` names the metric whose ratio of the first row to the others is shown.
pub fn table(title: &str, columns: &[Column], rows: &Rows, ratio: Option<&str>) {
    if rows.is_empty() {
        return;
    }
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let mut header = vec![title.to_owned()];
    header.extend(columns.iter().map(|column| column.0.to_owned()));
    if ratio.is_some() {
        header.push("first ÷ this".into());
    }
    let width = header.len();
    table.set_header(header);
    for (name, figures) in rows {
        let mut cells = vec![name.clone()];
        for (_, metric, factor, digits) in columns {
            cells.push(match figures.get(*metric) {
                Some(value) => format!("{:.digits$}", value * factor),
                None => "–".into(),
            });
        }
        if let Some(ratio) = ratio {
            let of = |figures: &Figures| figures.get(ratio).copied();
            let first = rows.first().and_then(|(_, figures)| of(figures));
            cells.push(match (first, of(figures)) {
                (Some(first), Some(this)) => format!("{:.3}", first / this),
                _ => "–".into(),
            });
        }
        table.add_row(cells);
    }
    for column in table.column_iter_mut().skip(1).take(width) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("\n{table}");
}

/// One engine's figure.
pub fn figure(rows: &Rows, engine: &str, metric: &str) -> Option<f64> {
    let (_, figures) = rows.iter().find(|(name, _)| name == engine)?;
    figures.get(metric).copied()
}

/// One engine's figure over another's.
pub fn ratio(rows: &Rows, ours: &str, theirs: &str, metric: &str) -> Option<f64> {
    Some(figure(rows, ours, metric)? / figure(rows, theirs, metric)?)
}

/// What is asked.
#[derive(Clone, Copy)]
pub enum Goal {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
}

/// The list.
#[derive(Default)]
pub struct Goals {
    lines: Vec<(String, Option<f64>, Goal, &'static str)>,
}

impl Goals {
    /// Adds one; `None` where it was not measured.
    pub fn add(
        &mut self,
        what: impl Into<String>,
        value: Option<f64>,
        goal: Goal,
        unit: &'static str,
    ) {
        self.lines.push((what.into(), value, goal, unit));
    }

    /// Prints the list.
    ///
    /// # Errors
    /// When the JSON file cannot be written.
    pub fn print(&self, session: &mut Session) -> Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        println!("\nWhat is asked:");
        for (what, value, goal, unit) in &self.lines {
            let (reached, sign, bound) = match (*goal, *value) {
                (Goal::AtLeast(bound), value) => (value.map(|value| value >= bound), "≥", bound),
                (Goal::AtMost(bound), value) => (value.map(|value| value <= bound), "≤", bound),
            };
            let mark = match reached {
                Some(true) => "PASS ",
                Some(false) => "SHORT",
                None => "–    ",
            };
            let shown = value.map_or("not measured".into(), |value| format!("{value:.3} {unit}"));
            println!("  {mark} {what}: {shown} ({sign} {bound})");
            session.note(&serde_json::json!({
                "goal": what, "value": value, "bound": bound, "sign": sign, "reached": reached,
            }))?;
        }
        Ok(())
    }
}
