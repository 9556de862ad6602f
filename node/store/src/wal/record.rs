//! One commit as the bytes of a log record, and back.
//!
//! ```text
//! payload = header length u32 | header (postcard) | buffers, each at a multiple of its type's width
//! ```
//!
//! Stamps that are consecutive are stored as the first, an origin or expiry that is the same in all
//! rows as one value; the rest is Arrow's own buffers, so that replaying a record copies no column.
//! Rows of partitions with a data key of their own stand apart, see [`parts`].

use activestore_env::ValueSealer;
use activestore_types::{
    BatchColumn, ColumnId, DataType, Error, Hlc, OriginId, RangeTombstone, Result, RowBatch,
    TableId,
};
use arrow::array::Array;
use arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::column::{BufferReader, BufferWriter, Reuse, Shape, shape, short};
use super::encoded::{BESIDE_BYTES_MIN, Beside, Encoded};
use super::frame::{FRAME_HEADER_BYTES, RECORD_BYTES_MAX};
use super::parts;
use crate::write_set::{Note, WriteSet};

/// The most rows of a batch: a bound for what a few hostile bytes can make a reader allocate.
const ROWS_MAX: u32 = 1 << 24;

#[derive(Debug, Serialize, Deserialize)]
struct Header<'a> {
    batches: Vec<BatchHeader>,
    tombstones: Vec<TombstoneHeader>,
    #[serde(borrow)]
    notes: Vec<(Bytes<'a>, Option<Bytes<'a>>)>,
}

/// Bytes that are written and read in one piece, in the form of a list of bytes.
#[derive(Clone, Copy, Debug)]
struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Bytes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        <&'a [u8]>::deserialize(deserializer).map(Bytes)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct BatchHeader {
    table: TableId,
    rows: u32,
    columns: Vec<ColumnHeader>,
    hlc: Numbers,
    origin: Numbers,
    expiry_ms: Option<Numbers>,
    tombstone: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct ColumnHeader {
    id: ColumnId,
    data_type: DataType,
    shape: Shape,
    nulls: bool,
    set: bool,
}

/// How a hidden column is stored.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Numbers {
    /// The value in the first row, and one more in each that follows.
    Consecutive(u64),
    Constant(u64),
    /// In a buffer.
    Each,
}

#[derive(Debug, Serialize, Deserialize)]
struct TombstoneHeader {
    table: TableId,
    start: Vec<u8>,
    end: Vec<u8>,
    hlc: Hlc,
    origin: OriginId,
}

/// Encodes a commit.
///
/// # Errors
/// `Invalid` for an array of a type that no column has, and for more than 64 MiB.
pub(crate) fn encode(set: &WriteSet) -> Result<Encoded> {
    let mut beside = Beside::default();
    let bytes = payload(set, Some(&mut beside))?;
    Encoded::framed(bytes, beside)
}

/// The payload in one piece, behind a gap for the frame's header.
pub(super) fn payload_of(set: &WriteSet) -> Result<Vec<u8>> {
    payload(set, None)
}

/// The payload behind a gap for the frame's header, but for what is left `beside` it.
fn payload(set: &WriteSet, beside: Option<&mut Beside>) -> Result<Vec<u8>> {
    let header = Header {
        batches: set
            .batches
            .iter()
            .map(batch_header)
            .collect::<Result<_>>()?,
        tombstones: set
            .tombstones
            .iter()
            .map(|tombstone| TombstoneHeader {
                table: tombstone.table,
                start: tombstone.start.clone(),
                end: tombstone.end.clone(),
                hlc: tombstone.hlc,
                origin: tombstone.origin,
            })
            .collect(),
        notes: set
            .notes
            .iter()
            .map(|note| (Bytes(&note.key), note.value.as_deref().map(Bytes)))
            .collect(),
    };
    let head = postcard::to_stdvec(&header)
        .map_err(|error| Error::internal(format!("a log record cannot be encoded: {error}")))?;
    let rows: usize = set.batches.iter().map(RowBatch::memory_bytes).sum();
    let copied_max = if beside.is_some() {
        BESIDE_BYTES_MIN
    } else {
        RECORD_BYTES_MAX
    };
    let mut bytes = Vec::with_capacity(FRAME_HEADER_BYTES + head.len() + rows.min(copied_max) + 64);
    bytes.resize(FRAME_HEADER_BYTES, 0);
    let header_length = u32::try_from(head.len()).map_err(|_| too_large(head.len()))?;
    bytes.extend_from_slice(&header_length.to_le_bytes());
    bytes.extend_from_slice(&head);
    let mut writer = BufferWriter::new(&mut bytes, beside, FRAME_HEADER_BYTES);
    for (batch, header) in set.batches.iter().zip(&header.batches) {
        write_batch(&mut writer, batch, header);
    }
    Ok(bytes)
}

