//! What a login by name and password is answered with: a token for the calls that follow, as clients of Arrow Flight
//! expect it, so that a password is looked at once.

use std::collections::HashMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

use activestore_db::{Db, Principal};
use activestore_types::{Error, Result};
use parking_lot::Mutex;

/// What these tokens begin with.
pub(super) const SESSION_PREFIX: &str = "asf_";
/// Logins that are remembered, of all roles and of one; the one that was used least lately goes for another.
const SESSIONS_MAX: usize = 4096;
const SESSIONS_OF_ROLE_MAX: usize = 512;
/// After so long without a call a login is forgotten.
const IDLE_MAX: Duration = Duration::from_secs(12 * 3600);

struct Session {
    principal: Principal,
    used: Instant,
}

/// The logins.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<String, Session>>);

impl Sessions {
    /// A token for somebody who logged in. It stands as long as what they logged in with does.
    pub(super) fn begin(&self, db: &Db, principal: Principal) -> String {
        let mut token = SESSION_PREFIX.to_owned();
        for _ in 0..4 {
            for byte in db.secret() {
                // Writing to a string cannot fail.
                let _ = write!(token, "{byte:02x}");
            }
        }
        let now = Instant::now();
        let mut sessions = self.0.lock();
        sessions.retain(|_, session| now.duration_since(session.used) < IDLE_MAX);
        let name = principal.name();
        let own = |session: &Session| session.principal.name() == name;
        let of_role = sessions.values().filter(|session| own(session)).count();
        if of_role >= SESSIONS_OF_ROLE_MAX {
            forget_oldest(&mut sessions, own);
        } else if sessions.len() >= SESSIONS_MAX {
            forget_oldest(&mut sessions, |_| true);
        }
        let session = Session {
            principal,
            used: now,
        };
        sessions.insert(token.clone(), session);
        token
    }

    /// Who logged in.
    ///
    /// # Errors
    /// `Denied` for a token that is none, or not any more.
    pub(super) fn of(&self, token: &str) -> Result<Principal> {
        let now = Instant::now();
        let mut sessions = self.0.lock();
        let session = sessions.get_mut(token);
        let session = session.filter(|session| now.duration_since(session.used) < IDLE_MAX);
        let session = session.ok_or_else(|| {
            Error::denied("this login is not known, or not any more").with_hint("log in again")
        })?;
        session.used = now;
        Ok(session.principal.clone())
    }
}

fn forget_oldest(sessions: &mut HashMap<String, Session>, of: impl Fn(&Session) -> bool) {
    let oldest = sessions
        .iter()
        .filter(|(_, session)| of(session))
        .min_by_key(|(_, session)| session.used)
        .map(|(token, _)| token.clone());
    if let Some(oldest) = oldest {
        sessions.remove(&oldest);
    }
}

#[cfg(test)]
mod tests;
