//! Graphs that the node runs with its own code, for models: faster than inside the sandbox, and only on nodes
//! that were built with `native-models`. All others refuse a plugin that uses this.

use crate::bindings::nn_world::activestore::plugin::nn;
use crate::{Column, Error, Field, ScalarType, Signature};

/// Makes this plugin's graph of an ONNX file, and says which columns it takes and gives; one that was loaded
/// before is forgotten. Outside of the sandbox nobody runs it.
///
/// # Errors
/// `invalid` for what is no ONNX file or is out of bounds.
pub fn load(artifact: &[u8]) -> Result<Signature, Error> {
    let graph = nn::load(artifact)?;
    let fields = |names: Vec<String>| {
        names
            .into_iter()
            .map(|name| Field {
                name,
                kind: ScalarType::Float64,
                nullable: true,
            })
            .collect()
    };
    Ok(Signature {
        inputs: fields(graph.inputs),
        outputs: fields(graph.outputs),
    })
}

/// One column for each output of the graph that was loaded.
///
/// # Errors
/// `invalid` for columns that do not fit, `failed` when the graph does.
pub fn compute(rows: usize, inputs: &[Column]) -> Result<Vec<Column>, Error> {
    nn::compute(rows as u32, inputs)
}
