//! One run of the program: its directory, its children one after the other, what could not be measured,
//! and the figures.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;
use tempfile::TempDir;

use crate::engine::Engine;
use crate::task::{Dataset, Result, Task, Work};

/// What the command line asks for.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Rows of the fleet.
    pub rows: usize,
    /// Seconds that one engine may write.
    pub seconds: f64,
    /// Point reads to time.
    pub points: usize,
    /// The memory limit of the store where it is held to one, in bytes.
    pub memory: u64,
    /// Directory of real readings.
    pub real: Option<PathBuf>,
    /// Engines to measure; all if there are none.
    pub engines: Vec<Engine>,
    /// Where figures go as JSON lines.
    pub json: Option<PathBuf>,
}

/// One engine's figures of one task.
pub type Figures = BTreeMap<String, f64>;

#[derive(Deserialize)]
struct Line {
    metric: String,
    value: f64,
}

/// A run.
pub struct Session {
    /// What is asked for.
    pub plan: Plan,
    home: PathBuf,
    work: TempDir,
    fleet: Option<Dataset>,
    json: Option<File>,
    prepared: BTreeMap<Engine, bool>,
    skipped: BTreeSet<String>,
}

impl Session {
    /// Begins a run; what it writes lies beside the program and is removed at the end.
    ///
    /// # Errors
    /// As the system says.
    pub fn new(plan: Plan) -> Result<Self> {
        let program = std::env::current_exe()?;
        let home = program.ancestors().nth(2).ok_or("no target directory")?;
        let json = plan.json.as_ref().map(File::create).transpose()?;
        Ok(Session {
            home: home.to_owned(),
            work: tempfile::Builder::new().prefix("bench-").tempdir_in(home)?,
            plan,
            fleet: None,
            json,
            prepared: BTreeMap::new(),
            skipped: BTreeSet::new(),
        })
    }

    /// Where data files are made.
    pub fn dir(&self) -> &Path {
        self.work.path()
    }

    /// The fleet's rows, made at first use.
    ///
    /// # Errors
    /// As the system says.
    pub fn fleet(&mut self) -> Result<Dataset> {
        if let Some(fleet) = &self.fleet {
            return Ok(fleet.clone());
        }
        eprintln!("making {} rows of the fleet", self.plan.rows);
        let fleet = crate::data::fleet::make(self.work.path(), self.plan.rows)?;
        Ok(self.fleet.insert(fleet).clone())
    }

    /// A task with this run's settings.
    pub fn task(&self, work: Work, data: &Dataset) -> Task {
        Task {
            work,
            data: data.clone(),
            dir: PathBuf::new(),
            batch: 10_000,
            writers: 64,
            seconds: self.plan.seconds,
            points: self.plan.points,
            memory: self.plan.memory,
        }
    }

    /// Has an engine do a task in a process and a directory of its own. `None` when it is not asked
    /// for or cannot; then the summary says why.
    ///
    /// # Errors
    /// When the store itself fails: that is a defect, not a peer that is missing.
    pub fn measure(&mut self, engine: Engine, case: &str, task: &Task) -> Result<Option<Figures>> {
        if !self.is_asked(engine) || !self.ready(engine) {
            return Ok(None);
        }
        eprintln!("  {case}: {} …", engine.name());
        match self.child(engine, task) {
            Ok(figures) => {
                for (metric, value) in &figures {
                    self.note(&serde_json::json!({
                        "case": case, "engine": engine.name(), "metric": metric, "value": value,
                    }))?;
                }
                Ok(Some(figures))
            }
            Err(error) if engine == Engine::Activestore => Err(error),
            Err(error) => {
                self.skipped
                    .insert(format!("{} in {case}: {error}", engine.name()));
                Ok(None)
            }
        }
    }

    /// Whether an engine is to be measured.
    pub fn is_asked(&self, engine: Engine) -> bool {
        self.plan.engines.is_empty() || self.plan.engines.contains(&engine)
    }

    /// Has `peers/queries.py` do a task, which asks several engines in turn.
    ///
    /// # Errors
    /// When Python is not to be had, or as the script says: answers that differ are a defect.
    pub fn queries(&mut self, task: &serde_json::Value) -> Result<Figures> {
        // Both peers come with the packages that the script itself needs.
        Engine::Duckdb.prepare(&self.home)?;
        let dir = tempfile::tempdir_in(self.work.path())?;
        let mut task = task.clone();
        task["dir"] = serde_json::json!(dir.path());
        let mut command = crate::engine::script(&self.home, "queries.py");
        let output = command.arg(task.to_string()).stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err(format!("the queries ended with {}", output.status).into());
        }
        let figures = figures_of(&output.stdout)?;
        for (metric, value) in &figures {
            self.note(&serde_json::json!({ "case": "queries", "metric": metric, "value": value }))?;
        }
        Ok(figures)
    }

    fn ready(&mut self, engine: Engine) -> bool {
        if let Some(ready) = self.prepared.get(&engine) {
            return *ready;
        }
        let prepared = engine.prepare(&self.home);
        if let Err(error) = &prepared {
            self.skipped
                .insert(format!("{} altogether: {error}", engine.name()));
        }
        self.prepared.insert(engine, prepared.is_ok());
        prepared.is_ok()
    }

    fn child(&self, engine: Engine, task: &Task) -> Result<Figures> {
        let dir = tempfile::tempdir_in(self.work.path())?;
        let task = Task {
            dir: dir.path().to_owned(),
            ..task.clone()
        };
        let mut command = engine.command(&self.home, &task)?;
        let output = command.stderr(Stdio::piped()).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            let lines: Vec<&str> = said.trim().lines().collect();
            let last = lines.split_at(lines.len().saturating_sub(6)).1;
            return Err(format!("{}: {}", output.status, last.join(" | ")).into());
        }
        if engine == Engine::Activestore {
            eprint!("{said}");
        }
        figures_of(&output.stdout)
    }

    /// Writes one JSON line, if that is asked for.
    ///
    /// # Errors
    /// As the system says.
    pub fn note(&mut self, line: &serde_json::Value) -> Result<()> {
        if let Some(file) = &mut self.json {
            writeln!(file, "{line}")?;
        }
        Ok(())
    }

    /// What was not measured, and why.
    pub fn skipped(&self) -> impl Iterator<Item = &String> {
        self.skipped.iter()
    }
}

/// The figures that a child printed.
fn figures_of(printed: &[u8]) -> Result<Figures> {
    let mut figures = Figures::new();
    for line in std::str::from_utf8(printed)?.lines() {
        // Libraries may print beside the figures.
        if let Ok(line) = serde_json::from_str::<Line>(line) {
            figures.insert(line.metric, line.value);
        }
    }
    if figures.is_empty() {
        return Err("it printed no figure".into());
    }
    Ok(figures)
}
