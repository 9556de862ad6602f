//! How the edge reaches the cloud: by QUIC, over TCP where no UDP gets through, and by QUIC again when it does. A
//! round tries all addresses and both transports beside each other, a little apart.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use activestore_types::{Error, Result};
use quinn::Endpoint;
use rustls::ClientConfig;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::race::{Attempt, Failure, Pace, Race, Step};
use super::way::Way;
use crate::backoff::jittered;
use crate::crossed::Crossed;
use crate::early::{Early, Unanswered};
use crate::failure::CLOSE;
use crate::link::{Link, Transport};
use crate::transport::TransportOptions;
use crate::udp;

/// The round trip that is expected of an unknown network, to tell attempts apart.
const RTT_UNKNOWN: Duration = Duration::from_millis(500);
/// The other transport sets out after so many round trips: as long as QUIC takes where its first packet is lost …
const HEAD_START_RTTS: u32 = 4;
/// … but not before …
const HEAD_START_MIN: Duration = Duration::from_secs(1);
/// … and not after.
const HEAD_START_MAX: Duration = Duration::from_secs(4);
/// The next address sets out at the earliest after this …
const STAGGER_MIN: Duration = Duration::from_millis(250);
/// … and at the latest after this.
const STAGGER_MAX: Duration = Duration::from_secs(1);
/// The longest round trip that first packets are repeated by: what was measured may have been a full queue.
const INITIAL_RTT_MAX: Duration = Duration::from_secs(1);
/// An attempt goes on for so many round trips at least, however soon it should be given up.
const ATTEMPT_RTTS: u32 = 8;
/// The first look whether UDP gets through again; then it is looked for less and less often, up to
/// `ClientOptions::quic_again`.
const QUIC_LOOK_FIRST: Duration = Duration::from_secs(60);

/// What carries the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// QUIC, and TCP where no UDP gets through.
    #[default]
    Auto,
    /// This one alone.
    Only(Transport),
}

/// Opens connections, and remembers what got through.
pub(crate) struct Dialer {
    reach: Reach,
    options: TransportOptions,
    connect_timeout: Duration,
    quic_again: Duration,
    crossed: Arc<Crossed>,
    /// By family, IPv4 first.
    endpoints: [Option<Endpoint>; 2],
    /// The round trip when a connection began last: before it had a queue of its own making.
    rtt: Option<Duration>,
    /// When TCP got through where UDP did not.
    tcp_since: Option<Instant>,
    /// Where the last session over QUIC was, and the version that was spoken there: what may be resumed.
    resumable: Option<(SocketAddr, u16)>,
    /// Whether the last round met a cloud that takes no more edges at the moment.
    busy: bool,
}

impl Dialer {
    pub(crate) fn new(
        reach: Reach,
        options: TransportOptions,
        connect_timeout: Duration,
        quic_again: Duration,
        crossed: Arc<Crossed>,
    ) -> Dialer {
        Dialer {
            reach,
            options,
            connect_timeout,
            quic_again,
            crossed,
            endpoints: [None, None],
            rtt: None,
            tcp_since: None,
            resumable: None,
            busy: false,
        }
    }

    /// Whether the last round met a cloud that takes no more edges at the moment.
    pub(super) fn met_a_busy_cloud(&self) -> bool {
        self.busy
    }

    /// A fresh socket next time: the interface may have gone.
    pub(crate) fn forget_socket(&mut self) {
        self.endpoints = [None, None];
    }

    /// Closes the sockets, once what was said over them has gone.
    pub(crate) async fn shutdown(&mut self, within: Duration) {
        let mut closing = JoinSet::new();
        for endpoint in self.endpoints.iter_mut().filter_map(Option::take) {
            endpoint.close(CLOSE, b"the edge shuts down");
            closing.spawn(async move { endpoint.wait_idle().await });
        }
        // The cloud finds out by itself where it is not told.
        let _ = tokio::time::timeout(within, closing.join_all()).await;
    }

