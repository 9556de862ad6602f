//! Logins: a password against its verifier, a token against its hash. Passwords are slow to check on purpose, so one
//! that was right is remembered, and who guesses is made to wait.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use activestore_catalog::{MAX_NAME_BYTES, ScramVerifier};
use activestore_env::Rng;
use activestore_types::{Error, Result};
use parking_lot::Mutex;
use ring::hmac;
use tokio::sync::Semaphore;

use super::scram::{self, PASSWORD_BYTES_MAX};
use super::{Principal, Proof, refused};
use crate::db::{Db, Inner};

/// What every token begins with, so that one is found where it must not be.
pub(crate) const TOKEN_PREFIX: &str = "ast_";
/// Passwords that were right and are remembered.
const KNOWN_MAX: usize = 1024;
/// Passwords that are checked at once: a flood of guesses takes no more of the machine.
const CHECKS_MAX: usize = 2;
/// How long a login waits for its check.
const CHECK_WAIT_MAX: Duration = Duration::from_secs(5);
/// Failed logins that are remembered.
const FAILURES_MAX: usize = 4096;
/// Failed logins of one name at one address that cost nothing; each more doubles the wait, from a second on.
const FREE_OF_NAME: u32 = 5;
/// The same of one address, whatever names.
const FREE_OF_ADDRESS: u32 = 50;
/// The longest wait after a failed login.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// After so long without another one failed logins are forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(15 * 60);

/// What somebody logs in with.
#[derive(Clone, Copy)]
pub enum Credentials<'a> {
    /// A role's name with its password; a token of it may stand in the password's place.
    Password {
        /// The role.
        user: &'a str,
        /// Its password.
        password: &'a str,
    },
    /// A token alone.
    Token(&'a str),
}

impl std::fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(…)")
    }
}

/// What happened.
#[derive(Debug, Default)]
pub(crate) struct LoginCounts {
    pub(crate) succeeded: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) held: AtomicU64,
    pub(crate) denied: AtomicU64,
}

/// Logins of this process.
pub(crate) struct Logins {
    pub(crate) counts: LoginCounts,
    /// Of this process alone: what is remembered says nothing to who reads it.
    pub(super) key: hmac::Key,
    known: Mutex<Known>,
    failures: Mutex<HashMap<(IpAddr, Option<String>), Failures>>,
    checks: Arc<Semaphore>,
    /// What a name that is none is checked against, so that it takes as long as one that is.
    pub(super) nobody: ScramVerifier,
}

/// Tags of name, password and verifier, the oldest first.
#[derive(Default)]
struct Known {
    order: VecDeque<[u8; 32]>,
    tags: std::collections::HashSet<[u8; 32]>,
}

#[derive(Clone, Copy, Default)]
struct Failures {
    count: u32,
    last: Duration,
    until: Duration,
}

impl Logins {
    pub(crate) fn new(rng: &dyn Rng) -> Logins {
        let mut key = [0_u8; 32];
        rng.fill(&mut key);
        Logins {
            counts: LoginCounts::default(),
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            known: Mutex::default(),
            failures: Mutex::default(),
            checks: Arc::new(Semaphore::new(CHECKS_MAX)),
            nobody: scram::nobody(rng),
        }
    }

    /// A verifier is part of the tag: another password makes what was remembered of the old one worthless.
    fn tag(&self, user: &str, password: &str, verifier: &ScramVerifier) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&verifier.stored_key);
        context.update(&(user.len() as u64).to_le_bytes());
        context.update(user.as_bytes());
        context.update(password.as_bytes());
        let mut tag = [0; 32];
        for (to, from) in tag.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        tag
    }

    fn remember(&self, tag: [u8; 32]) {
        let mut known = self.known.lock();
        if known.tags.insert(tag) {
            known.order.push_back(tag);
        }
        while known.order.len() > KNOWN_MAX {
            if let Some(oldest) = known.order.pop_front() {
                known.tags.remove(&oldest);
            }
        }
    }

    /// Refuses to look where too many logins failed: of a name at an address, or of any (`None`) at it.
    pub(super) fn admit(&self, from: IpAddr, user: Option<&str>, now: Duration) -> Result<()> {
        let of = (from, user.map(str::to_owned));
        let until = self.failures.lock().get(&of).map(|known| known.until);
        match until.and_then(|until| until.checked_sub(now)) {
            None | Some(Duration::ZERO) => Ok(()),
            Some(wait) => {
                self.counts.held.fetch_add(1, Ordering::Relaxed);
                Err(Error::overloaded(format!(
                    "too many logins failed; the next one is looked at in {} s",
                    wait.as_secs() + 1
                ))
                .with_hint("wait, and check the name and the password"))
            }
        }
    }

    pub(super) fn failed(&self, from: IpAddr, user: &str, now: Duration) {
        let mut failures = self.failures.lock();
        let both = [
            (Some(user.to_owned()), FREE_OF_NAME),
            (None, FREE_OF_ADDRESS),
        ];
        for (user, free) in both {
            if failures.len() >= FAILURES_MAX {
                failures.retain(|_, known| known.last + FORGOTTEN_AFTER > now);
            }
            if failures.len() >= FAILURES_MAX {
                let oldest = failures.iter().min_by_key(|(_, known)| known.last);
                if let Some(oldest) = oldest.map(|(of, _)| of.clone()) {
                    failures.remove(&oldest);
                }
            }
            let known = failures.entry((from, user)).or_default();
            if known.last + FORGOTTEN_AFTER < now {
                known.count = 0;
            }
            known.count = known.count.saturating_add(1);
            known.last = now;
            if let Some(beyond) = known.count.checked_sub(free) {
                let wait = Duration::from_secs(1_u64 << beyond.min(6)).min(WAIT_MAX);
                known.until = now + wait;
            }
        }
    }

    pub(super) fn succeeded(&self, from: IpAddr, user: &str) {
        self.failures.lock().remove(&(from, Some(user.to_owned())));
    }
}

