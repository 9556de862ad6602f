//! The columns of a file, and what their vectors share.

use std::sync::{Arc, OnceLock, Weak};

use activestore_types::{Error, Result, TableSchema};
use arrow::datatypes::DataType as ArrowType;
use parking_lot::Mutex;

use super::Sst;
use crate::block::Family;
use crate::block::cursor::Cursor;
use crate::block::dictionary::{DICTIONARY_BYTES_MAX, DICTIONARY_VALUES_MAX, Values};
use crate::block::numbers::Numbers;
use crate::block::stamps::StampMap;
use crate::block::symbols::SymbolTable;
use crate::block::vector::Shared;
use crate::cache::index::{IndexKey, Part};
use crate::footer::{ColumnKind, FooterColumn, Section, family_of, read_section};
use crate::index::ColumnIndex;
use crate::page::Page;

/// A column of the file.
pub(super) struct StoredColumn {
    /// Its place among the columns.
    pub(super) place: u32,
    pub(super) kind: ColumnKind,
    /// Which part of each page is its own.
    part: usize,
    pub(super) dictionary: Option<Section>,
    pub(super) family: Family,
    pub(super) data_type: ArrowType,
    /// A dictionary that is too heavy for the cache.
    heavy: OnceLock<Arc<Dictionary>>,
    /// What the cache gave last.
    recent: Mutex<Weak<Dictionary>>,
}

/// What the vectors of a column share.
pub(crate) enum Dictionary {
    None,
    Text(Values, Option<SymbolTable>),
    Numbers(Numbers),
    Stamps(StampMap),
}

impl Dictionary {
    /// For decoding.
    pub(crate) fn shared(&self) -> Shared<'_> {
        match self {
            Dictionary::None => Shared::default(),
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
        }
    }

    /// Memory, about.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Dictionary::None => 0,
            Dictionary::Text(values, symbols) => {
                values.bytes() + symbols.as_ref().map_or(0, SymbolTable::bytes)
            }
            Dictionary::Numbers(numbers) => numbers.bytes(),
            Dictionary::Stamps(map) => map.bytes(),
        }
    }
}

impl StoredColumn {
    /// A column of the footer.
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
            kind: footer.kind,
            part: footer.part as usize,
            dictionary: footer.dictionary,
            family,
            data_type,
            heavy: OnceLock::new(),
            recent: Mutex::default(),
        })
    }

    /// Its index in a page.
    pub(super) fn index<'a>(&self, page: &'a Page) -> Result<&'a ColumnIndex> {
        page.index(self.part, self.family)
    }
}

impl Sst {
    pub(super) fn section(&self, section: Section) -> Result<Vec<u8>> {
        read_section(&self.file, self.meta.bytes, self.version, section)
    }

    /// What the vectors of a column share; from the cache or the file.
    pub(super) fn dictionary(&self, column: &StoredColumn) -> Result<Arc<Dictionary>> {
        let Some(section) = column.dictionary else {
            return Ok(Arc::clone(&self.no_dictionary));
        };
        if let Some(heavy) = column.heavy.get() {
            return Ok(Arc::clone(heavy));
        }
        if let Some(recent) = column.recent.lock().upgrade() {
            return Ok(recent);
        }
        let key = IndexKey {
            file: self.file_number,
            part: Part::Dictionary(column.place),
        };
        let dictionary = self.cache.index().dictionary(key, || {
            let bytes = self.section(section)?;
            if column.kind == ColumnKind::Hlc {
                return StampMap::decode(&bytes, self.meta.rows).map(Dictionary::Stamps);
            }
            if column.family.has_numbers() {
                return Numbers::decode(&bytes).map(Dictionary::Numbers);
            }
            let mut bytes = Cursor::new(&bytes);
            let (values, length) = (DICTIONARY_VALUES_MAX, DICTIONARY_BYTES_MAX);
            let values = Values::decode(&mut bytes, values, length)?;
            let symbols = SymbolTable::decode(&mut bytes)?;
            bytes.finish()?;
            Ok(Dictionary::Text(values, symbols))
        })?;
        if !self.cache.index().takes(dictionary.weight()) {
            return Ok(Arc::clone(column.heavy.get_or_init(|| dictionary)));
        }
        *column.recent.lock() = Arc::downgrade(&dictionary);
        Ok(dictionary)
    }
}
