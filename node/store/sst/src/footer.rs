//! The parts of a file around its vectors: magic, sections, footer and tail.
//!
//! A file is read from its end: the tail gives the footer's length and checksum, the footer gives
//! the schema and where every section lies, each with a checksum of its own.

use std::sync::Arc;

use activestore_env::DiskFile;
use activestore_types::{ColumnId, Error, Result, TableSchema};
use serde::{Deserialize, Serialize};

use crate::block::cursor::Cursor;
use crate::block::zip::{Zipper, expand};
use crate::block::{Family, VECTOR_ROWS};
use crate::meta::SstMeta;

/// The first and the last eight bytes of a file; the last byte is the format's version.
pub(crate) const MAGIC: [u8; 8] = *b"ASTSST\0\x03";
/// From this version on sections may be compressed, and zones of floats are encoded as floats.
pub(crate) const PACKED_SINCE: u8 = 2;
/// From this version on the index tells the sum of each vector of numbers.
pub(crate) const SUMS_SINCE: u8 = 3;
/// Footer length, footer checksum, magic.
pub(crate) const TAIL_BYTES: usize = 16;
/// Rows of a full row group. All columns of a few vectors lie side by side, so that a row is one read
/// of some tens of kilobytes, while a scan of one column still finds some vectors in a row.
pub(crate) const GROUP_ROWS: usize = 4 * VECTOR_ROWS;
/// A section or a footer above this is not believed.
const SECTION_BYTES_MAX: u64 = 1 << 31;

/// Where a part of the file lies.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Section {
    pub(crate) offset: u64,
    pub(crate) length: u64,
    pub(crate) crc: u32,
}

/// What a stored column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ColumnKind {
    /// The rows' stamps.
    Hlc,
    /// The writing nodes.
    Origin,
    /// When rows expire.
    Expiry,
    /// Which rows are tombstones.
    Tombstone,
    /// A column of the table.
    Cells(ColumnId),
}

/// One column in the footer.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct FooterColumn {
    pub(crate) kind: ColumnKind,
    /// Which part of each page of the index is the column's.
    pub(crate) part: u32,
    pub(crate) dictionary: Option<Section>,
}

/// One page of the index in the footer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FooterPage {
    /// How many row groups it is about.
    pub(crate) groups: u32,
    /// Its first key.
    pub(crate) first_key: Vec<u8>,
    pub(crate) section: Section,
}

/// The footer.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Footer {
    pub(crate) schema: TableSchema,
    pub(crate) meta: SstMeta,
    /// Rows of each row group.
    pub(crate) groups: Vec<u32>,
    pub(crate) columns: Vec<FooterColumn>,
    pub(crate) pages: Vec<FooterPage>,
    pub(crate) filter: Section,
    /// Where the newest rows lie.
    pub(crate) newest: Option<Section>,
    /// The index of a file of version 1, which has no pages.
    #[serde(skip)]
    pub(crate) whole: Option<WholeIndex>,
    /// The version of the format.
    #[serde(skip)]
    pub(crate) version: u8,
}

/// An index that is not divided into pages.
#[derive(Clone, Debug)]
pub(crate) struct WholeIndex {
    pub(crate) fences: Section,
    /// Of each column.
    pub(crate) columns: Vec<Section>,
}

/// The footer of version 1.
#[derive(Deserialize)]
struct FooterOfOne {
    schema: TableSchema,
    meta: SstMeta,
    groups: Vec<u32>,
    columns: Vec<(ColumnKind, Section, Option<Section>)>,
    fences: Section,
    filter: Section,
}

impl From<FooterOfOne> for Footer {
    fn from(old: FooterOfOne) -> Self {
        let parts = (0..).zip(&old.columns);
        let columns = parts.map(|(part, (kind, _, dictionary))| FooterColumn {
            kind: *kind,
            part,
            dictionary: *dictionary,
        });
        Footer {
            columns: columns.collect(),
            whole: Some(WholeIndex {
                fences: old.fences,
                columns: old.columns.iter().map(|(_, index, _)| *index).collect(),
            }),
            schema: old.schema,
            meta: old.meta,
            groups: old.groups,
            pages: Vec::new(),
            filter: old.filter,
            newest: None,
            version: 1,
        }
    }
}

