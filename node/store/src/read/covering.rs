//! Vectors that need not be read: where all rows of one show and nothing is merged with them, what its file's index says
//! of it answers how many there are, which values are the least and the greatest, and what they come to.

use std::fmt;
use std::sync::Arc;

use activestore_sst::{Sst, Summary};
use activestore_types::{ColumnId, Result};

/// A reader of a scan that is content with what is known of a vector.
pub trait Covering: fmt::Debug + Send + Sync {
    /// Takes all rows of a vector by what is known of them; whether that was enough. If not, its rows come, and nothing of
    /// it was taken.
    ///
    /// # Errors
    /// What looking at it says.
    fn cover(&self, known: &Known<'_>) -> Result<bool>;
}

/// What is known of a vector of which all rows show.
pub struct Known<'a> {
    sst: &'a Arc<Sst>,
    vector: usize,
}

impl<'a> Known<'a> {
    pub(crate) fn of(sst: &'a Arc<Sst>, vector: usize) -> Self {
        Known { sst, vector }
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.sst.vector_rows(self.vector)
    }

    /// What the cells of a column come to; those of one that the file does not have are missing.
    ///
    /// # Errors
    /// `Corrupt` where bytes of the index changed on disk.
    pub fn summary(&self, column: ColumnId) -> Result<Summary> {
        self.sst.summary(self.vector, column)
    }
}
