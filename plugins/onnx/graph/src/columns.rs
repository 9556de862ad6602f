//! Columns to a tensor's rows and back, and what they are called.

use tract_onnx::pb::ModelProto;

/// Rows of 32-bit floats, a value of each column after the other.
pub(crate) fn gather(columns: &[&[f64]], first: usize, count: usize) -> Result<Vec<f32>, String> {
    let width = columns.len();
    let mut values = vec![0_f32; count * width];
    for (position, column) in columns.iter().enumerate() {
        let column = column
            .get(first..first + count)
            .ok_or("the columns do not fit the model")?;
        let slots = values.iter_mut().skip(position).step_by(width);
        for (slot, value) in slots.zip(column) {
            *slot = *value as f32;
        }
    }
    Ok(values)
}

/// Appends each row's values to the columns.
pub(crate) fn scatter(values: &[f32], columns: &mut [Vec<f64>]) {
    let width = columns.len();
    for (position, column) in columns.iter_mut().enumerate() {
        let values = values.iter().skip(position).step_by(width);
        column.extend(values.map(|value| f64::from(*value)));
    }
}

/// The names of a tensor's columns where the model names none.
pub(crate) fn column_names(tensor: &str, columns: usize) -> Vec<String> {
    if columns == 1 {
        vec![tensor.to_owned()]
    } else {
        (0..columns)
            .map(|column| format!("{tensor}_{column}"))
            .collect()
    }
}

/// The names that the metadata gives under `key`, or `default`.
pub(crate) fn named(
    proto: &ModelProto,
    key: &str,
    default: Vec<String>,
) -> Result<Vec<String>, String> {
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
