//! An ONNX graph made ready to run on any number of rows.

use std::io::Cursor;
use std::sync::Arc;

use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid;
use tract_onnx::tract_hir::internal::DimLike;

/// Columns that a model may take or give.
const COLUMNS_MAX: usize = 1024;

/// A loaded model.
pub struct Graph {
    plan: Arc<TypedRunnableModel>,
    /// How many columns each input tensor takes, and whether it has an axis for them.
    shapes: Vec<Shape>,
    /// The input columns' names, over all tensors.
    pub inputs: Vec<String>,
    /// The names of the first output's columns.
    pub outputs: Vec<String>,
}

#[derive(Clone, Copy)]
struct Shape {
    columns: usize,
    flat: bool,
}

impl Graph {
    /// Reads and optimises the model.
    pub fn load(artifact: &[u8]) -> Result<Self, String> {
        let onnx = tract_onnx::onnx();
        let proto = onnx
            .proto_model_for_read(&mut Cursor::new(artifact))
            .map_err(|error| format!("the artifact is not an ONNX model: {error}"))?;
        let mut model = onnx
            .model_for_proto_model(&proto)
            .map_err(|error| format!("the model cannot be read: {error:#}"))?;
        let rows = model.symbols.sym("N");
        let mut shapes = Vec::new();
        let mut names = Vec::new();
        for index in 0..model.inputs.len() {
            let name = model.node(model.inputs[index].node).name.clone();
            let fact = model
                .input_fact(index)
                .map_err(|error| error.to_string())?
                .clone();
            let dims: Vec<Option<usize>> = fact
                .shape
                .dims()
                .map(|dim| dim.concretize().and_then(|dim| dim.to_usize().ok()))
                .collect();
            let shape = match dims.as_slice() {
                [_] => Shape {
                    columns: 1,
                    flat: true,
                },
                [_, Some(columns)] if (1..=COLUMNS_MAX).contains(columns) => Shape {
                    columns: *columns,
                    flat: false,
                },
                _ => {
                    return Err(format!(
                        "input '{name}' has the shape {:?}; [N] or [N, columns] is needed",
                        fact.shape
                    ));
                }
            };
            let wanted = if shape.flat {
                f32::fact([rows.to_dim()])
            } else {
                f32::fact([rows.to_dim(), shape.columns.to_dim()])
            };
            model
                .set_input_fact(index, wanted.into())
                .map_err(|error| error.to_string())?;
            names.extend(column_names(&name, shape.columns));
            shapes.push(shape);
        }
        let runnable = model
            .into_optimized()
            .and_then(IntoRunnable::into_runnable)
            .map_err(|error| format!("the model cannot be run: {error:#}"))?;
        let output = runnable
            .model()
            .output_fact(0)
            .map_err(|error| error.to_string())?;
        let columns = match output.shape.dims() {
            [_] => 1,
            [_, columns] => columns
                .to_usize()
                .ok()
                .filter(|columns| (1..=COLUMNS_MAX).contains(columns))
                .ok_or("the first output's second axis has no fixed length")?,
            _ => {
                return Err(format!(
                    "the first output has {} axes; [N] or [N, columns] is needed",
                    output.shape.len()
                ));
            }
        };
        let output_name = if columns == 1 { "score" } else { "output" };
        Ok(Graph {
            plan: runnable,
            inputs: named(&proto, "inputs", names)?,
            outputs: named(&proto, "outputs", column_names(output_name, columns))?,
            shapes,
        })
    }

    /// One output column per name in `outputs`, each `rows` long.
    pub fn run(&self, rows: usize, columns: &[&[f64]]) -> Result<Vec<Vec<f64>>, String> {
        if columns.len() != self.inputs.len() || columns.iter().any(|column| column.len() != rows) {
            return Err("the columns do not fit the model".to_owned());
        }
        let mut rest = columns;
        let mut tensors = TVec::new();
        for shape in &self.shapes {
            let (mine, others) = rest.split_at(shape.columns);
            rest = others;
            let mut values = vec![0f32; rows * shape.columns];
            for (position, column) in mine.iter().enumerate() {
                let slots = values.iter_mut().skip(position).step_by(shape.columns);
                for (slot, value) in slots.zip(*column) {
                    *slot = *value as f32;
                }
            }
            let dims: &[usize] = if shape.flat {
                &[rows]
            } else {
                &[rows, shape.columns]
            };
            let tensor = Tensor::from_shape(dims, &values).map_err(|error| error.to_string())?;
            tensors.push(tensor.into_tvalue());
        }
        let outputs = self
            .plan
            .run(tensors)
            .map_err(|error| format!("the model fails: {error:#}"))?;
        let first = outputs.first().ok_or("the model gives nothing")?;
        let scores = first
            .cast_to::<f32>()
            .map_err(|error| format!("the first output is not a number: {error}"))?;
        let scores = scores
            .to_plain_array_view::<f32>()
            .map_err(|error| error.to_string())?;
        let width = self.outputs.len();
        if scores.len() != rows * width {
            return Err(format!(
                "the model gives {} scores for {rows} rows",
                scores.len()
            ));
        }
        let mut out = vec![Vec::with_capacity(rows); width];
        for (index, score) in scores.iter().enumerate() {
            out[index % width].push(f64::from(*score));
        }
        Ok(out)
    }
}

fn column_names(tensor: &str, columns: usize) -> Vec<String> {
    if columns == 1 {
        vec![tensor.to_owned()]
    } else {
        (0..columns)
            .map(|column| format!("{tensor}_{column}"))
            .collect()
    }
}

/// The names that the metadata gives under `key`, or `default`.
fn named(proto: &ModelProto, key: &str, default: Vec<String>) -> Result<Vec<String>, String> {
    let Some(entry) = proto.metadata_props.iter().find(|entry| entry.key == key) else {
        return Ok(default);
    };
    let names: Vec<String> = entry
        .value
        .split(',')
        .map(|name| name.trim().to_owned())
        .collect();
    if names.len() == default.len() {
        Ok(names)
    } else {
        Err(format!(
            "the model's metadata names {} {key} where it has {}",
            names.len(),
            default.len()
        ))
    }
}
