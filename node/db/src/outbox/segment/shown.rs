//! A row of a segment for people, whatever table there is here.

use arrow::array::{Array, AsArray};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::DataType as ArrowType;
use arrow::util::display::array_value_to_string;

use activestore_store::decode_array;
use activestore_types::Result;

use super::{Section, read_numbers};

impl Section {
    /// What it takes of a segment before the segment is compressed, in bytes.
    pub(crate) fn packed_bytes(&self) -> u64 {
        let part = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, Vec::len);
        let columns = self.columns.iter();
        let columns: usize = columns
            .map(|column| column.values.len() + part(&column.set))
            .sum();
        (columns + self.hlc.len() + part(&self.expiry_ms) + part(&self.tombstone)) as u64
    }

    /// The stamps of its rows.
    ///
    /// # Errors
    /// `Invalid` where they cannot be read.
    pub(crate) fn stamps(&self) -> Result<ScalarBuffer<u64>> {
        read_numbers(&self.hlc, self.rows as usize)
    }

    /// The first row as `name = value, …`; `None` where it cannot be read. Values that the row leaves as they are do
    /// not show.
    pub(crate) fn first_row(&self) -> Option<String> {
        let rows = self.rows as usize;
        // The first of all stands first in its partition, and so in every order.
        let values = self.columns.iter().filter_map(|column| {
            let array = column.decode(rows).ok()?;
            let sets = column.set.as_ref().is_none_or(|set| {
                let set = decode_array(set, &ArrowType::Boolean).ok();
                set.is_some_and(|set| !set.is_empty() && set.as_boolean().value(0))
            });
            let shown = match array.is_empty() {
                false if array.is_null(0) => "NULL".to_owned(),
                false => array_value_to_string(&array, 0).ok()?,
                true => return None,
            };
            sets.then(|| format!("{} = {shown}", column.name))
        });
        let values: Vec<String> = values.collect();
        (!values.is_empty()).then(|| values.join(", "))
    }
}