pub(super) fn too_large(bytes: usize) -> Error {
    Error::invalid(format!(
        "one commit of {bytes} bytes is more than the {RECORD_BYTES_MAX} that the log takes"
    ))
    .with_hint("write fewer rows at once")
}

fn batch_header(batch: &RowBatch) -> Result<BatchHeader> {
    let rows = u32::try_from(batch.rows)
        .ok()
        .filter(|rows| *rows <= ROWS_MAX);
    Ok(BatchHeader {
        table: batch.table,
        rows: rows.ok_or_else(|| {
            Error::invalid(format!(
                "a batch of {} rows is more than {ROWS_MAX}",
                batch.rows
            ))
            .with_hint("write fewer rows at once")
        })?,
        columns: batch
            .columns
            .iter()
            .map(|column| {
                let (data_type, shape) = shape(&column.array)?;
                Ok(ColumnHeader {
                    id: column.id,
                    data_type,
                    shape,
                    nulls: column.array.null_count() > 0,
                    set: column.set.is_some(),
                })
            })
            .collect::<Result<_>>()?,
        hlc: numbers(batch.hlc.iter().copied()),
        origin: numbers(batch.origin.iter().map(|origin| u64::from(*origin))),
        expiry_ms: batch
            .expiry_ms
            .as_ref()
            .map(|expiry| numbers(expiry.iter().copied())),
        tombstone: batch.tombstone.is_some(),
    })
}

fn numbers(mut values: impl Iterator<Item = u64>) -> Numbers {
    let Some(first) = values.next() else {
        return Numbers::Constant(0);
    };
    let Some(second) = values.next() else {
        return Numbers::Constant(first);
    };
    if second == first && values.all(|value| value == first) {
        return Numbers::Constant(first);
    }
    let mut last = second;
    let consecutive = first.checked_add(1) == Some(second)
        && values.all(|value| {
            let next = last.checked_add(1) == Some(value);
            last = value;
            next
        });
    if consecutive {
        Numbers::Consecutive(first)
    } else {
        Numbers::Each
    }
}

fn write_batch(writer: &mut BufferWriter<'_>, batch: &RowBatch, header: &BatchHeader) {
    for (column, layout) in batch.columns.iter().zip(&header.columns) {
        if let Some(nulls) = column.array.nulls().filter(|_| layout.nulls) {
            writer.bits(nulls.inner());
        }
        if let Some(set) = &column.set {
            writer.bits(set);
        }
        writer.values(&column.array, layout.data_type, layout.shape);
    }
    if let Numbers::Each = header.hlc {
        writer.numbers(&batch.hlc);
    }
    if let Numbers::Each = header.origin {
        writer.numbers(&batch.origin);
    }
    if let (Some(expiry), Some(Numbers::Each)) = (&batch.expiry_ms, header.expiry_ms) {
        writer.numbers(expiry);
    }
    if let Some(tombstone) = &batch.tombstone {
        writer.bits(tombstone);
    }
}

