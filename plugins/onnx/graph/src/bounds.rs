//! What a graph may be that runs outside of the sandbox. Its bytes come from anybody, and reading, folding
//! and running it allocates what they say; so sizes are checked before the step that would need them, and
//! only operators are run whose outputs follow from the shapes of their inputs.

use std::collections::HashSet;

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{ModelProto, NodeProto, TensorProto};
use tract_onnx::prelude::*;

use crate::ROWS_PER_RUN_MAX;

/// Operators that are run, beside `Constant`.
const OPERATORS: &[&str] = &[
    "Abs",
    "Add",
    "And",
    "ArgMax",
    "ArgMin",
    "BatchNormalization",
    "Cast",
    "Ceil",
    "Clip",
    "Concat",
    "Cos",
    "Div",
    "Elu",
    "Equal",
    "Erf",
    "Exp",
    "Flatten",
    "Floor",
    "Gather",
    "Gemm",
    "Greater",
    "GreaterOrEqual",
    "HardSigmoid",
    "Identity",
    "LeakyRelu",
    "Less",
    "LessOrEqual",
    "Log",
    "LogSoftmax",
    "MatMul",
    "Max",
    "Mean",
    "Min",
    "Mul",
    "Neg",
    "Not",
    "Or",
    "Pow",
    "Reciprocal",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
    "Relu",
    "Reshape",
    "Selu",
    "Sigmoid",
    "Sign",
    "Sin",
    "Slice",
    "Softmax",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Sum",
    "Tanh",
    "Transpose",
    "Unsqueeze",
    "Where",
];

const CONSTANT: &str = "Constant";

/// What a graph may be.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of the artifact.
    pub artifact_bytes: usize,
    /// Operators.
    pub nodes: usize,
    /// Bytes of its constants and of everything that a run of it holds between its operators.
    pub run_bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            artifact_bytes: 16 << 20,
            nodes: 1024,
            run_bytes: 64 << 20,
        }
    }
}

impl Bounds {
    pub(crate) fn check_bytes(&self, artifact: &[u8]) -> Result<(), String> {
        if artifact.len() <= self.artifact_bytes {
            return Ok(());
        }
        Err(format!(
            "the artifact holds {} bytes; {} are run natively at most",
            artifact.len(),
            self.artifact_bytes
        ))
    }

    /// Operators that are known, constants that are as long as they say, and nothing that is made of
    /// constants alone: it would be computed while the graph is read.
    pub(crate) fn check_proto(&self, proto: &ModelProto) -> Result<(), String> {
        let graph = proto.graph.as_ref().ok_or("the model has no graph")?;
        if graph.node.len() > self.nodes {
            return Err(format!(
                "the model has {} operators; {} are run natively at most",
                graph.node.len(),
                self.nodes
            ));
        }
        if !graph.sparse_initializer.is_empty() || !proto.functions.is_empty() {
            return Err("sparse constants and functions are not run natively".to_owned());
        }
        graph.initializer.iter().try_for_each(check_tensor)?;
        let constants: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
        let inputs = graph.input.iter().map(|input| input.name.as_str());
        let mut live: HashSet<&str> = inputs.filter(|name| !constants.contains(name)).collect();
        for node in &graph.node {
            check_node(node)?;
            if node.op_type == CONSTANT {
                continue;
            }
            if !node.input.iter().any(|input| live.contains(input.as_str())) {
                return Err(format!(
                    "its operator '{}' works on constants alone, which is not run natively; fold them \
                     when you export the model",
                    node.op_type
                ));
            }
            live.extend(node.output.iter().map(String::as_str));
        }
        Ok(())
    }

    /// Bytes of the graph's constants and of all that lies between its operators for so many rows.
    pub(crate) fn check_facts(
        &self,
        model: &TypedModel,
        symbol: &Symbol,
        rows: usize,
    ) -> Result<usize, String> {
        let bytes = facts_bytes(model, symbol, rows)?;
        usize::try_from(bytes)
            .ok()
            .filter(|bytes| *bytes <= self.run_bytes)
            .ok_or_else(|| {
                format!(
                    "{rows} rows would take {bytes} bytes between its operators; {} are allowed natively",
                    self.run_bytes
                )
            })
    }
}

