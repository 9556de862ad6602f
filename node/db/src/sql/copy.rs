//! `COPY`: rows of a query to a file of this machine and back, only inside of the folder that the node's settings
//! name for it. A file is there once it is whole; reading and writing have a thread of their own, a few batches ahead.

mod bytes;
mod text;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use activestore_env::open_no_link;
use activestore_formats::arrow_ipc::plain;
use activestore_formats::{ArrowFile, AtOnce, ParquetReader, ParquetWriter};
use activestore_query::{CopyStatement, FileFormat, Param, RowFile, cast_assigned};
use activestore_types::{DataType, Error, NamedBatch, Result, TableName, TableSchema};
use arrow::array::ArrayRef;
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow::{csv, ipc, json};
use futures::StreamExt;
use tokio::sync::mpsc::{Receiver, channel};

use self::text::RowReader;
use super::SqlOutcome;
use crate::db::Db;

/// Batches that one side may be ahead of the other.
const BATCHES_AHEAD: usize = 2;
/// Rows that are read and written at once.
const BATCH_ROWS: usize = 8192;
/// Bytes of the values of rows that are read at once of Parquet.
const BATCH_BYTES: usize = 8 << 20;
/// Bytes of a row group of Parquet, which is held until it is written.
const GROUP_BYTES: usize = 32 << 20;

impl Db {
    pub(super) async fn copy(&self, copy: CopyStatement, params: &[Param]) -> Result<SqlOutcome> {
        let folder = self.inner.options.copy_dir.clone().ok_or_else(|| {
            Error::invalid("COPY is not available: this node has no folder for it").with_hint(
                "set storage.copy_dir, or use `activestore load` and `activestore export`",
            )
        })?;
        let copied = match copy {
            CopyStatement::To { query, file } => {
                self.copy_to(&folder, &query, file, params).await?
            }
            CopyStatement::From {
                table,
                columns,
                file,
            } => self.copy_from(&folder, &table, columns, file).await?,
        };
        Ok(SqlOutcome::counted("COPY", copied))
    }

    async fn copy_to(
        &self,
        folder: &Path,
        query: &str,
        file: RowFile,
        params: &[Param],
    ) -> Result<u64> {
        let target = inside(folder, &file.name)?;
        let mut rows = self.engine().query(query, params).await?;
        let schema = rows.schema.clone();
        let (sender, batches) = channel(BATCHES_AHEAD);
        let rows_to_write = Rows { batches };
        let writer = Self::unqueued(move || write(&target, file.format, &schema, rows_to_write));
        let reading = async move {
            let mut copied = 0;
            while let Some(batch) = rows.stream.next().await {
                let failed = batch.is_err();
                copied += batch.as_ref().map_or(0, |batch| batch.num_rows() as u64);
                // A writer that is gone says why itself.
                if sender.send(batch.map(Some)).await.is_err() || failed {
                    return copied;
                }
            }
            let _says_why_itself = sender.send(Ok(None)).await;
            copied
        };
        let (written, copied) = futures::join!(writer, reading);
        written.map(|()| copied)
    }

    async fn copy_from(
        &self,
        folder: &Path,
        table: &TableName,
        columns: Vec<String>,
        file: RowFile,
    ) -> Result<u64> {
        let schema = self.inner.catalog.state().table(table)?.clone();
        let source = inside(folder, &file.name)?;
        let (sender, mut receiver) = channel(BATCHES_AHEAD);
        let read_as = schema.clone();
        let reader = Self::unqueued(move || {
            for batch in read(&source, file.format, &read_as, &columns)? {
                // Whoever writes has failed, and says so.
                if sender.blocking_send(batch?).is_err() {
                    break;
                }
            }
            Ok(())
        });
        let writing = async {
            let mut copied = 0;
            while let Some(batch) = receiver.recv().await {
                let batch = NamedBatch::from_record_batch(
                    table.clone(),
                    &typed(&schema, &batch, file.format)?,
                );
                copied += self.write_checked(vec![batch]).await?.rows;
            }
            drop(receiver);
            Ok::<u64, Error>(copied)
        };
        let (read, copied) = futures::join!(reader, writing);
        let copied = copied?;
        read.map_err(|error| match copied {
            0 => error,
            copied => error.context(format!("after {copied} rows, which are stored")),
        })?;
        Ok(copied)
    }
}

