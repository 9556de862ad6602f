//! The repository's own model scores as it was trained to; what is no model is refused.

use onnx_graph::Graph;

const PUMP: &[u8] = include_bytes!("../model/pump.onnx");

#[test]
fn the_trained_model_tells_healthy_from_failing() {
    let graph = Graph::load(PUMP).unwrap();
    assert_eq!(graph.inputs, ["temp", "vib"]);
    assert_eq!(graph.outputs, ["score"]);
    let temp = [60.0, 20.0, 75.0, 70.0, 110.0, 95.0];
    let vib = [2.0, 0.0, 3.2, 9.0, 2.5, 14.0];
    let scores = graph.run(6, &[&temp, &vib]).unwrap().remove(0);
    assert!(scores[..3].iter().all(|score| *score < 0.1), "{scores:?}");
    assert!(scores[3..].iter().all(|score| *score > 0.9), "{scores:?}");
}

#[test]
fn any_number_of_rows_is_scored() {
    let graph = Graph::load(PUMP).unwrap();
    for rows in [0, 1, 2, 31, 1000] {
        let column = vec![50.0; rows];
        assert_eq!(graph.run(rows, &[&column, &column]).unwrap()[0].len(), rows);
    }
    assert!(graph.run(2, &[&[1.0, 2.0]]).is_err());
    assert!(graph.run(2, &[&[1.0, 2.0], &[1.0]]).is_err());
}

#[test]
fn what_is_no_model_is_refused() {
    for bytes in [&b"not a model"[..], b"", &PUMP[..PUMP.len() / 2]] {
        assert!(Graph::load(bytes).is_err());
    }
}
