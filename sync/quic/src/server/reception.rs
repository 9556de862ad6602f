//! Who comes in: each connection is let in at a rate, authenticated, and served in a task of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use activestore_types::{Error, Result};
use quinn::{Endpoint, Incoming, ZeroRttAccepted};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::passes::{Given, Pass};
use super::peers::Peer;
use super::{HANDSHAKE_TIMEOUT, Shared};
use crate::admission::{Gate, Offered, Turn};
use crate::certificate::is_valid;
use crate::clock::wall_ms;
use crate::enrol::{self, Enrolled};
use crate::failure::{self, CLOSE, Side};
use crate::lanes::stopped;
use crate::link::Link;
use crate::member::Member;
use crate::peer_session;
use crate::tcp_listener::{Arrival, TcpDoor};
use crate::tls::{self, ENROL_ALPN};

/// Shutting down waits this long for sessions to end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// One that wants in.
enum Applicant {
    Quic(Box<Incoming>),
    Tcp(Arrival),
}

impl Applicant {
    /// Without a handshake: QUIC has a packet for that, and a socket is closed.
    fn refuse(self, shared: &Shared) {
        shared.counters.refused.add(1);
        shared.counters.turned_away.add(1);
        if let Applicant::Quic(incoming) = self {
            incoming.refuse();
        }
    }

    /// Whether its address is known to be its own. What a socket came from is.
    fn is_proven(&self) -> bool {
        match self {
            Applicant::Quic(incoming) => {
                incoming.remote_address_validated() || !incoming.may_retry()
            }
            Applicant::Tcp(_) => true,
        }
    }
}

/// Lets edges in until it is told to stop.
pub(super) async fn listen_on(shared: Arc<Shared>, endpoint: Endpoint, door: Option<TcpDoor>) {
    let mut stop = shared.stop.subscribe();
    let mut sessions = JoinSet::new();
    let places = Arc::new(Semaphore::new(shared.options.connections_max));
    let mut tick = tokio::time::interval(shared.options.catalog_every);
    let mut gate: Gate<Applicant> = Gate::new(shared.options.admission);
    let mut given = Given::default();
    let begun = Instant::now();
    loop {
        let expires = given.expire();
        let now = begun.elapsed();
        while let Some(turn) = gate.next(now, shared.under_way.count()) {
            match turn {
                Turn::Refuse(who) => who.refuse(&shared),
                Turn::Admit(who) => match places.clone().try_acquire_owned() {
                    Ok(place) => {
                        let pass = Pass::take(&shared.under_way);
                        given.remember(&pass);
                        sessions.spawn(admit(shared.clone(), who, pass, place));
                    }
                    Err(_) => who.refuse(&shared),
                },
            }
        }
        shared.waiting.store(gate.len(), Ordering::Relaxed);
        let wakes = gate.wakes(now, shared.under_way.count());
        // Nobody waits for a pass while nobody waits.
        let wakes = wakes.map(|at| expires.map_or(begun + at, |expires| expires.min(begun + at)));
        let alarm = wakes.unwrap_or(begun);
        let who = tokio::select! {
            incoming = endpoint.accept() => match incoming {
                Some(incoming) => Applicant::Quic(Box::new(incoming)),
                None => break,
            },
            arrival = TcpDoor::accept(door.as_ref()) => Applicant::Tcp(arrival),
            () = tokio::time::sleep_until(alarm), if wakes.is_some() => continue,
            () = shared.under_way.fewer.notified() => continue,
            _ = tick.tick() => {
                let version = shared.options.inbox.catalog_version();
                shared.catalog.send_if_modified(|known| {
                    std::mem::replace(known, version) != version
                });
                continue;
            }
            Some(_) = sessions.join_next(), if !sessions.is_empty() => continue,
            () = stopped(&mut stop) => break,
        };
        let proven = who.is_proven();
        match gate.offer(begun.elapsed(), who, proven) {
            Offered::Waits => {}
            Offered::Refuse(who) => who.refuse(&shared),
            Offered::Prove(Applicant::Quic(incoming)) => {
                shared.counters.asked_for_proof.add(1);
                // It may be asked: otherwise it counts as proven.
                let _ = incoming.retry();
            }
            Offered::Prove(who) => who.refuse(&shared),
        }
    }
    let ending = async {
        while sessions.join_next().await.is_some() {}
        endpoint.close(CLOSE, b"the cloud shuts down");
        endpoint.wait_idle().await;
    };
    if tokio::time::timeout(CLOSE_TIMEOUT, ending).await.is_err() {
        tracing::warn!("some edges' sessions did not end in time");
    }
}

async fn admit(shared: Arc<Shared>, who: Applicant, pass: Pass, place: OwnedSemaphorePermit) {
    match who {
        Applicant::Quic(incoming) => receive(shared, *incoming, pass).await,
        Applicant::Tcp(arrival) => receive_tcp(shared, arrival, pass).await,
    }
    drop(place);
}

/// Authenticates one connection and serves it.
async fn receive(shared: Arc<Shared>, incoming: Incoming, pass: Pass) {
    let address = incoming.remote_address();
    let failed = |error: quinn::ConnectionError| Error::denied(failure::at_cloud(&error));
    let early_data = shared.options.transport.early_data;
    let connecting = async {
        let connecting = incoming.accept().map_err(failed)?;
        let connecting = match early_data {
            true => connecting.into_0rtt(),
            false => Err(connecting),
        };
        let (connection, done) = match connecting {
            Ok(begun) => begun,
            Err(connecting) => return Ok((connecting.await.map_err(failed)?, None)),
        };
        // A session that is resumed says by whom from its first packet on: it is served at once. Everybody else is known
        // once the handshake is done.
        let conversation = tls::agreed(&connection).and_then(|name| tls::version(&name));
        if connection.peer_identity().is_some() && conversation.is_some() {
            shared.counters.early_connections.add(1);
            return Ok((connection, Some(done)));
        }
        done.await;
        match connection.close_reason() {
            Some(error) => Err(failed(error)),
            None => Ok((connection, None)),
        }
    };
    let link = authenticated(connecting).await;
    let link = link.map(|(connection, unproven)| (Link::Quic(connection), unproven));
    finish(&shared, address, link, pass).await;
}

