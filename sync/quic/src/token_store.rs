//! The cloud's record of tokens and of the edges that joined with them: one JSON file, changed under
//! a lock so that the command line and a running server may both use it. Secrets are kept as hashes.
//!
//! A token admits one node once. The same node with the same key may show it again while it is
//! valid: the answer to the first time may have been lost on the way.

mod standing;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use activestore_types::{Error, Labels, NodeId, Result};
use parking_lot::Mutex;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

use crate::clock::wall_ms;
use crate::files;
use crate::identity::CloudIdentity;
use crate::member::Member;
use crate::token::{JoinToken, MAX_ADDRESSES};
pub(crate) use standing::Standing;

const FILE: &str = "tokens.json";
const LOCK: &str = "tokens.lock";
/// More tokens than this are not kept at once.
const MAX_TOKENS: usize = 100_000;

/// What a new token is for.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// What the holder becomes; today only `edge`.
    pub role: String,
    /// A label for people, shown in lists.
    pub label: String,
    /// The labels that the edge has from then on.
    pub labels: Labels,
    /// How long it may be used.
    pub lifetime: Duration,
    /// Where the cloud can be reached, as `HOST:PORT`; rides in the token.
    pub addresses: Vec<String>,
}

impl Default for TokenRequest {
    fn default() -> Self {
        TokenRequest {
            role: "edge".to_owned(),
            label: String::new(),
            labels: Labels::default(),
            lifetime: Duration::from_secs(3600),
            addresses: Vec::new(),
        }
    }
}

/// A token as lists show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenInfo {
    /// A short name for it: the first half of its secret's hash.
    pub id: String,
    /// What the holder becomes.
    pub role: String,
    /// The label it was made with.
    pub label: String,
    /// The labels of the edge that joins with it.
    #[serde(default)]
    pub labels: Labels,
    /// When it was made, milliseconds since 1970.
    pub issued_ms: u64,
    /// When it can no longer be used, milliseconds since 1970.
    pub expires_ms: u64,
    /// The node that joined with it.
    pub node: Option<NodeId>,
    /// The name that node gave.
    pub name: Option<String>,
    /// Whether the token, and with it the node, was turned away.
    pub revoked: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    secret_sha256: String,
    key_sha256: Option<String>,
    #[serde(flatten)]
    info: TokenInfo,
}

impl Record {
    fn is_of(&self, member: &Member) -> bool {
        self.info.node == Some(member.node) && self.key_sha256.as_ref() == Some(&member.key_sha256)
    }
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Records {
    tokens: Vec<Record>,
}

/// The file of tokens. It is read anew whenever it was replaced, by whatever process.
#[derive(Debug)]
pub struct TokenStore {
    directory: PathBuf,
    /// What was read last, so that ten thousand edges that come at once do not cost as many readings.
    known: Mutex<Option<(files::Mark, Arc<Records>)>>,
}

impl TokenStore {
    /// The tokens in `directory`, which is made if missing.
    ///
    /// # Errors
    /// When the directory cannot be made or the file in it is not a list of tokens.
    pub fn open(directory: &Path) -> Result<TokenStore> {
        files::make_private_dir(directory)?;
        let store = TokenStore {
            directory: directory.to_owned(),
            known: Mutex::default(),
        };
        store.read()?;
        Ok(store)
    }

    /// Makes a token. It is shown once: only its hash is kept.
    ///
    /// # Errors
    /// `Invalid` for another role than `edge` or too many addresses; when the file cannot be
    /// written.
    pub fn create(&self, identity: &CloudIdentity, request: TokenRequest) -> Result<JoinToken> {
        self.create_at(identity, request, wall_ms())
    }

