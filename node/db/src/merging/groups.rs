//! Joins groups of values, all groups at once: values are joined by two until one is left of each group, so
//! that a group costs as many calls as its length has bits.

use activestore_types::{Error, Result};
use arrow::array::{Array, ArrayRef, new_empty_array};
use arrow::compute::interleave;

use super::Joined;

/// Values by their place: which of several arrays, and which row of it.
pub(super) type Place = (usize, usize);

/// The join of each group, in their order. A group has at least one value and no null; a value by itself
/// becomes its normal form.
pub(super) fn join(
    column: &Joined,
    sources: &[ArrayRef],
    groups: Vec<Vec<Place>>,
) -> Result<ArrayRef> {
    let count = groups.len();
    let mut arrays: Vec<ArrayRef> = sources.to_vec();
    let mut ends: Vec<Place> = vec![(0, 0); count];
    let mut open: Vec<(usize, Vec<Place>)> = groups.into_iter().enumerate().collect();
    while !open.is_empty() {
        let pairs = open.iter().flat_map(|(_, values)| values.chunks(2));
        let (left, right): (Vec<Place>, Vec<Place>) = pairs
            .filter_map(|pair| Some((*pair.first()?, *pair.last()?)))
            .unzip();
        let views: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
        let joined = column.join(&interleave(&views, &left)?, &interleave(&views, &right)?)?;
        if joined.len() != left.len() {
            return Err(Error::internal(
                "a merge function gave another number of rows",
            ));
        }
        arrays.push(joined);
        let mut next = (0..).map(|row| (arrays.len() - 1, row));
        let mut still = Vec::new();
        for (group, values) in open {
            let values: Vec<Place> = next.by_ref().take(values.len().div_ceil(2)).collect();
            match (values.as_slice(), ends.get_mut(group)) {
                ([one], Some(end)) => *end = *one,
                _ => still.push((group, values)),
            }
        }
        open = still;
    }
    if count == 0 {
        return Ok(new_empty_array(&column.data_type.arrow()));
    }
    let views: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
    Ok(interleave(&views, &ends)?)
}