/// The same of one over TCP.
async fn receive_tcp(shared: Arc<Shared>, arrival: Arrival, pass: Pass) {
    let address = arrival.address;
    let failed = |error: std::io::Error| Error::denied(failure::of_tls(Side::Cloud, &error));
    let connecting = async { arrival.handshake().await.map_err(failed) };
    let link = authenticated(connecting).await;
    let link = link.map(|link| (Link::Tcp(link), None));
    if link.is_ok() {
        shared.counters.tcp_connections.add(1);
    }
    finish(&shared, address, link, pass).await;
}

/// Ends when the handshake does, where a connection is served before.
type Unproven = Option<ZeroRttAccepted>;

/// Returns when the handshake is over; never where it was before.
async fn proof(unproven: Unproven) {
    match unproven {
        Some(done) => drop(done.await),
        None => std::future::pending().await,
    }
}

async fn authenticated<T>(connecting: impl Future<Output = Result<T>>) -> Result<T> {
    let outcome = tokio::time::timeout(HANDSHAKE_TIMEOUT, connecting).await;
    outcome.map_err(|_| Error::denied("the handshake took too long"))?
}

async fn finish(
    shared: &Arc<Shared>,
    address: SocketAddr,
    link: Result<(Link, Unproven)>,
    pass: Pass,
) {
    let served = match link {
        Ok((link, unproven)) => serve(shared, link, unproven, pass).await,
        Err(error) => Err(error),
    };
    if let Err(error) = served {
        shared.counters.refused.add(1);
        tracing::warn!(%address, "refused a connection: {error}");
    }
}

async fn serve(
    shared: &Arc<Shared>,
    connection: Link,
    unproven: Unproven,
    pass: Pass,
) -> Result<()> {
    let member = match shown(&connection, wall_ms()) {
        Ok(member) => member,
        Err(error) => return refuse(&connection, error),
    };
    match connection.protocol().as_deref() {
        Some(ENROL_ALPN) => enrol_one(shared, &connection, member).await,
        Some(name) if tls::version(name).is_some() => match member {
            Some(member) => serve_member(shared, connection, member, unproven, pass).await,
            None => refuse(&connection, Error::denied("it has no certificate")),
        },
        _ => refuse(
            &connection,
            Error::denied("it speaks no protocol known here"),
        ),
    }
}

/// Whom a connection's certificate names, if it has one.
///
/// # Errors
/// `Denied` for a certificate that names none, or is not valid at that moment: where a session was resumed, nobody has
/// looked at it since it was full.
fn shown(connection: &Link, now_ms: u64) -> Result<Option<Member>> {
    let Some(certificate) = connection.member() else {
        return Ok(None);
    };
    if !is_valid(&certificate, now_ms) {
        return Err(Error::denied("its certificate is not valid now"));
    }
    Member::of(&certificate).map(Some)
}

fn refuse(connection: &Link, error: Error) -> Result<()> {
    connection.close(error.to_string().as_bytes());
    Err(error)
}

async fn enrol_one(shared: &Arc<Shared>, connection: &Link, member: Option<Member>) -> Result<()> {
    let identity = shared.options.identity.clone();
    let tokens = shared.options.tokens.clone();
    let answering = enrol::answer(connection, member, identity, tokens);
    let outcome = tokio::time::timeout(HANDSHAKE_TIMEOUT, answering)
        .await
        .unwrap_or_else(|_| Err(Error::denied("joining took too long")));
    match outcome {
        Ok(Enrolled { node, renewed }) => {
            shared.counters.admitted.add(1);
            shared.options.inbox.enrolled(node, renewed);
            tracing::info!(%node, renewed, address = %connection.remote_address(), "admitted an edge");
            Ok(())
        }
        Err(error) => {
            shared.counters.admissions_refused.add(1);
            connection.close(error.to_string().as_bytes());
            Err(error.context("an edge wanted to join"))
        }
    }
}

async fn serve_member(
    shared: &Arc<Shared>,
    connection: Link,
    member: Member,
    unproven: Unproven,
    pass: Pass,
) -> Result<()> {
    let node = member.node;
    let options = shared.options.clone();
    let asks = member.clone();
    let admitted = tokio::task::spawn_blocking(move || {
        let labels = options
            .tokens
            .admits(&asks)
            .inspect_err(|error| options.inbox.turned_away(node, error.message()))?;
        options.inbox.member(node, &labels);
        Ok(())
    })
    .await
    .map_err(|_| Error::internal("the list of members could not be read"))?;
    if let Err(error) = admitted {
        return refuse(&connection, error);
    }
    shared.counters.connections.add(1);
    let id = connection.id();
    shared.peers.lock().insert(
        id,
        Peer {
            connection: connection.clone(),
            member,
            epoch: None,
            status: None,
            proven: unproven.is_none(),
        },
    );
    let link = connection.clone();
    let session = peer_session::run(shared.clone(), connection, node, pass);
    tokio::pin!(session);
    let reason = tokio::select! {
        reason = &mut session => reason,
        () = proof(unproven) => {
            if !link.has_ended() {
                shared.proven(&link);
            }
            session.await
        }
    };
    shared.peers.lock().remove(&id);
    tracing::info!(%node, "an edge left: {reason}");
    Ok(())
}
