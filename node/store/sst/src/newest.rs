//! The newest row of each partition, kept a second time in the file as a small SSTable of its own, so that
//! who asks for the last point of every device reads rows that lie side by side. A row is newest that
//! is the last of its partition by key, or the first where the first clustering column descends.
//! Kept only where it costs next to nothing: in files of long partitions in which no key stands twice.

use std::io;
use std::sync::Arc;

use activestore_env::DiskFile;
use activestore_types::{KeyBuffer, Result, RowBatch, TableSchema};
use parking_lot::Mutex;

use crate::group::pick;
use crate::writer::{SstOptions, SstWriter};

/// A partition must hold so many rows, about, for its newest one to be kept.
const PARTITION_ROWS_MIN: u64 = 64;
/// From so many partitions on it is asked whether they are long enough.
const PARTITIONS_ON_TRIAL: u64 = 256;
/// Memory that the rows may take until the file is finished, in bytes, about.
const BYTES_MAX: usize = 1 << 20;

/// Gathers the newest rows while a file is written.
pub(crate) struct NewestWriter {
    file: Arc<MemoryFile>,
    writer: SstWriter,
    /// Whether the newest row is a partition's first.
    first: bool,
    /// The row before, which is its partition's last if the next one is of another.
    before: Option<(RowBatch, KeyBuffer)>,
    rows: u64,
}

impl NewestWriter {
    /// For a table; `None` where a partition is one row.
    pub(crate) fn new(schema: &Arc<TableSchema>, options: SstOptions) -> Option<Self> {
        let first = schema.clustering_key.first()?.descending;
        let group_bytes_max = options.group_bytes_max.unwrap_or(BYTES_MAX);
        let options = SstOptions {
            group_bytes_max: Some(group_bytes_max.min(BYTES_MAX / 2)),
            cold: false,
            ..options
        };
        let file = Arc::new(MemoryFile::default());
        let within: Arc<dyn DiskFile> = file.clone();
        let mut writer = SstWriter::within(within, "newest rows", Arc::clone(schema), options);
        // The tables of compressors would take many times what the rows take.
        writer.leave_text_plain();
        Some(NewestWriter {
            file,
            writer,
            first,
            before: None,
            rows: 0,
        })
    }

    /// Takes the rows that were written next; `starts` are those that begin a partition.
    pub(crate) fn append(
        &mut self,
        batch: &RowBatch,
        keys: &KeyBuffer,
        starts: &[usize],
    ) -> Result<()> {
        if self.first {
            return self.take(batch, keys, starts.to_vec());
        }
        if starts.first() == Some(&0)
            && let Some((row, key)) = self.before.take()
        {
            self.rows += 1;
            self.writer.append(&row, &key)?;
        }
        let ends = starts.iter().filter_map(|start| start.checked_sub(1));
        self.take(batch, keys, ends.collect())?;
        if let Some(last) = batch.rows.checked_sub(1) {
            self.before = Some(picked(batch, keys, &[last])?);
        }
        Ok(())
    }

    fn take(&mut self, batch: &RowBatch, keys: &KeyBuffer, rows: Vec<usize>) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        self.rows += rows.len() as u64;
        let (batch, keys) = picked(batch, keys, &rows)?;
        self.writer.append(&batch, &keys)
    }

    /// Whether it is still worth going on in a file of so many rows.
    pub(crate) fn is_worth(&self, file_rows: u64) -> bool {
        let short = self.rows > PARTITIONS_ON_TRIAL && self.rows * PARTITION_ROWS_MIN > file_rows;
        !short && self.file.0.lock().len() + self.writer.held_bytes() <= BYTES_MAX
    }

    /// The bytes of the SSTable; `None` where a file of so many rows is better off without.
    pub(crate) fn finish(mut self, file_rows: u64) -> Result<Option<Vec<u8>>> {
        if let Some((row, key)) = self.before.take() {
            self.rows += 1;
            self.writer.append(&row, &key)?;
        }
        if self.rows == 0 || self.rows * PARTITION_ROWS_MIN > file_rows {
            return Ok(None);
        }
        self.writer.finish()?;
        let bytes = std::mem::take(&mut *self.file.0.lock());
        Ok((bytes.len() <= BYTES_MAX).then_some(bytes))
    }
}

fn picked(batch: &RowBatch, keys: &KeyBuffer, rows: &[usize]) -> Result<(RowBatch, KeyBuffer)> {
    let picks: Vec<(usize, usize)> = rows.iter().map(|row| (0, *row)).collect();
    Ok((pick(batch, rows)?, KeyBuffer::gather(&[keys], &picks)?))
}

/// A file that is written in memory.
#[derive(Default)]
struct MemoryFile(Mutex<Vec<u8>>);

impl DiskFile for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.lock().resize(place(len)?, 0);
        Ok(())
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let bytes = self.0.lock();
        let held = bytes.get(place(offset)?..).unwrap_or(&[]);
        let copied = out.iter_mut().zip(held).map(|(to, from)| *to = *from);
        Ok(copied.count())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = place(offset)?;
        let mut held = self.0.lock();
        if held.len() < offset + bytes.len() {
            held.resize(offset + bytes.len(), 0);
        }
        if let Some(slots) = held.get_mut(offset..offset + bytes.len()) {
            slots.copy_from_slice(bytes);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}

fn place(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))
}

/// A part of a file, to be read alone.
pub(crate) struct Part {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

impl DiskFile for Part {
    fn len(&self) -> io::Result<u64> {
        Ok(self.length)
    }

    fn set_len(&self, _len: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let left = self.length.saturating_sub(offset);
        let count = usize::try_from(left).map_or(out.len(), |left| left.min(out.len()));
        match out.get_mut(..count) {
            Some(out) if count > 0 => self.file.read_at(self.offset + offset, out),
            _ => Ok(0),
        }
    }

    fn write_at(&self, _offset: u64, _bytes: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests;
