//! Looks at rows as they are written. Build, try and deploy it:
//!
//! ```text
//! activestore plugin build
//! activestore plugin test @NAME@.wasm --rows rows.csv --set column=temp --set max=80
//! activestore plugin deploy @NAME@.wasm
//! activestore sql -c "CREATE PROCESSOR @FUNCTION@ ON plant.readings USING PLUGIN '@NAME@'
//!                     WITH (column = 'temp', max = '80')"
//! ```

use activestore_plugin::{Batch, Config, Error, Field, Processed, Processor, Spec, State};

/// Refuses rows whose value is above a maximum.
struct Limit {
    max: f64,
}

impl Processor for Limit {
    fn init(config: &Config, fields: &[Field]) -> Result<(Self, Spec), Error> {
        config.only(&["column", "max"])?;
        let name = config
            .get("column")
            .ok_or_else(|| Error::Invalid("the setting 'column' is missing".to_owned()))?;
        let position = fields
            .iter()
            .position(|field| field.name == name)
            .ok_or_else(|| Error::Invalid(format!("the table has no column '{name}'")))?;
        let spec = Spec {
            outputs: Vec::new(),
            columns: vec![position as u32],
        };
        let max = config.parse("max", f64::INFINITY)?;
        Ok((Limit { max }, spec))
    }

    fn process(&mut self, batch: &Batch, _state: &mut dyn State) -> Result<Processed, Error> {
        let rejected = (0..batch.rows as usize)
            .filter_map(|row| {
                let value = batch.columns.first()?.number(row)?;
                (value > self.max).then(|| (row, format!("{value} is above {}", self.max)))
            })
            .collect();
        Ok(Processed {
            rejected,
            ..Processed::default()
        })
    }
}

activestore_plugin::processor!(Limit);

#[cfg(test)]
mod tests {
    use super::*;
    use activestore_plugin::{Column, MemoryState};

    #[test]
    fn rows_above_the_maximum_are_refused() {
        let batch = Batch {
            rows: 3,
            columns: vec![Column::f64s(vec![79.0, 80.5, 80.0])],
        };
        let mut limit = Limit { max: 80.0 };
        let processed = limit.process(&batch, &mut MemoryState::default()).unwrap();
        assert_eq!(processed.rejected, [(1, "80.5 is above 80".to_owned())]);
    }
}
