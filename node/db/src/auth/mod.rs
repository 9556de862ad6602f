//! Who asks, and what they may do: every statement and every write of rows has a [`Principal`], and its rights are
//! looked up in the definitions as they are at that moment.
//!
//! As long as no role can log in, a node is open, as it was before there were roles. From the first one on, and where
//! [`DbOptions::auth_required`](crate::DbOptions) says so, who does not log in may do nothing; the definitions see to
//! it that there is always a superuser who can.

mod exchange;
mod guard;
mod login;
mod offline;
mod rights;
pub(crate) mod scram;
mod statements;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use activestore_catalog::{Privilege, RoleDef, Scope, ScramVerifier};
use activestore_types::{Error, NamedBatch, Result, TableName};

use crate::counters::Figures;
use crate::db::{Db, Inner};
pub use exchange::{LoginWay, ScramLogin};
pub(crate) use guard::Guard;
pub use login::Credentials;
pub(crate) use login::{Logins, TOKEN_PREFIX};
pub use offline::{RoleSetUp, set_up_role};
pub(crate) use rights::Rights;
pub use scram::make_verifier;

/// Who a statement or a write is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// The program itself: everything.
    Node,
    /// Somebody who did not log in: everything while nobody has to, nothing from then on.
    Anybody,
    /// A role that logged in with its password. Once it has another one this principal may do nothing any more.
    Role(Arc<str>, Proof),
    /// Who has a token of a role, until it ends. It has the role's rights, but cannot set the role's password: a token
    /// that is revoked must leave nothing behind.
    Token(Arc<str>, Proof),
}

/// What somebody logged in with, as long as it opens.
#[derive(Clone, PartialEq, Eq)]
pub struct Proof(Arc<str>);

impl Proof {
    /// What a password leaves is another thing for each password.
    pub(crate) fn password(verifier: Option<&ScramVerifier>) -> Proof {
        let digits = verifier.iter().flat_map(|verifier| verifier.stored_key);
        let text: String = digits.take(16).map(|byte| format!("{byte:02x}")).collect();
        Proof(text.into())
    }

    pub(crate) fn token(id: &str) -> Proof {
        Proof(id.into())
    }

    /// Whether it opens that role still.
    fn holds(&self, role: &RoleDef, by_token: bool, now_ms: u64) -> bool {
        if !by_token {
            return Proof::password(role.verifier.as_ref()) == *self;
        }
        let token = role.tokens.get(&*self.0);
        token.is_some_and(|token| token.expires_ms.is_none_or(|end| now_ms < end))
    }
}

impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Proof(…)")
    }
}

impl Principal {
    /// For logs.
    pub fn name(&self) -> &str {
        match self {
            Principal::Node => "(node)",
            Principal::Anybody => "(anybody)",
            Principal::Role(name, _) | Principal::Token(name, _) => name,
        }
    }
}

impl Db {
    /// The same database for somebody: statements and writes are checked against their rights. The other calls are
    /// of those who administer the node; [`Db::check_superuser`] asks for that.
    #[must_use]
    pub fn acting_as(&self, principal: Principal) -> Db {
        let mut db = self.clone();
        db.principal = principal;
        db
    }

    /// Whether who talks to this node has to log in.
    pub fn requires_login(&self) -> bool {
        self.inner.requires_login()
    }

    /// Whether who asks may do everything.
    ///
    /// # Errors
    /// `Denied` when not.
    pub fn check_superuser(&self, what: &str) -> Result<()> {
        self.checked(|rights| rights.superuser(what))
    }

    /// Whether who asks is let in at all: a role that may still log in, or anybody where nobody has to.
    ///
    /// # Errors
    /// `Denied` when not.
    pub fn check_admitted(&self) -> Result<()> {
        self.checked(Rights::admitted)
    }

    /// Whether who asks may insert rows into a table.
    ///
    /// # Errors
    /// `Denied` when not, whether the table exists or not.
    pub fn check_insert(&self, table: &TableName) -> Result<()> {
        self.checked(|rights| rights.table(Privilege::Insert, table))
    }

    /// Whether who asks may read a table, or every table of a keyspace.
    ///
    /// # Errors
    /// As [`Db::check_insert`].
    pub fn check_select(&self, on: &Scope) -> Result<()> {
        self.checked(|rights| rights.need(Privilege::Select, on))
    }

    pub(crate) fn rights(&self) -> Rights {
        self.inner.rights_of(&self.principal)
    }

    /// Runs a check and counts what it refuses.
    pub(crate) fn checked<T>(&self, check: impl FnOnce(&Rights) -> Result<T>) -> Result<T> {
        check(&self.rights()).inspect_err(|_| {
            self.inner
                .logins
                .counts
                .denied
                .fetch_add(1, Ordering::Relaxed);
        })
    }

    /// The engine under the rights of who asks.
    pub(crate) fn engine(&self) -> activestore_query::Engine {
        self.inner.engine_of(&self.principal)
    }

    /// Whether rows may be written to the tables of these batches.
    ///
    /// # Errors
    /// `Denied` when not.
    pub fn check_write(&self, batches: &[NamedBatch]) -> Result<()> {
        self.checked(|rights| batches.iter().try_for_each(|batch| rights.may_write(batch)))
    }
}

impl Inner {
    /// What somebody may do now.
    pub(crate) fn rights_of(&self, principal: &Principal) -> Rights {
        Rights::new(
            self.catalog.state(),
            principal.clone(),
            self.requires_login(),
            self.wall_ms(),
        )
    }

    /// The engine under somebody's rights.
    pub(crate) fn engine_of(&self, principal: &Principal) -> activestore_query::Engine {
        let rights = self.rights_of(principal);
        let asker = match principal {
            Principal::Role(name, _) | Principal::Token(name, _) => Some(name.clone()),
            Principal::Node | Principal::Anybody => None,
        };
        let engine = if rights.is_unbounded() {
            self.engine.clone()
        } else {
            self.engine.with_access(Arc::new(Guard(rights)))
        };
        engine.with_asker(asker)
    }

    pub(crate) fn requires_login(&self) -> bool {
        self.options.auth_required || self.catalog.state().requires_login()
    }

    pub(crate) fn auth_figures(&self, all: &mut Figures) {
        let counts = &self.logins.counts;
        let figures = [
            (
                "activestore_logins_total",
                "Logins with a right password or token.",
                &counts.succeeded,
            ),
            (
                "activestore_logins_failed_total",
                "Logins with a wrong name, password or token.",
                &counts.failed,
            ),
            (
                "activestore_logins_held_total",
                "Logins that were not looked at, after too many failed ones or beside too many others.",
                &counts.held,
            ),
            (
                "activestore_denied_total",
                "Statements, writes and requests that were refused for lack of a grant.",
                &counts.denied,
            ),
        ];
        for (name, help, counter) in figures {
            all.counter(name, help, counter.load(Ordering::Relaxed) as f64);
        }
        all.gauge(
            "activestore_login_required",
            "1 where who talks to the node has to log in.",
            f64::from(u8::from(self.requires_login())),
        );
    }
}

/// What a password or token that does not open is answered; it does not say which part was wrong.
fn refused() -> Error {
    Error::denied("the user name, password or token is wrong")
}
