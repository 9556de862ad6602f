//! Roles of a directory that no node is running on, and the administrator that a configuration names: the ways in for
//! whoever owns the machine.

use std::path::Path;

use activestore_catalog::{Catalog, CatalogState, Change, RoleChange, RoleDef};
use activestore_env::{Env, MasterKey, Rng};
use activestore_store::open_keyring;
use activestore_types::{Error, Result};

use super::scram;
use crate::db::{CATALOG_FILE, Db};

/// The role that a configuration's password is of.
const ADMIN: &str = "admin";

/// What is done to a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleSetUp {
    /// It is made; it must not be there.
    Create {
        /// Whether it may do everything.
        superuser: bool,
    },
    /// It gets another password, and may log in with it.
    Password,
}

/// Makes a role that can log in, or gives one another password, in a data directory that no node is running on; the
/// directory may be a new one.
///
/// # Errors
/// `Conflict` while a node runs on it or where the role is there already; `NotFound` where it is not; `Denied` for a
/// wrong encryption key, and for a role that came from the cloud; `Invalid` for a password that cannot be one.
pub fn set_up_role(
    dir: &Path,
    key: Option<&MasterKey>,
    name: &str,
    password: &str,
    set_up: RoleSetUp,
) -> Result<()> {
    std::fs::create_dir_all(dir).map_err(|error| Error::from(error).context(dir.display()))?;
    let env = Env::real(dir)?;
    let keyring = open_keyring(&env, key, env.disk.exists(CATALOG_FILE))?;
    let catalog = Catalog::open_with(&dir.join(CATALOG_FILE), keyring.as_ref())?;
    let change = match set_up {
        RoleSetUp::Create { superuser } => created(name, password, superuser, env.rng.as_ref())?,
        RoleSetUp::Password => changed(name, password, None, env.rng.as_ref())?,
    };
    catalog.apply(Change::Role(change)).map(drop)
}

fn created(name: &str, password: &str, superuser: bool, rng: &dyn Rng) -> Result<RoleChange> {
    Ok(RoleChange::Create {
        def: RoleDef {
            login: true,
            superuser,
            verifier: Some(scram::make_verifier(password, rng)?),
            ..RoleDef::named(name)
        },
        if_not_exists: false,
    })
}

fn changed(
    name: &str,
    password: &str,
    superuser: Option<bool>,
    rng: &dyn Rng,
) -> Result<RoleChange> {
    Ok(RoleChange::Alter {
        name: name.to_owned(),
        login: Some(true),
        superuser,
        verifier: Some(Some(scram::make_verifier(password, rng)?)),
    })
}

/// What makes `admin` the superuser with this password; `None` where it is.
fn administered(state: &CatalogState, password: &str, rng: &dyn Rng) -> Result<Option<RoleChange>> {
    let Some(role) = state.roles.get(ADMIN) else {
        return created(ADMIN, password, true, rng).map(Some);
    };
    if role.adopted {
        tracing::warn!(
            "the role 'admin' is the cloud's: the file with its password is not looked at"
        );
        return Ok(None);
    }
    let verifier = role.verifier.as_ref();
    if role.login && role.superuser && verifier.is_some_and(|one| scram::fits(one, password)) {
        return Ok(None);
    }
    changed(ADMIN, password, Some(true), rng).map(Some)
}

impl Db {
    /// Sees to it that the role `admin` is a superuser with this password: what a configuration says of it holds
    /// each time that the node starts.
    ///
    /// # Errors
    /// `Invalid` for a password that cannot be one. Where `admin` came from the cloud it stays the cloud's.
    pub async fn set_admin_password(&self, password: String) -> Result<()> {
        let inner = self.inner.clone();
        self.blocking(move || {
            let state = inner.catalog.state();
            match administered(&state, &password, inner.env.rng.as_ref())? {
                Some(change) => inner.change(Change::Role(change)).map(drop),
                None => Ok(()),
            }
        })
        .await
    }
}
