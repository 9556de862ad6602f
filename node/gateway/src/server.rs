//! The listener: binds, bounds what clients can make the node hold, routes, and drains.
//!
//! A request passes, in this order: the browser check, the concurrency bound, who sent it, its handler. Probes
//! and metrics are not bounded, so that a busy node is still seen to be alive.

use std::net::SocketAddr;
use std::sync::Arc;
#[cfg(any(feature = "flight", feature = "pgwire"))]
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use activestore_db::Db;
use activestore_types::{Error, Result};
use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::task::JoinHandle;

use crate::answer::Refusal;
use crate::api;
use crate::caller::{admit, worded};
use crate::first_bytes::FirstBytes;
#[cfg(feature = "flight")]
use crate::flight::FlightWire;
use crate::hooks::Hooks;
use crate::listener::{BoundedListener, Peer};
use crate::metrics::{HttpMetrics, Watch};
use crate::options::GatewayOptions;
#[cfg(feature = "pgwire")]
use crate::pg::{PgWire, Tally};
use crate::query_threads::QueryThreads;
#[cfg(feature = "prometheus")]
use crate::remote_writes::RemoteWrites;
use crate::request::check_browser;
use crate::room::Pool;
use crate::unread::Unread;

/// What every handler sees.
pub struct Shared {
    pub(crate) db: Db,
    pub(crate) hooks: Arc<dyn Hooks>,
    pub(crate) options: GatewayOptions,
    pub(crate) metrics: HttpMetrics,
    pub(crate) first_bytes: Arc<FirstBytes>,
    #[cfg(feature = "prometheus")]
    pub(crate) remote_writes: RemoteWrites,
    pub(crate) draining: AtomicBool,
    /// Whether what has no end is to end.
    stopping: watch::Sender<bool>,
    pub(crate) queries: QueryThreads,
    listener: SocketAddr,
    requests: Arc<Semaphore>,
    bodies: Pool,
    /// What is made of bodies: nobody waits for room of a pool with room of it in hand.
    pub(crate) made: Pool,
    #[cfg(feature = "flight")]
    pub(crate) flight: OnceLock<Arc<crate::flight::Tally>>,
    #[cfg(feature = "pgwire")]
    pub(crate) pg: OnceLock<Arc<Tally>>,
}

impl Shared {
    /// Becomes true when the gateway is asked to end.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// Reserves room for a request's body: as much as it announces, or the most it may hold where
    /// it announces nothing or comes packed.
    ///
    /// # Errors
    /// `Overloaded` when there is no room within the time that requests wait.
    pub(crate) async fn body_room(&self, headers: &HeaderMap) -> Result<OwnedSemaphorePermit> {
        let most = self.options.body_bytes_max;
        let announced = headers
            .get(header::CONTENT_LENGTH)
            .filter(|_| !headers.contains_key(header::CONTENT_ENCODING))
            .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        self.room(announced.unwrap_or(most).min(most)).await
    }

    /// Reserves so many bytes of the bound on bodies that are held at once, or all of it where that is less.
    ///
    /// # Errors
    /// `Overloaded` when there is no room within the time that requests wait.
    pub(crate) async fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit> {
        let room = self.bodies.take(bytes).await;
        room.inspect_err(|_| self.metrics.refused())
    }
}

/// The place of a request among those answered at once; a streaming body keeps it until its end.
#[derive(Clone)]
pub struct Place {
    _permit: Arc<OwnedSemaphorePermit>,
}

/// A running HTTP listener.
pub struct Gateway {
    local_addr: SocketAddr,
    shared: Arc<Shared>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    #[cfg(feature = "flight")]
    flight: Option<FlightWire>,
    #[cfg(feature = "pgwire")]
    pg: Option<PgWire>,
}

impl Gateway {
    /// Binds and starts to answer.
    ///
    /// # Errors
    /// `Conflict` when the address is in use, `Denied` when the system does not allow it,
    /// `Invalid` when this machine does not have it.
    pub async fn start(options: GatewayOptions, db: Db, hooks: Arc<dyn Hooks>) -> Result<Gateway> {
        let listener = TcpListener::bind(options.listen)
            .await
            .map_err(|error| bind_error("HTTP", "--http", options.listen, &error))?;
        let local_addr = listener.local_addr()?;
        let room = options.bodies_bytes_max.max(options.body_bytes_max);
        let shared = Arc::new(Shared {
            db,
            hooks,
            metrics: HttpMetrics::default(),
            first_bytes: Arc::default(),
            #[cfg(feature = "prometheus")]
            remote_writes: RemoteWrites::default(),
            draining: AtomicBool::new(false),
            stopping: watch::Sender::new(false),
            queries: QueryThreads::start(options.query_threads)?,
            listener: local_addr,
            requests: Arc::new(Semaphore::new(options.requests_max)),
            bodies: Pool::new(room),
            made: Pool::new(room),
            #[cfg(feature = "flight")]
            flight: OnceLock::new(),
            #[cfg(feature = "pgwire")]
            pg: OnceLock::new(),
            options,
        });
        #[cfg(feature = "flight")]
        let flight = match shared.options.flight.clone() {
            Some(options) => Some(FlightWire::start(options, shared.clone()).await?),
            None => None,
        };
        #[cfg(feature = "pgwire")]
        let pg = match shared.options.pg.clone() {
            Some(options) => Some(PgWire::start(options, shared.clone()).await?),
            None => None,
        };
        let router = routes(shared.clone());
        let (stop, stopped) = oneshot::channel::<()>();
        let listener = BoundedListener::new(listener, shared.options.connections_max);
        let task = tokio::spawn(async move {
            let service = router.into_make_service_with_connect_info::<Peer>();
            let serving = axum::serve(listener, service).with_graceful_shutdown(async {
                // A dropped sender means the same as a sent stop.
                let _ = stopped.await;
            });
            if let Err(error) = serving.await {
                tracing::error!(%error, "the HTTP listener failed");
            }
        });
        Ok(Gateway {
            local_addr,
            shared,
            stop,
            task,
            #[cfg(feature = "flight")]
            flight,
            #[cfg(feature = "pgwire")]
            pg,
        })
    }

