//! What a load shows while it runs: a bar on a terminal, a line now and then in a log.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::figures::{grouped, shown, size};

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// How far a load is, for people.
pub struct Display {
    name: String,
    bar: Option<ProgressBar>,
    /// The size of the file; `None` where it has none.
    total: Option<u64>,
    started: Instant,
    lined: Instant,
    /// What an earlier load has done.
    before: (u64, u64),
    now: (u64, u64),
}

impl Display {
    /// Begins with what is done already: rows, and bytes of the file.
    pub fn begin(name: &str, total: Option<u64>, rows: u64, position: u64) -> Display {
        let bar = std::io::stderr().is_terminal().then(|| bar(total));
        if let Some(bar) = &bar {
            bar.set_position(position);
            bar.reset_eta();
        }
        let now = Instant::now();
        Display {
            name: name.to_owned(),
            bar,
            total,
            started: now,
            lined: now,
            before: (rows, position),
            now: (rows, position),
        }
    }

    /// That so many rows are stored, and the file is read so far.
    pub fn update(&mut self, rows: u64, position: u64) {
        self.now = (rows, position.max(self.now.1));
        let figures = format!(
            "{} rows, {} rows/s, {}/s",
            grouped(rows),
            grouped(self.rows_a_second()),
            size(self.bytes_a_second())
        );
        match &self.bar {
            Some(bar) => {
                bar.set_position(self.now.1);
                bar.set_message(figures);
            }
            None if self.lined.elapsed() >= LINE_EVERY => {
                self.lined = Instant::now();
                eprintln!("{}: {}{figures}", self.name, self.share());
            }
            None => {}
        }
    }

    /// Takes the bar away.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// How long it took and how fast it was, once it is over.
    pub fn summary(&self) -> String {
        format!(
            "{} ({} rows/s, {}/s)",
            shown(self.started.elapsed()),
            grouped(self.rows_a_second()),
            size(self.bytes_a_second())
        )
    }

    /// `34 %, 12.0 s left, ` where the size is known.
    fn share(&self) -> String {
        let Some(total) = self.total.filter(|total| *total > 0) else {
            return String::new();
        };
        let left = total.saturating_sub(self.now.1) as f64;
        let seconds = left / (self.bytes_a_second() as f64).max(1.0);
        format!(
            "{} %, {} left, ",
            self.now.1.saturating_mul(100) / total,
            shown(Duration::from_secs_f64(seconds.min(1e9)))
        )
    }

    fn rows_a_second(&self) -> u64 {
        self.rate(self.now.0 - self.before.0)
    }

    fn bytes_a_second(&self) -> u64 {
        self.rate(self.now.1 - self.before.1)
    }

    fn rate(&self, count: u64) -> u64 {
        (count as f64 / self.started.elapsed().as_secs_f64().max(1e-3)) as u64
    }
}

fn bar(total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (
            ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr()),
            "{bar:24.cyan/dim} {percent:>3}%  {bytes} of {total_bytes}  {msg}  {eta} left",
        ),
        None => (
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()),
            "{spinner} {bytes}  {msg}",
        ),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━━─"));
    }
    bar
}
