//! The contract in `wit/plugin.wit`, as wit-bindgen turns it into Rust. The worlds share the types
//! of the first one.
#![allow(missing_docs, clippy::all)]

pub mod imports {
    wit_bindgen::generate!({ path: "../wit", world: "imports", generate_all });
}

pub mod scalar_world {
    wit_bindgen::generate!({
        path: "../wit",
        world: "scalar-functions",
        with: {
            "activestore:plugin/types@0.1.0": crate::bindings::imports::activestore::plugin::types,
            "activestore:plugin/log@0.1.0": crate::bindings::imports::activestore::plugin::log,
        },
        pub_export_macro: true,
        export_macro_name: "export_scalar",
        default_bindings_module: "activestore_plugin::bindings::scalar_world",
    });
}

pub mod aggregate_world {
    wit_bindgen::generate!({
        path: "../wit",
        world: "aggregate-functions",
        with: {
            "activestore:plugin/types@0.1.0": crate::bindings::imports::activestore::plugin::types,
            "activestore:plugin/log@0.1.0": crate::bindings::imports::activestore::plugin::log,
        },
        pub_export_macro: true,
        export_macro_name: "export_aggregate",
        default_bindings_module: "activestore_plugin::bindings::aggregate_world",
    });
}

pub mod processor_world {
    wit_bindgen::generate!({
        path: "../wit",
        world: "stream-processor",
        with: {
            "activestore:plugin/types@0.1.0": crate::bindings::imports::activestore::plugin::types,
            "activestore:plugin/log@0.1.0": crate::bindings::imports::activestore::plugin::log,
            "activestore:plugin/state@0.1.0": crate::bindings::imports::activestore::plugin::state,
        },
        pub_export_macro: true,
        export_macro_name: "export_processor",
        default_bindings_module: "activestore_plugin::bindings::processor_world",
    });
}

pub mod model_world {
    wit_bindgen::generate!({
        path: "../wit",
        world: "model-inference",
        with: {
            "activestore:plugin/types@0.1.0": crate::bindings::imports::activestore::plugin::types,
            "activestore:plugin/log@0.1.0": crate::bindings::imports::activestore::plugin::log,
        },
        pub_export_macro: true,
        export_macro_name: "export_model",
        default_bindings_module: "activestore_plugin::bindings::model_world",
    });
}
