//! What somebody subscribed to, and with whose rights.

use activestore_catalog::Privilege;
use activestore_query::{LiveFor, LiveQuery, Subscribe};
use activestore_types::Result;
use serde_json::Value;

use super::look::Looking;
use crate::auth::Principal;
use crate::db::Inner;

/// A subscription's statement, kept to be compiled anew.
#[derive(Clone)]
pub(super) struct Wish {
    pub(super) statement: Subscribe,
    pub(super) params: Vec<Value>,
    pub(super) principal: Principal,
    pub(super) by: LiveFor,
}

impl Wish {
    /// # Errors
    /// As [`activestore_query::Engine::live`]; `Denied` for what may not be read or called.
    pub(super) async fn compile(&self, inner: &Inner) -> Result<LiveQuery> {
        let engine = inner.engine_of(&self.principal);
        engine
            .live(self.by, &self.statement.sql, &self.params)
            .await
    }

    /// # Errors
    /// `Denied` where who subscribed may not read the table any more.
    pub(super) fn check(&self, inner: &Inner, looking: &Looking) -> Result<()> {
        let rights = inner.rights_of(&self.principal);
        rights.table(Privilege::Select, &looking.query.table().name)
    }
}
