//! The order that a segment's values lie in: rows of one partition beside each other, so that differences run
//! along one device's series and not across devices that report in turn. Both ends work it out from the
//! partition key, whose columns stay in the order of arrival; nothing of it travels.

use std::collections::HashMap;

use activestore_types::Result;
use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;
use arrow::row::{RowConverter, SortField};

/// Partitions one after the other, each where it first appears, its rows in the order of arrival.
pub(crate) struct Grouping {
    /// The row that stands at each place; `None` where rows stay where they are.
    order: Option<UInt32Array>,
}

impl Grouping {
    /// Rows as they came.
    pub(crate) fn none() -> Grouping {
        Grouping { order: None }
    }

    /// By the columns of the partition key, all of `rows` rows.
    ///
    /// # Errors
    /// When the columns cannot be compared, or have not one length.
    pub(crate) fn of(keys: &[ArrayRef], rows: usize) -> Result<Grouping> {
        let fields = keys
            .iter()
            .map(|key| SortField::new(key.data_type().clone()))
            .collect();
        let encoded = RowConverter::new(fields)?.convert_columns(keys)?;
        let mut codes = HashMap::new();
        let mut groups: Vec<Vec<u32>> = Vec::new();
        for (row, key) in (0_u32..).zip(encoded.iter()) {
            let code = *codes.entry(key).or_insert_with(|| {
                groups.push(Vec::new());
                groups.len() - 1
            });
            if let Some(group) = groups.get_mut(code) {
                group.push(row);
            }
        }
        let moved = groups.len() > 1 && groups.len() < rows;
        let order = moved.then(|| UInt32Array::from_iter_values(groups.into_iter().flatten()));
        Ok(Grouping { order })
    }

    /// From the order of arrival into this one.
    ///
    /// # Errors
    /// When the column has fewer rows than the keys.
    pub(crate) fn gather(&self, column: &ArrayRef) -> Result<ArrayRef> {
        match &self.order {
            None => Ok(column.clone()),
            Some(order) => Ok(take(column, order, None)?),
        }
    }

    /// From this order back into that of arrival.
    ///
    /// # Errors
    /// When the column has fewer rows than the keys.
    pub(crate) fn scatter(&self, column: &ArrayRef) -> Result<ArrayRef> {
        let Some(order) = &self.order else {
            return Ok(column.clone());
        };
        let mut places = vec![0_u32; order.len()];
        for (place, row) in (0_u32..).zip(order.values()) {
            if let Some(slot) = places.get_mut(*row as usize) {
                *slot = place;
            }
        }
        Ok(take(column, &UInt32Array::from(places), None)?)
    }
}

#[cfg(test)]
mod tests;
