//! What a scalar function and an aggregate have in common: a place in a plugin, and a shape.

use std::sync::Arc;

use activestore_types::{Error, Result};

use crate::abi::ScalarType;
use crate::plugin::{FunctionSignature, Plugin, PluginKind};

/// A function of a plugin, found by its name.
#[derive(Debug)]
pub(crate) struct Callable {
    pub(crate) plugin: Arc<Plugin>,
    /// Its number in the plugin's `describe`.
    pub(crate) index: u32,
    pub(crate) signature: FunctionSignature,
    pub(crate) args: Vec<ScalarType>,
    pub(crate) returns: ScalarType,
}

impl Callable {
    /// Finds it in a plugin that must be of this kind.
    pub(crate) fn find(plugin: &Arc<Plugin>, kind: PluginKind, name: &str) -> Result<Self> {
        let (index, signature) = plugin.function(kind, name)?;
        Ok(Callable {
            plugin: plugin.clone(),
            index,
            signature: signature.clone(),
            args: signature.args.iter().copied().map(ScalarType::of).collect(),
            returns: ScalarType::of(signature.returns),
        })
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
