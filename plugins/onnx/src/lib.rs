//! Scores rows with an ONNX model, inside the sandbox.
//!
//! The artifact is an `.onnx` file whose inputs are float tensors of shape `[N, k]` or `[N]`, N being
//! the rows: each of the k positions is one column, in order. Its first output, `[N, k]` or `[N]`, is
//! what comes back, one column per position. Two entries of the model's metadata name the columns:
//! `inputs` and `outputs`, each a comma-separated list; without them they are called after the
//! tensors. It runs nothing but the model: no custom operators, no external data files.

mod graph;
#[cfg(target_family = "wasm")]
mod randomness;

use activestore_plugin::{Column, Config, Error, Field, Model, ScalarType, Signature};

use graph::Graph;

struct Onnx(Graph);

impl Model for Onnx {
    fn load(config: &Config, artifact: &[u8]) -> Result<(Self, Signature), Error> {
        config.only(&[])?;
        let graph = Graph::load(artifact).map_err(Error::Invalid)?;
        let fields = |names: &[String]| {
            names
                .iter()
                .map(|name| Field {
                    name: name.clone(),
                    kind: ScalarType::Float64,
                    nullable: true,
                })
                .collect()
        };
        let signature = Signature {
            inputs: fields(&graph.inputs),
            outputs: fields(&graph.outputs),
        };
        Ok((Onnx(graph), signature))
    }

    fn infer(&mut self, rows: usize, inputs: &[Column]) -> Result<Vec<Column>, Error> {
        let columns = inputs
            .iter()
            .map(Column::as_f64s)
            .collect::<Result<Vec<_>, _>>()?;
        let outputs = self.0.run(rows, &columns).map_err(Error::Failed)?;
        Ok(outputs.into_iter().map(Column::f64s).collect())
    }
}

activestore_plugin::model!(Onnx);

#[cfg(test)]
mod tests;
