//! Who shows a certificate: the node that it names, and the key that was proven with it. Both count: a device that joined
//! again, with another key, shuts out the certificate that it had before.

use activestore_types::{NodeId, Result};

use crate::certificate::{key_of, node_of};
use crate::token_store::hex_sha256;

/// A node with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) node: NodeId,
    /// SHA-256 of its public key, in hexadecimal digits.
    pub(crate) key_sha256: String,
}

impl Member {
    pub(crate) fn new(node: NodeId, public_key: &[u8]) -> Member {
        Member {
            node,
            key_sha256: hex_sha256(public_key),
        }
    }

    /// Of whom a certificate is.
    ///
    /// # Errors
    /// `Denied` when it names no node.
    pub(crate) fn of(certificate: &[u8]) -> Result<Member> {
        Ok(Member::new(node_of(certificate)?, &key_of(certificate)?))
    }
}
