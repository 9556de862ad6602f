//! Writing a file, in the order of its keys: rows are kept (as slices, uncopied) until a row group
//! is full, then encoded column by column and written in one piece. Nothing is read back and nothing is
//! published here: the caller makes the directory durable and adds the file to its manifest.

use std::cmp::Ordering;
use std::sync::Arc;

use activestore_env::{Disk, DiskFile};
use activestore_types::{ColumnId, DataType, Error, Hlc, KeyBuffer, Result, RowBatch, TableSchema};
use arrow::array::AsArray;
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::TimestampNanosecondType;
use serde::Serialize;

use crate::block::VECTOR_ROWS;
use crate::block::dictionary::Values;
use crate::column::ColumnWriter;
use crate::filter::FilterBuilder;
use crate::footer::{
    ColumnKind, FooterColumn, FooterPage, GROUP_ROWS, MAGIC, Section, family_of, pack_section,
};
use crate::group::{gather, join, slice, text_bytes};
use crate::meta::SstMeta;
use crate::newest::NewestWriter;
use crate::page::{self, page_vectors};

/// Text that a row group gathers at most, in bytes.
const GROUP_TEXT_BYTES: usize = 32 << 20;

/// Pieces of a row group that wait side by side: many tiny ones take many times what their rows do.
const PIECES_MAX: usize = 64;

/// Bytes that are gathered for one write.
const WRITE_BYTES: usize = 256 << 10;

/// How a file is written.
#[derive(Clone, Debug, Default)]
pub struct SstOptions {
    /// Try zstd on top of every vector and keep it where it gains an eighth: for files that are
    /// read rarely. Not on times, which nearly every query reads: to unpack one takes twice as long as to decode it.
    pub cold: bool,
    /// As [`SstMeta::level`].
    pub level: u8,
    /// Rows that are gathered before they are encoded, in bytes, about; `None`: as many as a row
    /// group may have. At least one vector is.
    pub group_bytes_max: Option<usize>,
}

/// A file being written. Dropping it unfinished leaves a file that cannot be opened.
pub struct SstWriter {
    file: Arc<dyn DiskFile>,
    path: String,
    schema: Arc<TableSchema>,
    columns: Vec<ColumnWriter>,
    /// Where the next byte goes.
    offset: u64,
    /// The bytes before it that are not written yet.
    buffer: Vec<u8>,
    pending: Vec<RowBatch>,
    pending_rows: usize,
    pending_text: usize,
    groups: Vec<u32>,
    /// The pages of the index so far, and the fences of the one in the making.
    pages: Vec<FooterPage>,
    fences: Values,
    page_groups: u32,
    filter: FilterBuilder,
    partition: Vec<u8>,
    last: Option<(Vec<u8>, u64)>,
    meta: SstMeta,
    expiring: u64,
    repeated: bool,
    /// The first clustering column, where it is a TIMESTAMP.
    time: Option<ColumnId>,
    /// Rows of a row group, at most.
    group_rows_max: usize,
    /// What the last one came to.
    group_bytes: usize,
    /// Text that a row group gathers before it is cut short of its rows, in bytes.
    group_text_max: usize,
    /// The newest rows, as long as they are worth a place of their own.
    newest: Option<Box<NewestWriter>>,
    /// The rows of the batch that is being appended that begin a partition.
    starts: Vec<usize>,
}

impl SstWriter {
    /// Creates the file, which must not exist.
    ///
    /// # Errors
    /// As the disk says.
    pub fn create(
        disk: &Arc<dyn Disk>,
        path: &str,
        schema: Arc<TableSchema>,
        options: SstOptions,
    ) -> Result<SstWriter> {
        let file = disk
            .create(path)
            .map_err(|error| Error::from(error).context(path))?;
        let newest = NewestWriter::new(&schema, options.clone()).map(Box::new);
        let mut writer = SstWriter::within(file, path, schema, options);
        writer.newest = newest;
        Ok(writer)
    }

