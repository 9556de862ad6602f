//! Statements about roles: what checks a password is made of it here, and a token is made and shown once.

use std::sync::Arc;
use std::time::Duration;

use activestore_catalog::{Change, RoleChange, RoleDef, ScramVerifier, TokenDef};
use activestore_query::{RoleStatement, Rows, Secret};
use activestore_types::{Error, Result};
use arrow::array::{ArrayRef, StringArray};
use arrow::record_batch::RecordBatch;

use super::SqlOutcome;
use crate::auth::{TOKEN_PREFIX, make_verifier, scram};
use crate::blobs::hex;
use crate::db::{Db, Inner};

const TOKEN_ID_BYTES: usize = 8;
const TOKEN_SECRET_BYTES: usize = 32;
/// The longest label of a token.
const LABEL_BYTES_MAX: usize = 128;

impl Db {
    pub(super) async fn roles(&self, statement: RoleStatement) -> Result<SqlOutcome> {
        let inner = self.inner.clone();
        self.blocking(move || inner.roles(statement)).await
    }
}

impl Inner {
    fn roles(&self, statement: RoleStatement) -> Result<SqlOutcome> {
        match statement {
            RoleStatement::Create {
                name,
                login,
                superuser,
                password,
                member_of,
                if_not_exists,
            } => {
                let verifier = password.map(|password| self.verifier(&password));
                let def = RoleDef {
                    login,
                    superuser,
                    verifier: verifier.transpose()?,
                    member_of,
                    ..RoleDef::named(name)
                };
                self.change(Change::Role(RoleChange::Create { def, if_not_exists }))?;
                Ok(SqlOutcome::definition("CREATE ROLE"))
            }
            RoleStatement::Alter {
                name,
                login,
                superuser,
                password,
            } => {
                let verifier = match password {
                    None => None,
                    Some(None) => Some(None),
                    Some(Some(password)) => Some(Some(self.verifier(&password)?)),
                };
                self.change(Change::Role(RoleChange::Alter {
                    name,
                    login,
                    superuser,
                    verifier,
                }))?;
                Ok(SqlOutcome::definition("ALTER ROLE"))
            }
            RoleStatement::Change { changes, tag } => {
                for change in changes {
                    self.change(Change::Role(change))?;
                }
                Ok(SqlOutcome::definition(tag))
            }
            RoleStatement::CreateToken {
                role,
                expires,
                label,
            } => self.create_token(role, expires, label),
        }
    }

    fn verifier(&self, password: &Secret) -> Result<ScramVerifier> {
        make_verifier(password.reveal(), self.env.rng.as_ref())
    }

    fn create_token(
        &self,
        role: String,
        expires: Option<Duration>,
        label: String,
    ) -> Result<SqlOutcome> {
        if label.len() > LABEL_BYTES_MAX || label.chars().any(char::is_control) {
            return Err(Error::invalid(format!(
                "a token's label has {LABEL_BYTES_MAX} printable bytes at most"
            )));
        }
        let mut id = [0_u8; TOKEN_ID_BYTES];
        let mut secret = [0_u8; TOKEN_SECRET_BYTES];
        self.env.rng.fill(&mut id);
        self.env.rng.fill(&mut secret);
        let (id, secret) = (hex(&id), hex(&secret));
        let now = self.wall_ms();
        let lasts = expires.map(|lasts| u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX));
        let token = TokenDef {
            sha256: scram::token_hash(&secret),
            label,
            created_ms: now,
            expires_ms: lasts.map(|lasts| now.saturating_add(lasts)),
        };
        let shown = format!("{TOKEN_PREFIX}{id}_{secret}");
        self.change(Change::Role(RoleChange::PutToken {
            role,
            id: id.clone(),
            token,
        }))?;
        let text = |value: String| Arc::new(StringArray::from(vec![value])) as ArrayRef;
        let batch = RecordBatch::try_from_iter([("id", text(id)), ("token", text(shown))])?;
        Ok(SqlOutcome::Rows(Rows::from_batches(
            batch.schema(),
            vec![batch],
        )))
    }
}
