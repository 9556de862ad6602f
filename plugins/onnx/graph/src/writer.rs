//! Writes ONNX files: what training programs export to, and tests.

use prost::Message;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::type_proto::{Tensor, Value};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto,
};

/// The operators' version.
const OPSET: i64 = 17;
/// The file format's version.
const IR_VERSION: i64 = 8;

/// A model under construction. Nothing is checked: [`crate::Graph::load`] does.
#[derive(Default)]
pub struct Writer {
    graph: GraphProto,
    metadata: Vec<StringStringEntryProto>,
}

impl Writer {
    /// A model without anything in it.
    pub fn new(name: &str) -> Self {
        let mut writer = Writer::default();
        writer.graph.name = name.to_owned();
        writer
    }

    /// An input of floats: `[N, columns]`, N being the rows.
    pub fn input(&mut self, name: &str, columns: usize) -> &mut Self {
        self.graph.input.push(rows_of(name, columns));
        self
    }

    /// The result that comes back: `[N, columns]`.
    pub fn output(&mut self, name: &str, columns: usize) -> &mut Self {
        self.graph.output.push(rows_of(name, columns));
        self
    }

    /// A constant of floats with these dimensions.
    pub fn floats(&mut self, name: &str, dims: &[usize], values: &[f32]) -> &mut Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        self.constant(name, DataType::Float, dims, bytes.collect())
    }

    /// A constant of integers with these dimensions.
    pub fn ints(&mut self, name: &str, dims: &[usize], values: &[i64]) -> &mut Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        self.constant(name, DataType::Int64, dims, bytes.collect())
    }

    fn constant(
        &mut self,
        name: &str,
        kind: DataType,
        dims: &[usize],
        raw_data: Vec<u8>,
    ) -> &mut Self {
        self.graph.initializer.push(TensorProto {
            name: name.to_owned(),
            data_type: kind as i32,
            dims: dims.iter().map(|dim| *dim as i64).collect(),
            raw_data,
            ..TensorProto::default()
        });
        self
    }

    /// An operator with one result.
    pub fn node(&mut self, operator: &str, inputs: &[&str], output: &str) -> &mut Self {
        self.node_with(operator, inputs, output, &[])
    }

    /// An operator with attributes that are integers.
    pub fn node_with(
        &mut self,
        operator: &str,
        inputs: &[&str],
        output: &str,
        attributes: &[(&str, i64)],
    ) -> &mut Self {
        self.graph.node.push(NodeProto {
            name: output.to_owned(),
            op_type: operator.to_owned(),
            input: inputs.iter().map(|input| (*input).to_owned()).collect(),
            output: vec![output.to_owned()],
            attribute: attributes
                .iter()
                .map(|(name, value)| AttributeProto {
                    name: (*name).to_owned(),
                    r#type: attribute_proto::AttributeType::Int as i32,
                    i: *value,
                    ..AttributeProto::default()
                })
                .collect(),
            ..NodeProto::default()
        });
        self
    }

    /// An entry of the model's metadata, such as `inputs` with the names of its columns.
    pub fn metadata(&mut self, key: &str, value: &str) -> &mut Self {
        self.metadata.push(StringStringEntryProto {
            key: key.to_owned(),
            value: value.to_owned(),
        });
        self
    }

    /// The file's bytes.
    pub fn finish(&self) -> Vec<u8> {
        ModelProto {
            ir_version: IR_VERSION,
            opset_import: vec![OperatorSetIdProto {
                domain: String::new(),
                version: OPSET,
            }],
            graph: Some(self.graph.clone()),
            metadata_props: self.metadata.clone(),
            ..ModelProto::default()
        }
        .encode_to_vec()
    }
}

fn rows_of(name: &str, columns: usize) -> ValueInfoProto {
    let dimension = |value| Dimension {
        denotation: String::new(),
        value: Some(value),
    };
    let rows = dimension(dimension::Value::DimParam("N".to_owned()));
    let columns = dimension(dimension::Value::DimValue(columns as i64));
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            denotation: String::new(),
            value: Some(Value::TensorType(Tensor {
                elem_type: DataType::Float as i32,
                shape: Some(TensorShapeProto {
                    dim: vec![rows, columns],
                }),
            })),
        }),
        ..ValueInfoProto::default()
    }
}
