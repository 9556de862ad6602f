//! Rows of an `INSERT` whose values are parameters and nothing else: they are put together without a plan.

use std::sync::Arc;

use activestore_types::{Result, TableSchema};
use arrow::array::{Array, ArrayRef};
use arrow::compute::concat;
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::sql::sqlparser::ast::{Expr, SetExpr, Statement, Value};

use crate::params::{Param, number};
use crate::parse::Insert;
use crate::rows::Rows;
use crate::write::target;

/// Which parameter goes where.
#[derive(Clone, Debug)]
pub struct DirectRows {
    names: Vec<String>,
    /// Of each row the parameters of its columns, from 0.
    rows: Vec<Vec<usize>>,
}

impl DirectRows {
    /// The rows of an `INSERT` as its source was read; `None` where a value is more than a parameter.
    pub(crate) fn of(schema: &TableSchema, insert: &Insert, source: &Statement) -> Option<Self> {
        let Statement::Query(query) = source else {
            return None;
        };
        let SetExpr::Values(values) = query.body.as_ref() else {
            return None;
        };
        if query.order_by.is_some() || query.limit_clause.is_some() {
            return None;
        }
        let mut rows = Vec::with_capacity(values.rows.len());
        for row in &values.rows {
            rows.push(
                row.content
                    .iter()
                    .map(parameter)
                    .collect::<Option<Vec<_>>>()?,
            );
        }
        let given = rows.first()?.len();
        let names: Vec<String> = if insert.columns.is_empty() {
            let columns = schema.columns.iter().take(given);
            columns.map(|column| column.name.clone()).collect()
        } else {
            insert.columns.clone()
        };
        let whole = names.len() == given && rows.iter().all(|row| row.len() == given);
        whole.then_some(DirectRows { names, rows })
    }

    /// The rows with these values; `None` where values of one column are of several types.
    ///
    /// # Errors
    /// `Invalid` for a value that does not fit, naming the column; in the stream.
    pub fn rows(&self, schema: &TableSchema, params: &[Param]) -> Result<Option<Rows>> {
        let mut fields = Vec::with_capacity(self.names.len());
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.names.len());
        for (place, name) in self.names.iter().enumerate() {
            let mut values = Vec::with_capacity(self.rows.len());
            for row in &self.rows {
                let param = row.get(place).and_then(|number| params.get(*number));
                let Some(param) = param else {
                    return Ok(None);
                };
                values.push(param.array()?);
            }
            let Some(first) = values.first() else {
                return Ok(None);
            };
            if values
                .iter()
                .any(|value| value.data_type() != first.data_type())
            {
                return Ok(None);
            }
            let array = match values.as_slice() {
                [one] => one.clone(),
                all => concat(&all.iter().map(AsRef::as_ref).collect::<Vec<&dyn Array>>())?,
            };
            fields.push(Field::new(name, array.data_type().clone(), true));
            arrays.push(array);
        }
        let given = Arc::new(Schema::new(fields));
        let batch = RecordBatch::try_new(given.clone(), arrays)?;
        let rows = Rows::from_batches(given, vec![batch]);
        target(schema, &self.names, rows).map(Some)
    }
}

fn parameter(expression: &Expr) -> Option<usize> {
    match expression {
        Expr::Value(value) => match &value.value {
            Value::Placeholder(name) => number(name)?.checked_sub(1),
            _ => None,
        },
        _ => None,
    }
}
