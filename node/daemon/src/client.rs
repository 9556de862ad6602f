//! Talks to a node over HTTP, for every command that is not the node itself.

mod whole;

use std::io::Read;
use std::time::Duration;

use activestore_gateway::Format;
use activestore_types::{Error, ErrorKind, Result};
use arrow::ipc::reader::StreamReader;
use serde_json::Value;
use ureq::http::Response;
use ureq::{Agent, Body, RequestBuilder};

use crate::login::{self, Login};
use whole::Whole;

/// How long to wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// The most that is read of a JSON answer, in bytes.
const JSON_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// The status of who does not say who it is.
const UNAUTHORIZED: u16 = 401;

/// A node's HTTP address.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    agent: Agent,
    login: Option<Login>,
}

/// An answer's body, read as it comes.
pub type BodyReader = Box<dyn Read + Send>;

/// The answer to one statement.
pub enum SqlAnswer {
    /// Rows as they arrive.
    Rows(Box<StreamReader<BodyReader>>),
    /// A statement without rows: its tag such as `INSERT 3`.
    Done {
        /// The tag.
        tag: String,
    },
}

impl Client {
    /// A client of the node at `url`; `http://` may be left out.
    ///
    /// # Errors
    /// `Invalid` for another scheme.
    pub fn new(url: &str) -> Result<Client> {
        let rest = match url.split_once("://") {
            None => url,
            Some(("http", rest)) => rest,
            Some((scheme, _)) => {
                return Err(Error::invalid(format!("{scheme}:// is not supported"))
                    .with_hint("a node speaks http; put a proxy before it for TLS"));
            }
        };
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_MAX))
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("activestore/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Client {
            base: format!("http://{}", rest.trim_end_matches('/')),
            agent,
            login: login::current()?,
        })
    }

    /// The node's address.
    pub fn url(&self) -> &str {
        &self.base
    }

    /// Closes the connections of requests under way, which makes the node stop working on them.
    /// The client is then of no more use.
    pub fn cancel(self) {
        self.agent.shutdown();
    }

    /// Runs a statement.
    ///
    /// # Errors
    /// What the node says, or that it does not answer.
    pub fn sql(&self, sql: &str) -> Result<SqlAnswer> {
        let (content_type, body) = self.sql_body(sql, Format::Arrow)?;
        if content_type.starts_with("application/json") {
            return Ok(SqlAnswer::Done {
                tag: tag(&read_json(body)?),
            });
        }
        let reader = StreamReader::try_new(body, None)
            .map_err(|error| Error::internal(format!("the node's answer broke off: {error}")))?;
        Ok(SqlAnswer::Rows(Box::new(reader)))
    }

    /// Runs a statement and gives the content type and the body as the node sends them. Reading it fails where the
    /// statement did behind its first rows.
    ///
    /// # Errors
    /// As [`Client::sql`].
    pub fn sql_body(&self, sql: &str, format: Format) -> Result<(String, BodyReader)> {
        let response = self
            .signed(self.agent.post(format!("{}/v1/sql", self.base)))
            .header("accept", format.content_type())
            .content_type("text/plain; charset=utf-8")
            .send(sql)
            .map_err(|error| self.unreachable(&error))?;
        let response = accepted(response)?;
        let content_type = response
            .headers()
            .get("content-type")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let whole = Whole::new(reader(response.into_body()), format);
        Ok((content_type, Box::new(whole)))
    }

    /// `GET path` as JSON.
    ///
    /// # Errors
    /// As [`Client::sql`].
    pub fn get(&self, path: &str) -> Result<Value> {
        let response = self
            .signed(self.agent.get(format!("{}{path}", self.base)))
            .call()
            .map_err(|error| self.unreachable(&error))?;
        json(accepted(response)?)
    }

    /// Subscribes to rows as they are written, behind the event with this id; the events as lines of JSON.
    ///
    /// # Errors
    /// As [`Client::sql`].
    pub fn subscribe(&self, sql: &str, from: Option<&str>) -> Result<BodyReader> {
        let response = self
            .signed(self.agent.get(format!("{}/v1/subscribe", self.base)))
            .query("format", "ndjson")
            .query("sql", sql)
            .query("from", from.unwrap_or_default())
            .call()
            .map_err(|error| self.unreachable(&error))?;
        Ok(reader(accepted(response)?.into_body()))
    }

    /// `GET path` as bytes, at most so many.
    ///
    /// # Errors
    /// As [`Client::sql`]; `Invalid` where there are more.
    pub fn get_bytes(&self, path: &str, bytes_max: u64) -> Result<Vec<u8>> {
        let response = self
            .signed(self.agent.get(format!("{}{path}", self.base)))
            .call()
            .map_err(|error| self.unreachable(&error))?;
        let mut bytes = Vec::new();
        reader(accepted(response)?.into_body())
            .take(bytes_max + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| Error::closed(format!("the node's answer broke off: {error}")))?;
        if bytes.len() as u64 > bytes_max {
            return Err(Error::invalid(format!(
                "the node sends more than {bytes_max} bytes"
            )));
        }
        Ok(bytes)
    }

    /// `POST path` with a body; `null` where the answer has none.
    ///
    /// # Errors
    /// As [`Client::sql`].
    pub fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Result<Value> {
        let response = self
            .signed(self.agent.post(format!("{}{path}", self.base)))
            .content_type(content_type)
            .send(body)
            .map_err(|error| self.unreachable(&error))?;
        json(accepted(response)?)
    }

    /// `POST path` with a body; the answer's body as it comes.
    ///
    /// # Errors
    /// As [`Client::sql`].
    pub fn post_body(&self, path: &str, content_type: &str, body: &[u8]) -> Result<BodyReader> {
        let response = self
            .signed(self.agent.post(format!("{}{path}", self.base)))
            .content_type(content_type)
            .send(body)
            .map_err(|error| self.unreachable(&error))?;
        Ok(reader(accepted(response)?.into_body()))
    }

    /// `DELETE path`.
    ///
    /// # Errors
    /// As [`Client::sql`].
    pub fn delete(&self, path: &str) -> Result<()> {
        let response = self
            .signed(self.agent.delete(format!("{}{path}", self.base)))
            .call()
            .map_err(|error| self.unreachable(&error))?;
        accepted(response).map(drop)
    }

    /// The request with what the process logs in with.
    fn signed<Any>(&self, request: RequestBuilder<Any>) -> RequestBuilder<Any> {
        match &self.login {
            Some(login) => request.header("authorization", login.header()),
            None => request,
        }
    }

    fn unreachable(&self, error: &ureq::Error) -> Error {
        match error {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
                Error::invalid(format!("'{}' is not an address", self.base))
                    .with_hint("write http://HOST:PORT")
            }
            _ => Error::closed(format!("no node answers at {}: {error}", self.base))
                .with_hint("start one with: activestore start, or name another with --url"),
        }
    }
}