/// A file's path, if its name stays in the folder.
fn inside(folder: &Path, name: &str) -> Result<PathBuf> {
    let plain = !name.is_empty()
        && Path::new(name)
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
    if !plain {
        return Err(
            Error::invalid(format!("'{name}' is not the name of a file for COPY")).with_hint(
                "name it from storage.copy_dir on, without '/' before it and without '..'",
            ),
        );
    }
    let folder = fs::canonicalize(folder)
        .map_err(|error| Error::from(error).context(format!("folder {}", folder.display())))?;
    let path = folder.join(name);
    // Links inside of the folder lead nowhere else.
    let parent = path.parent().unwrap_or(&folder);
    let parent = fs::canonicalize(parent).map_err(|error| Error::from(error).context(name))?;
    let leaves = !parent.starts_with(&folder)
        || fs::symlink_metadata(&path).is_ok_and(|found| !found.is_file());
    if leaves {
        return Err(Error::invalid(format!(
            "'{name}' is not a file in the folder for COPY"
        )));
    }
    Ok(path)
}

/// Rows on their way to a file. Their end is told: a statement that is dropped halfway closes the channel, and what it
/// has sent is not the whole.
struct Rows {
    batches: Receiver<Result<Option<RecordBatch>>>,
}

impl Rows {
    fn next(&mut self) -> Result<Option<RecordBatch>> {
        self.batches.blocking_recv().unwrap_or_else(|| {
            Err(Error::closed(
                "COPY was stopped before its last row was written",
            ))
        })
    }
}

/// Writes a file beside its place and brings it there once it is whole and on the disk.
fn write(target: &Path, format: FileFormat, schema: &SchemaRef, batches: Rows) -> Result<()> {
    let mut part = target.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let named = |error: std::io::Error| Error::from(error).context(target.display());
    let file = begin(&part).map_err(|error| error.context(target.display()))?;
    // Nobody else takes the file over before it is at its place or gone.
    let _held = file.try_clone().map_err(named)?;
    let written = write_rows(BufWriter::new(file), format, schema, batches);
    let done = written.and_then(|file| {
        file.sync_all().map_err(named)?;
        fs::rename(&part, target).map_err(named)
    });
    if done.is_err() {
        // What is not whole is of no use; that it stays is no further fault.
        let _ = fs::remove_file(&part);
    }
    done
}

/// The file that is written, empty. What a node that crashed has left of it is taken over, what another COPY is writing
/// is not.
fn begin(part: &Path) -> Result<File> {
    if fs::symlink_metadata(part).is_ok_and(|found| !found.is_file()) {
        return Err(Error::invalid(format!(
            "{} is not a file that COPY could write",
            part.display()
        )));
    }
    let file = open_no_link(
        OpenOptions::new().write(true).create(true).truncate(false),
        part,
    )?;
    let free = match file.try_lock() {
        Ok(()) => {
            // Whoever had it before may have brought it to its place since it was opened.
            let (ours, there) = (file.metadata()?, fs::symlink_metadata(part));
            there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino()))
        }
        Err(TryLockError::WouldBlock) => false,
        Err(TryLockError::Error(error)) => return Err(error.into()),
    };
    if !free {
        return Err(Error::conflict("another COPY is writing this file")
            .with_hint("wait until it is done, or give this one another name"));
    }
    file.set_len(0)?;
    Ok(file)
}

fn write_rows(
    file: BufWriter<File>,
    format: FileFormat,
    schema: &SchemaRef,
    mut batches: Rows,
) -> Result<File> {
    let mut file = match format {
        FileFormat::Csv => {
            let mut writer = csv::WriterBuilder::new().with_header(true).build(file);
            writer.write(&RecordBatch::new_empty(schema.clone()))?;
            while let Some(batch) = batches.next()? {
                writer.write(&bytes::shown(&batch)?)?;
            }
            writer.into_inner()
        }
        FileFormat::Ndjson => {
            let mut writer = json::LineDelimitedWriter::new(file);
            while let Some(batch) = batches.next()? {
                writer.write(&bytes::shown(&batch)?)?;
            }
            writer.finish()?;
            writer.into_inner()
        }
        FileFormat::Arrow => {
            let mut writer = ipc::writer::FileWriter::try_new(file, schema)?;
            while let Some(batch) = batches.next()? {
                writer.write(&batch)?;
            }
            writer.into_inner()?
        }
        FileFormat::Parquet => {
            let mut writer = ParquetWriter::new(file, schema.clone(), GROUP_BYTES)?;
            while let Some(batch) = batches.next()? {
                writer.write(&batch)?;
            }
            writer.into_inner()?
        }
    };
    file.flush()?;
    file.into_inner()
        .map_err(|error| Error::from(error.into_error()))
}

