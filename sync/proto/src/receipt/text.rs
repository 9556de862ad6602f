//! A receipt as a file that people keep: named members, numbers and hexadecimal digits.

use activestore_types::{Epoch, Error, NodeId, Result};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Receipt, Statement};
use crate::segment::ChainHash;

/// What the file says it is.
const FORMAT: &str = "activestore receipt 1";

/// A receipt in words, for JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptText {
    /// Always the same: the form of the file.
    pub format: String,
    /// The cloud's node id.
    pub cloud: String,
    /// The edge's node id.
    pub edge: String,
    /// The epoch, 16 hex digits.
    pub epoch: String,
    /// The last segment covered.
    pub seq: u64,
    /// Its hash.
    pub hash: String,
    /// Rows up to there in the epoch.
    pub rows: u64,
    /// When it was signed, milliseconds since 1970.
    pub issued_ms: u64,
    /// The signature, in hex digits.
    pub signature: String,
    /// The signer's certificate and those above it, DER in hex digits.
    pub certificates: Vec<String>,
}

impl From<&Receipt> for ReceiptText {
    fn from(receipt: &Receipt) -> Self {
        let said = &receipt.statement;
        ReceiptText {
            format: FORMAT.to_owned(),
            cloud: said.cloud.to_string(),
            edge: said.edge.to_string(),
            epoch: format!("{:016x}", said.epoch.0),
            seq: said.seq,
            hash: said.hash.to_string(),
            rows: said.rows,
            issued_ms: said.issued_ms,
            signature: hex(&receipt.signature),
            certificates: receipt.certificates.iter().map(|one| hex(one)).collect(),
        }
    }
}

impl TryFrom<&ReceiptText> for Receipt {
    type Error = Error;

    fn try_from(text: &ReceiptText) -> Result<Self> {
        if text.format != FORMAT {
            return Err(Error::invalid(format!(
                "'{}' is no form of a receipt that is known here: '{FORMAT}' expected",
                text.format
            )));
        }
        let epoch = unhex("epoch", &text.epoch)?
            .try_into()
            .map_err(|_| wrong("epoch"))?;
        let hash = unhex("hash", &text.hash)?
            .try_into()
            .map_err(|_| wrong("hash"))?;
        let certificates = text.certificates.iter();
        let receipt = Receipt {
            statement: Statement {
                cloud: node("cloud", &text.cloud)?,
                edge: node("edge", &text.edge)?,
                epoch: Epoch(u64::from_be_bytes(epoch)),
                seq: text.seq,
                hash: ChainHash(hash),
                rows: text.rows,
                issued_ms: text.issued_ms,
            },
            signature: unhex("signature", &text.signature)?.into(),
            certificates: certificates
                .map(|one| Ok(Bytes::from(unhex("certificate", one)?)))
                .collect::<Result<_>>()?,
        };
        receipt.check_bounds()?;
        Ok(receipt)
    }
}

fn node(what: &str, text: &str) -> Result<NodeId> {
    text.parse().map_err(|_| wrong(what))
}

fn wrong(what: &str) -> Error {
    Error::invalid(format!("the receipt's {what} cannot be read"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(what: &str, text: &str) -> Result<Vec<u8>> {
    let digits: Vec<u32> = text
        .chars()
        .map(|digit| digit.to_digit(16).ok_or_else(|| wrong(what)))
        .collect::<Result<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(wrong(what));
    }
    pairs
        .iter()
        .map(|[high, low]| u8::try_from(high * 16 + low).map_err(|_| wrong(what)))
        .collect()
}
