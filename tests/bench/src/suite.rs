//! The benchmarks by name: which engines do which tasks, and what is asked of the result.

pub mod ingest;
pub mod own;
pub mod queries;
pub mod reads;
pub mod size;

use crate::engine::Engine;
use crate::report::Rows;
use crate::session::Session;
use crate::task::{Result, Task};

/// Has each engine do the task; those that cannot are left out.
fn measure_all(session: &mut Session, engines: &[Engine], case: &str, task: &Task) -> Result<Rows> {
    let mut rows = Rows::new();
    for engine in engines {
        if let Some(figures) = session.measure(*engine, case, task)? {
            rows.push((engine.name().to_owned(), figures));
        }
    }
    Ok(rows)
}
