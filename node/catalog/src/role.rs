//! Roles: who may log in, with which secrets, belonging to whom, and what each was granted. Secrets are kept as what
//! checks them, never as what they are, and no debug output shows even that.

mod adopting;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use activestore_types::{Error, Result};
use serde::{Deserialize, Serialize};

pub(crate) use adopting::adopt;

use crate::grant::{Grant, Privilege, Scope};
use crate::names::check_identifier;
use crate::state::{CatalogState, missing};

/// The most roles of a catalog.
pub const MAX_ROLES: usize = 1024;
/// The most grants of one role.
pub const MAX_GRANTS: usize = 4096;
/// The most tokens of one role.
pub const MAX_TOKENS: usize = 64;

/// What checks a password: of SCRAM-SHA-256 (RFC 5802, RFC 7677), so that no password is stored and a password is
/// never sent where the client speaks SCRAM.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScramVerifier {
    /// Random, another one for each password.
    pub salt: Vec<u8>,
    /// Rounds of PBKDF2.
    pub iterations: u32,
    /// `H(ClientKey)`.
    pub stored_key: [u8; 32],
    /// What the server proves itself by.
    pub server_key: [u8; 32],
}

impl fmt::Debug for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScramVerifier(…)")
    }
}

/// A token that stands for a role: what is left of it after it was shown once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenDef {
    /// SHA-256 of its secret, which is random and long, so that a plain hash is enough.
    pub sha256: [u8; 32],
    /// What people call it.
    pub label: String,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// When it ends; `None` is never.
    pub expires_ms: Option<u64>,
}

impl fmt::Debug for TokenDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenDef")
            .field("label", &self.label)
            .field("created_ms", &self.created_ms)
            .field("expires_ms", &self.expires_ms)
            .finish_non_exhaustive()
    }
}

/// A role: a person, a service or a set of rights that others get by membership.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleDef {
    /// Its name.
    pub name: String,
    /// Whether it may log in.
    pub login: bool,
    /// Whether it may do everything. Members of it do not get this.
    pub superuser: bool,
    /// What checks its password.
    pub verifier: Option<ScramVerifier>,
    /// Roles whose grants it has too.
    pub member_of: BTreeSet<String>,
    /// What it was granted itself.
    pub grants: BTreeSet<Grant>,
    /// Its tokens by id.
    pub tokens: BTreeMap<String, TokenDef>,
    /// Whether it came with the definitions of the cloud; those of this node stay when they do not.
    pub adopted: bool,
}

impl RoleDef {
    /// A role that may do nothing.
    pub fn named(name: impl Into<String>) -> Self {
        RoleDef {
            name: name.into(),
            ..RoleDef::default()
        }
    }

    /// Whether somebody can be this role: it may log in and has something to do it with.
    pub fn can_enter(&self) -> bool {
        self.login && (self.verifier.is_some() || !self.tokens.is_empty())
    }

    /// Whether this role can always set things right: tokens expire, a password does not.
    fn can_administer(&self) -> bool {
        self.login && self.superuser && self.verifier.is_some()
    }
}

/// A change of the roles.
#[derive(Clone, Debug, PartialEq)]
pub enum RoleChange {
    /// `CREATE ROLE`.
    Create {
        /// The role.
        def: RoleDef,
        /// No error when it exists.
        if_not_exists: bool,
    },
    /// `ALTER ROLE`: what is `None` stays.
    Alter {
        /// The role.
        name: String,
        /// Whether it may log in.
        login: Option<bool>,
        /// Whether it may do everything.
        superuser: Option<bool>,
        /// Another password, or none.
        verifier: Option<Option<ScramVerifier>>,
    },
    /// `DROP ROLE`.
    Drop {
        /// The role.
        name: String,
        /// No error when it is missing.
        if_exists: bool,
    },
    /// `GRANT … ON … TO role`.
    Grant {
        /// What.
        grants: BTreeSet<Grant>,
        /// To whom.
        to: String,
    },
    /// `REVOKE … ON … FROM role`; what was not granted is no error.
    Revoke {
        /// What.
        grants: BTreeSet<Grant>,
        /// From whom.
        from: String,
    },
    /// `GRANT role TO role`.
    Join {
        /// The role whose grants are shared.
        role: String,
        /// Who becomes a member.
        member: String,
    },
    /// `REVOKE role FROM role`; who is no member is no error.
    Leave {
        /// The role whose grants were shared.
        role: String,
        /// Who is a member no more.
        member: String,
    },
    /// A token was made.
    PutToken {
        /// Whom it stands for.
        role: String,
        /// Its id.
        id: String,
        /// What checks it.
        token: TokenDef,
    },
    /// A token ends before its time.
    DropToken {
        /// Its id.
        id: String,
        /// No error when it is missing.
        if_exists: bool,
    },
}

/// The roles after a change.
pub(crate) fn change(state: &mut CatalogState, change: RoleChange) -> Result<()> {
    let before = state.requires_login();
    step(state, change)?;
    let administered = state.roles.values().any(RoleDef::can_administer);
    match (state.requires_login(), administered, before) {
        (false, _, false) | (true, true, _) => Ok(()),
        (true, false, false) => Err(Error::conflict(
            "the first role that can log in has to be a superuser with a password",
        )
        .with_hint("CREATE ROLE admin WITH LOGIN SUPERUSER PASSWORD '…' first")),
        (_, _, true) => Err(Error::conflict(
            "this would leave no superuser with LOGIN and a password",
        )
        .with_hint("make another one first, so that somebody can still administer the node")),
    }
}

