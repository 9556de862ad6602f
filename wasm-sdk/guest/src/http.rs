//! Requests over HTTP to hosts outside, for processors: `deploy --grant http:HOST[:PORT]`. The node queues what
//! is sent in the same log record as the rows and the state of the call, and delivers it afterwards: in
//! order, at least once, each with a header `idempotency-key` that is its own.

use crate::Error;

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET.
    Get,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What it does.
    pub method: Method,
    /// An absolute address.
    pub url: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The body; that of a GET or a DELETE is empty.
    pub body: Vec<u8>,
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: Method, url: impl Into<String>) -> Self {
        Request {
            method,
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// A POST of JSON, which has to be well-formed.
    pub fn post_json(url: impl Into<String>, json: impl Into<Vec<u8>>) -> Self {
        Request {
            body: json.into(),
            ..Request::new(Method::Post, url).header("content-type", "application/json")
        }
    }

    /// With one header more.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// Queues a request; it is sent once what the call does is durable, and not where the call fails. Outside of
/// the sandbox it is kept for [`take_sent`].
///
/// # Errors
/// `invalid` for a host that was not granted, and for a request that is malformed or too large.
pub fn send(request: Request) -> Result<(), Error> {
    #[cfg(target_family = "wasm")]
    {
        use crate::bindings::http_imports::activestore::plugin::http as wit;
        let method = match request.method {
            Method::Get => wit::Method::Get,
            Method::Post => wit::Method::Post,
            Method::Put => wit::Method::Put,
            Method::Patch => wit::Method::Patch,
            Method::Delete => wit::Method::Delete,
        };
        wit::send(&wit::Request {
            method,
            url: request.url,
            headers: request.headers,
            body: request.body,
        })
    }
    #[cfg(not(target_family = "wasm"))]
    {
        SENT.with_borrow_mut(|sent| sent.push(request));
        Ok(())
    }
}

#[cfg(not(target_family = "wasm"))]
std::thread_local! {
    static SENT: std::cell::RefCell<Vec<Request>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// What this thread has sent since the last call, for tests.
#[cfg(not(target_family = "wasm"))]
pub fn take_sent() -> Vec<Request> {
    SENT.take()
}
