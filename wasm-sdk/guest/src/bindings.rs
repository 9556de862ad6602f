//! The contract in `wit`, as wit-bindgen turns it into Rust. The worlds share the types and
//! the imports of the first one.
#![allow(missing_docs, clippy::all)]

pub mod imports {
    wit_bindgen::generate!({ path: "../wit", world: "imports", generate_all });
}

pub mod nn_world {
    wit_bindgen::generate!({
        path: "../wit",
        world: "native-graphs",
        with: { "activestore:plugin/types@1.0.0": crate::bindings::imports::activestore::plugin::types },
    });
}

pub mod http_imports {
    wit_bindgen::generate!({
        path: "../wit",
        world: "outgoing-http",
        with: { "activestore:plugin/types@1.0.0": crate::bindings::imports::activestore::plugin::types },
    });
}

macro_rules! world {
    ($module:ident, $world:literal, $macro:literal, $path:literal, [$($import:literal => $name:ident),+ $(,)?]) => {
        pub mod $module {
            wit_bindgen::generate!({
                path: "../wit",
                world: $world,
                with: {
                    $($import: crate::bindings::imports::activestore::plugin::$name,)+
                },
                pub_export_macro: true,
                export_macro_name: $macro,
                default_bindings_module: $path,
            });
        }
    };
}

world!(
    scalar_world,
    "scalar-functions",
    "export_scalar",
    "activestore_plugin::bindings::scalar_world",
    [
        "activestore:plugin/types@1.0.0" => types,
        "activestore:plugin/log@1.0.0" => log,
        "activestore:plugin/clock@1.0.0" => clock,
        "activestore:plugin/random@1.0.0" => random,
        "activestore:plugin/tables@1.0.0" => tables,
    ]
);
world!(
    aggregate_world,
    "aggregate-functions",
    "export_aggregate",
    "activestore_plugin::bindings::aggregate_world",
    [
        "activestore:plugin/types@1.0.0" => types,
        "activestore:plugin/log@1.0.0" => log,
    ]
);
world!(
    table_world,
    "table-functions",
    "export_table",
    "activestore_plugin::bindings::table_world",
    [
        "activestore:plugin/types@1.0.0" => types,
        "activestore:plugin/log@1.0.0" => log,
        "activestore:plugin/clock@1.0.0" => clock,
        "activestore:plugin/random@1.0.0" => random,
        "activestore:plugin/tables@1.0.0" => tables,
    ]
);
world!(
    processor_world,
    "stream-processor",
    "export_processor",
    "activestore_plugin::bindings::processor_world",
    [
        "activestore:plugin/types@1.0.0" => types,
        "activestore:plugin/log@1.0.0" => log,
        "activestore:plugin/state@1.0.0" => state,
        "activestore:plugin/timers@1.0.0" => timers,
        "activestore:plugin/clock@1.0.0" => clock,
        "activestore:plugin/random@1.0.0" => random,
        "activestore:plugin/tables@1.0.0" => tables,
    ]
);
world!(
    model_world,
    "model-inference",
    "export_model",
    "activestore_plugin::bindings::model_world",
    [
        "activestore:plugin/types@1.0.0" => types,
        "activestore:plugin/log@1.0.0" => log,
    ]
);
world!(
    merge_world,
    "merge-functions",
    "export_merge",
    "activestore_plugin::bindings::merge_world",
    [
        "activestore:plugin/types@1.0.0" => types,
        "activestore:plugin/log@1.0.0" => log,
    ]
);
world!(
    filter_world,
    "sync-filter",
    "export_filter",
    "activestore_plugin::bindings::filter_world",
    [
        "activestore:plugin/types@1.0.0" => types,
        "activestore:plugin/log@1.0.0" => log,
    ]
);
