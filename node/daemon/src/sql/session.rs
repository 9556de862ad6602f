//! A conversation with one node: the output format, the switches, and running a statement so that
//! Ctrl-C stops the statement and not the session.

use std::io::{IsTerminal, Write};
use std::time::Instant;

use activestore_gateway::Format;
use activestore_types::{Error, Result};

use super::subscribe;
use super::table::Grid;
use crate::cli::OutputFormat;
use crate::client::{Client, SqlAnswer, read_json, tag};
use crate::figures::{grouped, shown};

/// The state of a session.
pub struct Session {
    /// The node.
    pub client: Client,
    /// How rows are printed.
    pub format: OutputFormat,
    /// Whether the time is printed after each statement.
    pub timing: bool,
    /// Whether each cell gets a line of its own.
    pub expanded: bool,
}

impl Session {
    /// A session without switches.
    pub fn new(client: Client, format: OutputFormat) -> Self {
        Session {
            client,
            format,
            timing: false,
            expanded: false,
        }
    }

    /// Runs a statement and prints its answer.
    ///
    /// # Errors
    /// What the node says, or that stdout is closed.
    pub fn run(&mut self, statement: &str) -> Result<()> {
        print_answer(
            &self.client,
            statement,
            self.format,
            self.timing,
            self.expanded,
        )
    }

    /// The same; Ctrl-C stops the statement on the node and here, and the session goes on.
    ///
    /// # Errors
    /// As [`Session::run`]; `Closed` when it was stopped.
    pub fn run_interruptible(
        &mut self,
        runtime: &tokio::runtime::Runtime,
        statement: &str,
    ) -> Result<()> {
        let client = self.client.clone();
        let (format, timing, expanded) = (self.format, self.timing, self.expanded);
        let statement = statement.to_owned();
        let stopped = runtime.block_on(async move {
            let asked = client.clone();
            let mut running = tokio::task::spawn_blocking(move || {
                print_answer(&asked, &statement, format, timing, expanded)
            });
            tokio::select! {
                outcome = &mut running => Ok(outcome),
                _ = tokio::signal::ctrl_c() => {
                    client.cancel();
                    // The closed connection ends it.
                    let _ = running.await;
                    Err(Error::closed("the statement was stopped"))
                }
            }
        });
        match stopped {
            Ok(outcome) => {
                outcome.unwrap_or_else(|_| Err(Error::internal("showing the answer failed")))
            }
            Err(stopped) => {
                self.client = Client::new(self.client.url())?;
                Err(stopped)
            }
        }
    }
}

fn print_answer(
    client: &Client,
    statement: &str,
    format: OutputFormat,
    timing: bool,
    expanded: bool,
) -> Result<()> {
    let started = Instant::now();
    if subscribe::is_subscription(statement) {
        return subscribe::print(client, statement, format);
    }
    let raw = match format {
        OutputFormat::Table => None,
        OutputFormat::Csv => Some(Format::Csv),
        OutputFormat::Json => Some(Format::Json),
        OutputFormat::Ndjson => Some(Format::Ndjson),
        OutputFormat::Arrow => Some(Format::Arrow),
        OutputFormat::Parquet => {
            return Err(Error::invalid("sql does not print Parquet"));
        }
    };
    match raw {
        None => print_table(client, statement, started, expanded)?,
        Some(wanted) => print_raw(client, statement, wanted)?,
    }
    if timing {
        eprintln!("Time: {}", shown(started.elapsed()));
    }
    Ok(())
}

fn print_table(client: &Client, statement: &str, started: Instant, expanded: bool) -> Result<()> {
    let reader = match client.sql(statement)? {
        SqlAnswer::Done { tag } => return write_out(&format!("{tag}\n")),
        SqlAnswer::Rows(reader) => reader,
    };
    let mut grid = Grid::new(&reader.schema());
    for batch in reader {
        let batch =
            batch.map_err(|error| Error::internal(format!("the answer broke off: {error}")))?;
        grid.push(&batch)?;
    }
    let mut out = match (expanded, grid.total()) {
        (true, 1..) => grid.render_expanded(),
        _ => grid.render(width()),
    };
    if grid.hidden() > 0 {
        out.push_str(&format!(
            "\n… {} more rows are not shown; use --format csv for all",
            grouped(grid.hidden())
        ));
    }
    let rows = grid.total();
    let noun = if rows == 1 { "row" } else { "rows" };
    out.push_str(&format!(
        "\n{} {noun} in {}\n",
        grouped(rows),
        shown(started.elapsed())
    ));
    write_out(&out)
}

fn print_raw(client: &Client, statement: &str, wanted: Format) -> Result<()> {
    let (content_type, mut body) = client.sql_body(statement, wanted)?;
    if content_type.starts_with("application/json") && wanted != Format::Json {
        // A statement without rows; what it says must not mix with rows on stdout.
        eprintln!("{}", tag(&read_json(body)?));
        return Ok(());
    }
    let mut out = std::io::stdout().lock();
    std::io::copy(&mut body, &mut out)
        .map_err(|error| Error::internal(format!("the answer broke off: {error}")))?;
    if wanted == Format::Json {
        out.write_all(b"\n")?;
    }
    out.flush()?;
    Ok(())
}

fn write_out(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// The terminal's width; `None` where stdout is none.
fn width() -> Option<u16> {
    let out = std::io::stdout();
    if !out.is_terminal() {
        return None;
    }
    comfy_table::Table::new().width()
}
