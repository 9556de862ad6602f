//! Errors as HTTP answers: the status that tells a client what to do, and the body
//! `{"error": {"code", "message", "hint"}}`. On the InfluxDB addresses the body is InfluxDB's.

use activestore_types::{Error, ErrorKind};
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// What a client that met a limit should wait, in seconds.
const RETRY_AFTER_S: u64 = 1;

/// What a handler returns.
pub type Answer = std::result::Result<Response, Refusal>;

/// An error on its way to the client.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    body: Value,
    plain: bool,
}

impl Refusal {
    /// From the program's error.
    pub fn new(error: &Error) -> Self {
        let status = status(error.kind());
        if status.is_server_error() && error.kind() != ErrorKind::Overloaded {
            tracing::warn!(code = error.kind().code(), error = %error, "request failed");
        }
        Refusal {
            status,
            body: json!({ "error": error_value(error) }),
            plain: false,
        }
    }

    /// With a status of its own, where the kind alone does not say it.
    pub fn with_status(status: StatusCode, code: &str, message: &str, hint: Option<&str>) -> Self {
        Refusal {
            status,
            body: json!({ "error": { "code": code, "message": message, "hint": hint } }),
            plain: false,
        }
    }

    /// The same answer with members added beside `error`.
    pub fn with(mut self, name: &str, value: Value) -> Self {
        if let Some(members) = self.body.as_object_mut() {
            members.insert(name.to_owned(), value);
        }
        self
    }

    /// The error as InfluxDB's clients expect it: `{"code", "message"}` (2.x) and `error` (1.x).
    pub fn for_influx(self) -> Self {
        let message = self.sentence();
        let code = match self.status {
            StatusCode::NOT_FOUND => "not found",
            StatusCode::UNAUTHORIZED => "unauthorized",
            StatusCode::FORBIDDEN => "forbidden",
            StatusCode::PAYLOAD_TOO_LARGE => "request too large",
            StatusCode::SERVICE_UNAVAILABLE => "unavailable",
            StatusCode::CONFLICT => "conflict",
            status if status.is_server_error() => "internal error",
            _ => "invalid",
        };
        Refusal {
            status: self.status,
            body: json!({ "code": code, "message": message, "error": message }),
            plain: false,
        }
    }

    /// The error as InfluxDB 3 has it: one sentence.
    pub fn for_influx_v3(self) -> Self {
        Refusal {
            body: json!({ "error": self.sentence() }),
            ..self
        }
    }

    /// The error as one line of text.
    pub fn in_plain_text(mut self) -> Self {
        self.plain = true;
        self
    }

    /// The error, and what to do about it, in one line.
    fn sentence(&self) -> String {
        let part = |name| self.body.pointer(name).and_then(Value::as_str);
        let message = part("/error/message").unwrap_or("");
        let sentence = match part("/error/hint") {
            Some(hint) => format!("{message} ({hint})"),
            None => message.to_owned(),
        };
        sentence.replace(['\n', '\r'], " ")
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal::new(&error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = if self.plain {
            let line = self.sentence() + "\n";
            typed_body(self.status, "text/plain; charset=utf-8", line)
        } else {
            json_body(self.status, &self.body)
        };
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
        }
        response
    }
}

/// The status of each kind.
pub fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Denied => StatusCode::FORBIDDEN,
        ErrorKind::Overloaded | ErrorKind::Poisoned | ErrorKind::Closed => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        ErrorKind::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
        ErrorKind::Corrupt | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// `{"code", "message", "hint"}`.
pub fn error_value(error: &Error) -> Value {
    json!({ "code": error.kind().code(), "message": error.message(), "hint": error.hint() })
}

/// An answer with a JSON body.
pub fn json_body(status: StatusCode, value: &Value) -> Response {
    typed_body(status, "application/json", value.to_string())
}

/// An answer with a body of the given type.
pub fn typed_body(status: StatusCode, content_type: &str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    if let Ok(value) = HeaderValue::from_str(content_type) {
        response.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    response
}

/// 204.
pub fn no_content() -> Response {
    StatusCode::NO_CONTENT.into_response()
}
