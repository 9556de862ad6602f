//! Which rows of a damaged SSTable can still be read, and writing them to a new one. A vector with
//! one damaged column is lost whole: a row without one of its cells would say something else.

use std::sync::Arc;

use activestore_env::Disk;
use activestore_sst::{Sst, SstOptions, SstWriter};
use activestore_types::{ColumnId, Error, Result, RowBatch};

use super::key;
use crate::disks::SstDisks;
use crate::manifest::FileRecord;
use crate::memtable::row_keys;
use crate::store::sst_path;

/// A file that is not as the manifest says, and what of it cannot be read.
#[derive(Clone)]
pub(super) struct Damaged {
    pub(super) record: FileRecord,
    /// Where it lies: under its name, or set aside by a repair that was cut off.
    pub(super) path: String,
    /// Vectors that cannot be read; `None` where nothing of the file can.
    vectors: Option<Vec<usize>>,
    pub(super) lost_rows: u64,
    /// One sentence for each run of keys that is lost.
    pub(super) lost: Vec<String>,
    pub(super) error: Error,
}

fn columns(sst: &Sst) -> Vec<ColumnId> {
    sst.schema()
        .columns
        .iter()
        .map(|column| column.id)
        .collect()
}

/// Checks a file whole; `None` where nothing is wrong with it.
pub(super) fn check(disk: &Arc<dyn Disk>, record: &FileRecord, path: &str) -> Option<Damaged> {
    let opened = Sst::open(disk, path).and_then(|sst| {
        if *sst.meta() == record.meta && sst.schema().id == record.table {
            Ok(sst)
        } else {
            Err(Error::corrupt(format!(
                "{path} is not the file that the manifest names"
            )))
        }
    });
    let sst = match opened {
        Ok(sst) => sst,
        Err(error) => {
            let lost = format!(
                "the {} rows of {path}, of the table with the id {}, cannot be read",
                record.meta.rows, record.table.0
            );
            return Some(Damaged {
                record: record.clone(),
                path: path.to_owned(),
                vectors: None,
                lost_rows: record.meta.rows,
                lost: vec![lost],
                error,
            });
        }
    };
    let error = sst.verify().err()?;
    // Something is wrong: now vector by vector, to say all of what is.
    let columns = columns(&sst);
    let bad: Vec<usize> = (0..sst.vectors())
        .filter(|v| sst.read_stamped(*v, &columns).is_err())
        .collect();
    Some(Damaged {
        record: record.clone(),
        path: path.to_owned(),
        lost_rows: bad.iter().map(|v| sst.vector_rows(*v) as u64).sum(),
        lost: sentences(&sst, &bad),
        vectors: Some(bad),
        error,
    })
}

/// One sentence for each run of neighbouring vectors.
fn sentences(sst: &Sst, bad: &[usize]) -> Vec<String> {
    bad.chunk_by(|before, after| before + 1 == *after)
        .filter_map(|run| Some((run.first()?, run.last()?, run)))
        .map(|(first, last, run)| {
            let rows: usize = run.iter().map(|v| sst.vector_rows(*v)).sum();
            let schema = sst.schema();
            let show = |v| match sst.fence(v) {
                Ok(fence) => key::show(schema, &fence),
                Err(_) => "that cannot be read either".to_owned(),
            };
            let from = show(*first);
            let to = if last + 1 < sst.vectors() {
                format!("up to {}", show(last + 1))
            } else {
                format!("to {}", key::show(schema, &sst.meta().last_key))
            };
            format!(
                "{rows} rows of table {} in {} cannot be read: keys from {from} {to}",
                schema.name,
                sst.path()
            )
        })
        .collect()
}

/// Writes what can be read to the SSTable `id`, synced; `None` where there is nothing.
///
/// # Errors
/// As the disk.
pub(super) fn save(disks: &SstDisks, damaged: &Damaged, id: u64) -> Result<Option<FileRecord>> {
    let Some(bad) = &damaged.vectors else {
        return Ok(None);
    };
    // Under the key that the damaged one was under, also where that is its partition's own.
    let disk = &disks.under(disks.own_key_of(&damaged.path)?);
    let sst = Sst::open(disk, &damaged.path)?;
    let path = sst_path(id);
    if disk.exists(&path) {
        // Of a repair that was cut off; nothing names it.
        disk.remove(&path)?;
    }
    if bad.len() == sst.vectors() {
        return Ok(None);
    }
    let columns = columns(&sst);
    let options = SstOptions::default();
    let mut writer = SstWriter::create(disk, &path, Arc::clone(sst.schema()), options)?;
    for v in (0..sst.vectors()).filter(|v| !bad.contains(v)) {
        let batch: RowBatch = sst.read_stamped(v, &columns)?;
        writer.append(&batch, &row_keys(sst.schema(), &batch)?)?;
    }
    Ok(Some(FileRecord {
        table: damaged.record.table,
        id,
        meta: writer.finish()?,
    }))
}
