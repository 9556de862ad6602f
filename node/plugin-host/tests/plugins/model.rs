//! The `onnx` plugin with the model that the repository trains: scores, nulls, refusals.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use activestore_plugin_host::{HostOptions, PluginHost};
use activestore_types::DataType;
use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int32Array};
use arrow::datatypes::Float64Type;

use crate::built::{component, options};

fn artifact() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/onnx/model/pump.onnx");
    std::fs::read(path).unwrap()
}

#[test]
fn a_trained_model_scores_rows_in_the_sandbox() {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled-plugins");
    let host = PluginHost::new(HostOptions {
        cache_dir: Some(cache),
        memory_bytes_max: 64 << 20,
        ..options()
    })
    .unwrap();
    let onnx = host.load("onnx", &component("onnx")).unwrap();
    let error = onnx.model(&BTreeMap::new(), b"not a model").unwrap_err();
    assert!(error.message().contains("not an ONNX model"), "{error}");
    let model = onnx.model(&BTreeMap::new(), &artifact()).unwrap();
    let names: Vec<_> = model
        .inputs()
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["temp", "vib"]);
    assert!(
        model
            .inputs()
            .iter()
            .all(|(_, kind)| *kind == DataType::Double)
    );

    let temp: ArrayRef = Arc::new(Float64Array::from(vec![
        Some(60.0),
        Some(70.0),
        None,
        Some(120.0),
    ]));
    let vib: ArrayRef = Arc::new(Int32Array::from(vec![Some(2), Some(9), Some(2), Some(2)]));
    let scores = model.predict(&[temp.clone(), vib]).unwrap();
    let scores = scores.as_primitive::<Float64Type>();
    assert!(scores.value(0) < 0.1, "{scores:?}");
    assert!(scores.value(1) > 0.9 && scores.value(3) > 0.9, "{scores:?}");
    assert!(scores.is_null(2));

    let error = model.predict(&[temp]).unwrap_err();
    assert_eq!(
        error.message(),
        "the model takes 2 inputs (temp, vib), 1 were given"
    );
    for rows in [0, 1, 5000] {
        let column: ArrayRef = Arc::new(Float64Array::from(vec![1.0; rows]));
        assert_eq!(
            model.predict(&[column.clone(), column]).unwrap().len(),
            rows
        );
    }
}
