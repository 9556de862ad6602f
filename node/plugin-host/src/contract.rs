//! Which imports and exports a component may have. Everything else is refused by name before a line
//! of the component runs.

use activestore_types::{Error, Result};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::capability::Wants;
use crate::native;
use crate::plugin::PluginKind;

const PACKAGE: &str = "activestore:plugin/";
/// The contract's version; a component built against another patch of it is as good.
const VERSION: &str = "1.0.0";
const VERSION_PREFIX: &str = "1.0.";

pub(crate) const TYPES: &str = "activestore:plugin/types@1.0.0";
pub(crate) const LOG: &str = "activestore:plugin/log@1.0.0";
pub(crate) const STATE: &str = "activestore:plugin/state@1.0.0";
pub(crate) const TIMERS: &str = "activestore:plugin/timers@1.0.0";
pub(crate) const CLOCK: &str = "activestore:plugin/clock@1.0.0";
pub(crate) const RANDOM: &str = "activestore:plugin/random@1.0.0";
pub(crate) const TABLES: &str = "activestore:plugin/tables@1.0.0";
#[cfg(feature = "native-models")]
pub(crate) const NN: &str = "activestore:plugin/nn@1.0.0";
pub(crate) const HTTP: &str = "activestore:plugin/http@1.0.0";
pub(crate) const SCALAR: &str = "activestore:plugin/scalar@1.0.0";
pub(crate) const AGGREGATE: &str = "activestore:plugin/aggregate@1.0.0";
pub(crate) const TABLE_FUNCTION: &str = "activestore:plugin/table-function@1.0.0";
pub(crate) const PROCESSOR: &str = "activestore:plugin/processor@1.0.0";
pub(crate) const MODEL: &str = "activestore:plugin/model@1.0.0";
pub(crate) const MERGE: &str = "activestore:plugin/merge@1.0.0";
pub(crate) const FILTER: &str = "activestore:plugin/filter@1.0.0";

/// What a plugin of any kind may be, for messages.
const KINDS: &str = "scalar, aggregate, table-function, processor, model, merge or filter";

/// Reads what the component imports and exports; says which kind of plugin it is and what it asks for.
pub(crate) fn inspect(engine: &Engine, component: &Component) -> Result<(PluginKind, Wants)> {
    let component = component.component_type();
    let mut kind = None;
    for (name, _) in component.exports(engine) {
        let found = match interface(name) {
            Some("scalar") => PluginKind::Scalar,
            Some("aggregate") => PluginKind::Aggregate,
            Some("table-function") => PluginKind::Table,
            Some("processor") => PluginKind::Processor,
            Some("model") => PluginKind::Model,
            Some("merge") => PluginKind::Merge,
            Some("filter") => PluginKind::Filter,
            _ => {
                return Err(unknown("exports", name, KINDS));
            }
        };
        if kind.replace(found).is_some() {
            return Err(Error::invalid(
                "it exports two interfaces; a plugin is scalar functions, aggregates, table functions, a processor, a model, merge functions or a filter",
            ));
        }
    }
    let kind = kind.ok_or_else(|| {
        Error::invalid("it exports nothing").with_hint(format!(
            "a plugin exports {PACKAGE}{KINDS}, version {VERSION}"
        ))
    })?;
    let mut wants = Wants::default();
    let reaches_out = !matches!(
        kind,
        PluginKind::Aggregate | PluginKind::Model | PluginKind::Merge | PluginKind::Filter
    );
    for (name, _) in component.imports(engine) {
        match interface(name) {
            Some("types" | "log") => {}
            Some("state" | "timers") if kind == PluginKind::Processor => {}
            Some("http") if kind == PluginKind::Processor => wants.http = true,
            Some("state" | "timers" | "http") => {
                return Err(Error::invalid(format!(
                    "it imports '{name}', which only a processor may"
                )));
            }
            Some("nn") if kind != PluginKind::Model => {
                return Err(Error::invalid(format!(
                    "it imports '{name}', which only a model may"
                )));
            }
            Some("nn") if native::IS_THERE => {}
            Some("nn") => {
                return Err(Error::invalid(
                    "it has its model run by the node's own code, which this node was built without",
                )
                .with_hint(
                    "build the node with --features native-models, or use the plugin 'onnx', which runs models \
                     inside the sandbox",
                ));
            }
            Some("clock") if reaches_out => wants.clock = true,
            Some("random") if reaches_out => wants.random = true,
            Some("tables") if reaches_out => wants.tables = true,
            Some("clock" | "random" | "tables") => {
                return Err(Error::invalid(format!(
                    "it imports '{name}', which a plugin of kind {} may not: it gives the same for the same rows",
                    kind.name()
                )));
            }
            _ => {
                return Err(unknown(
                    "imports",
                    name,
                    "log, by grant clock, random and tables, for processors state, timers and by grant http, and for models nn",
                ));
            }
        }
    }
    Ok((kind, wants))
}

/// The interface's name when it is one of this contract's, in a version that this host runs.
fn interface(name: &str) -> Option<&str> {
    let (interface, version) = name.strip_prefix(PACKAGE)?.split_once('@')?;
    version.starts_with(VERSION_PREFIX).then_some(interface)
}

fn unknown(verb: &str, name: &str, known: &str) -> Error {
    if let Some((_, version)) = name
        .strip_prefix(PACKAGE)
        .and_then(|rest| rest.split_once('@'))
        && !version.starts_with(VERSION_PREFIX)
    {
        return Error::invalid(format!(
            "it {verb} '{name}', but this node runs version {VERSION} of the contract"
        ))
        .with_hint("build the plugin with the SDK of this release");
    }
    let hint = if name.starts_with("wasi:") {
        "build for wasm32-unknown-unknown: a plugin has no files, clocks or sockets".to_owned()
    } else {
        format!("a plugin {verb} only {known}")
    };
    Error::invalid(format!("it {verb} '{name}', which is not in the contract")).with_hint(hint)
}