    /// Writes to an empty file, without a second place for newest rows.
    pub(crate) fn within(
        file: Arc<dyn DiskFile>,
        path: &str,
        schema: Arc<TableSchema>,
        options: SstOptions,
    ) -> SstWriter {
        let hidden = [
            ColumnKind::Hlc,
            ColumnKind::Origin,
            ColumnKind::Expiry,
            ColumnKind::Tombstone,
        ];
        let cells = schema
            .columns
            .iter()
            .map(|column| ColumnKind::Cells(column.id));
        let time = schema.time_column();
        let columns = hidden.into_iter().chain(cells).filter_map(|kind| {
            let is_time = time.is_some_and(|time| kind == ColumnKind::Cells(time));
            let cold = options.cold && !is_time;
            Some(ColumnWriter::new(kind, family_of(kind, &schema)?, cold))
        });
        let columns = columns.collect();
        SstWriter {
            file,
            path: path.to_owned(),
            time,
            group_rows_max: options.group_bytes_max.map_or(GROUP_ROWS, |bytes| {
                let vectors = bytes / (schema.row_bytes_estimate() * VECTOR_ROWS);
                (vectors * VECTOR_ROWS).clamp(VECTOR_ROWS, GROUP_ROWS)
            }),
            group_text_max: GROUP_TEXT_BYTES.min(options.group_bytes_max.unwrap_or(usize::MAX)),
            schema,
            columns,
            group_bytes: 0,
            offset: MAGIC.len() as u64,
            buffer: MAGIC.to_vec(),
            pending: Vec::new(),
            pending_rows: 0,
            pending_text: 0,
            groups: Vec::new(),
            pages: Vec::new(),
            fences: Values::default(),
            page_groups: 0,
            filter: FilterBuilder::default(),
            partition: Vec::new(),
            last: None,
            meta: SstMeta {
                rows: 0,
                bytes: 0,
                first_key: Vec::new(),
                last_key: Vec::new(),
                min_hlc: Hlc(u64::MAX),
                max_hlc: Hlc::ZERO,
                min_expiry_ms: None,
                max_expiry_ms: None,
                min_time_ns: None,
                max_time_ns: None,
                level: options.level,
                tombstones: 0,
                distinct: true,
                unique: true,
                columns: Vec::new(),
            },
            expiring: 0,
            repeated: false,
            newest: None,
            starts: Vec::new(),
        }
    }

    /// Adds rows; `keys` holds each row's encoded primary key. Over all calls rows come by
    /// ascending key, those of one key by descending stamp.
    ///
    /// # Errors
    /// `Invalid` for rows out of order, parts of unequal length, a column that the schema does not
    /// have or that has another type; `DiskFull` or as the disk says. After an error the file is
    /// of no use.
    pub fn append(&mut self, batch: &RowBatch, keys: &KeyBuffer) -> Result<()> {
        self.check(batch, keys)?;
        self.note_stamps(batch);
        self.starts.clear();
        let mut start = 0;
        while start < batch.rows {
            let mut rows = (self.group_rows_max - self.pending_rows).min(batch.rows - start);
            let mut piece = slice(batch, start, rows);
            while rows > 1 && self.pending_text + text_bytes(&piece) > self.group_text_max {
                rows /= 2;
                piece = slice(batch, start, rows);
            }
            self.note_keys(&piece, keys, start)?;
            self.pending_text += text_bytes(&piece);
            self.pending_rows += rows;
            self.pending.push(piece);
            if self.pending.len() >= PIECES_MAX {
                self.pending = vec![join(&self.pending, self.pending_rows, &self.schema)?];
            }
            if self.pending_rows >= self.group_rows_max
                || self.pending_text > self.group_text_max / 2
            {
                self.write_group()?;
            }
            start += rows;
        }
        if let Some(newest) = &mut self.newest {
            newest.append(batch, keys, &self.starts)?;
            if self.repeated || !newest.is_worth(self.meta.rows) {
                self.newest = None;
            }
        }
        Ok(())
    }