fn step(state: &mut CatalogState, change: RoleChange) -> Result<()> {
    match change {
        RoleChange::Create { def, if_not_exists } => {
            check_identifier("role", &def.name)?;
            if state.roles.contains_key(&def.name) {
                return if if_not_exists {
                    Ok(())
                } else {
                    Err(Error::conflict(format!(
                        "role '{}' exists already",
                        def.name
                    )))
                };
            }
            bounded("roles", state.roles.len(), MAX_ROLES)?;
            for role in &def.member_of {
                state.role(role)?;
            }
            state.roles.insert(def.name.clone(), def);
            Ok(())
        }
        RoleChange::Alter {
            name,
            login,
            superuser,
            verifier,
        } => {
            let role = own(state, &name)?;
            role.login = login.unwrap_or(role.login);
            role.superuser = superuser.unwrap_or(role.superuser);
            if let Some(verifier) = verifier {
                role.verifier = verifier;
            }
            Ok(())
        }
        RoleChange::Drop { name, if_exists } => {
            if !state.roles.contains_key(&name) && if_exists {
                return Ok(());
            }
            own(state, &name)?;
            state.roles.remove(&name);
            for role in state.roles.values_mut() {
                role.member_of.remove(&name);
            }
            Ok(())
        }
        RoleChange::Grant { grants, to } => {
            for grant in &grants {
                grant.check(state)?;
            }
            let role = own(state, &to)?;
            role.grants.extend(grants);
            bounded("grants of a role", role.grants.len() - 1, MAX_GRANTS)
        }
        RoleChange::Revoke { grants, from } => {
            let role = own(state, &from)?;
            role.grants.retain(|grant| !grants.contains(grant));
            Ok(())
        }
        RoleChange::Join { role, member } => {
            state.role(&role)?;
            if role == member || state.membership(&role).contains(member.as_str()) {
                return Err(Error::conflict(format!(
                    "role '{role}' is a member of '{member}', which cannot become a member of it"
                )));
            }
            own(state, &member)?.member_of.insert(role);
            Ok(())
        }
        RoleChange::Leave { role, member } => {
            state.role(&role)?;
            own(state, &member)?.member_of.remove(&role);
            Ok(())
        }
        RoleChange::PutToken { role, id, token } => {
            let role = own(state, &role)?;
            if !role.login {
                return Err(Error::conflict(format!(
                    "role '{}' may not log in, so a token for it would open nothing",
                    role.name
                ))
                .with_hint(format!("ALTER ROLE {} WITH LOGIN", role.name)));
            }
            role.tokens.insert(id, token);
            bounded("tokens of a role", role.tokens.len() - 1, MAX_TOKENS)
        }
        RoleChange::DropToken { id, if_exists } => {
            let holder = state
                .roles
                .values()
                .find(|role| role.tokens.contains_key(&id));
            let Some(holder) = holder.map(|role| role.name.clone()) else {
                let known = state.roles.values().flat_map(|role| role.tokens.keys());
                let known = known.map(String::as_str);
                return if if_exists {
                    Ok(())
                } else {
                    Err(missing("token", &id, known))
                };
            };
            own(state, &holder)?.tokens.remove(&id);
            Ok(())
        }
    }
}

/// A role that this node may change.
fn own<'a>(state: &'a mut CatalogState, name: &str) -> Result<&'a mut RoleDef> {
    state.role(name)?;
    match state.roles.get_mut(name) {
        Some(role) if role.adopted => Err(Error::denied(format!(
            "role '{name}' came with the definitions of the cloud"
        ))
        .with_hint("change it at the cloud; it comes here from there")),
        Some(role) => Ok(role),
        None => Err(Error::internal("a role went while it was looked at")),
    }
}

fn bounded(what: &str, count: usize, max: usize) -> Result<()> {
    if count < max {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "there are {max} {what}, as many as there may be"
    )))
}

/// Forgets the grants on what is gone, so that what is made later under its name begins without any.
pub(crate) fn forget(state: &mut CatalogState, gone: &Scope) {
    for role in state.roles.values_mut() {
        role.grants.retain(|grant| grant.on != *gone);
    }
}

impl CatalogState {
    /// The role with this name.
    ///
    /// # Errors
    /// `NotFound`, with the nearest name as a hint.
    pub fn role(&self, name: &str) -> Result<&RoleDef> {
        self.roles
            .get(name)
            .ok_or_else(|| missing("role", name, self.roles.keys().map(String::as_str)))
    }

    /// Whether who talks to the node has to say who it is: there is a role that can.
    pub fn requires_login(&self) -> bool {
        self.roles.values().any(RoleDef::can_enter)
    }

    /// A role and all that it is a member of, directly or not.
    pub fn membership<'a>(&'a self, role: &'a str) -> BTreeSet<&'a str> {
        let mut all = BTreeSet::from([role]);
        let mut next = vec![role];
        while let Some(role) = next.pop() {
            let parents = self.roles.get(role).into_iter();
            for parent in parents.flat_map(|role| &role.member_of) {
                if all.insert(parent) {
                    next.push(parent);
                }
            }
        }
        all
    }

    /// Whether a role may do this to that: by a grant of its own or of a role that it is a member of, or as superuser.
    pub fn allows(&self, role: &str, privilege: Privilege, on: &Scope) -> bool {
        if self.roles.get(role).is_some_and(|role| role.superuser) {
            return true;
        }
        self.granted(role)
            .any(|grant| grant.privilege == privilege && grant.on.covers(on))
    }

    /// What a role was granted itself or has by membership.
    pub fn granted<'a>(&'a self, role: &'a str) -> impl Iterator<Item = &'a Grant> + 'a {
        self.membership(role)
            .into_iter()
            .filter_map(|role| self.roles.get(role))
            .flat_map(|role| &role.grants)
    }
}
