//! Logins by SCRAM-SHA-256 (RFC 5802), where the password itself never crosses the wire. A name that is none is asked
//! as one that is, with a salt that stays the same for it.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use activestore_catalog::{MAX_NAME_BYTES, ScramVerifier};
use activestore_types::{Error, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac};

use super::login::Logins;
use super::{Principal, Proof, refused};
use crate::db::Db;

/// Random bytes of a nonce.
const NONCE_BYTES: usize = 18;
/// The longest message of a client.
const MESSAGE_BYTES_MAX: usize = 2048;
/// What a client that binds no channel says of it, in base64: `n,,` and `y,,`.
const UNBOUND: [(&str, &str); 2] = [("n", "biws"), ("y", "eSws")];

/// How a role proves who it is on a wire that asks before anything is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginWay {
    /// By SCRAM: it has a password, or there is no such role.
    Scram,
    /// By a secret that is sent: it has tokens and no password.
    Secret,
}

/// A login by SCRAM under way.
pub struct ScramLogin {
    db: Db,
    user: String,
    from: IpAddr,
    verifier: ScramVerifier,
    is_real: bool,
    nonce: String,
    /// The client's first message without its head, and the answer.
    said: Option<(String, String, &'static str)>,
}

impl Db {
    /// How this role logs in where a wire has to ask.
    pub fn login_way(&self, user: &str) -> LoginWay {
        let state = self.inner.catalog.state();
        match state.roles.get(user).filter(|role| role.login) {
            Some(role) if role.verifier.is_none() && !role.tokens.is_empty() => LoginWay::Secret,
            _ => LoginWay::Scram,
        }
    }

    /// Begins a login by SCRAM.
    ///
    /// # Errors
    /// `Overloaded` where too many logins failed.
    pub fn scram_login(&self, user: &str, from: IpAddr) -> Result<ScramLogin> {
        let inner = &self.inner;
        let now = inner.env.clock.monotonic();
        inner.logins.admit(from, Some(user), now)?;
        inner.logins.admit(from, None, now)?;
        let state = inner.catalog.state();
        let role = state.roles.get(user).filter(|role| role.login);
        let real = role.and_then(|role| role.verifier.clone());
        let is_real = real.is_some() && user.len() <= MAX_NAME_BYTES;
        let verifier = real.unwrap_or_else(|| inner.logins.stranger(user));
        let mut random = [0_u8; NONCE_BYTES];
        inner.env.rng.fill(&mut random);
        Ok(ScramLogin {
            db: self.clone(),
            user: user.to_owned(),
            from,
            verifier,
            is_real,
            nonce: STANDARD.encode(random),
            said: None,
        })
    }
}

impl Db {
    /// Random bytes, for the secrets of a wire.
    pub fn secret(&self) -> [u8; 8] {
        let mut secret = [0; 8];
        self.inner.env.rng.fill(&mut secret);
        secret
    }
}

impl Logins {
    /// What a name that is none is checked against: the same salt each time it is tried.
    fn stranger(&self, user: &str) -> ScramVerifier {
        let mut nobody = self.nobody.clone();
        let tag = hmac::sign(&self.key, user.as_bytes());
        for (to, from) in nobody.salt.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        nobody
    }
}

impl ScramLogin {
    /// Answers the client's first message.
    ///
    /// # Errors
    /// `Denied` for a message that is none, or one that binds a channel.
    pub fn first(&mut self, message: &[u8]) -> Result<String> {
        let message = text(message)?;
        let (flag, rest) = message.split_once(',').ok_or_else(odd)?;
        let (_authorized, bare) = rest.split_once(',').ok_or_else(odd)?;
        let bound = UNBOUND.iter().find(|(known, _)| *known == flag);
        let (_, bound) = bound.ok_or_else(|| {
            Error::denied("channel binding is not available here")
                .with_hint("connect with channel_binding=disable or prefer")
        })?;
        let nonce = value(bare, 'r')?;
        if self.said.is_some() || nonce.is_empty() {
            return Err(odd());
        }
        let answer = format!(
            "r={nonce}{},s={},i={}",
            self.nonce,
            STANDARD.encode(&self.verifier.salt),
            self.verifier.iterations
        );
        self.said = Some((bare.to_owned(), answer.clone(), bound));
        Ok(answer)
    }

    /// Checks the client's proof: who it is, and the proof of this node that it is told.
    ///
    /// # Errors
    /// `Denied` for a wrong one.
    pub fn last(self, message: &[u8]) -> Result<(Principal, String)> {
        let inner = &self.db.inner;
        let counts = &inner.logins.counts;
        // Others that began beside this one may have failed meanwhile: a guess is looked at, or it is not.
        let now = inner.env.clock.monotonic();
        inner.logins.admit(self.from, Some(&self.user), now)?;
        inner.logins.admit(self.from, None, now)?;
        let checked = self.check(message);
        match checked {
            Ok(Some(signature)) if self.is_real => {
                inner.logins.succeeded(self.from, &self.user);
                counts.succeeded.fetch_add(1, Ordering::Relaxed);
                let role: Arc<str> = self.user.as_str().into();
                let proof = Proof::password(Some(&self.verifier));
                Ok((Principal::Role(role, proof), signature))
            }
            Ok(_) => {
                inner.logins.failed(self.from, &self.user, now);
                counts.failed.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(from = %self.from, user = self.user, "a login failed");
                Err(refused())
            }
            Err(error) => {
                counts.failed.fetch_add(1, Ordering::Relaxed);
                Err(error)
            }
        }
    }

    /// The node's proof where the client's is right.
    fn check(&self, message: &[u8]) -> Result<Option<String>> {
        let message = text(message)?;
        let (bare, answer, bound) = self.said.as_ref().ok_or_else(odd)?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or_else(odd)?;
        let nonce = value(answer, 'r')?;
        if value(without_proof, 'c')? != *bound || value(without_proof, 'r')? != nonce {
            return Err(odd());
        }
        let proof = STANDARD.decode(proof).map_err(|_| odd())?;
        let agreed = format!("{bare},{answer},{without_proof}");
        let stored = hmac::Key::new(hmac::HMAC_SHA256, &self.verifier.stored_key);
        let signature = hmac::sign(&stored, agreed.as_bytes());
        if proof.len() != signature.as_ref().len() {
            return Err(odd());
        }
        let both = proof.iter().zip(signature.as_ref());
        let key: Vec<u8> = both.map(|(one, other)| one ^ other).collect();
        let hash = digest::digest(&digest::SHA256, &key);
        // Compared by a tag, so that the time it takes does not say how much was right.
        let tag = hmac::sign(&stored, hash.as_ref());
        if hmac::verify(&stored, &self.verifier.stored_key, tag.as_ref()).is_err() {
            return Ok(None);
        }
        let server = hmac::Key::new(hmac::HMAC_SHA256, &self.verifier.server_key);
        let proof = hmac::sign(&server, agreed.as_bytes());
        Ok(Some(format!("v={}", STANDARD.encode(proof.as_ref()))))
    }
}

fn odd() -> Error {
    Error::denied("the login is not as SCRAM-SHA-256 has it")
}

fn text(message: &[u8]) -> Result<&str> {
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(odd());
    }
    std::str::from_utf8(message).map_err(|_| odd())
}

/// The value of an attribute.
fn value(message: &str, name: char) -> Result<&str> {
    message
        .split(',')
        .find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
        .ok_or_else(odd)
}
