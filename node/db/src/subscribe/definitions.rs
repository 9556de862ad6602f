//! What a subscription was compiled with: what is defined, and what of it is loaded.

use std::sync::Arc;

use activestore_catalog::CatalogState;

use crate::db::Inner;
use crate::plugins::Loaded;

/// Both, as they were at one moment. A definition is known before what it names is loaded or let go, so one of them
/// alone does not tell whether a query would be compiled otherwise now.
#[derive(Clone)]
pub(super) struct Definitions {
    pub(super) state: Arc<CatalogState>,
    loaded: Arc<Loaded>,
}

impl Definitions {
    pub(super) fn now(inner: &Inner) -> Definitions {
        // Before the definitions: what is loaded in between is then looked at once more, rather than not at all.
        let loaded = inner.plugins.current();
        Definitions {
            state: inner.catalog.state(),
            loaded,
        }
    }

    /// Whether nothing was defined or loaded between the two.
    pub(super) fn are(&self, others: &Definitions) -> bool {
        Arc::ptr_eq(&self.state, &others.state) && Arc::ptr_eq(&self.loaded, &others.loaded)
    }

    /// Whether a query may mean something else, or be allowed no more.
    pub(super) fn compiles_otherwise(&self, now: &Definitions) -> bool {
        !Arc::ptr_eq(&self.loaded, &now.loaded) || self.state.roles != now.state.roles
    }
}
