//! Who calls: the credentials of a request, and what its address asks for. An address that is not named here is for
//! superusers alone, so that a new one is closed until somebody decides otherwise.

use std::net::IpAddr;
use std::sync::Arc;

use activestore_db::{Credentials, Db, Principal};
use activestore_types::{Error, ErrorKind, Result};
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine, alphabet};

use crate::answer::Refusal;
use crate::listener::Peer;
use crate::request::{Parameters, parameters};
use crate::server::Shared;

/// How a client is told what it may log in with.
const CHALLENGE: &str = "Basic realm=\"activestore\", charset=\"UTF-8\"";

/// How names and passwords are written. Drivers written in Go leave out what only fills up the last letters.
const BASIC: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The database under the rights of who sent a request. Handlers that read or write rows use this one.
#[derive(Clone)]
pub struct Caller(pub Db);

impl Caller {
    /// The caller of a request that passed [`admit`].
    ///
    /// # Errors
    /// `Internal` for a request that did not.
    pub(crate) fn of(request: &Request) -> Result<Db> {
        let caller = request.extensions().get::<Arc<Caller>>();
        caller
            .map(|caller| caller.0.clone())
            .ok_or_else(|| Error::internal("a request came by without being looked at"))
    }
}

/// The token that a request came with: what lasts longer than a request asks now and then whether it still stands.
#[derive(Clone)]
pub(crate) struct Ticket {
    token: Arc<str>,
    from: IpAddr,
}

impl Ticket {
    /// That of a request that passed [`admit`], where it came with one.
    pub(crate) fn of(request: &Request) -> Option<Ticket> {
        request.extensions().get::<Ticket>().cloned()
    }

    /// # Errors
    /// `Denied` where it was revoked or has expired.
    pub(crate) async fn check(&self, db: &Db) -> Result<()> {
        let again = db.login(Credentials::Token(&self.token), self.from).await;
        again.map(drop).map_err(|_| {
            Error::denied("the token of this subscription stands no more")
                .with_hint("log in again and go on from the id of the last event")
        })
    }
}

/// Where Prometheus writes. A sender of it logs the first line of an answer.
const REMOTE_WRITE: &str = "/api/v1/write";

/// Where clients of InfluxDB 3 write.
const INFLUX_V3: &str = "/api/v3/write_lp";

/// What an address asks of who calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asks {
    /// Anybody may.
    Nothing,
    /// Who is let in may; what else is needed is told by what the request is about.
    Login,
    /// A superuser may.
    Superuser,
}

fn asks(route: &str, metrics_open: bool) -> Asks {
    match route {
        "/" | "/console/{name}" | "/openapi.json" | "/health/live" | "/health/ready" | "/ping" => {
            Asks::Nothing
        }
        "/metrics" if metrics_open => Asks::Nothing,
        "/metrics"
        | "/v1/status"
        | "/v1/sql"
        | "/v1/subscribe"
        | "/v1/write"
        | INFLUX_V3
        | "/api/v2/write"
        | "/write"
        | REMOTE_WRITE
        | "/v1/tables/{keyspace}/{table}/rows" => Asks::Login,
        _ => Asks::Superuser,
    }
}

/// A refusal as the clients of a route expect it.
pub(crate) fn worded(refusal: Refusal, route: &str) -> Refusal {
    match route {
        REMOTE_WRITE => refusal.in_plain_text(),
        INFLUX_V3 => refusal.for_influx_v3(),
        "/write" | "/api/v2/write" => refusal.for_influx(),
        _ => refusal,
    }
}

/// Lets a request in, with its [`Caller`], or says what is missing.
pub(crate) async fn admit(
    shared: &Shared,
    route: &str,
    request: &mut Request,
) -> std::result::Result<(), Response> {
    let asks = asks(route, shared.options.metrics_open);
    if asks == Asks::Nothing {
        return Ok(());
    }
    let presented = presented(&shared.db, route, request);
    if let Ok(Some((given, from))) = &presented
        && let Some(token) = given.token()
    {
        let ticket = Ticket {
            token: token.into(),
            from: *from,
        };
        request.extensions_mut().insert(ticket);
    }
    let refusal = match caller(&shared.db, presented).await {
        Ok(caller) => {
            let checked = match asks {
                Asks::Superuser => caller.check_superuser("use this address"),
                _ => caller.check_admitted(),
            };
            match checked {
                Ok(()) => {
                    request.extensions_mut().insert(Arc::new(Caller(caller)));
                    return Ok(());
                }
                Err(error) => Refusal::new(&error),
            }
        }
        Err(error) if error.kind() == ErrorKind::Denied => Refusal::with_status(
            StatusCode::UNAUTHORIZED,
            "denied",
            error.message(),
            error.hint(),
        ),
        Err(error) => Refusal::new(&error),
    };
    let mut response = worded(refusal, route).into_response();
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static(CHALLENGE),
        );
    }
    Err(response)
}

