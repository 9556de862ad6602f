//! The pages of a row group, whose heads are looked at before any of them is read: a page takes what it says it comes to
//! when it is unpacked, and a value that a dictionary names once may stand in every row.

use std::sync::Arc;

use activestore_types::{Error, Result};
use parquet::basic::Type;
use parquet::column::page::{Page, PageReader};
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;

use super::compact::{Compact, STRUCT, broken, cut};
use super::source::Source;

/// What a page may come to.
const PAGE_BYTES_MAX: u64 = 128 << 20;
/// What the pages of all columns may come to that are held at once: of each its largest, and its dictionary.
const HELD_BYTES_MAX: u64 = 256 << 20;
/// Pages of one column of a row group.
const PAGES_MAX: usize = 1 << 17;
/// What the head of a page takes at most, and how much is read of it at first.
const HEAD_BYTES_MAX: u64 = 1 << 20;
const HEAD_BYTES_FIRST: u64 = 512;
/// How much more is read where the head goes on.
const GROWTH: u64 = 16;
/// What the values of rows that are decoded at once may come to, beside the pages.
const SPREAD_BYTES_MAX: u64 = 32 << 20;
/// Before a text in a page.
const LENGTH_BYTES: usize = 4;

/// Encodings of pages that give a value without all of its bytes: by number, or by what it shares with the one before.
const BY_NUMBER: [i64; 2] = [2, 8];
const BY_PREFIX: i64 = 7;

/// The head of a page.
#[derive(Debug, Default)]
struct Head {
    dictionary: bool,
    packed: u64,
    unpacked: u64,
    values: u64,
    encoding: i64,
    /// Its own length.
    length: u64,
}

/// What a column of a row group takes.
struct Weight {
    /// Bytes that are held of it.
    held: u64,
    /// Bytes that a row of it may come to.
    row: u64,
}

/// How many rows of a row group may be decoded at once, after a look at all of its pages.
///
/// # Errors
/// `Invalid` where a page is broken, or would take more memory than it may.
pub(super) fn rows_at_once(source: &Source, group: &RowGroupMetaData) -> Result<usize> {
    let (mut held, mut row) = (0_u64, 1_u64);
    for column in group.columns() {
        let weight = weigh(source, group, column).map_err(|error| {
            error.context(format!("column '{}'", column.column_path().string()))
        })?;
        held = held.saturating_add(weight.held);
        row = row.saturating_add(weight.row);
    }
    if held > HELD_BYTES_MAX {
        return Err(Error::invalid(format!(
            "the pages of a row group come to {held} bytes; at most {HELD_BYTES_MAX} are held at once"
        ))
        .with_hint("write smaller pages"));
    }
    Ok(usize::try_from(SPREAD_BYTES_MAX / row)
        .unwrap_or(usize::MAX)
        .max(1))
}

