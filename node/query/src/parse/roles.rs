//! `CREATE`, `ALTER` and `DROP` of roles and tokens, `GRANT` and `REVOKE`.

use std::collections::BTreeSet;
use std::time::Duration;

use activestore_catalog::{Grant, Privilege, RoleChange, Scope, parse_duration};
use activestore_types::{Error, Result};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::secret::Secret;
use super::statement::{Show, Statement};

/// A statement about roles. The database makes what checks a password of it, and the token of a `CREATE TOKEN`.
#[derive(Clone, Debug, PartialEq)]
pub enum RoleStatement {
    /// `CREATE ROLE | USER name [WITH] …`.
    Create {
        /// The role.
        name: String,
        /// Whether it may log in.
        login: bool,
        /// Whether it may do everything.
        superuser: bool,
        /// Its password.
        password: Option<Secret>,
        /// `IN ROLE`.
        member_of: BTreeSet<String>,
        /// No error when it exists.
        if_not_exists: bool,
    },
    /// `ALTER ROLE | USER name [WITH] …`: what is `None` stays.
    Alter {
        /// The role.
        name: String,
        /// Whether it may log in.
        login: Option<bool>,
        /// Whether it may do everything.
        superuser: Option<bool>,
        /// Another password, or none (`PASSWORD NULL`).
        password: Option<Option<Secret>>,
    },
    /// What needs nothing but the catalog, one after the other.
    Change {
        /// What is applied.
        changes: Vec<RoleChange>,
        /// What the answer says: `GRANT`.
        tag: &'static str,
    },
    /// `CREATE TOKEN FOR role [WITH (expires = '30d', label = '…')]`.
    CreateToken {
        /// Whom it stands for.
        role: String,
        /// How long it is valid; `None` is until it is dropped.
        expires: Option<Duration>,
        /// What people call it.
        label: String,
    },
}

/// After `CREATE`; `None` where something else is created.
pub(super) fn create(cursor: &mut Cursor<'_>) -> Result<Option<Statement>> {
    if cursor.words(&["TOKEN", "FOR"]) {
        return create_token(cursor).map(Some);
    }
    let user = cursor.word("USER");
    if !user && !cursor.word("ROLE") {
        return Ok(None);
    }
    cursor.conceal();
    let if_not_exists = cursor.if_not_exists()?;
    let name = cursor.identifier("the name of a role")?;
    let options = Options::read(cursor, true)?;
    Ok(Some(Statement::Role(RoleStatement::Create {
        name,
        login: options.login.unwrap_or(user),
        superuser: options.superuser.unwrap_or(false),
        password: options.password.flatten(),
        member_of: options.member_of,
        if_not_exists,
    })))
}

/// After `ALTER`; `None` where something else is altered.
pub(super) fn alter(cursor: &mut Cursor<'_>) -> Result<Option<Statement>> {
    if !cursor.word("ROLE") && !cursor.word("USER") {
        return Ok(None);
    }
    cursor.conceal();
    let name = cursor.identifier("the name of a role")?;
    let options = Options::read(cursor, false)?;
    Ok(Some(Statement::Role(RoleStatement::Alter {
        name,
        login: options.login,
        superuser: options.superuser,
        password: options.password,
    })))
}

/// After `DROP`; `None` where something else is dropped.
pub(super) fn drop(cursor: &mut Cursor<'_>) -> Result<Option<Statement>> {
    if cursor.word("TOKEN") {
        let if_exists = cursor.if_exists()?;
        let id = cursor.string("the id of a token")?;
        let change = RoleChange::DropToken { id, if_exists };
        return Ok(Some(changed(vec![change], "DROP TOKEN")));
    }
    if !cursor.word("ROLE") && !cursor.word("USER") {
        return Ok(None);
    }
    let if_exists = cursor.if_exists()?;
    let name = cursor.identifier("the name of a role")?;
    let change = RoleChange::Drop { name, if_exists };
    Ok(Some(changed(vec![change], "DROP ROLE")))
}

/// After `SHOW`; `None` where something else is shown.
pub(super) fn show(cursor: &mut Cursor<'_>) -> Result<Option<Show>> {
    if cursor.word("ROLES") || cursor.word("USERS") {
        return Ok(Some(Show::Roles));
    }
    if cursor.word("TOKENS") {
        return Ok(Some(Show::Tokens));
    }
    if !cursor.word("GRANTS") {
        return Ok(None);
    }
    let role = if cursor.word("FOR") {
        Some(cursor.identifier("the name of a role")?)
    } else {
        None
    };
    Ok(Some(Show::Grants { role }))
}

/// After `GRANT`.
pub(super) fn grant(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let changes = match rights(cursor)? {
        Rights::Grants(grants) => {
            cursor.expect_word("TO")?;
            let grant = |to| RoleChange::Grant {
                grants: grants.clone(),
                to,
            };
            names(cursor)?.into_iter().map(grant).collect()
        }
        Rights::Roles(roles) => {
            cursor.expect_word("TO")?;
            let members = names(cursor)?;
            pairs(&roles, &members)
                .map(|(role, member)| RoleChange::Join { role, member })
                .collect()
        }
    };
    Ok(changed(changes, "GRANT"))
}

/// After `REVOKE`.
pub(super) fn revoke(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let changes = match rights(cursor)? {
        Rights::Grants(grants) => {
            cursor.expect_word("FROM")?;
            let revoke = |from| RoleChange::Revoke {
                grants: grants.clone(),
                from,
            };
            names(cursor)?.into_iter().map(revoke).collect()
        }
        Rights::Roles(roles) => {
            cursor.expect_word("FROM")?;
            let members = names(cursor)?;
            pairs(&roles, &members)
                .map(|(role, member)| RoleChange::Leave { role, member })
                .collect()
        }
    };
    Ok(changed(changes, "REVOKE"))
}

