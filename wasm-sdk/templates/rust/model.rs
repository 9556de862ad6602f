//! A model: an artifact is loaded once, then columns go in and scores come out. Build, try and deploy it:
//!
//! ```text
//! activestore plugin build
//! activestore plugin test @NAME@.wasm --rows rows.csv --artifact weights.csv
//! activestore plugin deploy @NAME@.wasm
//! activestore sql -c "CREATE MODEL @FUNCTION@ USING PLUGIN '@NAME@' WITH (file = 'weights.csv')"
//! ```
//!
//! The artifact is a line a column, `name,weight`; the score is the weighted sum.

use activestore_plugin::{Column, Config, Error, Field, Model, ScalarType, Signature};

struct Linear {
    weights: Vec<f64>,
}

fn number(name: &str) -> Field {
    Field {
        name: name.to_owned(),
        kind: ScalarType::Float64,
        nullable: false,
    }
}

impl Model for Linear {
    fn load(config: &Config, artifact: &[u8]) -> Result<(Self, Signature), Error> {
        config.only(&[])?;
        let text = std::str::from_utf8(artifact)
            .map_err(|_| Error::Invalid("the weights are not text".to_owned()))?;
        let mut signature = Signature {
            inputs: Vec::new(),
            outputs: vec![number("score")],
        };
        let mut weights = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            let wrong = || Error::Invalid(format!("line {line} is not name,weight: {text}"));
            let (name, weight) = text.split_once(',').ok_or_else(wrong)?;
            weights.push(weight.trim().parse().map_err(|_| wrong())?);
            signature.inputs.push(number(name.trim()));
        }
        Ok((Linear { weights }, signature))
    }

    fn infer(&mut self, rows: usize, inputs: &[Column]) -> Result<Vec<Column>, Error> {
        let mut scores = vec![0.0; rows];
        for (weight, column) in self.weights.iter().zip(inputs) {
            for (score, value) in scores.iter_mut().zip(column.as_f64s()?) {
                *score += weight * value;
            }
        }
        Ok(vec![Column::f64s(scores)])
    }
}

activestore_plugin::model!(Linear);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_weighed() {
        let (mut model, signature) = Linear::load(&Config::default(), b"a,2\nb,-1").unwrap();
        assert_eq!(signature.inputs.len(), 2);
        let columns = [Column::f64s(vec![1.0, 2.0]), Column::f64s(vec![0.5, 4.0])];
        let scores = model.infer(2, &columns).unwrap();
        assert_eq!(scores[0].as_f64s().unwrap(), [1.5, 0.0]);
        assert!(Linear::load(&Config::default(), b"a").is_err());
    }
}
