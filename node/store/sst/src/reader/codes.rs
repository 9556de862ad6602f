//! Text by its file's dictionary: equal values have equal codes within a file, so a reader that only
//! asks where a value changes, as one does for partitions, copies no text.

use std::sync::Arc;

use activestore_types::{ColumnId, Error, Result};

use super::ahead::SequentialReader;
use super::{Dictionary, Sst};
use crate::block::vector::decode_codes;
use crate::footer::ColumnKind;

impl SequentialReader {
    /// Reads the bytes of columns of a vector that are asked for one by one afterwards, together.
    ///
    /// # Errors
    /// As [`SequentialReader::read_codes`].
    pub fn fetch(&mut self, v: usize, columns: impl Iterator<Item = ColumnId>) -> Result<()> {
        let fetch = || {
            let (sst, at, mut how) = self.enter(v)?;
            let stored = columns.filter_map(|column| sst.column(ColumnKind::Cells(column)));
            let stored: Vec<_> = stored.collect();
            sst.prepare(&stored, at, &mut how)
        };
        fetch().map_err(|error: Error| error.context(self.sst().path()))
    }

    /// The dictionary codes of a vector, as the first row and the code of each run; `None` where the
    /// column is not text or bytes, is stored without a dictionary there, or holds a NULL or absent cell.
    ///
    /// # Errors
    /// `Invalid` where there is no such vector, `Corrupt` where bytes changed on disk.
    pub fn read_codes(&mut self, v: usize, column: ColumnId) -> Result<Option<Vec<(usize, u32)>>> {
        let mut read = || {
            let (sst, at, mut how) = self.enter(v)?;
            let stored = sst.column(ColumnKind::Cells(column));
            let Some(column) = stored.filter(|column| column.dictionary.is_some()) else {
                return Ok(None);
            };
            sst.prepare(&[column], at, &mut how)?;
            match sst.bytes(column, at, &how)? {
                Some(bytes) => decode_codes(bytes, at.rows),
                None => Ok(None),
            }
        };
        read().map_err(|error: Error| error.context(self.sst().path()))
    }
}

/// The values that codes of a column stand for.
pub struct Codes {
    dictionary: Arc<Dictionary>,
    path: String,
}

/// What is kept beside others without a second thought, in bytes.
const LIGHT_BYTES: usize = 64 << 10;

impl Codes {
    /// Whether they take little memory.
    pub(super) fn is_light(&self) -> bool {
        self.dictionary.weight() <= LIGHT_BYTES
    }

    /// The value that a code stands for.
    ///
    /// # Errors
    /// `Corrupt` for a code that the dictionary does not have.
    pub fn value(&self, code: u32) -> Result<&[u8]> {
        let values = self.dictionary.shared().values;
        values
            .and_then(|values| values.get(code as usize))
            .ok_or_else(|| {
                Error::corrupt(format!("code {code} is not in a dictionary")).context(&self.path)
            })
    }
}

impl Sst {
    /// The values that the codes of a column stand for; none where it has no dictionary.
    ///
    /// # Errors
    /// `Corrupt` where bytes changed on disk.
    pub fn codes(&self, column: ColumnId) -> Result<Codes> {
        let dictionary = match self.column(ColumnKind::Cells(column)) {
            Some(column) => self
                .dictionary(column)
                .map_err(|error| error.context(&self.path))?,
            None => Arc::clone(&self.no_dictionary),
        };
        Ok(Codes {
            dictionary,
            path: self.path.clone(),
        })
    }
}