/// Rows that are run at once: what lies between the operators should stay in the processor's cache. A model
/// judges each row by itself, so it does not matter where rows are divided.
pub(crate) fn rows_per_run(model: &TypedModel, symbol: &Symbol) -> usize {
    const CACHED_BYTES: u128 = 512 << 10;
    const ROWS_MIN: usize = 32;
    let bytes = |rows| facts_bytes(model, symbol, rows).ok();
    let Some((one, two)) = bytes(1).zip(bytes(2)) else {
        return ROWS_PER_RUN_MAX;
    };
    let rows = CACHED_BYTES / two.saturating_sub(one).max(1);
    usize::try_from(rows).map_or(ROWS_PER_RUN_MAX, |rows| {
        rows.clamp(ROWS_MIN, ROWS_PER_RUN_MAX)
    })
}

fn facts_bytes(model: &TypedModel, symbol: &Symbol, rows: usize) -> Result<u128, String> {
    let rows = SymbolValues::default().with(symbol, rows as i64);
    let mut total: u128 = 0;
    for node in model.nodes() {
        for output in &node.outputs {
            let mut bytes = output.fact.datum_type.size_of() as u128;
            for dim in output.fact.shape.iter() {
                let dim = dim.eval_to_i64(&rows).ok();
                let dim = dim.and_then(|dim| u64::try_from(dim).ok()).ok_or_else(|| {
                    format!(
                        "how much '{}' holds cannot be told before it is run",
                        node.name
                    )
                })?;
                bytes = bytes.saturating_mul(u128::from(dim));
            }
            total = total.saturating_add(bytes);
        }
    }
    Ok(total)
}

fn check_node(node: &NodeProto) -> Result<(), String> {
    let known = node.op_type == CONSTANT || OPERATORS.contains(&node.op_type.as_str());
    if !known || !matches!(node.domain.as_str(), "" | "ai.onnx") {
        return Err(format!(
            "its operator '{}' is not run natively; the plugin 'onnx' runs it in the sandbox, where tract \
             knows it",
            node.op_type
        ));
    }
    for attribute in &node.attribute {
        if attribute.g.is_some()
            || !attribute.graphs.is_empty()
            || attribute.sparse_tensor.is_some()
        {
            return Err(format!(
                "its operator '{}' holds a graph or a sparse constant, which is not run natively",
                node.op_type
            ));
        }
        attribute
            .t
            .iter()
            .chain(&attribute.tensors)
            .try_for_each(check_tensor)?;
    }
    Ok(())
}

/// Whether a constant holds as many values as its dimensions say.
fn check_tensor(tensor: &TensorProto) -> Result<(), String> {
    let values = tensor.dims.iter().try_fold(1_u64, |values, dim| {
        values.checked_mul(u64::try_from(*dim).ok()?)
    });
    let packed = [
        tensor.float_data.len(),
        tensor.double_data.len(),
        tensor.int32_data.len(),
        tensor.int64_data.len(),
        tensor.uint64_data.len(),
    ];
    let size = match DataType::try_from(tensor.data_type) {
        Ok(DataType::Bool | DataType::Uint8 | DataType::Int8) => 1,
        Ok(DataType::Uint16 | DataType::Int16 | DataType::Float16) => 2,
        Ok(DataType::Uint32 | DataType::Int32 | DataType::Float) => 4,
        Ok(DataType::Uint64 | DataType::Int64 | DataType::Double) => 8,
        _ => {
            return Err(format!(
                "its constant '{}' holds no plain numbers",
                tensor.name
            ));
        }
    };
    let held = match tensor.raw_data.len() {
        0 => packed.iter().sum::<usize>() as u64,
        bytes => (bytes / size) as u64,
    };
    let fits = tensor.raw_data.len() % size == 0 && values == Some(held);
    if fits {
        return Ok(());
    }
    Err(format!(
        "its constant '{}' says that it holds {:?} values and holds {held}",
        tensor.name, tensor.dims
    ))
}
