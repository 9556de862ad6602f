//! Rows in memory of their own. What is read of a body lies where the body does and keeps all of it: also what no row
//! is made of, such as the values of a dictionary, or a buffer that is longer than its column.

use activestore_types::NamedBatch;
use arrow::array::{Array, ArrayRef, MutableArrayData, make_array};

/// The same rows, copied.
#[must_use]
pub fn apart(mut batch: NamedBatch) -> NamedBatch {
    for column in &mut batch.columns {
        column.array = copied(&column.array);
        column.set = column.set.take().map(|set| set.iter().collect());
    }
    batch
}

fn copied(array: &ArrayRef) -> ArrayRef {
    let data = array.to_data();
    let mut copy = MutableArrayData::new(vec![&data], false, array.len());
    // Without a fallible way the rows are what they were, and the body stays with them.
    match copy.try_extend(0, 0, array.len()) {
        Ok(()) => make_array(copy.freeze()),
        Err(_) => array.clone(),
    }
}