fn changed(changes: Vec<RoleChange>, tag: &'static str) -> Statement {
    Statement::Role(RoleStatement::Change { changes, tag })
}

fn pairs(roles: &[String], members: &[String]) -> impl Iterator<Item = (String, String)> {
    roles.iter().flat_map(move |role| {
        members
            .iter()
            .map(move |member| (role.clone(), member.clone()))
    })
}

#[derive(Default)]
struct Options {
    login: Option<bool>,
    superuser: Option<bool>,
    password: Option<Option<Secret>>,
    member_of: BTreeSet<String>,
}

impl Options {
    /// What a role is to be, in any order.
    fn read(cursor: &mut Cursor<'_>, in_role: bool) -> Result<Options> {
        let mut options = Options::default();
        let mut any = cursor.word("WITH");
        loop {
            if cursor.word("LOGIN") {
                options.login = Some(true);
            } else if cursor.word("NOLOGIN") {
                options.login = Some(false);
            } else if cursor.word("SUPERUSER") {
                options.superuser = Some(true);
            } else if cursor.word("NOSUPERUSER") {
                options.superuser = Some(false);
            } else if cursor.word("PASSWORD") {
                options.password = Some(if cursor.word("NULL") {
                    None
                } else {
                    Some(Secret::new(cursor.string("a password")?))
                });
            } else if in_role && cursor.words(&["IN", "ROLE"]) {
                options.member_of.extend(names(cursor)?);
            } else if cursor.at_end() || cursor.peek_token(&Token::SemiColon) {
                if any || in_role {
                    return Ok(options);
                }
                return Err(cursor.expected("LOGIN, NOLOGIN, SUPERUSER, NOSUPERUSER or PASSWORD"));
            } else {
                return Err(cursor
                    .expected("LOGIN, NOLOGIN, SUPERUSER, NOSUPERUSER, PASSWORD '…' or IN ROLE"));
            }
            any = true;
        }
    }
}

fn create_token(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let role = cursor.identifier("the name of a role")?;
    let (mut expires, mut label) = (None, String::new());
    if cursor.word("WITH") {
        for (name, value) in cursor.options()? {
            match name.as_str() {
                "expires" => expires = Some(parse_duration(&value)?),
                "label" => label = value,
                _ => {
                    return Err(Error::invalid(format!("a token has no option '{name}'"))
                        .with_hint("it has two: expires = '30d' and label = '…'"));
                }
            }
        }
    }
    Ok(Statement::Role(RoleStatement::CreateToken {
        role,
        expires,
        label,
    }))
}

fn names(cursor: &mut Cursor<'_>) -> Result<Vec<String>> {
    let mut names = vec![cursor.identifier("the name of a role")?];
    while cursor.token(&Token::Comma) {
        names.push(cursor.identifier("the name of a role")?);
    }
    Ok(names)
}

/// What is granted: rights on something, or membership in roles.
enum Rights {
    Grants(BTreeSet<Grant>),
    Roles(Vec<String>),
}

/// `privilege, … ON what`, or names of roles.
fn rights(cursor: &mut Cursor<'_>) -> Result<Rights> {
    let Some(mut privileges) = privilege(cursor)? else {
        return names(cursor).map(Rights::Roles);
    };
    while cursor.token(&Token::Comma) {
        let more = privilege(cursor)?;
        privileges.extend(more.ok_or_else(|| cursor.expected("a privilege"))?);
    }
    cursor.expect_word("ON")?;
    let on = scope(cursor)?;
    // ALL is what there is to be granted there.
    let all = privileges.len() == Privilege::ALL.len();
    let grants = privileges
        .into_iter()
        .filter(|privilege| !all || on.takes(*privilege))
        .map(|privilege| Grant {
            privilege,
            on: on.clone(),
        });
    Ok(Rights::Grants(grants.collect()))
}

fn privilege(cursor: &mut Cursor<'_>) -> Result<Option<BTreeSet<Privilege>>> {
    if cursor.word("ALL") {
        let _optional = cursor.word("PRIVILEGES") || cursor.word("PERMISSIONS");
        return Ok(Some(BTreeSet::from(Privilege::ALL)));
    }
    if cursor.word("MODIFY") {
        return Ok(Some(BTreeSet::from(Privilege::MODIFY)));
    }
    let found = Privilege::ALL
        .into_iter()
        .find(|privilege| cursor.word(privilege.name()));
    Ok(found.map(|privilege| BTreeSet::from([privilege])))
}

fn scope(cursor: &mut Cursor<'_>) -> Result<Scope> {
    if cursor.words(&["ALL", "KEYSPACES"]) || cursor.words(&["ALL", "SCHEMAS"]) {
        return Ok(Scope::AllKeyspaces);
    }
    if cursor.words(&["ALL", "FUNCTIONS"]) {
        return Ok(Scope::AllFunctions);
    }
    if cursor.word("KEYSPACE") || cursor.word("SCHEMA") {
        return Ok(Scope::Keyspace(cursor.identifier("a keyspace")?));
    }
    if cursor.words(&["TABLE", "FUNCTION"]) || cursor.word("FUNCTION") || cursor.word("AGGREGATE") {
        return Ok(Scope::Function(cursor.identifier("a function")?));
    }
    if cursor.word("MODEL") {
        return Ok(Scope::Model(cursor.identifier("a model")?));
    }
    let _optional = cursor.word("TABLE");
    if cursor.peek_word("ALL") {
        return Err(cursor.expected("ALL KEYSPACES or ALL FUNCTIONS"));
    }
    cursor.table_name().map(Scope::Table)
}
