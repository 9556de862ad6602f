//! Receipts signed and checked: the cloud signs with the key of its server certificate, and whoever has the
//! fleet's authority checks, on a node or without one.
//!
//! What counts is the certificate of a cloud: an edge's is of the same authority, but for another use, and
//! without the name that only clouds carry. Certificates are taken as of the moment that the receipt names, so that it
//! outlives them.

use std::time::Duration;

use activestore_sync_proto::{Receipt, Signer, Statement, Verifier};
use activestore_types::{Error, Result};
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use rustls::RootCertStore;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::certificate::SERVER_NAME;
use crate::identity::{CloudIdentity, EdgeIdentity};
use crate::tls::provider;

/// How an Ed25519 key says what it is in a certificate.
const ED25519_OID: &str = "1.3.101.112";

impl Signer for CloudIdentity {
    fn sign(&self, statement: &Statement) -> Result<Receipt> {
        let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(self.server_key().secret_der())
            .map_err(|error| Error::internal(format!("the cloud's key cannot sign: {error}")))?;
        let signature = key.sign(&statement.signed_bytes());
        Ok(Receipt {
            statement: *statement,
            signature: signature.as_ref().to_vec().into(),
            certificates: vec![self.server().to_vec().into()],
        })
    }
}

impl Verifier for EdgeIdentity {
    fn verify(&self, receipt: &Receipt) -> Result<()> {
        let membership = self
            .membership()
            .ok_or_else(|| Error::denied("this edge has joined no fleet yet"))?;
        check(receipt, &membership.ca)
    }
}

/// Checks that a cloud of the fleet signed the receipt; `ca_pem` is the fleet's authority, as it lies in
/// `identity/ca.crt` of any of its nodes.
///
/// # Errors
/// `Invalid` when `ca_pem` is no certificate; `Denied`, with what does not hold.
pub fn verify_receipt(receipt: &Receipt, ca_pem: &[u8]) -> Result<()> {
    let ca = CertificateDer::from_pem_slice(ca_pem).map_err(|_| {
        Error::invalid("the authority's file holds no certificate in PEM")
            .with_hint("take identity/ca.crt of the cloud's data directory, or of any edge's")
    })?;
    receipt.check_bounds()?;
    check(receipt, &ca)
}

fn check(receipt: &Receipt, ca: &CertificateDer<'static>) -> Result<()> {
    let chain: Vec<CertificateDer<'_>> = receipt
        .certificates
        .iter()
        .map(|one| CertificateDer::from(one.as_ref()))
        .collect();
    let Some((signer, above)) = chain.split_first() else {
        return Err(Error::denied("the receipt has no certificate"));
    };
    check_certificate(signer, above, ca, receipt.statement.issued_ms)?;
    let unreadable = || Error::denied("the signer's certificate cannot be read");
    let (_, parsed) = X509Certificate::from_der(signer).map_err(|_| unreadable())?;
    let key = parsed.public_key();
    if key.algorithm.algorithm.to_id_string() != ED25519_OID {
        return Err(Error::denied(
            "the signer's key is of another kind than receipts are signed with",
        ));
    }
    UnparsedPublicKey::new(&ED25519, key.subject_public_key.data.as_ref())
        .verify(&receipt.statement.signed_bytes(), &receipt.signature)
        .map_err(|_| Error::denied("the signature is not of what the receipt says"))
}

/// Whether the certificate is a cloud's, of that authority, at that moment.
fn check_certificate(
    signer: &CertificateDer<'_>,
    above: &[CertificateDer<'_>],
    ca: &CertificateDer<'static>,
    at_ms: u64,
) -> Result<()> {
    let stranger = |error: rustls::Error| {
        Error::denied(format!(
            "the signer's certificate is not one of a cloud of this fleet at that time: {error}"
        ))
    };
    let mut roots = RootCertStore::empty();
    roots.add(ca.clone()).map_err(stranger)?;
    let parsed = ParsedCertificate::try_from(signer).map_err(stranger)?;
    let at = UnixTime::since_unix_epoch(Duration::from_millis(at_ms));
    let algorithms = provider().signature_verification_algorithms.all;
    verify_server_cert_signed_by_trust_anchor(&parsed, &roots, above, at, algorithms)
        .map_err(stranger)?;
    let name = ServerName::try_from(SERVER_NAME)
        .map_err(|error| Error::internal(format!("the clouds' name: {error}")))?;
    verify_server_name(&parsed, &name).map_err(stranger)
}

#[cfg(test)]
mod tests;
