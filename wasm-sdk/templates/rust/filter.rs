//! A sync filter: says what of a table's rows leaves the node. Build, try and deploy it:
//!
//! ```text
//! activestore plugin build
//! activestore plugin test @NAME@.wasm --rows rows.csv --set column=temp --set min=79
//! activestore plugin deploy @NAME@.wasm
//! activestore sql -c "CREATE FILTER @FUNCTION@ USING PLUGIN '@NAME@' WITH (column = 'temp', min = '79')"
//! activestore sql -c "ALTER TABLE plant.readings SET (sync_filter = '@FUNCTION@')"
//! ```

use activestore_plugin::{Batch, Column, Config, Error, Field, Filter, FilterSpec, Filtered, ScalarType};

/// Lets rows through whose value is at least a minimum, and rounds it to a whole number.
struct Whole {
    min: f64,
}

impl Filter for Whole {
    fn init(config: &Config, fields: &[Field]) -> Result<(Self, FilterSpec), Error> {
        config.only(&["column", "min"])?;
        let name = config
            .get("column")
            .ok_or_else(|| Error::Invalid("the setting 'column' is missing".to_owned()))?;
        let place = fields
            .iter()
            .position(|field| field.name == name && field.kind == ScalarType::Float64)
            .ok_or_else(|| Error::Invalid(format!("the table has no DOUBLE '{name}'")))?;
        let spec = FilterSpec {
            columns: vec![place as u32],
            gives: vec![place as u32],
            withholds: Vec::new(),
        };
        let min = config.parse("min", f64::NEG_INFINITY)?;
        Ok((Whole { min }, spec))
    }

    fn filter(&mut self, batch: &Batch) -> Result<Filtered, Error> {
        let mut filtered = Filtered::default();
        let mut values = Vec::new();
        for row in 0..batch.rows as usize {
            let value = batch.columns.first().and_then(|column| column.number(row));
            if let Some(value) = value.filter(|value| *value >= self.min) {
                filtered.rows.push(row);
                values.push(value.round());
            }
        }
        filtered.columns.push(Column::f64s(values));
        Ok(filtered)
    }
}

activestore_plugin::filter!(Whole);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_below_the_minimum_stay() {
        let batch = Batch {
            rows: 3,
            columns: vec![Column::f64s(vec![78.0, 79.4, 80.5])],
        };
        let filtered = Whole { min: 79.0 }.filter(&batch).unwrap();
        assert_eq!(filtered.rows, [1, 2]);
        assert_eq!(filtered.columns[0].as_f64s().unwrap(), [79.0, 81.0]);
    }
}
