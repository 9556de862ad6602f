//! Logins that are remembered.

#![allow(clippy::unwrap_used)]

use super::*;
use activestore_db::{DbOptions, Role};

#[test]
fn a_role_that_logs_in_again_and_again_pushes_out_itself_alone() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(DbOptions::new(dir.path(), Role::Edge)).unwrap();
    let sessions = Sessions::default();
    let other = sessions.begin(&db, Principal::Node);
    let first = sessions.begin(&db, Principal::Anybody);
    assert!(first.starts_with(SESSION_PREFIX) && first.len() == SESSION_PREFIX.len() + 64);
    for _ in 0..SESSIONS_OF_ROLE_MAX {
        sessions.begin(&db, Principal::Anybody);
    }
    assert_eq!(sessions.0.lock().len(), SESSIONS_OF_ROLE_MAX + 1);
    assert_eq!(sessions.of(&other).unwrap(), Principal::Node);
    assert!(sessions.of(&first).is_err());
    assert!(sessions.of("asf_").is_err());
}