    fn create_at(
        &self,
        identity: &CloudIdentity,
        request: TokenRequest,
        now_ms: u64,
    ) -> Result<JoinToken> {
        if request.role != "edge" {
            return Err(Error::invalid(format!(
                "a token for the role '{}' cannot be made: only 'edge' joins by token",
                request.role
            )));
        }
        if request.addresses.len() > MAX_ADDRESSES {
            return Err(Error::invalid(format!(
                "a token carries at most {MAX_ADDRESSES} addresses"
            )));
        }
        let mut secret = [0; 16];
        SystemRandom::new()
            .fill(&mut secret)
            .map_err(|_| Error::internal("the system gave no random bytes"))?;
        let secret_sha256 = hex_sha256(&secret);
        let lifetime_ms = u64::try_from(request.lifetime.as_millis()).unwrap_or(u64::MAX);
        let info = TokenInfo {
            id: secret_sha256.chars().take(12).collect(),
            role: request.role,
            label: request.label,
            labels: request.labels,
            issued_ms: now_ms,
            expires_ms: now_ms.saturating_add(lifetime_ms),
            node: None,
            name: None,
            revoked: false,
        };
        self.change(|records| {
            if records.tokens.len() >= MAX_TOKENS {
                return Err(Error::overloaded("too many tokens are kept")
                    .with_hint("remove old ones with `activestore token remove`"));
            }
            records.tokens.push(Record {
                secret_sha256,
                key_sha256: None,
                info,
            });
            Ok(())
        })?;
        Ok(JoinToken {
            ca_sha256: identity.ca_sha256(),
            secret,
            issued_ms: now_ms,
            addresses: request.addresses,
        })
    }

    /// Every token, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn list(&self) -> Result<Vec<TokenInfo>> {
        let records = self.read()?;
        let infos = records.tokens.iter().map(|token| token.info.clone());
        Ok(infos.collect())
    }

    /// Turns a token away, and with it the node that joined with it: a running server ends its session within a second
    /// or two, and it is refused from then on.
    ///
    /// # Errors
    /// `NotFound` when there is no token of that id.
    pub fn revoke(&self, id: &str) -> Result<()> {
        self.change(|records| {
            let token = records
                .tokens
                .iter_mut()
                .find(|token| token.info.id == id)
                .ok_or_else(|| Error::not_found(format!("there is no token '{id}'")))?;
            token.info.revoked = true;
            Ok(())
        })
    }

    /// Gives a node that joined other labels in the place of those it has.
    ///
    /// # Errors
    /// `NotFound` when it did not join here, or was turned away.
    pub fn relabel(&self, node: NodeId, labels: &Labels) -> Result<()> {
        self.change(|records| {
            let tokens = records.tokens.iter_mut();
            let mut standing = tokens
                .filter(|token| token.info.node == Some(node) && !token.info.revoked)
                .peekable();
            if standing.peek().is_none() {
                return Err(Error::not_found(format!("node {node} has not joined here"))
                    .with_hint("system.sync_peers shows the edges of this node"));
            }
            standing.for_each(|token| token.info.labels.clone_from(labels));
            Ok(())
        })
    }

