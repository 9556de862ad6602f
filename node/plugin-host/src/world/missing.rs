//! In the place of `world.rs` in a program that was built without what makes components.

use std::convert::Infallible;

use activestore_types::Result;

use crate::componentize::missing;
use crate::plugin::PluginKind;

/// A world for one plugin, which this program cannot make.
#[derive(Clone, Debug)]
pub struct PluginWorld(Infallible);

impl PluginWorld {
    /// Refuses.
    ///
    /// # Errors
    /// `Invalid` always.
    pub fn new(_kind: PluginKind, _imports: &[&str]) -> Result<Self> {
        Err(missing())
    }

    /// The world's name.
    pub fn name(&self) -> &'static str {
        match self.0 {}
    }

    /// The contract with this world, in WIT.
    pub fn text(&self) -> &str {
        match self.0 {}
    }

    /// The contract's version.
    pub fn version(&self) -> String {
        match self.0 {}
    }

    /// Makes a component of a core module.
    ///
    /// # Errors
    /// None: there is no such world.
    pub fn componentize(&self, _core_wasm: &[u8]) -> Result<Vec<u8>> {
        match self.0 {}
    }
}

/// Refuses.
///
/// # Errors
/// `Invalid` always.
pub fn contract_exports_only(_component: &[u8]) -> Result<Vec<u8>> {
    Err(missing())
}
