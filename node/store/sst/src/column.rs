//! One column on its way into a file: row group by row group, vector by vector.

use std::collections::BTreeMap;

use activestore_types::{Column, Result};
use arrow::array::Array;
use arrow::buffer::{BooleanBuffer, NullBuffer};

use crate::block::dictionary::{DictionaryBuilder, Values};
use crate::block::numbers::NumbersBuilder;
use crate::block::stamps::StampMapBuilder;
use crate::block::symbols::SymbolsBuilder;
use crate::block::vector::VectorEncoder;
use crate::block::{Encoding, Family, VECTOR_ROWS};
use crate::footer::{ColumnKind, seal_vector};
use crate::index::{INLINE_BYTES_MAX, IndexBuilder};
use crate::meta::ColumnMeta;

/// Encodes the vectors of one column and keeps their index.
pub(crate) struct ColumnWriter {
    pub(crate) kind: ColumnKind,
    pub(crate) index: IndexBuilder,
    pub(crate) dictionary: Option<DictionaryBuilder>,
    /// Whether any row does not set it.
    pub(crate) sparse: bool,
    /// Whether any row group holds a chunk of it.
    pub(crate) held: bool,
    family: Family,
    encoder: VectorEncoder,
    encodings: BTreeMap<Encoding, u64>,
    bytes: u64,
}

impl ColumnWriter {
    /// A column without rows.
    pub(crate) fn new(kind: ColumnKind, family: Family, cold: bool) -> Self {
        let mut encoder = VectorEncoder::new(cold);
        encoder.symbols = family.is_string().then(SymbolsBuilder::default);
        encoder.numbers = family.has_numbers().then(NumbersBuilder::default);
        encoder.stamps = (kind == ColumnKind::Hlc).then(StampMapBuilder::default);
        ColumnWriter {
            kind,
            index: IndexBuilder::new(family),
            dictionary: family.is_string().then(DictionaryBuilder::default),
            sparse: false,
            held: false,
            family,
            encoder,
            encodings: BTreeMap::new(),
            bytes: 0,
        }
    }

    /// Never compresses text.
    pub(crate) fn leave_text_plain(&mut self) {
        self.encoder.plain_text = true;
    }

    /// A row group that holds nothing of this column.
    pub(crate) fn skip_group(&mut self, rows: usize) {
        self.index.push_group(None);
        self.sparse = true;
        for start in (0..rows).step_by(VECTOR_ROWS) {
            self.index.push_stored(0);
            self.index.zones.push_empty(VECTOR_ROWS.min(rows - start));
            self.index.sums.push_empty();
        }
    }

    /// Appends a row group's chunk to `out`, which will stand at `base` in the file.
    ///
    /// # Errors
    /// `Invalid` for an Arrow type that no column has.
    pub(crate) fn push_group(
        &mut self,
        array: &dyn Array,
        set: Option<&BooleanBuffer>,
        base: u64,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        self.held = true;
        self.index.push_group(Some(base + out.len() as u64));
        for start in (0..array.len()).step_by(VECTOR_ROWS) {
            let rows = VECTOR_ROWS.min(array.len() - start);
            let cells = array.slice(start, rows);
            let set = set.map(|set| set.slice(start, rows));
            self.sparse |= set.as_ref().is_some_and(|set| set.count_set_bits() < rows);
            let set_nulls = set.clone().map(NullBuffer::new);
            let present = NullBuffer::union(cells.nulls(), set_nulls.as_ref());
            self.index.zones.push(&cells, present.as_ref())?;
            self.index.sums.push(&cells, present.as_ref())?;
            let begin = out.len();
            let encoding =
                self.encoder
                    .encode(&cells, set.as_ref(), self.dictionary.as_mut(), out)?;
            if out.len() - begin <= INLINE_BYTES_MAX {
                self.index.push_inline(out.get(begin..).unwrap_or(&[]));
                out.truncate(begin);
            } else {
                seal_vector(out, begin);
                self.index.push_stored((out.len() - begin) as u64);
            }
            self.bytes += (out.len() - begin) as u64;
            *self.encodings.entry(encoding).or_default() += 1;
        }
        Ok(())
    }

    /// The bytes of what its vectors share: a dictionary and a table of symbols, a dictionary of
    /// numbers, or the map of stamps.
    pub(crate) fn shared(&self) -> Option<Vec<u8>> {
        if let Some(map) = &self.encoder.stamps {
            return map.used.then(|| map.encode());
        }
        if let Some(numbers) = &self.encoder.numbers {
            return numbers.encode_values();
        }
        let (dictionary, symbols) = (self.dictionary.as_ref()?, self.encoder.symbols.as_ref()?);
        if !dictionary.used && !symbols.used {
            return None;
        }
        let mut bytes = Vec::new();
        if dictionary.used {
            dictionary.values().encode(&mut bytes);
        } else {
            Values::default().encode(&mut bytes);
        }
        symbols.encode_table(&mut bytes);
        Some(bytes)
    }

    /// Begins a page of the index; counts what the column took in the one before.
    pub(crate) fn begin_page(&mut self, bytes: u64) {
        self.index = IndexBuilder::new(self.family);
        self.bytes += bytes;
    }

    /// What the file says about it.
    pub(crate) fn meta(&self, column: &Column, dictionary_bytes: u64) -> ColumnMeta {
        let mut encodings: Vec<(String, u64)> = Vec::new();
        for (encoding, vectors) in &self.encodings {
            let name = encoding.name();
            match encodings.iter_mut().find(|(known, _)| known == name) {
                Some((_, count)) => *count += vectors,
                None => encodings.push((name.to_owned(), *vectors)),
            }
        }
        encodings.sort_by_key(|(_, vectors)| std::cmp::Reverse(*vectors));
        ColumnMeta {
            id: column.id,
            name: column.name.clone(),
            encodings,
            bytes: self.bytes + dictionary_bytes,
        }
    }
}
