//! What the index says about the values of a vector: enough for some questions about all of them.

use activestore_types::{ColumnId, Error, Result};

use super::Sst;
use crate::footer::ColumnKind;
use crate::sum::Sum;
use crate::zone::ZoneValue;

/// What the cells of a column in one vector come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Cells of the vector.
    pub rows: usize,
    /// Those of them without a value: NULL or absent.
    pub missing: usize,
    /// The least and the greatest value, where both are known to be values of it; none of text, and none of floats
    /// where one of them may stand for something else: NaN, an infinity or a zero of either sign.
    pub bounds: Option<(ZoneValue, ZoneValue)>,
    /// What the values come to, where it was written down: of INT, BIGINT, REAL and DOUBLE in files that tell it.
    pub sum: Option<Sum>,
}

impl Sst {
    /// What the index says about a column of a vector.
    ///
    /// # Errors
    /// `Invalid` where there is no such vector, `Corrupt` where bytes of the index changed on disk.
    pub fn summary(&self, v: usize, column: ColumnId) -> Result<Summary> {
        self.summary_of(v, column)
            .map_err(|error| error.context(&self.path))
    }

    fn summary_of(&self, v: usize, column: ColumnId) -> Result<Summary> {
        let at = self.at(v)?;
        let Some(column) = self.column(ColumnKind::Cells(column)) else {
            return Ok(Summary {
                rows: at.rows,
                missing: at.rows,
                bounds: None,
                sum: None,
            });
        };
        let index = column.index(&at.page)?;
        let missing = index.zones.missing(at.place()).unwrap_or(at.rows);
        if missing > at.rows {
            return Err(Error::corrupt("a vector lacks more cells than it has"));
        }
        let some = missing < at.rows;
        Ok(Summary {
            rows: at.rows,
            missing,
            bounds: some.then(|| index.zones.exact(at.place())).flatten(),
            sum: index.sums.get(at.place()),
        })
    }
}

#[cfg(test)]
mod tests;
