//! Components written by hand, for what no compiler of a guest's language would write.

use std::path::Path;
use std::sync::LazyLock;

use activestore_plugin_host::componentize;
use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::{PackageId, Resolve};

/// The contract, as the SDK has it.
static CONTRACT: LazyLock<(Resolve, PackageId, String)> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wasm-sdk/wit");
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(path).unwrap();
    let version = resolve.packages[package].name.version.clone().unwrap();
    (resolve, package, version.to_string())
});

/// A component of a core module that says what the contract asks for. `INTERFACE/` in a name stands for
/// `activestore:plugin/INTERFACE@` with the contract's version and `#` behind, `log/` alone for the import.
pub(crate) fn component(world: &str, module: &str) -> Vec<u8> {
    let (resolve, package, version) = &*CONTRACT;
    let mut text = module.to_owned();
    for interface in [
        "scalar",
        "aggregate",
        "table-function",
        "processor",
        "model",
        "merge",
        "filter",
    ] {
        let whole = format!("activestore:plugin/{interface}@{version}#");
        text = text.replace(&format!("{interface}/"), &whole);
    }
    text = text.replace("log/", &format!("activestore:plugin/log@{version}"));
    let mut core = wat::parse_str(&text).unwrap();
    let world = resolve.select_world(&[*package], Some(world)).unwrap();
    embed_component_metadata(&mut core, resolve, world, StringEncoding::UTF8).unwrap();
    componentize(&core).unwrap()
}

/// A component from its own text.
pub(crate) fn text(component: &str) -> Vec<u8> {
    wat::parse_str(component).unwrap()
}

/// A plugin of scalar functions with one, `f`, that takes nothing and gives DOUBLE.
#[derive(Clone, Debug)]
pub(crate) struct Scalar {
    /// Fields of the module.
    pub(crate) extra: String,
    /// What `describe` does before it gives the list at 16.
    pub(crate) describe: String,
    /// What `eval` does to give where its result lies; `$rows` is how many are asked for.
    pub(crate) eval: String,
    /// What is done after a result was taken.
    pub(crate) after: String,
    /// Pages of memory at first.
    pub(crate) pages: u64,
}

impl Default for Scalar {
    fn default() -> Self {
        Scalar {
            extra: String::new(),
            describe: String::new(),
            eval: format!("{FLOATS} (i32.const 128)"),
            after: String::new(),
            pages: 2,
        }
    }
}

/// Writes as many zeroes of 64 bits as there are rows to be the result at 128.
pub(crate) const FLOATS: &str = "
    (i32.store8 (i32.const 132) (i32.const 4))
    (i32.store (i32.const 136) (i32.const 1024))
    (i32.store (i32.const 140) (local.get $rows))";

impl Scalar {
    pub(crate) fn component(&self) -> Vec<u8> {
        let Scalar {
            extra,
            describe,
            eval,
            after,
            pages,
        } = self;
        component(
            "scalar-functions",
            &format!(
                r#"(module
                  (memory (export "memory") {pages})
                  (global $calls (mut i32) (i32.const 0))
                  (data (i32.const 16) "\20\00\00\00\01\00\00\00")
                  (data (i32.const 32) "\40\00\00\00\01\00\00\00\00\00\00\00\00\00\00\00\04\00\00")
                  (data (i32.const 64) "f")
                  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 512))
                  (func (export "scalar/describe") (result i32) {describe} (i32.const 16))
                  (func $eval (export "scalar/eval") (param $function i32) (param $rows i32)
                      (param $args i32) (param $count i32) (result i32)
                    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
                    {eval})
                  (func (export "cabi_post_scalar/eval") (param i32) {after})
                  {extra})"#
            ),
        )
    }
}
