//! The token an edge joins with, as text: `as1_` and URL-safe base64 of the cluster's certificate
//! hash, a secret, the moment it was made and, if known, where the cloud listens. The hash lets the
//! edge know its cloud before it says the secret; the moment gives a device without a clock a time.

use std::fmt;
use std::str::FromStr;

use activestore_types::{Error, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

const PREFIX: &str = "as1_";
/// No token comes near this length.
const MAX_TEXT_BYTES: usize = 4096;
/// At most this many addresses ride in a token.
pub(crate) const MAX_ADDRESSES: usize = 8;

/// A token, read or about to be shown. It is a secret until it was used.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinToken {
    pub(crate) ca_sha256: [u8; 32],
    pub(crate) secret: [u8; 16],
    pub(crate) issued_ms: u64,
    pub(crate) addresses: Vec<String>,
}

impl JoinToken {
    /// Where the cloud listens, as `HOST:PORT`; may be empty.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = postcard::to_stdvec(self).map_err(|_| fmt::Error)?;
        write!(f, "{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinToken(secret)")
    }
}

impl FromStr for JoinToken {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::invalid("this is not a join token")
                .with_hint("make one on the cloud node with `activestore token create`")
        };
        let text = text.trim();
        let body = text.strip_prefix(PREFIX).ok_or_else(wrong)?;
        if text.len() > MAX_TEXT_BYTES {
            return Err(wrong());
        }
        let bytes = URL_SAFE_NO_PAD.decode(body).map_err(|_| wrong())?;
        let (token, rest) = postcard::take_from_bytes::<JoinToken>(&bytes).map_err(|_| wrong())?;
        if !rest.is_empty() || token.addresses.len() > MAX_ADDRESSES {
            return Err(wrong());
        }
        Ok(token)
    }
}