    /// Every node that joined and was not turned away, with its labels.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn members(&self) -> Result<BTreeMap<NodeId, Labels>> {
        let records = self.read()?;
        let infos = records.tokens.iter().map(|token| token.info.clone());
        let infos = infos.filter(|info| !info.revoked);
        // Of a node that joined again, the newest token says which it has.
        Ok(infos
            .filter_map(|info| Some((info.node?, info.labels)))
            .collect())
    }

    /// Whether a node may connect: it joined with that key, and was not turned away since. Its labels, if so.
    pub(crate) fn admits(&self, member: &Member) -> Result<Labels> {
        let node = member.node;
        let records = self.read()?;
        let mut of_node = records
            .tokens
            .iter()
            .filter(|token| token.info.node == Some(node))
            .peekable();
        if of_node.peek().is_none() {
            return Err(Error::denied(format!("node {node} has not joined here")));
        }
        let mut standing = of_node.filter(|token| !token.info.revoked).peekable();
        if standing.peek().is_none() {
            return Err(Error::denied(format!("node {node} was turned away")));
        }
        let mut with_key = standing.filter(|token| token.is_of(member));
        with_key
            .next_back()
            .map(|token| token.info.labels.clone())
            .ok_or_else(|| {
                Error::denied(format!(
                    "node {node} has joined again since, with another key"
                ))
            })
    }

    /// Everybody who may connect, as of now.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn standing(&self) -> Result<Standing> {
        Ok(Standing(self.read()?))
    }

    /// Uses a token for `node` with that public key; durable when it returns.
    ///
    /// # Errors
    /// `Denied` when the token is unknown, used, expired or turned away, or when the node joined
    /// before with another key.
    pub(crate) fn redeem(
        &self,
        secret: &[u8],
        node: NodeId,
        name: &str,
        public_key: &[u8],
    ) -> Result<()> {
        self.redeem_at(secret, node, name, public_key, wall_ms())
    }

    fn redeem_at(
        &self,
        secret: &[u8],
        node: NodeId,
        name: &str,
        public_key: &[u8],
        now_ms: u64,
    ) -> Result<()> {
        let secret_sha256 = hex_sha256(secret);
        let key_sha256 = hex_sha256(public_key);
        let fresh = "make a new one on the cloud node with `activestore token create`";
        self.change(|records| {
            let other_key = records.tokens.iter().any(|token| {
                token.info.node == Some(node)
                    && !token.info.revoked
                    && token.key_sha256.as_ref() != Some(&key_sha256)
            });
            let token = records
                .tokens
                .iter_mut()
                .find(|token| token.secret_sha256 == secret_sha256)
                .ok_or_else(|| Error::denied("the token is not known here").with_hint(fresh))?;
            if token.info.revoked {
                return Err(Error::denied("the token was turned away").with_hint(fresh));
            }
            if token.info.expires_ms <= now_ms {
                return Err(Error::denied("the token has expired").with_hint(fresh));
            }
            if let Some(holder) = token.info.node {
                if holder == node && token.key_sha256.as_ref() == Some(&key_sha256) {
                    return Ok(());
                }
                return Err(Error::denied("the token has been used").with_hint(fresh));
            }
            if other_key {
                return Err(Error::denied(format!(
                    "node {node} has joined before with another key"
                ))
                .with_hint("turn its old token away first, if the device lost its key"));
            }
            token.info.node = Some(node);
            token.info.name = Some(name.to_owned());
            token.key_sha256 = Some(key_sha256);
            Ok(())
        })
    }

    fn read(&self) -> Result<Arc<Records>> {
        let path = self.directory.join(FILE);
        // Taken before the bytes: where the file is replaced in between, the next reading finds another mark.
        let Some(mark) = files::mark(&path)? else {
            return Ok(Arc::default());
        };
        if let Some((known, records)) = &*self.known.lock()
            && *known == mark
        {
            return Ok(records.clone());
        }
        let records: Arc<Records> = match files::read(&path)? {
            None => Arc::default(),
            Some(bytes) => Arc::new(serde_json::from_slice(&bytes).map_err(|error| {
                Error::corrupt(format!("{} cannot be read: {error}", path.display()))
            })?),
        };
        if mark.is_settled() {
            *self.known.lock() = Some((mark, records.clone()));
        }
        Ok(records)
    }

    fn change(&self, act: impl FnOnce(&mut Records) -> Result<()>) -> Result<()> {
        let _lock = files::lock(&self.directory.join(LOCK))?;
        // Never what is kept: two changes may be too close for the file to look different.
        *self.known.lock() = None;
        let mut records = Arc::unwrap_or_clone(self.read()?);
        act(&mut records)?;
        let bytes =
            serde_json::to_vec(&records).map_err(|error| Error::internal(error.to_string()))?;
        files::write_private(&self.directory.join(FILE), &bytes)?;
        *self.known.lock() = None;
        Ok(())
    }
}

pub(crate) fn hex_sha256(bytes: &[u8]) -> String {
    ring::digest::digest(&ring::digest::SHA256, bytes)
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests;
