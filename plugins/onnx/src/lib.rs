//! Scores rows with an ONNX model, inside the sandbox.
//!
//! What an artifact must look like, [`onnx_graph`] says. It runs nothing but the model: no custom
//! operators, no external data files.

#[cfg(target_family = "wasm")]
mod randomness;

use activestore_plugin::{Column, Config, Error, Field, Model, ScalarType, Signature};

use onnx_graph::Graph;

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
