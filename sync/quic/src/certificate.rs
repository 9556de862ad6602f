//! Certificates: made, signed and read here and nowhere else. Keys are Ed25519. A node's certificate
//! names it in a URI, `activestore://node/<id>`; the cloud's server certificate carries the one DNS
//! name that edges check, whatever address they dialled.

use activestore_types::{Error, NodeId, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use time::OffsetDateTime;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::identity::sha256;

/// The name in every cloud node's server certificate.
pub(crate) const SERVER_NAME: &str = "cloud.activestore.internal";

const NODE_URI: &str = "activestore://node/";
const DAY_MS: u64 = 86_400_000;
const CA_DAYS: u64 = 30 * 365;
/// Server certificates are renewed at start, edge certificates over the network.
pub(crate) const NODE_DAYS: u64 = 365;
/// Certificates are valid from a little before they were made: clocks differ.
const BACKDATE_DAYS: u64 = 2;

fn failed(what: &str) -> impl Fn(rcgen::Error) -> Error + '_ {
    move |error| Error::internal(format!("{what}: {error}"))
}

pub(crate) fn generate_key() -> Result<KeyPair> {
    KeyPair::generate_for(&rcgen::PKCS_ED25519).map_err(failed("a key could not be made"))
}

fn params(common_name: &str, now_ms: u64, days: u64) -> Result<CertificateParams> {
    let at = |ms: u64| {
        OffsetDateTime::from_unix_timestamp((ms / 1000) as i64)
            .map_err(|error| Error::internal(format!("a certificate's time: {error}")))
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.not_before = at(now_ms.saturating_sub(BACKDATE_DAYS * DAY_MS))?;
    params.not_after = at(now_ms.saturating_add(days * DAY_MS))?;
    Ok(params)
}

/// A certificate authority of its own cluster.
pub(crate) fn make_ca(key: &KeyPair, now_ms: u64) -> Result<CertificateDer<'static>> {
    // A name of its own, so that another cluster's authority is unknown rather than forged.
    let digest = sha256(key.public_key_raw());
    let id: String = digest.iter().take(8).map(|b| format!("{b:02x}")).collect();
    let mut params = params(&format!("activestore cluster {id}"), now_ms, CA_DAYS)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params
        .self_signed(key)
        .map_err(failed("the cluster's certificate"))?;
    Ok(certificate.der().clone())
}

/// The authority, ready to sign.
pub(crate) fn issuer(ca: &CertificateDer<'_>, key: KeyPair) -> Result<Issuer<'static, KeyPair>> {
    Issuer::from_ca_cert_der(ca, key).map_err(failed("the cluster's certificate"))
}

pub(crate) fn make_server(
    key: &KeyPair,
    issuer: &Issuer<'_, KeyPair>,
    now_ms: u64,
) -> Result<CertificateDer<'static>> {
    let mut params = params("activestore cloud", now_ms, NODE_DAYS)?;
    let name = SERVER_NAME
        .try_into()
        .map_err(failed("the server's name"))?;
    params.subject_alt_names = vec![SanType::DnsName(name)];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let certificate = params
        .signed_by(key, issuer)
        .map_err(failed("the server's certificate"))?;
    Ok(certificate.der().clone())
}

/// An edge's request: its public key, proven, and its id.
pub(crate) fn make_request(key: &KeyPair, node: NodeId) -> Result<Vec<u8>> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, node.to_string());
    params.subject_alt_names = vec![node_uri(node)?];
    let request = params
        .serialize_request(key)
        .map_err(failed("the certificate request"))?;
    Ok(request.der().to_vec())
}

/// A request that was read and whose signature holds.
pub(crate) struct Request {
    parsed: CertificateSigningRequestParams,
}

impl Request {
    /// Reads a request for `node`.
    ///
    /// # Errors
    /// `Invalid` when it is no request, is not signed by its own key, or names another node.
    pub(crate) fn read(der: &[u8], node: NodeId) -> Result<Request> {
        let der = CertificateSigningRequestDer::from(der);
        let parsed = CertificateSigningRequestParams::from_der(&der).map_err(|error| {
            Error::invalid(format!("the certificate request cannot be read: {error}"))
        })?;
        if parsed.params.subject_alt_names != [node_uri(node)?] {
            return Err(Error::invalid(format!(
                "the certificate request does not name node {node}"
            )));
        }
        Ok(Request { parsed })
    }

    /// The public key, as it stands in the request.
    pub(crate) fn public_key(&self) -> &[u8] {
        use rcgen::PublicKeyData;
        self.parsed.public_key.der_bytes()
    }

    /// Signs a certificate for `node`. Nothing of the request but the key goes into it.
    pub(crate) fn sign(
        &self,
        node: NodeId,
        issuer: &Issuer<'_, KeyPair>,
        now_ms: u64,
    ) -> Result<CertificateDer<'static>> {
        let mut params = params(&node.to_string(), now_ms, NODE_DAYS)?;
        params.subject_alt_names = vec![node_uri(node)?];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let certificate = params
            .signed_by(&self.parsed.public_key, issuer)
            .map_err(failed("the edge's certificate"))?;
        Ok(certificate.der().clone())
    }
}

fn node_uri(node: NodeId) -> Result<SanType> {
    let uri = format!("{NODE_URI}{node}")
        .try_into()
        .map_err(failed("the node's name"))?;
    Ok(SanType::URI(uri))
}

/// The node a certificate names.
///
/// # Errors
/// `Denied` when it names none.
pub(crate) fn node_of(certificate: &[u8]) -> Result<NodeId> {
    let nameless = || Error::denied("the certificate names no node");
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| nameless())?;
    let names = parsed
        .subject_alternative_name()
        .ok()
        .flatten()
        .ok_or_else(nameless)?;
    names
        .value
        .general_names
        .iter()
        .find_map(|name| match name {
            GeneralName::URI(uri) => uri.strip_prefix(NODE_URI)?.parse().ok(),
            _ => None,
        })
        .ok_or_else(nameless)
}

/// The public key of a certificate, as a request for one holds it.
///
/// # Errors
/// `Denied` when it cannot be read.
pub(crate) fn key_of(certificate: &[u8]) -> Result<Vec<u8>> {
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|_| Error::denied("the certificate cannot be read"))?;
    Ok(parsed.public_key().subject_public_key.data.to_vec())
}

/// Whether the certificate is valid at that moment. A full handshake has looked; one that resumes an earlier session has
/// not.
pub(crate) fn is_valid(certificate: &[u8], now_ms: u64) -> bool {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return false;
    };
    let validity = parsed.validity();
    let now = (now_ms / 1000) as i64;
    (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&now)
}

/// When two thirds of the certificate's life are over, in milliseconds since 1970; `None` for what is no certificate.
pub(crate) fn due_ms(certificate: &[u8]) -> Option<u64> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let validity = parsed.validity();
    let from = validity.not_before.timestamp();
    let to = validity.not_after.timestamp();
    let due_s = u64::try_from(to - (to - from) / 3).ok()?;
    Some(due_s.saturating_mul(1000))
}

/// Whether more than two thirds of the certificate's life are over.
pub(crate) fn is_due(certificate: &[u8], now_ms: u64) -> bool {
    due_ms(certificate).is_none_or(|due_ms| now_ms > due_ms)
}
