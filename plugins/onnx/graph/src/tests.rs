//! Graphs score rows however they are divided, and what is hostile or out of bounds gets a sentence before it
//! costs anything.

use crate::{Bounds, Graph, Writer};

/// `x`, two columns, into a dense layer of three and their sigmoid.
fn dense() -> Writer {
    let mut writer = Writer::new("dense");
    writer.input("x", 2).output("y", 3);
    writer.floats("w", &[2, 3], &[1.0, -1.0, 0.5, 2.0, 0.0, -0.5]);
    writer.floats("b", &[3], &[0.0, 0.25, -0.25]);
    writer
        .node("Gemm", &["x", "w", "b"], "z")
        .node("Sigmoid", &["z"], "y");
    writer
}

fn refused(artifact: &[u8]) -> String {
    let error = Graph::load_within(artifact, &Bounds::default()).err();
    let error = error.expect("it is refused");
    assert!(error.len() < 2000 && !error.contains('\n'), "{error}");
    error
}

#[test]
fn rows_are_scored_however_they_are_divided() {
    let file = dense().finish();
    let graph = Graph::load(&file).unwrap();
    assert_eq!(graph.inputs, ["x_0", "x_1"]);
    assert_eq!(graph.outputs, ["output_0", "output_1", "output_2"]);
    let columns = [0, 1].map(|column| {
        (0..3000)
            .map(|row| f64::from(row % 17 - 8 + column))
            .collect()
    });
    let columns: [Vec<f64>; 2] = columns;
    let columns = [columns[0].as_slice(), columns[1].as_slice()];
    let whole = graph.run(3000, &columns).unwrap();
    let mut parts = vec![Vec::new(); 3];
    for first in (0..3000).step_by(700) {
        graph
            .run_part(first, 700.min(3000 - first), &columns, &mut parts)
            .unwrap();
    }
    assert_eq!(whole, parts);
    let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
    for row in [0, 1, 2999] {
        let (a, b) = (columns[0][row], columns[1][row]);
        let wanted = [a + 2.0 * b, 0.25 - a, 0.5 * a - 0.5 * b - 0.25].map(sigmoid);
        for (output, wanted) in whole.iter().zip(wanted) {
            assert!((output[row] - wanted).abs() < 1e-5);
        }
    }
    let bounded = Graph::load_within(&file, &Bounds::default()).unwrap();
    assert_eq!(bounded.run(3000, &columns).unwrap(), whole);
    assert!(bounded.bytes > file.len() && bounded.bytes < 1 << 20);
    assert!(graph.run(3000, &columns[..1]).is_err());
    assert!(graph.run(2999, &columns).is_err());
}

#[test]
fn every_beginning_of_a_file_is_refused_or_run() {
    let file = dense().finish();
    for end in 0..file.len() {
        if let Ok(graph) = Graph::load_within(&file[..end], &Bounds::default()) {
            let columns = vec![&[1.0][..]; graph.inputs.len()];
            let _scores_or_sentence = graph.run(1, &columns);
        }
    }
    assert!(refused(b"not a model").contains("not an ONNX model"));
}

#[test]
fn constants_hold_what_they_say() {
    let mut writer = dense();
    writer.floats("huge", &[1 << 30, 1 << 20], &[0.0]);
    assert!(refused(&writer.finish()).contains("'huge' says that it holds"));
    let mut writer = dense();
    writer.floats("overflowing", &[usize::MAX / 2, usize::MAX / 2], &[0.0]);
    assert!(refused(&writer.finish()).contains("'overflowing' says"));
}

#[test]
fn operators_that_could_grow_are_refused() {
    for (operator, told) in [
        ("Expand", "'Expand' is not run natively"),
        ("ConstantOfShape", "'ConstantOfShape' is not run natively"),
        ("Loop", "'Loop' is not run natively"),
        ("Gelu3", "'Gelu3' is not run natively"),
    ] {
        let mut writer = Writer::new("growing");
        writer
            .input("x", 1)
            .output("y", 1)
            .ints("shape", &[2], &[1 << 20, 1 << 20]);
        writer.node(operator, &["x", "shape"], "y");
        assert!(refused(&writer.finish()).contains(told));
    }
    // The product of two small constants is a large one.
    let mut writer = Writer::new("folded");
    writer.input("x", 1).output("y", 1);
    writer.floats("a", &[50_000, 1], &vec![1.0; 50_000]);
    writer.floats("b", &[1, 50_000], &vec![1.0; 50_000]);
    writer
        .node("MatMul", &["a", "b"], "ab")
        .node("Add", &["x", "ab"], "y");
    assert!(refused(&writer.finish()).contains("works on constants alone"));
}

#[test]
fn what_lies_between_operators_is_bounded() {
    let mut writer = Writer::new("wide");
    writer.input("x", 1).output("y", 1);
    writer.floats("w", &[1, 1_000_000], &vec![1.0; 1_000_000]);
    writer.floats("back", &[1_000_000, 1], &vec![1.0; 1_000_000]);
    writer
        .node("MatMul", &["x", "w"], "wide")
        .node("MatMul", &["wide", "back"], "y");
    assert!(refused(&writer.finish()).contains("bytes between its operators"));
    // Rows by rows.
    let mut writer = Writer::new("squared");
    writer
        .input("x", 1)
        .output("y", 1)
        .node("Transpose", &["x"], "t");
    writer.node("MatMul", &["x", "t"], "xx");
    writer.node("MatMul", &["xx", "x"], "y");
    let small = Bounds {
        run_bytes: 1 << 20,
        ..Bounds::default()
    };
    assert!(Graph::load_within(&writer.finish(), &small).is_err());
    let file = dense().finish();
    let small = Bounds {
        artifact_bytes: 100,
        ..Bounds::default()
    };
    let error = Graph::load_within(&file, &small).err().unwrap();
    assert!(error.contains("100 are run natively at most"), "{error}");
}

#[test]
fn names_come_from_the_metadata() {
    let mut writer = dense();
    writer
        .metadata("inputs", "temp, vib")
        .metadata("outputs", "a, b, c");
    let graph = Graph::load(&writer.finish()).unwrap();
    assert_eq!((graph.inputs.len(), graph.outputs[2].as_str()), (2, "c"));
    assert_eq!(graph.inputs, ["temp", "vib"]);
    let mut writer = dense();
    writer.metadata("inputs", "temp");
    let error = Graph::load(&writer.finish()).err().unwrap();
    assert_eq!(error, "the model's metadata names 1 inputs where it has 2");
}
