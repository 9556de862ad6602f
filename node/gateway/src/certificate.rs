//! Encryption of a wire, with a certificate of the node's own files.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use activestore_types::{Error, Result};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

/// A socket, encrypted or not.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A certificate with its key.
#[derive(Clone)]
pub(crate) struct Certificate(TlsAcceptor);

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificate(…)")
    }
}

impl Certificate {
    /// Reads a chain of certificates and the key of its first, both as PEM. `settings` are the two that name the
    /// files; `spoken` is what is spoken over the connection, where clients ask for it by name.
    ///
    /// # Errors
    /// `Invalid`, naming the file that cannot be used.
    pub(crate) fn read(
        certificates: &Path,
        key: &Path,
        settings: &str,
        spoken: &[&[u8]],
    ) -> Result<Certificate> {
        let wrong = |path: &Path, what: String| {
            Error::invalid(format!("{} cannot be used: {what}", path.display())).with_hint(format!(
                "{settings} in [listen] name PEM files of a certificate and its key"
            ))
        };
        let chain = CertificateDer::pem_file_iter(certificates)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| wrong(certificates, error.to_string()))?;
        if chain.is_empty() {
            return Err(wrong(certificates, "it holds no certificate".to_owned()));
        }
        let secret =
            PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, error.to_string()))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| {
                builder
                    .with_no_client_auth()
                    .with_single_cert(chain, secret)
            })
            .map_err(|error| wrong(key, error.to_string()))?;
        config.alpn_protocols = spoken.iter().map(|name| name.to_vec()).collect();
        Ok(Certificate(TlsAcceptor::from(Arc::new(config))))
    }

    /// The handshake; `None` where it fails.
    pub(crate) async fn accept(&self, io: Box<dyn Io>) -> Option<Box<dyn Io>> {
        match self.0.accept(io).await {
            Ok(stream) => Some(Box::new(stream)),
            Err(error) => {
                tracing::debug!(%error, "a handshake of TLS failed");
                None
            }
        }
    }
}
