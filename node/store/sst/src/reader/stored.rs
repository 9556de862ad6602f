//! The columns of a file, each with what was read of it so far.

use std::sync::OnceLock;

use activestore_types::{Error, Result, TableSchema};
use arrow::datatypes::DataType as ArrowType;

use super::Sst;
use crate::block::Family;
use crate::block::cursor::Cursor;
use crate::block::dictionary::{DICTIONARY_BYTES_MAX, DICTIONARY_VALUES_MAX, Values};
use crate::block::numbers::Numbers;
use crate::block::stamps::StampMap;
use crate::block::symbols::SymbolTable;
use crate::block::vector::Shared;
use crate::footer::{ColumnKind, FooterColumn, Section, family_of, read_section};
use crate::index::ColumnIndex;

/// A column of the file, with what was read of it so far.
pub(super) struct StoredColumn {
    /// Its place among the columns.
    pub(super) place: u32,
    pub(super) footer: FooterColumn,
    family: Family,
    pub(super) data_type: ArrowType,
    index: OnceLock<ColumnIndex>,
    dictionary: OnceLock<Dictionary>,
}

/// What the vectors of a column share.
enum Dictionary {
    Text(Values, Option<SymbolTable>),
    Numbers(Numbers),
    Stamps(StampMap),
}

impl StoredColumn {
    /// A column of the footer, of which nothing was read.
    ///
    /// # Errors
    /// `Corrupt` for one that the schema does not have.
    pub(super) fn new(place: u32, footer: FooterColumn, schema: &TableSchema) -> Result<Self> {
        let family = family_of(footer.kind, schema)
            .ok_or_else(|| Error::corrupt("a stored column is not in the file's schema"))?;
        let data_type = match footer.kind {
            ColumnKind::Hlc | ColumnKind::Expiry => ArrowType::UInt64,
            ColumnKind::Origin => ArrowType::UInt32,
            ColumnKind::Tombstone => ArrowType::Boolean,
            ColumnKind::Cells(id) => schema
                .column_by_id(id)
                .map_or(ArrowType::Null, |column| column.data_type.arrow()),
        };
        Ok(StoredColumn {
            place,
            footer,
            family,
            data_type,
            index: OnceLock::new(),
            dictionary: OnceLock::new(),
        })
    }
}

impl Sst {
    fn section(&self, section: Section) -> Result<Vec<u8>> {
        read_section(&self.file, self.meta.bytes, self.version, section)
    }

    /// The column's index, read when it is first asked for.
    pub(super) fn index<'a>(&self, column: &'a StoredColumn) -> Result<&'a ColumnIndex> {
        if let Some(index) = column.index.get() {
            return Ok(index);
        }
        let bytes = self.section(column.footer.index)?;
        let groups = self.groups.iter().map(|(first, _)| *first);
        let index = ColumnIndex::decode(&bytes, column.family, self.version, groups, self.vectors)?;
        Ok(column.index.get_or_init(|| index))
    }

    /// What its vectors share, read when it is first asked for.
    pub(super) fn shared<'a>(&self, column: &'a StoredColumn) -> Result<Shared<'a>> {
        let Some(section) = column.footer.dictionary else {
            return Ok(Shared::default());
        };
        let dictionary = match column.dictionary.get() {
            Some(dictionary) => dictionary,
            None => {
                let bytes = self.section(section)?;
                let read = if column.footer.kind == ColumnKind::Hlc {
                    Dictionary::Stamps(StampMap::decode(&bytes, self.meta.rows)?)
                } else if column.family.has_numbers() {
                    Dictionary::Numbers(Numbers::decode(&bytes)?)
                } else {
                    let mut bytes = Cursor::new(&bytes);
                    let (values, length) = (DICTIONARY_VALUES_MAX, DICTIONARY_BYTES_MAX);
                    let values = Values::decode(&mut bytes, values, length)?;
                    let symbols = SymbolTable::decode(&mut bytes)?;
                    bytes.finish()?;
                    Dictionary::Text(values, symbols)
                };
                column.dictionary.get_or_init(|| read)
            }
        };
        Ok(match dictionary {
            Dictionary::Text(values, symbols) => Shared {
                values: Some(values),
                symbols: symbols.as_ref(),
                ..Shared::default()
            },
            Dictionary::Numbers(numbers) => Shared {
                numbers: Some(numbers),
                ..Shared::default()
            },
            Dictionary::Stamps(map) => Shared {
                stamps: Some(map),
                ..Shared::default()
            },
        })
    }
}