    /// Connects by whatever gets through first; each attempt is given up after `within`, or a little later on a link
    /// that is known to be slow.
    ///
    /// # Errors
    /// Why nothing does, as a sentence.
    pub(crate) async fn connect(
        &mut self,
        addresses: &[SocketAddr],
        config: &Arc<ClientConfig>,
        within: Duration,
    ) -> Result<Link> {
        let by_tcp = self
            .tcp_since
            .is_some_and(|since| since.elapsed() < self.quic_again);
        let favoured = if by_tcp {
            Transport::Tcp
        } else {
            Transport::Quic
        };
        let way = Way {
            config: config.clone(),
            crossed: self.crossed.clone(),
            options: TransportOptions {
                initial_rtt: self.initial_rtt(),
                ..self.options
            },
            within: self.rtt.map_or(within, |rtt| {
                within.max(rtt * ATTEMPT_RTTS).min(self.connect_timeout)
            }),
        };
        self.busy = false;
        let mut race = Race::new(addresses, self.reach, favoured, self.pace());
        let outcome = self.run(&mut race, &way).await;
        match &outcome {
            Ok(link) if link.transport() == Transport::Quic => {
                self.rtt = Some(link.rtt());
                self.tcp_since = None;
            }
            Ok(link) if self.reach == Reach::Auto && !by_tcp => {
                let address = link.remote_address();
                tracing::info!(%address, "no UDP gets through to the cloud: connected over TCP");
                self.tcp_since = Some(Instant::now());
            }
            Ok(_) => {}
            // Another network, perhaps.
            Err(_) => self.tcp_since = None,
        }
        outcome
    }

    /// A session over that connection was past the greeting.
    pub(super) fn was_live(&mut self, address: SocketAddr, link: (Transport, u16)) {
        let (by, version) = link;
        self.resumable = (by == Transport::Quic).then_some((address, version));
    }

    /// A connection that resumes the last session, before anybody has answered, where there is one that may be; where
    /// nothing of it may be sent early, one that was answered.
    pub(super) async fn resume(
        &mut self,
        addresses: &[SocketAddr],
        config: &Arc<ClientConfig>,
    ) -> Option<(Link, Option<Unanswered>)> {
        if !self.options.early_data || self.tcp_since.is_some() {
            return None;
        }
        let (address, version) = self
            .resumable
            .filter(|(known, _)| addresses.contains(known))?;
        let way = Way {
            config: config.clone(),
            crossed: self.crossed.clone(),
            options: TransportOptions {
                initial_rtt: self.initial_rtt(),
                ..self.options
            },
            within: self.connect_timeout,
        };
        let until = Instant::now() + self.pace().head_start;
        let endpoint = self.endpoint_for(address).ok()?;
        match way.begin(&endpoint, address).ok()?.into_0rtt() {
            Ok((connection, taken)) => {
                let link = Link::Early(connection, Arc::new(Early::new(version)));
                Some((link, Some(Unanswered { taken, until })))
            }
            Err(connecting) => {
                // No ticket is left, each being good for one attempt, or the cloud gives none. Nothing is resumed any
                // more until there was another session.
                self.resumable = None;
                let answered = tokio::time::timeout_at(until, connecting).await;
                answered
                    .ok()?
                    .ok()
                    .map(|connection| (Link::Quic(connection), None))
            }
        }
    }

