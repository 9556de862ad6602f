//! In the place of `native.rs` in a program that was built without `native-models`: components that import
//! `nn` are refused before they are linked.

use std::sync::Arc;

use wasmtime::component::Linker;

use crate::instance::HostState;
use crate::memory::MemoryTotal;

/// Whether this program has it.
pub(crate) const IS_THERE: bool = false;

/// Nothing.
pub(crate) struct Native;

/// No instance has one.
pub(crate) enum NativeGraph {}

impl Native {
    pub(crate) fn new(_total: &Arc<MemoryTotal>) -> Arc<Self> {
        Arc::new(Native)
    }
}

pub(crate) fn link(_linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    Ok(())
}
