//! What functions, aggregates and table functions have in common: a place in a plugin, and a shape.

use std::sync::Arc;

use activestore_types::{Error, Result};

use crate::abi::ScalarType;
use crate::plugin::{Plugin, PluginKind};
use crate::shape::FunctionSignature;

/// A function of a plugin, found by its name.
#[derive(Debug)]
pub(crate) struct Callable {
    pub(crate) plugin: Arc<Plugin>,
    /// Its number in the plugin's `describe`.
    pub(crate) index: u32,
    pub(crate) signature: FunctionSignature,
    pub(crate) args: Vec<ScalarType>,
}

impl Callable {
    /// All of this name in a plugin that must be of this kind: one at least.
    pub(crate) fn all(plugin: &Arc<Plugin>, kind: PluginKind, name: &str) -> Result<Vec<Self>> {
        let found = plugin.functions_named(kind, name)?;
        let callable = |(index, signature): (u32, &FunctionSignature)| Callable {
            plugin: plugin.clone(),
            index,
            signature: signature.clone(),
            args: signature.args.iter().copied().map(ScalarType::of).collect(),
        };
        Ok(found.into_iter().map(callable).collect())
    }

    /// The only one of this name in a plugin that must be of this kind.
    pub(crate) fn find(plugin: &Arc<Plugin>, kind: PluginKind, name: &str) -> Result<Self> {
        let mut all = Callable::all(plugin, kind, name)?;
        match (all.pop(), all.is_empty()) {
            (Some(callable), true) => Ok(callable),
            _ => Err(Error::invalid(format!(
                "plugin '{}' has several {} functions '{name}', where one is allowed",
                plugin.name(),
                kind.name()
            ))),
        }
    }

    /// The kind of its values.
    pub(crate) fn value_kind(&self) -> Result<ScalarType> {
        self.signature.value_type().map(ScalarType::of)
    }

    /// Checks how many arguments are given.
    pub(crate) fn check_count(&self, given: usize) -> Result<()> {
        if given == self.args.len() {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "function '{}' takes {} arguments, {given} were given",
            self.signature.name,
            self.args.len(),
        )))
    }
}