fn reader(body: Body) -> BodyReader {
    Box::new(body.into_with_config().limit(u64::MAX).reader())
}

/// The tag of a statement without rows.
pub fn tag(answer: &Value) -> String {
    answer
        .pointer("/stats/tag")
        .and_then(Value::as_str)
        .unwrap_or("OK")
        .to_owned()
}

/// Reads a JSON answer to its end.
///
/// # Errors
/// `Internal` when it is not JSON or breaks off.
pub fn read_json(body: BodyReader) -> Result<Value> {
    let mut bytes = Vec::new();
    body.take(JSON_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::internal(format!("the node's answer broke off: {error}")))?;
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&bytes).map_err(|_| {
        Error::internal("the answer is not JSON").with_hint("is this an activestore node?")
    })
}

fn json(response: Response<Body>) -> Result<Value> {
    read_json(reader(response.into_body()))
}

/// The response, or the error that its body carries.
fn accepted(response: Response<Body>) -> Result<Response<Body>> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body = json(response).unwrap_or_default();
    let text = |name| {
        body.pointer(&format!("/error/{name}"))
            .and_then(Value::as_str)
    };
    let kind = text("code").map_or(ErrorKind::Internal, kind);
    let message =
        text("message").map_or_else(|| format!("the node answered {status}"), str::to_owned);
    let error = Error::new(kind, message);
    if status == UNAUTHORIZED {
        return Err(error.with_hint(
            "log in with --user ROLE, or set ACTIVESTORE_AUTH_TOKEN; who owns the machine sets a password with: activestore role password",
        ));
    }
    Err(match text("hint") {
        Some(hint) => error.with_hint(hint),
        None => error,
    })
}

/// The kind that a node names so.
pub fn kind(code: &str) -> ErrorKind {
    [
        ErrorKind::Invalid,
        ErrorKind::NotFound,
        ErrorKind::Conflict,
        ErrorKind::Denied,
        ErrorKind::Overloaded,
        ErrorKind::DiskFull,
        ErrorKind::Corrupt,
        ErrorKind::Poisoned,
        ErrorKind::Closed,
    ]
    .into_iter()
    .find(|kind| kind.code() == code)
    .unwrap_or(match code {
        "too_large" => ErrorKind::Invalid,
        _ => ErrorKind::Internal,
    })
}
