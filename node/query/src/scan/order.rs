//! Rows in the order of the key, said from the start: what groups them in that order holds none of them, whatever conditions
//! stand between.

use std::sync::Arc;

use arrow::compute::SortOptions;
use datafusion::physical_expr::expressions::Column as PhysicalColumn;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalSortExpr};

use super::{ScanExec, properties};
use crate::pushdown::is_folded;

/// That a query wants its rows so, as its session carries it.
pub(crate) struct InKeyOrder;

impl ScanExec {
    /// The same scan, with the order of its rows as far as it reads the columns of the key.
    pub(crate) fn in_key_order(mut self) -> Self {
        let table = self.snapshot.schema();
        let mut order = Vec::new();
        for key in table.key_columns() {
            let place = self.columns.iter().position(|id| *id == key.id);
            let field = place.and_then(|place| self.schema.fields().get(place));
            let compares = table
                .column_by_id(key.id)
                .is_some_and(|column| !is_folded(column.data_type));
            let (Some(place), Some(field), true) = (place, field, compares) else {
                break;
            };
            order.push(PhysicalSortExpr {
                expr: Arc::new(PhysicalColumn::new(field.name(), place)),
                options: SortOptions {
                    descending: key.descending,
                    nulls_first: true,
                },
            });
        }
        if order.is_empty() || self.limit.is_some() || self.last_rows.is_some() {
            return self;
        }
        self.ordered = true;
        self.properties = Arc::new(properties(
            EquivalenceProperties::new_with_orderings(self.schema.clone(), [order]),
            self.partitions.len(),
        ));
        self
    }
}