/// The Arrow family of a stored column; `None` for a column that the schema does not have.
pub(crate) fn family_of(kind: ColumnKind, schema: &TableSchema) -> Option<Family> {
    match kind {
        ColumnKind::Hlc | ColumnKind::Expiry => Some(Family::Stamp),
        ColumnKind::Origin => Some(Family::Id),
        ColumnKind::Tombstone => Some(Family::Boolean),
        ColumnKind::Cells(id) => Family::of(&schema.column_by_id(id)?.data_type.arrow()).ok(),
    }
}

/// Reads a range of the file.
///
/// # Errors
/// `Corrupt` where the file ends before it; otherwise as the disk says.
pub(crate) fn read_range(file: &Arc<dyn DiskFile>, offset: u64, length: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    read_into(file, offset, length, &mut bytes)?;
    Ok(bytes)
}

/// The same into memory that held something else.
///
/// # Errors
/// As [`read_range`]; then what is in `bytes` is unspecified.
pub(crate) fn read_into(
    file: &Arc<dyn DiskFile>,
    offset: u64,
    length: u64,
    bytes: &mut Vec<u8>,
) -> Result<()> {
    if length > SECTION_BYTES_MAX {
        return Err(Error::corrupt(format!("a part of {length} bytes")));
    }
    if bytes.is_empty() {
        *bytes = vec![0; length as usize];
    } else {
        // Only what is longer than before is filled twice.
        bytes.resize(length as usize, 0);
    }
    file.read_exact_at(offset, bytes).map_err(|error| {
        if error.kind() == std::io::ErrorKind::UnexpectedEof {
            Error::corrupt(format!(
                "the file ends before byte {}",
                offset.saturating_add(length)
            ))
        } else {
            Error::from(error)
        }
    })
}

/// Reads a section of a file of this version, and checks it.
///
/// # Errors
/// `Corrupt` where its checksum does not match.
pub(crate) fn read_section(
    file: &Arc<dyn DiskFile>,
    file_bytes: u64,
    version: u8,
    section: Section,
) -> Result<Vec<u8>> {
    let bytes = read_part(file, file_bytes, section)?;
    if version < PACKED_SINCE {
        return Ok(bytes);
    }
    unpack_section(bytes)
}

/// Reads a section as it is stored, and checks it.
///
/// # Errors
/// As [`read_section`].
pub(crate) fn read_part(
    file: &Arc<dyn DiskFile>,
    file_bytes: u64,
    section: Section,
) -> Result<Vec<u8>> {
    if section
        .offset
        .checked_add(section.length)
        .is_none_or(|end| end > file_bytes)
    {
        return Err(Error::corrupt("a section lies outside the file"));
    }
    let bytes = read_range(file, section.offset, section.length)?;
    check(&bytes, section.crc, "a section")?;
    Ok(bytes)
}

/// Compares a checksum.
///
/// # Errors
/// `Corrupt` where it does not match.
pub(crate) fn check(bytes: &[u8], crc: u32, what: &str) -> Result<()> {
    // A fuzzer that had to guess checksums would never get past them.
    if crc32c::crc32c(bytes) == crc || cfg!(fuzzing) {
        return Ok(());
    }
    Err(Error::corrupt(format!("the checksum of {what} does not match"))
        .with_hint("the disk returned other bytes than were written; restore the file from a peer or a backup"))
}

/// Appends a vector's checksum to its bytes, which begin at `begin`.
pub(crate) fn seal_vector(out: &mut Vec<u8>, begin: usize) {
    let crc = crc32c::crc32c(out.get(begin..).unwrap_or(&[]));
    out.extend(crc.to_le_bytes());
}