    /// Never compresses text.
    pub(crate) fn leave_text_plain(&mut self) {
        for column in &mut self.columns {
            column.leave_text_plain();
        }
    }

    /// Memory of what was appended and is not written, about.
    pub(crate) fn held_bytes(&self) -> usize {
        let row_bytes = self.schema.row_bytes_estimate();
        self.buffer.len() + self.pending_text + self.pending_rows * row_bytes
    }

    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.offset
    }

    /// Writes what is left and the footer, and makes the file's bytes durable. The directory is the
    /// caller's to sync.
    ///
    /// # Errors
    /// As the disk says; the file is then of no use.
    pub fn finish(mut self) -> Result<SstMeta> {
        self.write_group()?;
        self.write_page()?;
        let columns = std::mem::take(&mut self.columns);
        let mut stored = Vec::new();
        let mut sparse = false;
        for (part, column) in (0..).zip(&columns).filter(|(_, column)| column.held) {
            let dictionary = match column.shared() {
                Some(bytes) => Some(self.write_section(&bytes)?),
                None => None,
            };
            stored.push(FooterColumn {
                kind: column.kind,
                part,
                dictionary,
            });
            if let ColumnKind::Cells(id) = column.kind
                && let Some(described) = self.schema.column_by_id(id)
            {
                let extra = dictionary.map_or(0, |section| section.length);
                self.meta.columns.push(column.meta(described, extra));
                sparse |= column.sparse;
            }
        }
        self.meta.distinct = !self.repeated;
        self.meta.unique =
            !(self.repeated || sparse || self.expiring > 0) && self.meta.tombstones == 0;
        if self.expiring < self.meta.rows {
            self.meta.max_expiry_ms = None;
        }
        if let Some((key, _)) = self.last.take() {
            self.meta.last_key = key;
        } else {
            self.meta.min_hlc = Hlc::ZERO;
        }
        let filter = std::mem::take(&mut self.filter).build().encode();
        let filter = self.write_section(&filter)?;
        let newest = match self.newest.take() {
            Some(newest) => newest.finish(self.meta.rows)?,
            None => None,
        };
        let newest = newest.map(|bytes| self.write_part(&bytes)).transpose()?;
        let footer = FooterRef {
            schema: &self.schema,
            meta: &self.meta,
            groups: &self.groups,
            columns: &stored,
            pages: &self.pages,
            filter,
            newest,
        };
        let mut tail = postcard::to_allocvec(&footer)
            .map_err(|error| Error::internal(format!("a footer cannot be written: {error}")))?;
        let length = u32::try_from(tail.len())
            .map_err(|_| Error::invalid("a footer is longer than 4 GiB"))?;
        let crc = crc32c::crc32c(&tail);
        tail.extend(length.to_le_bytes());
        tail.extend(crc.to_le_bytes());
        tail.extend(MAGIC);
        self.emit(&tail)?;
        self.write_buffer()?;
        self.file
            .sync_data()
            .map_err(|error| Error::from(error).context(&self.path))?;
        self.meta.bytes = self.offset;
        Ok(self.meta)
    }

    fn check(&self, batch: &RowBatch, keys: &KeyBuffer) -> Result<()> {
        batch.validate()?;
        if keys.len() != batch.rows {
            return Err(Error::invalid(format!(
                "{} keys for {} rows",
                keys.len(),
                batch.rows
            )));
        }
        for column in &batch.columns {
            let known = self.schema.column_by_id(column.id).ok_or_else(|| {
                Error::invalid(format!(
                    "table {} has no column with id {}",
                    self.schema.name, column.id.0
                ))
            })?;
            let expected = known.data_type.arrow();
            if *column.array.data_type() != expected {
                return Err(Error::invalid(format!(
                    "column '{}' is {} where {expected} is expected",
                    known.name,
                    column.array.data_type()
                )));
            }
        }
        Ok(())
    }

    fn note_stamps(&mut self, batch: &RowBatch) {
        let meta = &mut self.meta;
        for hlc in batch.hlc.iter() {
            meta.min_hlc = meta.min_hlc.min(Hlc(*hlc));
            meta.max_hlc = meta.max_hlc.max(Hlc(*hlc));
        }
        for expiry in batch
            .expiry_ms
            .iter()
            .flat_map(|expiry| expiry.iter())
            .filter(|e| **e > 0)
        {
            self.expiring += 1;
            meta.min_expiry_ms = Some(
                meta.min_expiry_ms
                    .map_or(*expiry, |least| least.min(*expiry)),
            );
            meta.max_expiry_ms = meta.max_expiry_ms.max(Some(*expiry));
        }
        let times = self.time.and_then(|id| batch.column(id));
        if let Some(times) = times.and_then(|column| {
            let array = column.array.as_primitive_opt::<TimestampNanosecondType>();
            array.map(|array| array.values())
        }) {
            let (least, greatest) = (times.iter().min(), times.iter().max());
            meta.min_time_ns = meta.min_time_ns.into_iter().chain(least.copied()).min();
            meta.max_time_ns = meta.max_time_ns.max(greatest.copied());
        }
        let tombstones = batch
            .tombstone
            .as_ref()
            .map_or(0, BooleanBuffer::count_set_bits);
        meta.tombstones += tombstones as u64;
        meta.rows += batch.rows as u64;
    }

    /// Checks the order of a piece's keys and takes fences and partitions from them.
    fn note_keys(&mut self, piece: &RowBatch, keys: &KeyBuffer, start: usize) -> Result<()> {
        let last = self.last.take();
        let (mut before, mut before_hlc) = match &last {
            Some((key, hlc)) => (key.as_slice(), *hlc),
            None => {
                self.meta.first_key = keys.key(start).to_vec();
                self.starts.push(start);
                self.note_partition(keys.key(start));
                (&[] as &[u8], u64::MAX)
            }
        };
        for (row, hlc) in piece.hlc.iter().enumerate() {
            let key = keys.key(start + row);
            let inside = key.starts_with(&self.partition);
            // The key before, if there is one, is of this partition.
            let known = if inside && (last.is_some() || row > 0) {
                self.partition.len()
            } else {
                0
            };
            match compare_from(known, before, key) {
                Ordering::Less => {}
                // The very first key may be empty itself.
                Ordering::Equal if before_hlc == u64::MAX && last.is_none() && row == 0 => {}
                Ordering::Equal if before_hlc >= *hlc => self.repeated = true,
                _ => {
                    return Err(Error::invalid(
                        "rows are not by ascending key and descending stamp",
                    ));
                }
            }
            if !inside {
                self.starts.push(start + row);
                self.note_partition(key);
            }
            if (self.pending_rows + row).is_multiple_of(VECTOR_ROWS) {
                self.fences.push(key);
            }
            (before, before_hlc) = (key, *hlc);
        }
        self.last = Some((before.to_vec(), before_hlc));
        Ok(())
    }

    fn note_partition(&mut self, key: &[u8]) {
        let prefix = partition_prefix(&self.schema, key);
        self.filter.add(prefix);
        self.partition.clear();
        self.partition.extend_from_slice(prefix);
    }

    fn write_group(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.pending_rows);
        let pieces = std::mem::take(&mut self.pending);
        self.pending_text = 0;
        if rows == 0 {
            return Ok(());
        }
        // About as much as the one before.
        let mut out = Vec::with_capacity(self.group_bytes / 8 * 9);
        for column in &mut self.columns {
            let data_type = match column.kind {
                ColumnKind::Cells(id) => self.schema.column_by_id(id).map(|known| known.data_type),
                _ => None,
            };
            match gather(&pieces, rows, column.kind, data_type)? {
                Some((array, set)) => {
                    column.push_group(&array, set.as_ref(), self.offset, &mut out)?;
                }
                None => column.skip_group(rows),
            }
        }
        self.groups.push(rows as u32);
        self.page_groups += 1;
        self.group_bytes = out.len();
        self.emit(&out)?;
        if self.fences.len() >= page_vectors(self.columns.len()) {
            self.write_page()?;
        }
        Ok(())
    }

    /// Ends a page of the index.
    fn write_page(&mut self) -> Result<()> {
        let groups = std::mem::take(&mut self.page_groups);
        if groups == 0 {
            return Ok(());
        }
        let fences = std::mem::take(&mut self.fences);
        let (bytes, lengths) =
            page::encode(&fences, self.columns.iter().map(|column| &column.index));
        let section = self.write_section(&bytes)?;
        for (column, length) in self.columns.iter_mut().zip(lengths) {
            // Each has its share of what compression has left.
            column.begin_page(length as u64 * section.length / (bytes.len() as u64).max(1));
        }
        self.pages.push(FooterPage {
            groups,
            first_key: fences.get(0).unwrap_or(&[]).to_vec(),
            section,
        });
        Ok(())
    }

    fn write_section(&mut self, bytes: &[u8]) -> Result<Section> {
        self.write_part(&pack_section(bytes))
    }

    fn write_part(&mut self, bytes: &[u8]) -> Result<Section> {
        let section = Section {
            offset: self.offset,
            length: bytes.len() as u64,
            crc: crc32c::crc32c(bytes),
        };
        self.emit(bytes)?;
        Ok(section)
    }

    /// Appends bytes to the file; everything that is written goes through here.
    fn emit(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.len() >= WRITE_BYTES {
            // So many are worth a write of their own.
            self.write_buffer()?;
            self.write(self.offset, bytes)?;
            self.offset += bytes.len() as u64;
            return Ok(());
        }
        self.buffer.extend_from_slice(bytes);
        self.offset += bytes.len() as u64;
        if self.buffer.len() >= WRITE_BYTES {
            self.write_buffer()?;
        }
        Ok(())
    }

    fn write_buffer(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let start = self.offset - self.buffer.len() as u64;
        self.write(start, &self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    fn write(&self, at: u64, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_at(at, bytes);
        written.map_err(|error| Error::from(error).context(&self.path))
    }
}

/// [`crate::footer::Footer`] by reference.
#[derive(Serialize)]
struct FooterRef<'a> {
    schema: &'a TableSchema,
    meta: &'a SstMeta,
    groups: &'a [u32],
    columns: &'a [FooterColumn],
    pages: &'a [FooterPage],
    filter: Section,
    newest: Option<Section>,
}