/// Decodes a record's payload; the set's columns are slices of it. Records that are decoded with the
/// same `reuse` share what they have alike; `sealer` opens the parts of one that has some.
///
/// # Errors
/// `Corrupt` for bytes that are not a record.
pub(super) fn decode(
    payload: &Buffer,
    reuse: &mut Reuse,
    sealer: Option<&ValueSealer>,
) -> Result<WriteSet> {
    let (length, rest) = payload
        .as_slice()
        .split_first_chunk::<4>()
        .ok_or_else(short)?;
    let length = u32::from_le_bytes(*length);
    if length & parts::MARK != 0 {
        return parts::decode(payload, reuse, sealer);
    }
    decode_plain(payload, rest, length as usize, reuse)
}

/// A payload without parts; `rest` is what follows its first four bytes.
pub(super) fn decode_plain(
    payload: &Buffer,
    rest: &[u8],
    header_length: usize,
    reuse: &mut Reuse,
) -> Result<WriteSet> {
    let header = rest.get(..header_length).ok_or_else(short)?;
    let header: Header<'_> = postcard::from_bytes(header)
        .map_err(|error| Error::corrupt(format!("a log record's header is broken: {error}")))?;
    let mut reader = BufferReader::new(payload, 4 + header_length, reuse);
    Ok(WriteSet {
        batches: header
            .batches
            .into_iter()
            .map(|batch| read_batch(&mut reader, batch))
            .collect::<Result<_>>()?,
        tombstones: header
            .tombstones
            .into_iter()
            .map(|tombstone| RangeTombstone {
                table: tombstone.table,
                start: tombstone.start,
                end: tombstone.end,
                hlc: tombstone.hlc,
                origin: tombstone.origin,
            })
            .collect(),
        notes: header
            .notes
            .into_iter()
            .map(|(key, value)| Note {
                key: key.0.to_vec(),
                value: value.map(|value| value.0.to_vec()),
            })
            .collect(),
    })
}

fn read_batch(reader: &mut BufferReader<'_>, header: BatchHeader) -> Result<RowBatch> {
    let rows = header.rows as usize;
    if (header.columns.is_empty() && rows > 0) || header.rows > ROWS_MAX {
        return Err(Error::corrupt(
            "a log record has rows that no table can hold",
        ));
    }
    let mut columns = Vec::with_capacity(header.columns.len());
    for column in header.columns {
        let nulls = if column.nulls {
            Some(NullBuffer::new(reader.bits(rows)?))
        } else {
            None
        };
        let set = if column.set {
            Some(reader.bits(rows)?)
        } else {
            None
        };
        columns.push(BatchColumn {
            id: column.id,
            array: reader
                .values(column.data_type, column.shape, rows, nulls)
                .map_err(|error| Error::corrupt(format!("a log record: {}", error.message())))?,
            set,
        });
    }
    let hlc = match header.hlc {
        Numbers::Consecutive(first) => (0..rows as u64)
            .map(|row| first.saturating_add(row))
            .collect(),
        Numbers::Constant(value) => std::iter::repeat_n(value, rows).collect(),
        Numbers::Each => reader.numbers(rows)?,
    };
    let narrow = |value: u64| {
        u32::try_from(value)
            .map_err(|_| Error::corrupt("a log record has an origin beyond 32 bits"))
    };
    let origin: ScalarBuffer<u32> = match header.origin {
        Numbers::Consecutive(first) => (0..rows as u64)
            .map(|row| narrow(first.saturating_add(row)))
            .collect::<Result<Vec<_>>>()?
            .into(),
        Numbers::Constant(value) => reader.reuse.origins(narrow(value)?, rows),
        Numbers::Each => reader.numbers(rows)?,
    };
    let expiry_ms = match header.expiry_ms {
        None => None,
        Some(Numbers::Consecutive(first)) => Some(
            (0..rows as u64)
                .map(|row| first.saturating_add(row))
                .collect(),
        ),
        Some(Numbers::Constant(value)) => Some(std::iter::repeat_n(value, rows).collect()),
        Some(Numbers::Each) => Some(reader.numbers(rows)?),
    };
    let tombstone = if header.tombstone {
        Some(reader.bits(rows)?)
    } else {
        None
    };
    Ok(RowBatch {
        table: header.table,
        rows,
        columns,
        hlc,
        origin,
        expiry_ms,
        tombstone,
    })
}

#[cfg(test)]
mod tests;
