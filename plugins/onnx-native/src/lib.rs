//! Scores rows with an ONNX model that the node runs with its own code: what the plugin `onnx` does inside the
//! sandbox, for nodes that were built with `native-models`.

use activestore_plugin::{Column, Config, Error, Model, Signature, nn};

struct OnnxNative;

impl Model for OnnxNative {
    fn load(config: &Config, artifact: &[u8]) -> Result<(Self, Signature), Error> {
        config.only(&[])?;
        Ok((OnnxNative, nn::load(artifact)?))
    }

    fn infer(&mut self, rows: usize, inputs: &[Column]) -> Result<Vec<Column>, Error> {
        nn::compute(rows, inputs)
    }
}

activestore_plugin::model!(OnnxNative);
