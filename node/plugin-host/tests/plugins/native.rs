//! Models that the node runs itself: refused where it was not built for that; where it was, they score as those in
//! the sandbox do.

use crate::built::component;

#[cfg(not(feature = "native-models"))]
#[test]
fn a_node_without_native_models_says_so() {
    use activestore_plugin_host::PluginHost;
    let host = PluginHost::new(crate::built::options()).unwrap();
    let error = host
        .load("onnx-native", &component("onnx-native"))
        .unwrap_err();
    let message = error.message();
    assert_eq!(
        message,
        "plugin 'onnx-native' is refused: it has its model run by the node's own code, which this node was built without"
    );
    assert!(
        error.to_string().contains("use the plugin 'onnx'"),
        "{error}"
    );
}

#[cfg(feature = "native-models")]
mod built_in {
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::sync::{Arc, LazyLock};
    use std::time::Duration;

    use activestore_plugin_host::{HostOptions, Model, Plugin, PluginHost};
    use arrow::array::{ArrayRef, AsArray, Float64Array};
    use arrow::datatypes::Float64Type;
    use onnx_graph::Writer;
    use proptest::prelude::*;

    use super::component;
    use crate::built::options;

    /// The greatest input of the property.
    const INPUT_MAX: f64 = 10.0;

    /// By how much scores may differ: the sandbox has neither fused steps nor the machine's wider registers, so sums
    /// are rounded otherwise; a step of rounding is as large as what is summed up can be. Weights are below 1.
    fn tolerance(widths: &[usize]) -> f64 {
        let summed = widths[..widths.len() - 1].iter();
        let greatest = summed.fold(INPUT_MAX, |values, width| values * *width as f64 + 1.0);
        f64::from(f32::EPSILON) * greatest
    }

    fn plugins(options: HostOptions) -> (Arc<PluginHost>, [Arc<Plugin>; 2]) {
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled-plugins");
        let host = PluginHost::new(HostOptions {
            cache_dir: Some(cache),
            memory_bytes_max: 64 << 20,
            ..options
        })
        .unwrap();
        let plugins =
            ["onnx", "onnx-native"].map(|name| host.load(name, &component(name)).unwrap());
        (host, plugins)
    }

    static SHARED: LazyLock<(Arc<PluginHost>, [Arc<Plugin>; 2])> =
        LazyLock::new(|| plugins(options()));

    fn models(file: &[u8]) -> [Arc<Model>; 2] {
        let model = |plugin: &Arc<Plugin>| plugin.model(&BTreeMap::new(), file).unwrap();
        [model(&SHARED.1[0]), model(&SHARED.1[1])]
    }

    fn perceptron(widths: &[usize], activation: &str, weights: &[f32]) -> Vec<u8> {
        let mut writer = Writer::new("perceptron");
        let last = widths.len() - 1;
        writer
            .input("y0", widths[0])
            .output(&format!("y{last}"), widths[last]);
        let mut weights = weights.iter().copied().cycle();
        for (layer, pair) in widths.windows(2).enumerate() {
            let name = |what: &str| format!("{what}{}", layer + 1);
            let values: Vec<f32> = weights.by_ref().take(pair[0] * pair[1]).collect();
            writer.floats(&name("w"), &[pair[0], pair[1]], &values);
            let values: Vec<f32> = weights.by_ref().take(pair[1]).collect();
            writer.floats(&name("b"), &[pair[1]], &values);
            writer.node(
                "Gemm",
                &[&format!("y{layer}"), &name("w"), &name("b")],
                &name("z"),
            );
            writer.node(activation, &[&name("z")], &name("y"));
        }
        writer.finish()
    }

    fn scores(model: &Model, columns: &[ArrayRef], output: usize) -> Vec<Option<f64>> {
        let scores = model.predict_output(output, columns).unwrap();
        scores.as_primitive::<Float64Type>().iter().collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn native_scores_are_those_of_the_sandbox(
            widths in prop::collection::vec(1_usize..20, 2..5),
            activation in prop::sample::select(vec!["Relu", "Sigmoid", "Tanh", "Identity"]),
            weights in prop::collection::vec(-1.0_f32..1.0, 97),
            rows in 1_usize..2000,
            values in prop::collection::vec(prop::option::weighted(0.95, -INPUT_MAX..INPUT_MAX), 89),
        ) {
            let [sandboxed, native] = models(&perceptron(&widths, activation, &weights));
            prop_assert_eq!(sandboxed.inputs(), native.inputs());
            let tolerance = tolerance(&widths);
            let mut values = values.into_iter().cycle();
            let columns: Vec<ArrayRef> = (0..widths[0])
                .map(|_| Arc::new(values.by_ref().take(rows).collect::<Float64Array>()) as ArrayRef)
                .collect();
            for output in 0..widths[widths.len() - 1] {
                let wanted = scores(&sandboxed, &columns, output);
                for (a, b) in wanted.iter().zip(scores(&native, &columns, output)) {
                    match (a, b) {
                        (Some(a), Some(b)) => prop_assert!((a - b).abs() <= tolerance, "{} {}", a, b),
                        (a, b) => prop_assert_eq!(*a, b),
                    }
                }
            }
        }
    }

    #[test]
    fn hostile_files_get_a_sentence_from_both() {
        let good = perceptron(&[2, 3, 1], "Relu", &[0.5]);
        let mut huge = Writer::new("huge");
        huge.input("x", 2)
            .output("y", 2)
            .floats("w", &[1 << 20, 1 << 20], &[1.0]);
        let mut unknown = Writer::new("unknown");
        unknown
            .input("x", 2)
            .output("y", 2)
            .node("Teleport", &["x"], "y");
        let files = [
            b"no model".to_vec(),
            good[..good.len() / 2].to_vec(),
            huge.node("Mul", &["x", "w"], "y").finish(),
            unknown.finish(),
        ];
        for file in files {
            for plugin in &SHARED.1 {
                let error = plugin.model(&BTreeMap::new(), &file).unwrap_err();
                let message = error.message();
                assert!(message.starts_with("plugin 'onnx"), "{message}");
                assert!(message.len() > 30 && !message.contains('\n'), "{message}");
            }
        }
        // They harmed nobody.
        let column: ArrayRef = Arc::new(Float64Array::from(vec![1.0; 3]));
        for model in models(&good) {
            assert_eq!(
                scores(&model, &[column.clone(), column.clone()], 0).len(),
                3
            );
        }
    }

    #[test]
    fn native_work_ends_at_the_deadline_and_its_memory_counts() {
        let (host, [_, native]) = plugins(HostOptions {
            call_deadline: Duration::from_millis(40),
            ..options()
        });
        let before = host.host_stats().memory_bytes;
        // A row of these layers takes millions of steps.
        let file = perceptron(&[1, 900, 900, 900, 1], "Tanh", &[0.01, -0.02]);
        let model = native.model(&BTreeMap::new(), &file).unwrap();
        assert!(host.host_stats().memory_bytes >= before + file.len() as u64);
        let column: ArrayRef = Arc::new(Float64Array::from(vec![0.5; 60_000]));
        let error = model.predict(&[column]).unwrap_err();
        assert!(
            error.message().contains("longer than its deadline"),
            "{error}"
        );
        let stats = native.stats();
        assert_eq!(stats.deadline_faults, 1);
    }
}
