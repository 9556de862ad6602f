//! DuckDB from its Python package, which is its ordinary distribution: the rows are handed over as an
//! Arrow file, and `duckdb_peer.py` inserts them batch by batch, each in a durable transaction.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
use arrow::ipc::writer::FileWriter;
use arrow::record_batch::RecordBatch;

use crate::Plan;
use crate::generate::{Data, FIELDS};
use crate::report::Figures;

/// Runs everything.
///
/// # Errors
/// When Python, its packages or DuckDB cannot be had.
pub fn run(plan: &Plan, data: &Data) -> Result<Figures, Box<dyn std::error::Error>> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let python = environment(&here)?;
    let dir = tempfile::tempdir()?;
    let rows = dir.path().join("rows.arrow");
    write(plan, data, &rows)?;
    let output = Command::new(python)
        .arg(here.join("duckdb_peer.py"))
        .arg(&rows)
        .arg(dir.path().join("bench.duckdb"))
        .arg(plan.points.min(2_000).to_string())
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let text = String::from_utf8(output.stdout)?;
    let mut parts = text.split_whitespace();
    let version = parts.next().unwrap_or("?").to_owned();
    let mut number = || -> Result<f64, Box<dyn std::error::Error>> {
        Ok(parts
            .next()
            .ok_or("the DuckDB peer printed too little")?
            .parse()?)
    };
    Ok(Figures {
        engine: format!("DuckDB {version} (a transaction a batch)"),
        ingest_rows_s: number()?,
        disk_bytes: number()? as u64,
        point_p50_us: number()?,
        point_p99_us: number()?,
        scan_ms: number()?,
        scan_sum: number()?,
    })
}

/// A Python environment with the packages, made once beside the build's output.
fn environment(here: &std::path::Path) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let venv = here.join("target/python");
    let python = venv.join("bin/python");
    if !python.exists() {
        eprintln!(
            "installing duckdb and pyarrow from PyPI into {}",
            venv.display()
        );
        let made = Command::new("python3")
            .args(["-m", "venv"])
            .arg(&venv)
            .status()?;
        let installed = made.success()
            && Command::new(&python)
                .args(["-m", "pip", "install", "--quiet", "duckdb", "pyarrow"])
                .status()?
                .success();
        if !installed {
            std::fs::remove_dir_all(&venv).ok();
            return Err("python3 with venv and pip is needed for the DuckDB figures".into());
        }
    }
    Ok(python)
}

fn write(
    plan: &Plan,
    data: &Data,
    path: &std::path::Path,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut writer: Option<FileWriter<File>> = None;
    for start in (0..plan.rows).step_by(plan.batch) {
        let end = (start + plan.batch).min(plan.rows);
        let mut columns: Vec<(&str, ArrayRef)> = vec![
            (
                "device",
                Arc::new(StringArray::from_iter_values(
                    data.device[start..end]
                        .iter()
                        .map(|device| Data::name(*device)),
                )),
            ),
            (
                "ts",
                Arc::new(Int64Array::from(data.ts_ns[start..end].to_vec())),
            ),
        ];
        for (field, values) in FIELDS.iter().zip(&data.fields) {
            columns.push((
                field.0,
                Arc::new(Float64Array::from(values[start..end].to_vec())),
            ));
        }
        let batch = RecordBatch::try_from_iter(columns)?;
        if writer.is_none() {
            writer = Some(FileWriter::try_new(File::create(path)?, &batch.schema())?);
        }
        if let Some(writer) = &mut writer {
            writer.write(&batch)?;
        }
    }
    if let Some(mut writer) = writer {
        writer.finish()?;
    }
    Ok(())
}
