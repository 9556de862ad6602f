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

use activestore_catalog::{Privilege, Scope};
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
    /// A role that logged in with its password.
    Role(Arc<str>),
    /// Who has a token of a role. It has the role's rights, but cannot set the role's password: a token that is
    /// revoked must leave nothing behind.
    Token(Arc<str>),
}

impl Principal {
    /// For logs.
    pub fn name(&self) -> &str {
        match self {
            Principal::Node => "(node)",
            Principal::Anybody => "(anybody)",
            Principal::Role(name) | Principal::Token(name) => name,
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
        Rights::new(
            self.inner.catalog.state(),
            self.principal.clone(),
            self.inner.requires_login(),
        )
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
        let rights = self.rights();
        let asker = match &self.principal {
            Principal::Role(name) | Principal::Token(name) => Some(name.clone()),
            Principal::Node | Principal::Anybody => None,
        };
        let engine = if rights.is_unbounded() {
            self.inner.engine.clone()
        } else {
            self.inner.engine.with_access(Arc::new(Guard(rights)))
        };
        engine.with_asker(asker)
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
