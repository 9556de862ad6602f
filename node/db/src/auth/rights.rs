//! What one principal may do, at one version of the definitions.

use std::sync::Arc;

use activestore_catalog::{CatalogState, Privilege, SYSTEM_KEYSPACE, Scope};
use activestore_types::{Error, NamedBatch, Result, TableName};

use super::{Principal, Proof};

/// System tables that every role may read; each sees the rows that are about what it may know of.
pub(super) const FILTERED: [&str; 7] = [
    "columns",
    "functions",
    "grants",
    "models",
    "roles",
    "tables",
    "tokens",
];

/// The rights of who asks.
#[derive(Clone)]
pub(crate) struct Rights {
    pub(super) state: Arc<CatalogState>,
    principal: Principal,
    login_required: bool,
    /// Tokens end by it.
    now_ms: u64,
}

impl Rights {
    pub(super) fn new(
        state: Arc<CatalogState>,
        principal: Principal,
        login_required: bool,
        now_ms: u64,
    ) -> Self {
        Rights {
            state,
            principal,
            login_required,
            now_ms,
        }
    }

    /// The role that asks; an error for who has none and is not let in.
    fn role(&self) -> Result<Option<&str>> {
        match &self.principal {
            Principal::Node => Ok(None),
            Principal::Anybody if !self.login_required => Ok(None),
            Principal::Anybody => Err(Error::denied("this node answers nobody without a login")
                .with_hint("give the name and password of a role, or a token")),
            Principal::Role(name, proof) => self.entered(name, proof, false),
            Principal::Token(name, proof) => self.entered(name, proof, true),
        }
    }

    /// Connections last for months, and what opened them may have ended meanwhile.
    fn entered<'a>(
        &self,
        name: &'a Arc<str>,
        proof: &Proof,
        by_token: bool,
    ) -> Result<Option<&'a str>> {
        let role = self.state.roles.get(name.as_ref());
        let Some(role) = role.filter(|role| role.login) else {
            return Err(Error::denied(format!(
                "role '{name}' may not log in any more"
            )));
        };
        if proof.holds(role, by_token, self.now_ms) {
            return Ok(Some(name));
        }
        let what = if by_token { "token" } else { "password" };
        Err(
            Error::denied(format!("the {what} of role '{name}' is not valid any more"))
                .with_hint("log in again"),
        )
    }

    /// Whether nothing has to be checked.
    pub(super) fn is_unbounded(&self) -> bool {
        self.superuser("").is_ok()
    }

    pub(crate) fn admitted(&self) -> Result<()> {
        self.role().map(drop)
    }

    /// Whether this role asks, with its own password.
    pub(super) fn is(&self, name: &str) -> bool {
        matches!(&self.principal, Principal::Role(role, _) if role.as_ref() == name)
    }

    /// Asks for all rights.
    pub(super) fn superuser(&self, what: &str) -> Result<()> {
        let Some(role) = self.role()? else {
            return Ok(());
        };
        if self
            .state
            .roles
            .get(role)
            .is_some_and(|role| role.superuser)
        {
            return Ok(());
        }
        Err(Error::denied(format!("role '{role}' may not {what}"))
            .with_hint("only a superuser may"))
    }

    /// Asks for a right.
    pub(super) fn need(&self, privilege: Privilege, on: &Scope) -> Result<()> {
        let Some(role) = self.role()? else {
            return Ok(());
        };
        if self.state.allows(role, privilege, on) {
            return Ok(());
        }
        let privilege = privilege.name();
        Err(
            Error::denied(format!("role '{role}' may not {privilege} ON {on}"))
                .with_hint(format!("GRANT {privilege} ON {on} TO {role}")),
        )
    }

    pub(crate) fn table(&self, privilege: Privilege, table: &TableName) -> Result<()> {
        self.need(privilege, &Scope::Table(table.clone()))
    }

    pub(super) fn keyspace(&self, privilege: Privilege, keyspace: &str) -> Result<()> {
        self.need(privilege, &Scope::Keyspace(keyspace.to_owned()))
    }

    pub(super) fn functions(&self, privilege: Privilege) -> Result<()> {
        self.need(privilege, &Scope::AllFunctions)
    }

    /// Whether a batch may be written; a table that it would make has to be allowed too.
    pub(super) fn may_write(&self, batch: &NamedBatch) -> Result<()> {
        self.table(Privilege::Insert, &batch.table)?;
        if batch.create.is_none() || self.state.tables.contains_key(&batch.table) {
            return Ok(());
        }
        self.may_make(&batch.table)
    }

    /// Whether a table may be made, with its keyspace where that is missing.
    pub(super) fn may_make(&self, table: &TableName) -> Result<()> {
        if !self.state.keyspaces.contains_key(&table.keyspace) {
            return self.need(Privilege::Create, &Scope::AllKeyspaces);
        }
        self.keyspace(Privilege::Create, &table.keyspace)
    }

    /// Whether a system table may be read whole.
    pub(super) fn sees_whole(&self, system_table: &str) -> bool {
        let table = TableName::new(SYSTEM_KEYSPACE, system_table);
        self.table(Privilege::Select, &table).is_ok()
    }

    /// Whether a table may be known of.
    pub(super) fn sees(&self, table: &TableName) -> bool {
        if table.keyspace == SYSTEM_KEYSPACE && FILTERED.contains(&table.table.as_str()) {
            return self.admitted().is_ok();
        }
        let on = Scope::Table(table.clone());
        self.any_grant(|scope| scope.covers(&on))
    }

    /// Whether a keyspace may be known of: the default one, those with a grant on them or on something in them.
    pub(super) fn sees_keyspace(&self, keyspace: &str) -> bool {
        let on = Scope::Keyspace(keyspace.to_owned());
        keyspace == activestore_catalog::DEFAULT_KEYSPACE
            || self.any_grant(|scope| match scope {
                Scope::Table(table) => table.keyspace == keyspace,
                scope => scope.covers(&on),
            })
    }

    /// Whether a role may be known of: oneself and what one is a member of, and all of them to a superuser.
    pub(crate) fn sees_role(&self, role: &str) -> bool {
        match self.role() {
            Ok(None) => true,
            Ok(Some(mine)) => self.is_unbounded() || self.state.membership(mine).contains(role),
            Err(_) => false,
        }
    }

    fn any_grant(&self, fits: impl Fn(&Scope) -> bool) -> bool {
        match self.role() {
            Ok(None) => true,
            Ok(Some(role)) => {
                self.is_unbounded() || self.state.granted(role).any(|grant| fits(&grant.on))
            }
            Err(_) => false,
        }
    }
}
