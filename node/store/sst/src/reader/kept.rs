//! What one point read holds of a vector: the checked bytes of the columns that it asked for, from the
//! cache or from the file.

use std::sync::Arc;

use activestore_types::{Error, Result};

use super::Sst;
use super::ahead::{Window, Wish};
use crate::cache::{Bundle, Slot};
use crate::footer::open_vector;

/// The bytes of one vector.
#[derive(Default)]
pub(super) struct Kept(Option<Arc<Bundle>>);

impl Kept {
    /// The bytes of a column.
    pub(super) fn get(&self, column: u32) -> Result<&[u8]> {
        self.0
            .as_ref()
            .and_then(|bundle| bundle.get(column))
            .ok_or_else(|| Error::internal("a vector is decoded that was not read"))
    }

    /// Gets the columns that are not held from the cache or the file. One call asks for columns of
    /// one vector.
    pub(super) fn fill(&mut self, sst: &Sst, vector: u32, wishes: &[(u32, Wish)]) -> Result<()> {
        if wishes.is_empty() {
            return Ok(());
        }
        let slot = Slot {
            file: sst.file_number,
            vector,
        };
        if self.0.is_none() {
            self.0 = sst.cache.get(&slot);
        }
        let held = self.0.as_deref();
        let is_missing = |column: u32| held.is_none_or(|held| held.get(column).is_none());
        let missing = wishes.iter().filter(|(column, _)| is_missing(*column));
        let missing: Vec<(u32, Wish)> = missing.copied().collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut window = Window::default();
        let ranges: Vec<Wish> = missing.iter().map(|(_, wish)| *wish).collect();
        window.fill(&sst.file, &ranges, false)?;
        let mut opened = Vec::with_capacity(missing.len());
        for (column, wish) in missing {
            opened.push((column, open_vector(window.get(wish.offset, wish.length)?)?));
        }
        let bundle = Arc::new(Bundle::new(held, &opened));
        sst.cache.put(slot, Arc::clone(&bundle));
        self.0 = Some(bundle);
        Ok(())
    }
}
