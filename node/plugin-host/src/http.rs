//! Requests over HTTP that a processor asks its node to send: their form, their limits, and the hosts
//! that a plugin was granted. Nothing is sent here: who calls the processor is handed them.

use std::fmt;
use std::str::FromStr;

use activestore_types::{Error, Result};
use http::uri::Authority;
use http::{HeaderName, HeaderValue, Uri};
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker};

use crate::abi::GuestError;
use crate::contract;
use crate::instance::HostState;

/// Bytes of an address.
const URL_BYTES_MAX: usize = 2_048;
/// Headers of a request, and the bytes of all of them.
const HEADERS_MAX: usize = 32;
const HEADER_BYTES_MAX: usize = 8_192;
/// Bytes of a body.
const BODY_BYTES_MAX: usize = 256 << 10;
/// Headers that say how a request is carried, or that the node adds.
const OWN_HEADERS: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "idempotency-key",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
pub enum HttpMethod {
    /// GET.
    #[component(name = "get")]
    Get,
    /// POST.
    #[component(name = "post")]
    Post,
    /// PUT.
    #[component(name = "put")]
    Put,
    /// PATCH.
    #[component(name = "patch")]
    Patch,
    /// DELETE.
    #[component(name = "delete")]
    Delete,
}

impl HttpMethod {
    /// As it stands in a request.
    pub fn name(self) -> &'static str {
        match self {
            HttpMethod::Get => "GET",
            HttpMethod::Post => "POST",
            HttpMethod::Put => "PUT",
            HttpMethod::Patch => "PATCH",
            HttpMethod::Delete => "DELETE",
        }
    }
}

/// A request that a processor sends, checked: it is well-formed, within its limits, and to a host that the
/// plugin was granted.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub struct HttpRequest {
    /// What it does.
    pub method: HttpMethod,
    /// An absolute address.
    pub url: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The body; may be empty.
    pub body: Vec<u8>,
}

impl HttpRequest {
    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        self.url.len() + header_bytes(&self.headers) + self.body.len()
    }

    fn check(&self, granted: &HttpHosts) -> Result<()> {
        let target = HttpTarget::of(&self.url)?;
        if !granted.admit(&target) {
            return Err(Error::denied(format!(
                "the plugin was not granted http:{target}"
            )));
        }
        let (count, bytes) = (self.headers.len(), header_bytes(&self.headers));
        if count > HEADERS_MAX || bytes > HEADER_BYTES_MAX {
            return Err(Error::invalid(format!(
                "a request has {count} headers of {bytes} bytes where {HEADERS_MAX} of {HEADER_BYTES_MAX} bytes are allowed"
            )));
        }
        for (name, value) in &self.headers {
            let known = HeaderName::from_str(name).ok();
            let known = known.filter(|_| HeaderValue::from_str(value).is_ok());
            match known {
                None => {
                    return Err(Error::invalid(format!(
                        "the header '{name}' is not one that HTTP can carry"
                    )));
                }
                Some(known) if OWN_HEADERS.contains(&known.as_str()) => {
                    return Err(Error::invalid(format!(
                        "the header '{known}' is set by the node"
                    )));
                }
                Some(_) => {}
            }
        }
        let bodiless = matches!(self.method, HttpMethod::Get | HttpMethod::Delete);
        if bodiless && !self.body.is_empty() {
            return Err(Error::invalid(format!(
                "a {} has no body",
                self.method.name()
            )));
        }
        if self.body.len() > BODY_BYTES_MAX {
            return Err(Error::invalid(format!(
                "a request has a body of {} bytes where {BODY_BYTES_MAX} are allowed",
                self.body.len()
            )));
        }
        Ok(())
    }
}

fn header_bytes(headers: &[(String, String)]) -> usize {
    let bytes = headers
        .iter()
        .map(|(name, value)| name.len() + value.len() + 4);
    bytes.sum()
}

/// Whom a request goes to. As text: `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HttpTarget {
    host: String,
    port: u16,
    secure: bool,
}

impl HttpTarget {
    /// Whom an address names.
    ///
    /// # Errors
    /// `Invalid` for what is no absolute address of HTTP, or names a user.
    pub fn of(url: &str) -> Result<Self> {
        let wrong = || {
            Error::invalid(format!(
                "'{}' is no address like https://HOST/PATH",
                crate::log::cut(url)
            ))
        };
        if url.len() > URL_BYTES_MAX {
            return Err(Error::invalid(format!(
                "an address has {} bytes where {URL_BYTES_MAX} are allowed",
                url.len()
            )));
        }
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong()),
        };
        let authority = uri.authority().ok_or_else(wrong)?;
        let (host, port) = split(authority).ok_or_else(wrong)?;
        Ok(HttpTarget {
            host,
            port: port.unwrap_or(if secure { 443 } else { 80 }),
            secure,
        })
    }
}

impl fmt::Display for HttpTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// The host in small letters and the port of an authority that names no user.
fn split(authority: &Authority) -> Option<(String, Option<u16>)> {
    let host = authority.host();
    let port = match authority.as_str().strip_prefix(host)? {
        "" => None,
        rest => Some(
            rest.strip_prefix(':')?
                .parse()
                .ok()
                .filter(|port| *port > 0)?,
        ),
    };
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-._:[]".contains(letter);
    let named = !host.is_empty() && host.chars().all(plain);
    named.then(|| (host.to_ascii_lowercase(), port))
}

/// Hosts that a plugin was granted, each with a port or, without one, with the ports of both schemes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct HttpHosts {
    any: bool,
    hosts: std::collections::BTreeSet<(String, Option<u16>)>,
}

impl HttpHosts {
    /// All of them, for a trial in which nothing is sent.
    pub(crate) fn any() -> Self {
        HttpHosts {
            any: true,
            ..HttpHosts::default()
        }
    }

    /// Adds `HOST` or `HOST:PORT`; whether it is that.
    pub(crate) fn add(&mut self, host: &str) -> bool {
        let authority = host.parse::<Authority>().ok();
        match authority.as_ref().and_then(split) {
            Some(host) => {
                self.hosts.insert(host);
                true
            }
            None => false,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.any && self.hosts.is_empty()
    }

    pub(crate) fn admit(&self, target: &HttpTarget) -> bool {
        let usual = if target.secure { 443 } else { 80 };
        self.any
            || self
                .hosts
                .iter()
                .any(|(host, port)| *host == target.host && port.unwrap_or(usual) == target.port)
    }

    /// Each as it is granted.
    pub(crate) fn items(&self) -> impl Iterator<Item = String> {
        self.hosts.iter().map(|(host, port)| match port {
            Some(port) => format!("http:{host}:{port}"),
            None => format!("http:{host}"),
        })
    }
}

type SendResult = (std::result::Result<(), GuestError>,);

/// Offers what takes requests.
pub(crate) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.instance(contract::HTTP)?.func_wrap(
        "send",
        |mut store: StoreContextMut<'_, HostState>, (request,): (HttpRequest,)| {
            let host = store.data_mut();
            let taken = request.check(host.granted.grants.http());
            if taken.is_ok() {
                let state = host
                    .state
                    .as_mut()
                    .ok_or_else(|| wasmtime::Error::msg("a request is sent outside of a batch"))?;
                state.send(request)?;
            }
            let taken: SendResult =
                (taken.map_err(|error| GuestError::Invalid(error.message().to_owned())),);
            Ok(taken)
        },
    )?;
    Ok(())
}

#[cfg(test)]
mod tests;