/// The bytes that [`seal_vector`] was given.
///
/// # Errors
/// `Corrupt` where the checksum does not match.
pub(crate) fn open_vector(sealed: &[u8]) -> Result<&[u8]> {
    let (bytes, crc) = sealed
        .split_last_chunk::<4>()
        .ok_or_else(|| Error::corrupt("a vector without a checksum"))?;
    check(bytes, u32::from_le_bytes(*crc), "a vector")?;
    Ok(bytes)
}

/// The version that a file's first bytes name, if it is known.
fn version_of(head: &[u8]) -> Option<u8> {
    let (version, name) = head.split_last()?;
    let (newest, own) = MAGIC.split_last()?;
    (name == own && (1..=*newest).contains(version)).then_some(*version)
}

fn bytes_are(bytes: &mut Cursor<'_>, expected: &[u8]) -> bool {
    bytes
        .take(expected.len())
        .is_ok_and(|found| found == expected)
}

/// A section as it is stored: behind a byte that says whether it is compressed.
pub(crate) fn pack_section(bytes: &[u8]) -> Vec<u8> {
    let zipped = Zipper::default().squeeze(bytes);
    let mut out = vec![u8::from(zipped.is_some())];
    out.extend_from_slice(zipped.as_deref().unwrap_or(bytes));
    out
}

fn unpack_section(mut packed: Vec<u8>) -> Result<Vec<u8>> {
    match packed.first() {
        Some(0) => {
            packed.remove(0);
            Ok(packed)
        }
        Some(1) => expand(Cursor::new(packed.get(1..).unwrap_or(&[]))),
        _ => Err(Error::corrupt("a section in an unknown form")),
    }
}

/// Reads magic, tail and footer; the second value is the file's length.
///
/// # Errors
/// `Corrupt` for a file that is not a whole SSTable of this version.
pub(crate) fn read_footer(file: &Arc<dyn DiskFile>) -> Result<(Footer, u64)> {
    let file_bytes = file.len()?;
    let least = (MAGIC.len() + TAIL_BYTES) as u64;
    let Some(body_end) = file_bytes
        .checked_sub(TAIL_BYTES as u64)
        .filter(|_| file_bytes >= least)
    else {
        return Err(Error::corrupt(format!(
            "{file_bytes} bytes are too few for an SSTable"
        )));
    };
    let head = read_range(file, 0, MAGIC.len() as u64)?;
    let tail = read_range(file, body_end, TAIL_BYTES as u64)?;
    let mut tail = Cursor::new(&tail);
    let length = u64::from(u32::from_le_bytes(tail.array()?));
    let crc = u32::from_le_bytes(tail.array()?);
    let version = version_of(&head)
        .filter(|_| bytes_are(&mut tail, &head))
        .ok_or_else(|| Error::corrupt("this is no SSTable of a known version"))?;
    let offset = body_end
        .checked_sub(length)
        .ok_or_else(|| Error::corrupt("the footer is longer than the file"))?;
    let bytes = read_range(file, offset, length)?;
    check(&bytes, crc, "the footer")?;
    let unreadable = |error| Error::corrupt(format!("the footer cannot be read: {error}"));
    let mut footer = if version < PACKED_SINCE {
        let old: FooterOfOne = postcard::from_bytes(&bytes).map_err(unreadable)?;
        Footer::from(old)
    } else {
        postcard::from_bytes(&bytes).map_err(unreadable)?
    };
    footer.version = version;
    footer.meta.bytes = file_bytes;
    let mut rows = 0_u64;
    for group in &footer.groups {
        if !(1..=GROUP_ROWS as u32).contains(group) {
            return Err(Error::corrupt(format!("a row group of {group} rows")));
        }
        rows += u64::from(*group);
    }
    if rows != footer.meta.rows {
        return Err(Error::corrupt("the row groups do not hold the file's rows"));
    }
    Ok((footer, file_bytes))
}
