//! TLS between nodes: version 1.3 only, ring only. Members authenticate each other by the cluster's
//! authority; a joiner has no certificate yet and knows its cloud by the authority's hash.

use std::sync::Arc;

use activestore_types::{Error, Result};
use quinn::crypto::rustls::{HandshakeData, QuicServerConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{
    ClientHello, ResolvesServerCert, ServerSessionMemoryCache, WebPkiClientVerifier,
};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig,
    SignatureScheme,
};

use crate::clock::FloorClock;
use crate::identity::{CloudIdentity, EdgeIdentity, Membership, sha256};

/// Members speak this: the version of the conversation is agreed on before its first frame, so that an
/// old peer never meets a frame that it does not know. The newest comes first.
pub(crate) const SYNC_ALPNS: [(&[u8], u16); 3] =
    [(b"as-sync/3", 3), (b"as-sync/2", 2), (b"as-sync/1", 1)];
/// Joining and renewing.
pub(crate) const ENROL_ALPN: &[u8] = b"as-enrol/1";

/// Sessions that a cloud remembers at most, of some kilobytes each; the oldest are forgotten, and their edges make a full
/// handshake.
const SESSIONS: usize = 4096;
/// An edge gets so many tickets, each good for one attempt.
const TICKETS: usize = 3;
/// An edge keeps so many: those of one cloud, whose name all clouds have.
const TICKETS_KEPT: usize = 8;

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::internal(format!("TLS cannot be set up: {error}"))
}

fn roots(ca: &CertificateDer<'static>) -> Result<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.clone()).map_err(failed)?;
    Ok(Arc::new(roots))
}

/// The cloud's side of both protocols, over QUIC and over TCP. Whether a certificate is needed depends on the
/// protocol and is checked after the handshake; one that is shown must be the cluster's.
///
/// Sessions may be resumed, and with `early_data` begun by data that goes with the first packet (see `early.rs`). What is
/// needed for it is kept in memory alone, and used once.
pub(crate) fn server(identity: &Arc<CloudIdentity>, early_data: bool) -> Result<ServerConfig> {
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(identity.ca())?, provider())
        .allow_unauthenticated()
        .build()
        .map_err(failed)?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(failed)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(CurrentCertificate::of(identity)?));
    let spoken = SYNC_ALPNS.iter().map(|(name, _)| *name);
    let all = spoken.chain([ENROL_ALPN]);
    config.alpn_protocols = all.map(<[u8]>::to_vec).collect();
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
    config.send_tls13_tickets = TICKETS;
    // QUIC knows all and nothing; its windows bound what is held.
    config.max_early_data_size = if early_data { u32::MAX } else { 0 };
    Ok(config)
}

/// The certificate that this node shows: the one that it has at that moment, since a server may run for longer than one lives.
#[derive(Debug)]
struct CurrentCertificate {
    identity: Arc<CloudIdentity>,
    key: Arc<dyn SigningKey>,
}

impl CurrentCertificate {
    fn of(identity: &Arc<CloudIdentity>) -> Result<CurrentCertificate> {
        let provider = provider();
        let key = provider
            .key_provider
            .load_private_key(identity.server_key());
        Ok(CurrentCertificate {
            identity: identity.clone(),
            key: key.map_err(failed)?,
        })
    }
}

impl ResolvesServerCert for CurrentCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let chain = self.identity.chain();
        Some(Arc::new(CertifiedKey::new(chain, self.key.clone())))
    }
}

/// The same for QUIC.
pub(crate) fn quic_server(config: ServerConfig) -> Result<quinn::ServerConfig> {
    let crypto = QuicServerConfig::try_from(config).map_err(failed)?;
    Ok(quinn::ServerConfig::with_crypto(Arc::new(crypto)))
}

/// A member edge's side of one of the protocols.
pub(crate) fn member(
    identity: &EdgeIdentity,
    membership: &Membership,
    alpn: &[&[u8]],
    early_data: bool,
) -> Result<Arc<ClientConfig>> {
    let verifier = WebPkiServerVerifier::builder_with_provider(roots(&membership.ca)?, provider())
        .build()
        .map_err(failed)?;
    let config = ClientConfig::builder_with_details(provider(), Arc::new(identity.clock()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(failed)?
        .with_webpki_verifier(verifier)
        .with_client_auth_cert(vec![membership.certificate.clone()], identity.private_key())
        .map_err(failed)?;
    Ok(client(config, alpn, early_data))
}

/// A joiner's side: the cloud must prove to hold the authority the token names.
pub(crate) fn joiner(ca_sha256: [u8; 32], clock: FloorClock) -> Result<Arc<ClientConfig>> {
    let config = ClientConfig::builder_with_details(provider(), Arc::new(clock))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(failed)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(PinnedAuthority {
            ca_sha256,
            provider: provider(),
        }))
        .with_no_client_auth();
    Ok(client(config, &[ENROL_ALPN], false))
}

fn client(mut config: ClientConfig, alpn: &[&[u8]], early_data: bool) -> Arc<ClientConfig> {
    config.enable_early_data = early_data;
    config.resumption = Resumption::in_memory_sessions(TICKETS_KEPT);
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

/// The name of the protocol that the handshake agreed on.
pub(crate) fn agreed(connection: &quinn::Connection) -> Option<Vec<u8>> {
    let data = connection.handshake_data()?;
    data.downcast::<HandshakeData>().ok()?.protocol
}

/// The version of the conversation that goes with it; `None` for what is no conversation of members.
pub(crate) fn version(alpn: &[u8]) -> Option<u16> {
    let known = SYNC_ALPNS.iter().find(|(name, _)| *name == alpn);
    known.map(|(_, version)| *version)
}

/// Accepts a server whose chain contains the authority of that hash and is signed by it. Everything
/// else about the chain (name, time, use, signatures) is checked as usual.
#[derive(Debug)]
struct PinnedAuthority {
    ca_sha256: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let unknown = || rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let authority = intermediates
            .iter()
            .find(|certificate| sha256(certificate) == self.ca_sha256)
            .ok_or_else(unknown)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|_| unknown())?
            .verify_server_cert(end_entity, &[], server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests;
