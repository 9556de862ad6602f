//! The sessions that queries are planned in: the state that all share, with the moment of one query and the rights of
//! who asks put over it. A state knows hundreds of functions by their names, and a copy of it costs more than a small
//! query does otherwise. So a session that was not changed beyond what every query sets anew is used again.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use activestore_types::Result;
use chrono::DateTime;
use datafusion::catalog::CatalogProviderList;
use datafusion::execution::SessionState;
use datafusion::logical_expr::ScalarUDF;
use datafusion::logical_expr::registry::FunctionRegistry;
use parking_lot::{Mutex, RwLock};

use crate::access;
use crate::engine::Engine;
use crate::error::from_datafusion;
use crate::model::{self, Models};
use crate::session::remove;

/// Sessions that wait for the next query, some tens of kilobytes each.
const IDLE_MAX: usize = 4;

/// What sessions are made of, and those that wait.
pub(crate) struct Sessions {
    state: RwLock<SessionState>,
    /// The tables and models of who may see all.
    catalogs: Arc<dyn CatalogProviderList>,
    predict: [Arc<ScalarUDF>; 2],
    /// How often the functions changed.
    generation: AtomicU64,
    idle: Mutex<Vec<Arc<SessionState>>>,
}

impl Sessions {
    pub(crate) fn new(state: SessionState, models: &Arc<dyn Models>) -> Self {
        Sessions {
            catalogs: state.catalog_list().clone(),
            state: RwLock::new(state),
            predict: model::udfs(models).map(Arc::new),
            generation: AtomicU64::new(0),
            idle: Mutex::default(),
        }
    }

    /// How often the functions changed: what was planned under another number has to be planned anew.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Looks at what all share.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&SessionState) -> T) -> T {
        look(&self.state.read())
    }

    /// Changes the functions that queries to come find.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut SessionState) -> T) -> T {
        let mut state = self.state.write();
        let changed = change(&mut state);
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.idle.lock().clear();
        changed
    }

    /// One that waits, or a copy. `state` is held, so that the functions do not change meanwhile.
    fn take(&self, state: &SessionState) -> Arc<SessionState> {
        let mut idle = self.idle.lock();
        while let Some(mut one) = idle.pop() {
            // Who gave it back may hold it for a moment longer.
            if Arc::get_mut(&mut one).is_some() {
                return one;
            }
        }
        drop(idle);
        Arc::new(state.clone())
    }

    fn give_back(&self, session: &Arc<SessionState>, generation: u64) {
        let mut idle = self.idle.lock();
        // Asked under the lock that a change empties the list under.
        if generation == self.generation() && idle.len() < IDLE_MAX {
            idle.push(session.clone());
        }
    }
}

/// The state of one query.
pub(crate) struct Session {
    state: Arc<SessionState>,
    home: Arc<Sessions>,
    generation: u64,
    /// Nothing was changed in it that the next query does not set.
    plain: bool,
}

impl Session {
    /// The functions that it was made with: see [`Sessions::generation`].
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// The state, to be changed for this query alone.
    pub(crate) fn own(&mut self) -> &mut SessionState {
        self.plain = false;
        Arc::make_mut(&mut self.state)
    }
}

impl Deref for Session {
    type Target = SessionState;

    fn deref(&self) -> &SessionState {
        &self.state
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.plain {
            self.home.give_back(&self.state, self.generation);
        }
    }
}

impl Engine {
    /// The shared state with the node's clock in it, and nothing in it that may not be used.
    pub(crate) fn session(&self) -> Result<Session> {
        let (mut session, denied) = {
            let state = self.sessions.state.read();
            let denied: Vec<String> = match &self.access {
                None => Vec::new(),
                Some(access) => {
                    let functions = self.functions.read();
                    let names = functions.keys();
                    names
                        .filter(|name| access.may_call(name).is_err())
                        .cloned()
                        .collect()
                }
            };
            // Both are of one moment, so that no function slips in between.
            let session = Session {
                state: self.sessions.take(&state),
                home: self.sessions.clone(),
                generation: self.sessions.generation(),
                plain: denied.is_empty(),
            };
            (session, denied)
        };
        // A session that was used has the moment, tables and models of that query in it: each is set, whoever asks.
        let state = Arc::make_mut(&mut session.state);
        state.mark_start_execution();
        let now = DateTime::from_timestamp_nanos(self.tables.now_ns());
        state.execution_props_mut().query_execution_start_time = Some(now);
        let (catalogs, predict) = match &self.access {
            None => (
                self.sessions.catalogs.clone(),
                self.sessions.predict.clone(),
            ),
            Some(access) => (
                access::catalog(&self.tables, access),
                model::udfs(&self.models()).map(Arc::new),
            ),
        };
        state.register_catalog_list(catalogs);
        for udf in predict {
            state.register_udf(udf).map_err(from_datafusion)?;
        }
        for name in &denied {
            remove(state, name);
        }
        Ok(session)
    }
}