/// Compares two keys that are equal up to a place.
fn compare_from(known: usize, left: &[u8], right: &[u8]) -> Ordering {
    let tail = |key| <[u8]>::get(key, known..).unwrap_or(&[]);
    let (left, right) = (tail(left), tail(right));
    // A time alone is left of most keys.
    match (<[u8; 8]>::try_from(left), <[u8; 8]>::try_from(right)) {
        (Ok(left), Ok(right)) => u64::from_be_bytes(left).cmp(&u64::from_be_bytes(right)),
        _ => left.cmp(right),
    }
}

/// The leading part of an encoded key that the partition key's columns take.
fn partition_prefix<'a>(schema: &TableSchema, key: &'a [u8]) -> &'a [u8] {
    let mut end = 0;
    for id in &schema.partition_key {
        let rest = key.get(end..).unwrap_or(&[]);
        end += schema
            .column_by_id(*id)
            .map_or(0, |column| match column.data_type {
                DataType::Boolean => 1,
                DataType::Int | DataType::Date => 4,
                DataType::BigInt | DataType::Timestamp | DataType::Real | DataType::Double => 8,
                DataType::Decimal { .. } => 16,
                DataType::Text | DataType::Bytes | DataType::Uuid | DataType::Json => {
                    text_len(rest)
                }
            });
    }
    key.get(..end).unwrap_or(key)
}

/// Bytes up to and with the end mark of escaped text.
fn text_len(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        at += 1;
        if *byte == 0 {
            at += 1;
            if bytes.get(at - 1) != Some(&0xff) {
                break;
            }
        }
    }
    at
}

#[cfg(test)]
mod tests;