type Batches = Box<dyn Iterator<Item = Result<RecordBatch>>>;

/// The rows of a file. Cells of text formats are text, for [`typed`].
fn read(
    source: &Path,
    format: FileFormat,
    schema: &TableSchema,
    columns: &[String],
) -> Result<Batches> {
    let named = |error: std::io::Error| Error::from(error).context(source.display());
    let mut file =
        BufReader::new(open_no_link(OpenOptions::new().read(true), source).map_err(named)?);
    let texts = |names: Vec<String>| {
        let fields = names
            .into_iter()
            .map(|name| Field::new(name, DataType::Text.arrow(), true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    };
    let batches: Batches = match format {
        FileFormat::Csv => {
            let names = header(&mut file)?;
            let reader = csv::ReaderBuilder::new(texts(names))
                .with_header(true)
                .with_batch_size(BATCH_ROWS);
            Box::new(RowReader::of_csv(file, reader.build_decoder()))
        }
        FileFormat::Ndjson => {
            let names = if columns.is_empty() {
                schema
                    .columns
                    .iter()
                    .map(|column| column.name.clone())
                    .collect()
            } else {
                columns.to_vec()
            };
            let reader = json::ReaderBuilder::new(texts(names))
                .with_coerce_primitive(true)
                .with_strict_mode(columns.is_empty())
                .with_batch_size(BATCH_ROWS);
            Box::new(RowReader::of_json(file, reader.build_decoder()?))
        }
        FileFormat::Arrow => Box::new(ArrowFile::open(file.into_inner(), columns)?),
        FileFormat::Parquet => {
            let at_once = AtOnce {
                bytes: BATCH_BYTES,
                rows: BATCH_ROWS,
            };
            let rows = ParquetReader::of_file(file.into_inner(), columns, at_once, &mut 0)?;
            Box::new(rows.map(|batch| plain(&batch?)))
        }
    };
    let columns = columns.to_vec();
    Ok(Box::new(batches.map(move |batch| {
        let batch = batch?;
        if columns.is_empty() {
            return Ok(batch);
        }
        let places = columns.iter().map(|column| batch.schema().index_of(column));
        let places = places.collect::<std::result::Result<Vec<usize>, _>>();
        let places = places.map_err(|error| Error::invalid(format!("the file: {error}")))?;
        Ok(batch.project(&places)?)
    })))
}

/// The names in the first line, after which the file is read from its beginning.
fn header(file: &mut BufReader<File>) -> Result<Vec<String>> {
    /// The longest line of names.
    const HEADER_BYTES_MAX: u64 = 1 << 20;
    let (first, _) = csv::reader::Format::default()
        .with_header(true)
        .infer_schema(file.by_ref().take(HEADER_BYTES_MAX), Some(0))?;
    file.rewind()?;
    Ok(first
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect())
}

/// The rows under the types of the table's columns; columns that it lacks stay as they are.
fn typed(schema: &TableSchema, batch: &RecordBatch, format: FileFormat) -> Result<RecordBatch> {
    let given = batch.schema();
    let columns = given
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, array)| {
            let array: ArrayRef = match schema.column(field.name()) {
                Some(column) if column.data_type == DataType::Bytes && format.is_text() => {
                    bytes::read(&column.name, array)?
                }
                Some(column) => cast_assigned(&column.name, column.data_type, array)?,
                None => array.clone(),
            };
            let field = Field::new(field.name(), array.data_type().clone(), true);
            Ok((field, array))
        });
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) =
        columns.collect::<Result<Vec<_>>>()?.into_iter().unzip();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}
