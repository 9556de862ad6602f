//! Trained detectors as ONNX files. Both give one score a row, in thresholds: above 1 is an alarm.

use onnx_graph::Writer;

use crate::autoencoder::Autoencoder;
use crate::forest::{CUTS, Forest, LEAVES};

/// ONNX's number for 32-bit floats.
const FLOAT: i64 = 1;

/// The autoencoder as a file: the readings go in, oldest first.
pub fn autoencoder(model: &Autoencoder, threshold: f64) -> Vec<u8> {
    let width = model.layers.first().map_or(0, |layer| layer.inputs);
    let mut writer = Writer::new("autoencoder");
    writer.input("readings", width).output("score", 1);
    let names: Vec<String> = (0..width).rev().map(|lag| format!("lag_{lag}")).collect();
    writer.metadata("inputs", &names.join(", ").replace("lag_0", "value"));
    writer.metadata("outputs", "score");
    writer.floats("mean", &[1], &[model.mean as f32]);
    writer.floats("spread", &[1], &[model.spread as f32]);
    writer.node("Sub", &["readings", "mean"], "centred");
    writer.node("Div", &["centred", "spread"], "scaled");
    let mut values = "scaled".to_owned();
    for (place, layer) in model.layers.iter().enumerate() {
        let name = |what: &str| format!("{what}_{place}");
        let weights: Vec<f32> = layer.weights.iter().map(|weight| *weight as f32).collect();
        let biases: Vec<f32> = layer.biases.iter().map(|bias| *bias as f32).collect();
        writer.floats(&name("weights"), &[layer.inputs, layer.outputs], &weights);
        writer.floats(&name("biases"), &[layer.outputs], &biases);
        let inputs = [values.as_str(), &name("weights"), &name("biases")];
        writer.node("Gemm", &inputs, &name("dense"));
        values = name("dense");
        if layer.bends {
            writer.node("Tanh", &[&values], &name("bent"));
            values = name("bent");
        }
    }
    writer.node("Sub", &["scaled", &values], "off");
    writer.node("Mul", &["off", "off"], "squared");
    let share = 1.0 / (width as f64 * threshold);
    writer.floats("share", &[width, 1], &vec![share as f32; width]);
    writer.node("MatMul", &["squared", "share"], "score");
    writer.finish()
}

/// The forest as a file, without loops or branches: every cut of every tree is made, and a leaf is reached where
/// all cuts above it say so, which is a product of matrices. Nakandala and others, "Hummingbird", 2020.
pub fn forest(model: &Forest, features: &[&str], threshold: f64) -> Vec<u8> {
    let trees = model.trees.len();
    let mut writer = Writer::new("forest");
    writer.input("features", features.len()).output("score", 1);
    writer.metadata("inputs", &features.join(", "));
    writer.metadata("outputs", "score");
    let looked_at = model.trees.iter().flat_map(|tree| &tree.features);
    let looked_at: Vec<i64> = looked_at.map(|feature| *feature as i64).collect();
    writer.ints("looked_at", &[trees * CUTS], &looked_at);
    let thresholds = model.trees.iter().flat_map(|tree| tree.thresholds.clone());
    let thresholds: Vec<f32> = thresholds.collect();
    writer.floats("thresholds", &[trees * CUTS], &thresholds);
    let (sides, wanted) = paths();
    writer.floats("sides", &[CUTS, LEAVES], &sides);
    writer.floats("wanted", &[LEAVES], &wanted);
    let lengths = model.trees.iter().flat_map(|tree| tree.lengths.clone());
    writer.floats(
        "lengths",
        &[trees * LEAVES, 1],
        &lengths.collect::<Vec<f32>>(),
    );
    writer.ints("by_tree", &[3], &[0, trees as i64, CUTS as i64]);
    writer.ints("by_row", &[2], &[0, (trees * LEAVES) as i64]);
    let exponent = -std::f64::consts::LN_2 / (model.ordinary * trees as f64);
    writer.floats("exponent", &[1], &[exponent as f32]);
    writer.floats("threshold", &[1], &[threshold as f32]);
    writer.node_with(
        "Gather",
        &["features", "looked_at"],
        "values",
        &[("axis", 1)],
    );
    writer.node("Less", &["values", "thresholds"], "is_left");
    writer.node_with("Cast", &["is_left"], "left", &[("to", FLOAT)]);
    writer.node("Reshape", &["left", "by_tree"], "cuts");
    writer.node("MatMul", &["cuts", "sides"], "agreeing");
    writer.node("Equal", &["agreeing", "wanted"], "is_reached");
    writer.node_with("Cast", &["is_reached"], "reached", &[("to", FLOAT)]);
    writer.node("Reshape", &["reached", "by_row"], "leaves");
    writer.node("MatMul", &["leaves", "lengths"], "length");
    writer.node("Mul", &["length", "exponent"], "halved");
    writer.node("Exp", &["halved"], "isolation");
    writer.node("Div", &["isolation", "threshold"], "score");
    writer.finish()
}

/// For each cut and leaf, 1 where the leaf lies to the left of the cut, -1 to the right, 0 elsewhere; and for
/// each leaf, the sum of a row of cuts that leads there: how often it turns left.
fn paths() -> (Vec<f32>, Vec<f32>) {
    let (mut sides, mut wanted) = (vec![0.0; CUTS * LEAVES], vec![0.0; LEAVES]);
    for leaf in 0..LEAVES {
        let mut below = CUTS + leaf;
        while below > 0 {
            let cut = (below - 1) / 2;
            let left = below == 2 * cut + 1;
            sides[cut * LEAVES + leaf] = if left { 1.0 } else { -1.0 };
            if left {
                wanted[leaf] += 1.0;
            }
            below = cut;
        }
    }
    (sides, wanted)
}