fn weigh(
    source: &Source,
    group: &RowGroupMetaData,
    column: &ColumnChunkMetaData,
) -> Result<Weight> {
    let offset = |number: i64| u64::try_from(number).map_err(|_| broken("a place is no place"));
    let data = offset(column.data_page_offset())?;
    let first = match column.dictionary_page_offset() {
        Some(place) => offset(place)?.min(data),
        None => data,
    };
    let end = first
        .checked_add(offset(column.compressed_size())?)
        .filter(|end| *end <= source.len())
        .ok_or_else(cut)?;
    let values = offset(column.num_values())?;
    let texts = column.column_type() == Type::BYTE_ARRAY;
    let width = match column.column_type() {
        Type::FIXED_LEN_BYTE_ARRAY => {
            u64::try_from(column.column_descr().type_length()).unwrap_or(0)
        }
        _ => 16,
    };
    let (mut at, mut pages, mut seen) = (first, 0, 0_u64);
    let (mut dictionary, mut largest, mut value, mut all) = (0, 0, width, 0_u64);
    while at < end && seen < values {
        let head = head(source, at, end)?;
        pages += 1;
        if pages > PAGES_MAX {
            return Err(broken("a column has too many pages"));
        }
        if head.unpacked > PAGE_BYTES_MAX {
            return Err(Error::invalid(format!(
                "a page says that it comes to {} bytes when it is unpacked; at most {PAGE_BYTES_MAX} are taken",
                head.unpacked
            ))
            .with_hint("write smaller pages"));
        }
        at = at
            .checked_add(head.length)
            .and_then(|at| at.checked_add(head.packed))
            .filter(|at| *at <= end)
            .ok_or_else(cut)?;
        if head.dictionary {
            if head.values > head.unpacked {
                return Err(broken("a dictionary is shorter than it says"));
            }
            dictionary = head.unpacked;
            continue;
        }
        seen = seen.saturating_add(head.values);
        largest = head.unpacked.max(largest);
        all = all.saturating_add(head.unpacked);
        if texts && head.encoding == BY_PREFIX {
            value = value.max(head.unpacked);
        } else if texts && !BY_NUMBER.contains(&head.encoding) {
            value = value.max(head.unpacked / head.values.max(1));
        }
    }
    if dictionary > 0 && texts {
        value = value.max(longest(source, group, column)?);
    }
    // A list may have all values in one row.
    let nested = column.column_descr().max_rep_level() > 0;
    let row = if nested {
        values.saturating_mul(value).max(all)
    } else {
        value
    };
    Ok(Weight {
        held: largest.saturating_add(dictionary),
        row,
    })
}

/// The head of the page that begins here.
fn head(source: &Source, at: u64, end: u64) -> Result<Head> {
    let most = (end - at).min(HEAD_BYTES_MAX);
    let mut wanted = HEAD_BYTES_FIRST.min(most);
    loop {
        let length = usize::try_from(wanted).map_err(|_| cut())?;
        let bytes = source.get_bytes(at, length).map_err(super::broken_file)?;
        match read(&bytes) {
            Err(_) if wanted < most => wanted = wanted.saturating_mul(GROWTH).min(most),
            done => return done,
        }
    }
}

fn read(bytes: &[u8]) -> Result<Head> {
    /// Fields of the head that are structs: of pages of values, of dictionaries, of pages of values of version 2.
    const KINDS: [i16; 3] = [5, 7, 8];
    let size = |number: i64| u64::try_from(number).map_err(|_| broken("a page has no length"));
    let mut compact = Compact::new(bytes);
    let (mut head, mut last) = (Head::default(), 0);
    while let Some(field) = compact.field(&mut last)? {
        match field.id {
            2 => head.unpacked = size(compact.number()?)?,
            3 => head.packed = size(compact.number()?)?,
            kind if KINDS.contains(&kind) && field.kind == STRUCT => {
                head.dictionary = kind == 7;
                let encoding = if kind == 8 { 4 } else { 2 };
                let mut last = 0;
                while let Some(field) = compact.field(&mut last)? {
                    match field.id {
                        1 => head.values = size(compact.number()?)?,
                        id if id == encoding => head.encoding = compact.number()?,
                        _ => compact.skip(field.kind)?,
                    }
                }
            }
            _ => compact.skip(field.kind)?,
        }
    }
    head.length = (bytes.len() - compact.left()) as u64;
    Ok(head)
}

/// The longest text of a dictionary.
fn longest(source: &Source, group: &RowGroupMetaData, column: &ColumnChunkMetaData) -> Result<u64> {
    let rows = usize::try_from(group.num_rows()).map_err(|_| broken("it has no rows"))?;
    let reader = SerializedPageReader::new(Arc::new(source.clone()), column, rows, None);
    let mut reader = reader.map_err(super::broken_file)?;
    let page = reader.get_next_page().map_err(super::broken_file)?;
    let Some(Page::DictionaryPage { buf, .. }) = page else {
        return Ok(0);
    };
    let (mut left, mut longest) = (buf.as_ref(), 0);
    while let Some((length, rest)) = left.split_first_chunk::<LENGTH_BYTES>() {
        let length = u32::from_le_bytes(*length);
        longest = longest.max(u64::from(length));
        let length = usize::try_from(length).map_err(|_| cut())?;
        left = rest.get(length..).unwrap_or_default();
    }
    Ok(longest)
}
