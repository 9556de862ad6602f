//! The client of hosts outside: what plugins ask for, and the collector of spans. One connection after the other, no
//! redirects, no proxy, and an end after some seconds. Certificates are checked against those that the machine trusts.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

/// How long a request may take, the look-up of its host and the answer's head included.
const REQUEST_MAX: Duration = Duration::from_secs(15);
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// The certificates that the machine trusts.
pub fn roots() -> Vec<CertificateDer<'static>> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        tracing::warn!(
            "this machine names no certificates that it trusts, so no host is reached over TLS"
        );
    }
    found.certs
}

/// A client.
pub fn agent() -> Agent {
    let roots: Vec<Certificate<'static>> = roots()
        .iter()
        .map(|der| Certificate::from_der(der.as_ref()).to_owned())
        .collect();
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::new_with_certs(&roots))
        .build();
    Agent::config_builder()
        .tls_config(tls)
        .proxy(None)
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_global(Some(REQUEST_MAX))
        .timeout_connect(Some(CONNECT_MAX))
        .user_agent(concat!("activestore/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}
