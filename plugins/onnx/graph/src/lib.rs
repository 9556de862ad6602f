//! An ONNX graph made ready to run on any number of rows, by tract. The `onnx` plugin runs it inside the
//! sandbox; a node that was built with `native-models` runs the same code natively, within [`Bounds`].
//!
//! Its inputs are float tensors of shape `[N, k]` or `[N]`, N being the rows: each of the k positions is
//! one column, in order. Its first output, `[N, k]` or `[N]`, is what comes back, one column a position.
//! Two entries of the model's metadata name the columns: `inputs` and `outputs`, each a comma-separated
//! list; without them they are called after the tensors.

#![deny(missing_docs)]

mod bounds;
mod columns;
mod writer;

use std::io::Cursor;
use std::sync::Arc;

use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid;
use tract_onnx::tract_hir::internal::DimLike;

pub use bounds::Bounds;
use bounds::rows_per_run;
use columns::{column_names, gather, named, scatter};
pub use writer::Writer;

/// Columns that a model may take or give.
const COLUMNS_MAX: usize = 1024;

/// Rows that one run of a graph sees at most.
pub const ROWS_PER_RUN_MAX: usize = 1024;

/// A loaded model.
pub struct Graph {
    plan: Arc<TypedRunnableModel>,
    shapes: Vec<Shape>,
    /// The input columns' names, over all tensors.
    pub inputs: Vec<String>,
    /// The names of the first output's columns.
    pub outputs: Vec<String>,
    /// Rows that [`Graph::run`] runs at once, [`ROWS_PER_RUN_MAX`] at most.
    pub rows_per_run: usize,
    /// Bytes that the graph holds and that a run of it needs, at most: 0 where it was loaded without
    /// [`Bounds`].
    pub bytes: usize,
}

/// How many columns an input tensor takes, and whether it has an axis for them.
#[derive(Clone, Copy)]
struct Shape {
    columns: usize,
    flat: bool,
}

impl Graph {
    /// Reads and optimises the model, with whatever memory that takes: for the sandbox, which has its own
    /// limit.
    ///
    /// # Errors
    /// A sentence for what is no ONNX model, has other inputs or outputs than [the crate](crate) says, or
    /// operators that tract does not run.
    pub fn load(artifact: &[u8]) -> Result<Self, String> {
        Self::read(artifact, None)
    }

    /// As [`Graph::load`], for a graph that stays within bounds whatever its bytes say.
    ///
    /// # Errors
    /// As [`Graph::load`], and a sentence for what is out of bounds.
    pub fn load_within(artifact: &[u8], bounds: &Bounds) -> Result<Self, String> {
        Self::read(artifact, Some(bounds))
    }

    fn read(artifact: &[u8], bounds: Option<&Bounds>) -> Result<Self, String> {
        if let Some(bounds) = bounds {
            bounds.check_bytes(artifact)?;
        }
        let onnx = tract_onnx::onnx();
        let proto = onnx
            .proto_model_for_read(&mut Cursor::new(artifact))
            .map_err(|error| format!("the artifact is not an ONNX model: {error}"))?;
        if let Some(bounds) = bounds {
            bounds.check_proto(&proto)?;
        }
        let mut model = onnx
            .model_for_proto_model(&proto)
            .map_err(|error| format!("the model cannot be read: {error:#}"))?;
        let rows = model.symbols.sym("N");
        let (shapes, names) = take_inputs(&mut model, &rows)?;
        let cannot_run = |error| format!("the model cannot be run: {error:#}");
        let typed = model.into_typed().map_err(cannot_run)?;
        let mut bytes = 0;
        if let Some(bounds) = bounds {
            bounds.check_facts(&typed, &rows, rows_per_run(&typed, &rows))?;
        }
        let optimized = typed.into_optimized().map_err(cannot_run)?;
        let rows_per_run = rows_per_run(&optimized, &rows);
        if let Some(bounds) = bounds {
            // Weights are kept as they were and packed; the artifact's bytes go on to count for both.
            bytes = bounds.check_facts(&optimized, &rows, rows_per_run)? + 2 * artifact.len();
        }
        let plan = optimized.into_runnable().map_err(cannot_run)?;
        let columns = output_columns(&plan)?;
        let output_name = if columns == 1 { "score" } else { "output" };
        Ok(Graph {
            plan,
            inputs: named(&proto, "inputs", names)?,
            outputs: named(&proto, "outputs", column_names(output_name, columns))?,
            shapes,
            rows_per_run,
            bytes,
        })
    }