/// What the sender of a request presents, and where it is; `None` where nobody has to. `Denied` where nothing is
/// presented and something has to be.
fn presented(db: &Db, route: &str, request: &Request) -> Result<Option<(Given, IpAddr)>> {
    if !db.requires_login() {
        // Clients that send a token to everything are answered as before.
        return Ok(None);
    }
    let from = request.extensions().get::<ConnectInfo<Peer>>();
    let from = from.map(|ConnectInfo(peer)| peer.address.ip());
    let from = from.ok_or_else(|| Error::internal("a request came from nowhere"))?;
    let parameters = if route == "/write" {
        parameters(request.uri())
    } else {
        Parameters::new()
    };
    let given = match request.headers().get(header::AUTHORIZATION) {
        Some(_) => Some(Given::of(request.headers())?),
        None => parameters.get("u").map(|user| Given::Password {
            user: user.clone(),
            password: parameters.get("p").cloned().unwrap_or_default(),
        }),
    };
    match given {
        Some(given) => Ok(Some((given, from))),
        None => Err(Error::denied("this node answers nobody without a login")
            .with_hint("send the name and password of a role (Basic), or a token (Bearer)")),
    }
}

/// The database as the sender of a request sees it.
async fn caller(db: &Db, presented: Result<Option<(Given, IpAddr)>>) -> Result<Db> {
    let principal = match presented? {
        None => Principal::Anybody,
        Some((given, from)) => db.login(given.credentials(), from).await?,
    };
    Ok(db.acting_as(principal))
}

/// What a request brings.
pub(crate) enum Given {
    Password { user: String, password: String },
    Token(String),
}

impl Given {
    /// What the headers of a request say.
    ///
    /// # Errors
    /// `Denied` where they cannot be read.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Given> {
        let wrong = || {
            Error::denied("the Authorization header cannot be read").with_hint(
                "send Basic with name:password in base64, Bearer with a token, or Token with one",
            )
        };
        let mut all = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (all.next(), all.next()) else {
            return Err(wrong());
        };
        let text = std::str::from_utf8(value.as_bytes()).map_err(|_| wrong())?;
        let (scheme, rest) = text.trim().split_once(' ').ok_or_else(wrong)?;
        let rest = rest.trim();
        match scheme.to_ascii_lowercase().as_str() {
            "basic" => {
                let bytes = BASIC.decode(rest).map_err(|_| wrong())?;
                let both = String::from_utf8(bytes).map_err(|_| wrong())?;
                Given::both(&both).ok_or_else(wrong)
            }
            "bearer" => Ok(Given::Token(rest.to_owned())),
            // InfluxDB's clients send a token, those of 1.x a name and a password.
            "token" => Ok(Given::both(rest).unwrap_or_else(|| Given::Token(rest.to_owned()))),
            _ => Err(wrong()),
        }
    }

    fn both(text: &str) -> Option<Given> {
        let (user, password) = text.split_once(':')?;
        Some(Given::Password {
            user: user.to_owned(),
            password: password.to_owned(),
        })
    }

    /// A token may stand in a password's place; then the password is refused where it is none.
    fn token(&self) -> Option<&str> {
        match self {
            Given::Token(token) => Some(token),
            Given::Password { password, .. } => password.starts_with("ast_").then_some(password),
        }
    }

    /// As the database takes them.
    pub(crate) fn credentials(&self) -> Credentials<'_> {
        match self {
            Given::Password { user, password } => Credentials::Password { user, password },
            Given::Token(token) => Credentials::Token(token),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_nobody_decided_on_is_for_superusers() {
        assert_eq!(asks("/v1/plugins", true), Asks::Superuser);
        assert_eq!(asks("/v1/tokens", true), Asks::Superuser);
        assert_eq!(asks("unmatched", true), Asks::Superuser);
        assert_eq!(asks("/metrics", false), Asks::Login);
        assert_eq!(asks("/metrics", true), Asks::Nothing);
    }
}