    /// Does what the race says.
    async fn run(&mut self, race: &mut Race<Link>, way: &Way) -> Result<Link> {
        let begun = Instant::now();
        // What is still under way when the round is over is dropped, which closes it.
        let mut attempts: JoinSet<(Attempt, Duration, Result<Link, Failure>)> = JoinSet::new();
        loop {
            let until = match race.next(begun.elapsed()) {
                Step::Won(attempt, link) => {
                    let (address, by) = (attempt.address, attempt.by.name());
                    tracing::debug!(%address, by, took = ?begun.elapsed(), "an attempt arrived first");
                    return Ok(link);
                }
                Step::Lost(error) => return Err(error),
                Step::Start(attempt) => {
                    self.set_out(&mut attempts, attempt, way.clone());
                    continue;
                }
                Step::Wait(until) => until.map(|until| begun + until),
            };
            let alarm = async {
                match until {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(done) = attempts.join_next() => match done {
                    Ok((attempt, took, Ok(link))) => {
                        if let Some(link) = race.arrived(begun.elapsed(), attempt, took, link) {
                            link.close(b"another way was faster");
                        }
                    }
                    Ok((attempt, _, Err(failure))) => {
                        self.busy |= matches!(failure, Failure::Busy(_));
                        race.failed(attempt, failure);
                    }
                    Err(error) => {
                        return Err(Error::internal(format!("an attempt to connect ended: {error}")));
                    }
                },
                () = alarm => {}
            }
        }
    }

    fn set_out(
        &mut self,
        attempts: &mut JoinSet<(Attempt, Duration, Result<Link, Failure>)>,
        attempt: Attempt,
        way: Way,
    ) {
        let endpoint = match attempt.by {
            Transport::Quic => Some(self.endpoint_for(attempt.address)),
            Transport::Tcp => None,
        };
        attempts.spawn(async move {
            let begun = Instant::now();
            let outcome = match endpoint {
                Some(Ok(endpoint)) => way.quic(&endpoint, attempt.address).await,
                Some(Err(error)) => Err(Failure::Broken(error)),
                None => way.tcp(attempt.address).await,
            };
            (attempt, begun.elapsed(), outcome)
        });
    }

    /// Returns once QUIC gets through again; it is tried seldom, since each try costs bytes. Never returns where
    /// it was not left because of that.
    pub(crate) async fn quic_gets_through(
        &mut self,
        address: SocketAddr,
        config: &Arc<ClientConfig>,
    ) {
        if self.tcp_since.is_none() {
            return std::future::pending().await;
        }
        let way = Way {
            config: config.clone(),
            crossed: self.crossed.clone(),
            options: self.options,
            within: self.connect_timeout,
        };
        let mut pause = QUIC_LOOK_FIRST.min(self.quic_again);
        loop {
            // What drove one edge to TCP drove others at the same moment.
            tokio::time::sleep(jittered(pause)).await;
            pause = (pause * 2).min(self.quic_again);
            self.forget_socket();
            let Ok(endpoint) = self.endpoint_for(address) else {
                continue;
            };
            if let Ok(link) = way.quic(&endpoint, address).await {
                link.close(b"only to see whether UDP gets through");
                self.tcp_since = None;
                return;
            }
        }
    }

    /// First packets are repeated by what this network took last, and never sooner than the settings say.
    fn initial_rtt(&self) -> Duration {
        let known = self.rtt.unwrap_or_default().min(INITIAL_RTT_MAX);
        known.max(self.options.initial_rtt)
    }

    fn pace(&self) -> Pace {
        let rtt = self.rtt.unwrap_or(RTT_UNKNOWN);
        // A short patience with one attempt leaves time for all of them.
        let most = self.connect_timeout / 2;
        Pace {
            head_start: (rtt * HEAD_START_RTTS)
                .clamp(HEAD_START_MIN, HEAD_START_MAX)
                .min(most),
            stagger: rtt.clamp(STAGGER_MIN, STAGGER_MAX).min(most),
        }
    }

    fn endpoint_for(&mut self, address: SocketAddr) -> Result<Endpoint> {
        let [v4, v6] = &mut self.endpoints;
        let (kept, any): (_, SocketAddr) = if address.is_ipv6() {
            (v6, (std::net::Ipv6Addr::UNSPECIFIED, 0).into())
        } else {
            (v4, (std::net::Ipv4Addr::UNSPECIFIED, 0).into())
        };
        if let Some(endpoint) = kept {
            return Ok(endpoint.clone());
        }
        let endpoint = udp::edge_endpoint(any, self.crossed.clone())
            .map_err(|error| Error::from(error).context("a UDP socket cannot be opened"))?;
        *kept = Some(endpoint.clone());
        Ok(endpoint)
    }
}