    /// The address it listens on, with the port that was picked.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The address of the Arrow Flight SQL wire, where there is one.
    #[cfg(feature = "flight")]
    pub fn flight_addr(&self) -> Option<SocketAddr> {
        self.flight.as_ref().map(|flight| flight.local_addr)
    }

    /// The address of the PostgreSQL wire, where there is one.
    #[cfg(feature = "pgwire")]
    pub fn pg_addr(&self) -> Option<SocketAddr> {
        self.pg.as_ref().map(|pg| pg.local_addr)
    }

    /// Stops taking requests, lets those under way finish within `drain_max`, and returns.
    pub async fn shutdown(self) {
        self.shared.draining.store(true, Ordering::Release);
        self.shared.stopping.send_replace(true);
        let _ = self.stop.send(());
        #[cfg(feature = "flight")]
        if let Some(flight) = self.flight {
            flight.shutdown(self.shared.options.drain_max).await;
        }
        #[cfg(feature = "pgwire")]
        if let Some(pg) = &self.pg {
            pg.shutdown(self.shared.options.drain_max).await;
        }
        let mut task = self.task;
        if tokio::time::timeout(self.shared.options.drain_max, &mut task)
            .await
            .is_err()
        {
            tracing::warn!("requests still under way at shutdown were cut off");
            task.abort();
        }
    }
}

pub(crate) fn bind_error(
    wire: &str,
    flag: &str,
    address: SocketAddr,
    error: &std::io::Error,
) -> Error {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            Error::conflict(format!("the {wire} address {address} is in use")).with_hint(format!(
                "stop the program that uses it, or choose another address with {flag}, port 0 for any free one"
            ))
        }
        std::io::ErrorKind::AddrNotAvailable => {
            Error::invalid(format!("this machine does not have the {wire} address {address}"))
                .with_hint("use 127.0.0.1 for this machine only, or 0.0.0.0 for every network")
        }
        std::io::ErrorKind::PermissionDenied => {
            Error::denied(format!("listening on {address} is not allowed"))
                .with_hint(format!("choose a port above 1023 with {flag}"))
        }
        _ => Error::internal(format!("listening on {address} failed: {error}")),
    }
}

fn routes(shared: Arc<Shared>) -> Router {
    api::routes()
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(shared.clone(), pass))
        .with_state(shared)
}

async fn not_found(request: Request) -> Response {
    Refusal::new(
        &Error::not_found(format!("there is nothing at {}", request.uri().path()))
            .with_hint("GET /openapi.json lists every address"),
    )
    .into_response()
}

async fn wrong_method(request: Request) -> Response {
    let message = format!(
        "{} does not take {}",
        request.uri().path(),
        request.method()
    );
    Refusal::with_status(
        axum::http::StatusCode::METHOD_NOT_ALLOWED,
        "invalid",
        &message,
        Some("GET /openapi.json lists every address with its methods"),
    )
    .into_response()
}

async fn pass(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let method = request.method().to_string();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let mut watch = Watch::new(&shared.metrics, method, route.clone());
    let unread = Unread::watch(&mut request);
    let mut response = answer(&shared, &route, request, next).await;
    watch.answered(response.status().as_u16());
    drop(watch);
    if let Some(unread) = unread {
        unread.settle(&mut response).await;
    }
    response
}

async fn answer(shared: &Shared, route: &str, mut request: Request, next: Next) -> Response {
    if let Err(error) = check_browser(&request, shared.listener) {
        return worded(Refusal::new(&error), route).into_response();
    }
    if route.starts_with("/health") || route == "/metrics" {
        return admitted(shared, route, request, next).await;
    }
    let Ok(permit) = shared.requests.clone().try_acquire_owned() else {
        shared.metrics.refused();
        let refusal = Refusal::new(
            &Error::overloaded("the node is answering as many requests as it may")
                .with_hint("send the request again in a second"),
        );
        return worded(refusal, route).into_response();
    };
    request.extensions_mut().insert(Place {
        _permit: Arc::new(permit),
    });
    admitted(shared, route, request, next).await
}

/// Runs the handler of a request whose sender may ask for it.
async fn admitted(shared: &Shared, route: &str, mut request: Request, next: Next) -> Response {
    match admit(shared, route, &mut request).await {
        Ok(()) => next.run(request).await,
        Err(refused) => refused,
    }
}
