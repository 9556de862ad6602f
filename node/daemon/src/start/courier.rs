//! Carries the requests of processors over HTTP: one connection after the other, no redirects, no proxy, and an end after
//! some seconds. Certificates are checked against those that the machine trusts.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use activestore_db::{Answer, Courier};
use ureq::Agent;
use ureq::http::Request;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

/// How long a request may take, the look-up of its host and the answer's head included.
const REQUEST_MAX: Duration = Duration::from_secs(15);
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// The node's client of hosts outside; made for its first request.
#[derive(Default)]
pub struct HttpCourier {
    agent: OnceLock<Agent>,
}

impl Courier for HttpCourier {
    fn carry(
        &self,
        method: &str,
        url: &str,
        headers: &[(String, String)],
        body: &[u8],
    ) -> Result<Answer, String> {
        let agent = self.agent.get_or_init(agent);
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let malformed = |error: ureq::http::Error| error.to_string();
        let answer = if matches!(method, "GET" | "DELETE") {
            agent.run(request.body(()).map_err(malformed)?)
        } else {
            agent.run(request.body(body).map_err(malformed)?)
        };
        let answer = answer.map_err(|error| error.to_string())?;
        let retry_after = answer.headers().get("retry-after");
        let retry_after = retry_after.and_then(|wait| wait.to_str().ok()?.trim().parse().ok());
        Ok(Answer {
            status: answer.status().as_u16(),
            retry_after: retry_after.map(Duration::from_secs),
        })
    }
}

fn agent() -> Agent {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        tracing::warn!(
            "this machine names no certificates that it trusts, so no host is reached over https"
        );
    }
    let roots: Vec<Certificate<'static>> = found
        .certs
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
