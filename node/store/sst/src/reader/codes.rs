//! Text by its file's dictionary: equal values have equal codes within a file, so a reader that only
//! asks where a value changes, as one does for partitions, copies no text.

use activestore_types::{ColumnId, Error, Result};

use super::Sst;
use super::ahead::SequentialReader;
use crate::block::vector::decode_codes;
use crate::footer::ColumnKind;

impl SequentialReader {
    /// The dictionary codes of a vector's rows; `None` where the column is not text or bytes, is
    /// stored without a dictionary there, or holds a NULL or absent cell.
    ///
    /// # Errors
    /// `Invalid` where there is no such vector, `Corrupt` where bytes changed on disk.
    pub fn read_codes(&mut self, v: usize, column: ColumnId) -> Result<Option<Vec<u32>>> {
        let (sst, mut how) = self.enter(v);
        let Some(column) = sst.column(ColumnKind::Cells(column)) else {
            return Ok(None);
        };
        if column.footer.dictionary.is_none() {
            return Ok(None);
        }
        sst.prepare(&[column], v, &mut how)
            .and_then(|()| match sst.bytes(column, v, &how)? {
                Some((bytes, rows)) => decode_codes(bytes, rows),
                None => Ok(None),
            })
            .map_err(|error| error.context(&sst.path))
    }
}

impl Sst {
    /// The value that a code of the column's dictionary stands for.
    ///
    /// # Errors
    /// `Corrupt` for a code that the dictionary does not have.
    pub fn dictionary_value(&self, column: ColumnId, code: u32) -> Result<&[u8]> {
        let column = self.column(ColumnKind::Cells(column));
        let dictionary = match column {
            Some(column) => self.shared(column)?.values,
            None => None,
        };
        dictionary
            .and_then(|values| values.get(code as usize))
            .ok_or_else(|| {
                Error::corrupt(format!("code {code} is not in a dictionary")).context(&self.path)
            })
    }
}