impl Db {
    /// Lets somebody in who is at `from`.
    ///
    /// # Errors
    /// `Denied` for a wrong name, password or token, without saying which; `Overloaded` where too many failed or
    /// are being looked at.
    pub async fn login(&self, credentials: Credentials<'_>, from: IpAddr) -> Result<Principal> {
        let opened = match credentials {
            // Nobody guesses a token, and devices behind one address must not suffer for one of them that has an
            // old one: nothing is held back for it.
            Credentials::Token(token) => self.inner.by_token(token),
            Credentials::Password { user, password } if password.starts_with(TOKEN_PREFIX) => {
                let opened = self.inner.by_token(password);
                opened.filter(|principal| principal.name() == user)
            }
            Credentials::Password { user, password } => {
                self.by_password(user, password, from).await?
            }
        };
        let counts = &self.inner.logins.counts;
        match opened {
            Some(principal) => {
                counts.succeeded.fetch_add(1, Ordering::Relaxed);
                Ok(principal)
            }
            None => {
                counts.failed.fetch_add(1, Ordering::Relaxed);
                Err(refused())
            }
        }
    }

    async fn by_password(
        &self,
        user: &str,
        password: &str,
        from: IpAddr,
    ) -> Result<Option<Principal>> {
        if user.len() > MAX_NAME_BYTES || password.len() > PASSWORD_BYTES_MAX {
            return Ok(None);
        }
        let inner = &self.inner;
        let now = inner.env.clock.monotonic();
        inner.logins.admit(from, Some(user), now)?;
        let state = inner.catalog.state();
        let role = state.roles.get(user).filter(|role| role.login);
        let real = role.and_then(|role| role.verifier.clone());
        let is_real = real.is_some();
        let verifier = real.unwrap_or_else(|| inner.logins.nobody.clone());
        let tag = inner.logins.tag(user, password, &verifier);
        let opened = Principal::Role(user.into(), Proof::password(Some(&verifier)));
        if is_real && inner.logins.known.lock().tags.contains(&tag) {
            inner.logins.succeeded(from, user);
            return Ok(Some(opened));
        }
        inner.logins.admit(from, None, now)?;
        let waiting = inner.logins.checks.clone().acquire_owned();
        let Ok(Ok(permit)) = tokio::time::timeout(CHECK_WAIT_MAX, waiting).await else {
            inner.logins.counts.held.fetch_add(1, Ordering::Relaxed);
            return Err(Error::overloaded("too many logins are being checked")
                .with_hint("try again in a second"));
        };
        // Those that waited beside this one may have failed meanwhile.
        let now = inner.env.clock.monotonic();
        inner.logins.admit(from, Some(user), now)?;
        inner.logins.admit(from, None, now)?;
        let password = password.to_owned();
        let fits = Self::unqueued(move || {
            let fits = scram::fits(&verifier, &password);
            drop(permit);
            Ok(fits)
        })
        .await?;
        if !fits || !is_real {
            let now = inner.env.clock.monotonic();
            inner.logins.failed(from, user, now);
            tracing::warn!(%from, user, "a login failed");
            return Ok(None);
        }
        inner.logins.remember(tag);
        inner.logins.succeeded(from, user);
        Ok(Some(opened))
    }
}

impl Inner {
    /// The role that a token stands for; the id in it says where to look, the secret in it is compared by its hash.
    fn by_token(&self, token: &str) -> Option<Principal> {
        let (id, secret) = token.strip_prefix(TOKEN_PREFIX)?.split_once('_')?;
        let state = self.catalog.state();
        let (role, known) = state.roles.values().find_map(|role| {
            let token = role.tokens.get(id).filter(|_| role.login)?;
            Some((role, token))
        })?;
        let given = hmac::sign(&self.logins.key, &scram::token_hash(secret));
        hmac::verify(&self.logins.key, &known.sha256, given.as_ref()).ok()?;
        let alive = known.expires_ms.is_none_or(|end| self.wall_ms() < end);
        alive.then(|| Principal::Token(role.name.as_str().into(), Proof::token(id)))
    }
}
