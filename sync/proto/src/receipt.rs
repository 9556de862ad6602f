//! Receipts: what a cloud says, over its signature, that it holds of an edge.
//!
//! A [`Statement`] names a point in the chain of one edge's segments. Since the chain ties each segment to
//! all before it, it speaks of every row up to there. Its bytes are fixed, so that whoever has the fleet's
//! authority can check the signature years later, without a node. Keys are the hosts': see [`Signer`] and
//! [`Verifier`].

mod text;

use activestore_types::{Epoch, Error, NodeId, Result};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::segment::ChainHash;

pub use text::ReceiptText;

/// Separates what is signed from everything else that the same key signs, and names its form.
const DOMAIN: &[u8] = b"activestore receipt 1\0";

/// Bytes of a signature, at most.
pub const MAX_SIGNATURE_BYTES: usize = 512;

/// Certificates of a receipt, at most.
pub const MAX_CERTIFICATES: usize = 4;

/// Bytes of one certificate, at most.
pub const MAX_CERTIFICATE_BYTES: usize = 4096;

/// What a cloud holds of one edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// The cloud that says so.
    pub cloud: NodeId,
    /// The edge whose rows it holds.
    pub edge: NodeId,
    /// The epoch of the edge's chain.
    pub epoch: Epoch,
    /// Every segment up to this one is durable at the cloud.
    pub seq: u64,
    /// The hash of segment `seq`, and through it of all before.
    pub hash: ChainHash,
    /// The row writes and tombstones in them, as the cloud counted them.
    pub rows: u64,
    /// The cloud's wall clock when it said so, milliseconds since 1970.
    pub issued_ms: u64,
}

impl Statement {
    /// The bytes that are signed: always the same for the same statement.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut bytes = DOMAIN.to_vec();
        bytes.extend(self.cloud.0);
        bytes.extend(self.edge.0);
        bytes.extend(self.epoch.0.to_le_bytes());
        bytes.extend(self.seq.to_le_bytes());
        bytes.extend(self.hash.0);
        bytes.extend(self.rows.to_le_bytes());
        bytes.extend(self.issued_ms.to_le_bytes());
        bytes
    }
}

/// A statement, signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// What is said.
    pub statement: Statement,
    /// The signature of [`Statement::signed_bytes`].
    pub signature: Bytes,
    /// The signer's certificate, and those between it and the fleet's authority.
    pub certificates: Vec<Bytes>,
}

impl Receipt {
    /// Whether every part keeps within the protocol's bounds.
    ///
    /// # Errors
    /// `Invalid`, naming the part that does not.
    pub fn check_bounds(&self) -> Result<()> {
        let most = |what: &str, found: usize, most: usize| {
            if found > most {
                return Err(Error::invalid(format!(
                    "a receipt's {what} has {found} bytes where {most} are allowed"
                )));
            }
            Ok(())
        };
        if self.statement.seq == 0 {
            return Err(Error::invalid("a receipt covers nothing: its segment is 0"));
        }
        if self.certificates.is_empty() || self.certificates.len() > MAX_CERTIFICATES {
            return Err(Error::invalid(format!(
                "a receipt has {} certificates where 1 to {MAX_CERTIFICATES} are allowed",
                self.certificates.len()
            )));
        }
        most("signature", self.signature.len(), MAX_SIGNATURE_BYTES)?;
        self.certificates
            .iter()
            .try_for_each(|one| most("certificate", one.len(), MAX_CERTIFICATE_BYTES))
    }
}

/// Who signs at the cloud.
pub trait Signer: Send + Sync {
    /// Signs a statement with the cloud's key.
    ///
    /// # Errors
    /// When the key cannot be used.
    fn sign(&self, statement: &Statement) -> Result<Receipt>;
}

/// Who knows at the edge whose signature counts.
pub trait Verifier: Send + Sync {
    /// Checks that a cloud of this node's fleet signed the receipt.
    ///
    /// # Errors
    /// `Denied`, with what does not hold.
    fn verify(&self, receipt: &Receipt) -> Result<()>;
}

#[cfg(test)]
mod tests;