    /// One output column for each name in `outputs`, each `rows` long.
    ///
    /// # Errors
    /// A sentence for columns that do not fit, and what tract says of a run.
    pub fn run(&self, rows: usize, columns: &[&[f64]]) -> Result<Vec<Vec<f64>>, String> {
        let mut outputs = vec![Vec::with_capacity(rows); self.outputs.len()];
        self.check_columns(rows, columns)?;
        for first in (0..rows).step_by(self.rows_per_run) {
            let count = (rows - first).min(self.rows_per_run);
            self.run_part(first, count, columns, &mut outputs)?;
        }
        Ok(outputs)
    }

    /// Whether there is a column for each input, and each is `rows` long.
    ///
    /// # Errors
    /// A sentence where not.
    pub fn check_columns(&self, rows: usize, columns: &[&[f64]]) -> Result<(), String> {
        if columns.len() != self.inputs.len() || columns.iter().any(|column| column.len() != rows) {
            return Err("the columns do not fit the model".to_owned());
        }
        Ok(())
    }

    /// Runs the graph once, on `count` rows from `first` on, and appends what comes out to `outputs`, a
    /// vector for each name in [`Graph::outputs`].
    ///
    /// # Errors
    /// As [`Graph::run`].
    pub fn run_part(
        &self,
        first: usize,
        count: usize,
        columns: &[&[f64]],
        outputs: &mut [Vec<f64>],
    ) -> Result<(), String> {
        let mut rest = columns;
        let mut tensors = TVec::new();
        for shape in &self.shapes {
            let (mine, others) = rest
                .split_at_checked(shape.columns)
                .ok_or("the columns do not fit the model")?;
            rest = others;
            let values = gather(mine, first, count)?;
            let dims: &[usize] = if shape.flat {
                &[count]
            } else {
                &[count, shape.columns]
            };
            let tensor = Tensor::from_shape(dims, &values).map_err(|error| error.to_string())?;
            tensors.push(tensor.into_tvalue());
        }
        let given = self
            .plan
            .run(tensors)
            .map_err(|error| format!("the model fails: {error:#}"))?;
        let scores = given.first().ok_or("the model gives nothing")?;
        let scores = scores
            .cast_to::<f32>()
            .map_err(|error| format!("the first output is not a number: {error}"))?;
        let scores = scores
            .to_plain_array_view::<f32>()
            .map_err(|error| error.to_string())?;
        if scores.len() != count * outputs.len() {
            return Err(format!(
                "the model gives {} scores for {count} rows",
                scores.len()
            ));
        }
        match scores.as_slice() {
            Some(scores) => scatter(scores, outputs),
            None => scatter(&scores.iter().copied().collect::<Vec<f32>>(), outputs),
        }
        Ok(())
    }
}

/// Fixes the shapes of the model's inputs; gives them and the names of their columns.
fn take_inputs(
    model: &mut InferenceModel,
    rows: &Symbol,
) -> Result<(Vec<Shape>, Vec<String>), String> {
    let mut shapes = Vec::new();
    let mut names = Vec::new();
    for (index, outlet) in model.inputs.clone().into_iter().enumerate() {
        let name = model.node(outlet.node).name.clone();
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
    Ok((shapes, names))
}

/// How many columns the first output has.
fn output_columns(plan: &TypedRunnableModel) -> Result<usize, String> {
    let output = plan
        .model()
        .output_fact(0)
        .map_err(|error| error.to_string())?;
    match output.shape.dims() {
        [_] => Ok(1),
        [_, columns] => columns
            .to_usize()
            .ok()
            .filter(|columns| (1..=COLUMNS_MAX).contains(columns))
            .ok_or_else(|| "the first output's second axis has no fixed length".to_owned()),
        _ => Err(format!(
            "the first output has {} axes; [N] or [N, columns] is needed",
            output.shape.len()
        )),
    }
}

#[cfg(test)]
mod tests;
