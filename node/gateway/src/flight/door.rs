//! What every call passes before a byte of its message is read: the number of calls at once, and who makes it.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use activestore_db::{Db, Principal};
use activestore_types::{Error, ErrorKind};
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response, header};
use tonic::codegen::{BoxFuture, Service};
use tonic::server::NamedService;

use super::Flight;
use super::connection::Peer;
use super::fault::{Fault, unauthenticated};
use super::metered::metered;
use super::session::SESSION_PREFIX;
use super::tally::one;
use crate::caller::Given;

/// The call that who is not let in yet may make.
const HANDSHAKE: &str = "/Handshake";

/// Who makes a call: the database under their rights, and whose prepared statements they see.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) db: Db,
    pub(super) owner: Arc<str>,
}

/// The place of a call among those answered at once; rows that are sent keep it until their end.
#[derive(Clone)]
pub(super) struct Place {
    _permit: Arc<OwnedSemaphorePermit>,
}

/// The service behind the door.
#[derive(Clone)]
pub(super) struct Door<S> {
    inner: S,
    flight: Arc<Flight>,
}

impl<S> Door<S> {
    pub(super) fn new(inner: S, flight: Arc<Flight>) -> Self {
        Door { inner, flight }
    }
}

impl<S: NamedService> NamedService for Door<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Door<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Response<Body>, Infallible>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let flight = self.flight.clone();
        let mut inner = self.inner.clone();
        Box::pin(async move {
            one(&flight.tally.calls);
            match flight.admit(&mut request).await {
                Ok(()) => {
                    let request = request.map(|body| metered(body, flight));
                    inner.call(request).await
                }
                Err(fault) => {
                    one(&flight.tally.calls_refused);
                    Ok(Status::from(fault).into_http())
                }
            }
        })
    }
}

impl Flight {
    /// Lets a call in, with its [`Caller`] and its [`Place`].
    async fn admit(&self, request: &mut Request<Body>) -> Result<(), Fault> {
        let place = self.calls.clone().try_acquire_owned().map_err(|_| {
            Error::overloaded("the node is answering as many calls as it may")
                .with_hint("call again in a second")
        })?;
        let peer = request.extensions().get::<Peer>().cloned();
        let peer = peer.ok_or_else(|| Error::internal("a call came from nowhere"))?;
        if !request.uri().path().ends_with(HANDSHAKE) {
            let principal = self.principal(request.headers(), &peer).await?;
            let caller = Caller {
                owner: principal.name().into(),
                db: self.shared.db.acting_as(principal),
            };
            caller.db.check_admitted().map_err(unauthenticated)?;
            peer.is_used();
            request.extensions_mut().insert(caller);
        }
        request.extensions_mut().insert(Place {
            _permit: Arc::new(place),
        });
        Ok(())
    }

    /// Who makes a call, by its headers.
    pub(super) async fn principal(
        &self,
        headers: &HeaderMap,
        peer: &Peer,
    ) -> Result<Principal, Fault> {
        let db = &self.shared.db;
        if !db.requires_login() {
            return Ok(Principal::Anybody);
        }
        if !headers.contains_key(header::AUTHORIZATION) {
            let missing = Error::denied("this node answers nobody without a login")
                .with_hint("give the driver the name and password of a role, or a token (authorization: Bearer)");
            return Err(unauthenticated(missing));
        }
        let given = Given::of(headers).map_err(unauthenticated)?;
        if !peer.secure && !peer.from.is_loopback() {
            let open = Error::denied(
                "passwords and tokens are taken over an encrypted connection only",
            )
            .with_hint(
                "connect with TLS (grpc+tls://); the node needs flight_tls_cert and flight_tls_key in [listen]",
            );
            return Err(unauthenticated(open));
        }
        if let Given::Token(token) = &given
            && token.starts_with(SESSION_PREFIX)
        {
            return self.sessions.of(token).map_err(unauthenticated);
        }
        match db.login(given.credentials(), peer.from).await {
            Ok(principal) => Ok(principal),
            Err(error) if error.kind() == ErrorKind::Denied => Err(unauthenticated(error)),
            Err(error) => Err(error.into()),
        }
    }
}
