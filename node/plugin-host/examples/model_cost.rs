//! What a model costs in the sandbox and beside it: the same artifact by the component of the `onnx` plugin
//! and by native tract in this process, each over a million rows on one thread.
//!
//! ```text
//! cargo run --release -p activestore-plugin-host --features native-models --example model_cost -- \
//!     COMPONENTS [MODEL.onnx]
//! ```
//!
//! COMPONENTS is a folder with the plugins as core modules, as cargo leaves them, or components. Without a model it makes one of three dense layers,
//! 8-32-16-1, with fixed weights. The least of five runs counts.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use activestore_plugin_host::{HostOptions, PluginHost, componentize};
use arrow::array::{ArrayRef, AsArray, Float64Array};
use arrow::datatypes::Float64Type;
use onnx_graph::{Bounds, Graph, Writer};

const ROWS: usize = 1_000_000;
const RUNS: usize = 5;
const LAYERS: [usize; 4] = [8, 32, 16, 1];
/// Rows a call: what a query gives, what one call may carry, and what a write of a few devices gives.
const BATCHES: [usize; 4] = [8192, 65_536, 1024, 100];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let components = arguments.next().expect("the folder of the components");
    let artifact = match arguments.next() {
        Some(file) => std::fs::read(file).unwrap(),
        None => perceptron(),
    };
    let idle = resident();
    let begun = Instant::now();
    let graph = Graph::load(&artifact).unwrap();
    println!(
        "native tract: loaded in {:?}, resident +{} KiB",
        begun.elapsed(),
        resident().saturating_sub(idle)
    );
    let begun = Instant::now();
    let bounded = Graph::load_within(&artifact, &Bounds::default()).unwrap();
    println!(
        "within bounds: loaded in {:?}, {} KiB counted",
        begun.elapsed(),
        bounded.bytes >> 10
    );
    let columns: Vec<Float64Array> = (0..graph.inputs.len()).map(column).collect();
    for rows in BATCHES {
        let native = least(rows, |first, count| {
            let parts: Vec<Float64Array> = columns.iter().map(|c| c.slice(first, count)).collect();
            let parts: Vec<&[f64]> = parts.iter().map(|part| part.values().as_ref()).collect();
            graph.run(count, &parts).unwrap()[0][0]
        });
        println!("native tract, {rows} rows a call: {}", told(native));
        for plugin in ["onnx", "onnx-native"] {
            let file = Path::new(&components)
                .join(plugin.replace('-', "_"))
                .with_extension("wasm");
            if !file.exists() {
                continue;
            }
            let sandboxed = sandboxed(&file, &artifact, &columns, rows);
            println!(
                "plugin {plugin}, {rows} rows a call: {}, {:.2} times native",
                told(sandboxed),
                sandboxed.as_secs_f64() / native.as_secs_f64()
            );
        }
    }
}

fn sandboxed(file: &Path, artifact: &[u8], columns: &[Float64Array], rows: usize) -> Duration {
    let options = HostOptions {
        call_deadline: Duration::from_secs(10),
        ..HostOptions::default()
    };
    let host = PluginHost::new(options).unwrap();
    let begun = Instant::now();
    let bytes = std::fs::read(file).unwrap();
    let plugin = host
        .load("measured", &bytes)
        .or_else(|_| host.load("measured", &componentize(&bytes).unwrap()))
        .unwrap();
    let compiled = begun.elapsed();
    let idle = resident();
    let begun = Instant::now();
    let model = plugin.model(&BTreeMap::new(), artifact).unwrap();
    let loaded = begun.elapsed();
    let columns: Vec<ArrayRef> = columns
        .iter()
        .map(|c| Arc::new(c.clone()) as ArrayRef)
        .collect();
    let least = least(rows, |first, count| {
        let parts: Vec<ArrayRef> = columns.iter().map(|c| c.slice(first, count)).collect();
        let scores = model.predict(&parts).unwrap();
        scores.as_primitive::<Float64Type>().value(0)
    });
    if rows == BATCHES[0] {
        println!(
            "plugin {}: component {} KiB, compiled in {compiled:?}; model loaded in {loaded:?}, resident \
             +{} KiB after it ran, {} KiB of linear memory",
            file.display(),
            std::fs::metadata(file).unwrap().len() >> 10,
            resident().saturating_sub(idle),
            host.host_stats().memory_bytes >> 10,
        );
    }
    least
}

/// The least of the runs over all rows in calls of so many.
fn least(rows: usize, call: impl Fn(usize, usize) -> f64) -> Duration {
    let run = || {
        let begun = Instant::now();
        let mut sum = 0.0;
        for first in (0..ROWS).step_by(rows) {
            sum += call(first, rows.min(ROWS - first));
        }
        assert!(sum.is_finite());
        begun.elapsed()
    };
    run();
    (0..RUNS).map(|_| run()).min().unwrap()
}

fn told(took: Duration) -> String {
    format!(
        "{:.0} ms, {:.0} ns a row",
        took.as_secs_f64() * 1e3,
        took.as_nanos() as f64 / ROWS as f64
    )
}

/// Numbers between -1 and 1 that are the same each time.
fn number(seed: u64) -> f64 {
    let mut bits = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

fn column(number_of: usize) -> Float64Array {
    let first = (number_of * ROWS) as u64;
    Float64Array::from_iter_values((0..ROWS as u64).map(|row| number(first + row)))
}

fn perceptron() -> Vec<u8> {
    let mut writer = Writer::new("perceptron");
    writer.input("x", LAYERS[0]).output("y3", LAYERS[3]);
    for (layer, pair) in LAYERS.windows(2).enumerate() {
        let weights: Vec<f32> = (0..pair[0] * pair[1])
            .map(|place| number((layer * 10_000 + place) as u64) as f32)
            .collect();
        let biases = vec![0.1; pair[1]];
        let name = |what: &str| format!("{what}{}", layer + 1);
        let input = if layer == 0 {
            "x".to_owned()
        } else {
            format!("y{layer}")
        };
        writer.floats(&name("w"), &[pair[0], pair[1]], &weights);
        writer.floats(&name("b"), &[pair[1]], &biases);
        writer.node("Gemm", &[&input, &name("w"), &name("b")], &name("z"));
        let activation = if layer == 2 { "Sigmoid" } else { "Relu" };
        writer.node(activation, &[&name("z")], &name("y"));
    }
    writer.finish()
}

/// KiB of this process that are in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}
