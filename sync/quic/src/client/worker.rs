//! The edge's task: attempts, sessions, and the waits between them, for ever.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use activestore_sync_proto::{BlobAssembly, Reconnect};
use activestore_types::{Error, Result};
use rustls::ClientConfig;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Inner;
use super::allowed;
use super::dial::Dialer;
use super::names::Names;
use super::waiting::Waiting;
use crate::backoff::Backoff;
use crate::early::Unanswered;
use crate::edge_session::{self, COMMAND_QUEUE, Command, SessionEnd};
use crate::enrol;
use crate::lanes::stopped;
use crate::link::Link;
use crate::tls;
use crate::token::JoinToken;

/// Shutting down waits this long for the close to reach the cloud.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) struct Worker {
    pub(super) inner: Arc<Inner>,
    token: Option<JoinToken>,
    carry: Option<BlobAssembly>,
    dialer: Dialer,
    names: Names,
    config: Option<Arc<ClientConfig>>,
    /// How long one attempt may take now.
    within: Duration,
}

/// Works until it is told to stop.
pub(super) async fn run(inner: Arc<Inner>, token: Option<JoinToken>) {
    let mut stop = inner.stop.subscribe();
    let options = &inner.options;
    let dialer = Dialer::new(
        options.reach,
        options.transport,
        options.connect_timeout,
        options.quic_again,
        inner.crossed.clone(),
    );
    let mut worker = Worker {
        inner: inner.clone(),
        token,
        carry: None,
        dialer,
        names: Names::default(),
        config: None,
        within: options.connect_timeout,
    };
    tokio::select! {
        () = worker.work() => {}
        () = allowed::look(&inner) => {}
        // A session under way sees the stop itself and closes in order; without one this is quick.
        () = async {
            stopped(&mut stop).await;
            tokio::time::sleep(CLOSE_TIMEOUT).await;
        } => {}
    }
    worker.dialer.shutdown(CLOSE_TIMEOUT).await;
    inner.release();
    allowed::end(&inner).await;
}

impl Worker {
    async fn work(&mut self) {
        let mut stop = self.inner.stop.subscribe();
        let mut backoff = Backoff::new(self.inner.options.backoff);
        let mut out_since = Instant::now();
        while !*stop.borrow() {
            if !self.may_connect().await {
                continue;
            }
            let waiting = Waiting::look(&self.inner.options.outbox).await;
            let eager = backoff.is_eager(waiting.rows, out_since.elapsed());
            let patient = self.inner.options.connect_timeout;
            self.within = match eager {
                true => patient.min(self.inner.options.eager_timeout),
                false => patient,
            };
            let wait = match self.visit().await {
                Ok(end) => {
                    if end.stopped {
                        return;
                    }
                    if end.was_live {
                        backoff.reset();
                        out_since = Instant::now();
                    }
                    self.inner.failed(end.reason);
                    if end.reconnect == Reconnect::Now {
                        continue;
                    }
                    backoff.next_wait(eager, end.again.unwrap_or_default())
                }
                Err(error) => {
                    self.dialer.forget_socket();
                    let peers = self.inner.options.peers.join(", ");
                    self.inner.failed(format!("{peers}: {error}"));
                    match self.dialer.met_a_busy_cloud() {
                        true => backoff.busy_wait(),
                        false => backoff.next_wait(eager, Duration::ZERO),
                    }
                }
            };
            let alarm = async {
                tokio::time::sleep(wait.for_alarm).await;
                waiting.new_alarm(&self.inner).await;
            };
            tokio::select! {
                () = tokio::time::sleep(wait.all) => {}
                () = alarm => backoff.alarmed(),
                () = self.inner.retry.notified() => backoff.reset(),
                () = stopped(&mut stop) => return,
            }
        }
    }

    /// Connects to the cloud by whichever of its addresses is there first, and stays as long as it lasts.
    async fn visit(&mut self) -> Result<SessionEnd> {
        let peers = &self.inner.options.peers;
        let addresses = self.names.resolve(peers, self.within).await?;
        let identity = self.inner.options.identity.clone();
        if !identity.joined() {
            self.join(&addresses).await?;
            if self.inner.options.joins_only {
                return Ok(SessionEnd {
                    reason: "it was only to join".to_owned(),
                    reconnect: Reconnect::AfterBackoff,
                    again: None,
                    carry: None,
                    was_live: false,
                    stopped: true,
                    unanswered: false,
                });
            }
        } else if identity.is_due()
            && let Err(error) = self.renew(&addresses).await
        {
            tracing::warn!("the certificate could not be renewed yet: {error}");
        }
        let config = match &self.config {
            Some(config) => config.clone(),
            None => {
                let config = self.member_config(&tls::SYNC_ALPNS.map(|(name, _)| name))?;
                self.config = Some(config.clone());
                config
            }
        };
        let mut next = match self.resume(&addresses, &config).await {
            Some(resumed) => resumed,
            None => (self.connect(&addresses, &config).await?, None),
        };
        loop {
            let (link, unanswered) = next;
            let mut end = self.stay(link, unanswered, &config).await;
            self.carry = end.carry.take();
            if end.stopped || !end.unanswered {
                return Ok(end);
            }
            // Nobody answered the resumption, or took what it began with: then it goes as without one.
            self.dialer.forget_socket();
            next = (self.connect(&addresses, &config).await?, None);
        }
    }

    /// A connection that resumes the last session, where there is one.
    async fn resume(
        &mut self,
        addresses: &[SocketAddr],
        config: &Arc<ClientConfig>,
    ) -> Option<(Link, Option<Unanswered>)> {
        let (link, unanswered) = self.dialer.resume(addresses, config).await?;
        self.inner.hold(link.clone());
        Some((link, unanswered))
    }

    /// A session over a connection, as long as it lasts.
    async fn stay(
        &mut self,
        link: Link,
        unanswered: Option<Unanswered>,
        config: &Arc<ClientConfig>,
    ) -> SessionEnd {
        let address = link.remote_address();
        let spoken = (link.transport(), link.version());
        let (commands, receiver) = mpsc::channel(COMMAND_QUEUE);
        *self.inner.commands.lock() = Some(commands.clone());
        let carry = self.carry.take();
        let session = edge_session::run(self.inner.clone(), link, carry, receiver, unanswered);
        tokio::pin!(session);
        let end = tokio::select! {
            end = &mut session => end,
            () = self.dialer.quic_gets_through(address, config) => {
                // A session that takes no command is ending.
                let _ = commands.try_send(Command::ConnectAnew);
                session.await
            }
        };
        *self.inner.commands.lock() = None;
        self.inner.release();
        if end.was_live {
            self.dialer.was_live(address, spoken);
        }
        end
    }

    async fn join(&mut self, addresses: &[SocketAddr]) -> Result<()> {
        let token = self.token.clone().ok_or_else(|| {
            Error::denied("this edge has not joined a cluster and has no token")
                .with_hint("make one on the cloud node with `activestore token create`")
        })?;
        let identity = self.inner.options.identity.clone();
        let config = tls::joiner(token.ca_sha256, identity.clock())?;
        let address = self.enrol(addresses, &config, &token.secret).await?;
        tracing::info!(%address, "joined the cluster");
        Ok(())
    }

    async fn renew(&mut self, addresses: &[SocketAddr]) -> Result<()> {
        let config = self.member_config(&[tls::ENROL_ALPN])?;
        let address = self.enrol(addresses, &config, &[]).await?;
        tracing::info!(%address, "the certificate was renewed");
        Ok(())
    }

    async fn enrol(
        &mut self,
        addresses: &[SocketAddr],
        config: &Arc<ClientConfig>,
        secret: &[u8],
    ) -> Result<SocketAddr> {
        let outbox = self.inner.options.outbox.clone();
        let (node, name, _) = tokio::task::spawn_blocking(move || outbox.identity())
            .await
            .map_err(|_| Error::internal("the node's identity could not be read"))?;
        let identity = self.inner.options.identity.clone();
        let connection = self.connect(addresses, config).await?;
        let asking = enrol::ask(&connection, &identity, node, &name, secret);
        let outcome = tokio::time::timeout(self.inner.options.connect_timeout, asking)
            .await
            .unwrap_or_else(|_| Err(Error::overloaded("the cloud does not answer")));
        connection.close(b"done");
        self.inner.release();
        self.config = None; // it holds the certificate before
        outcome.map(|()| connection.remote_address())
    }

    fn member_config(&self, alpn: &[&[u8]]) -> Result<Arc<ClientConfig>> {
        let identity = &self.inner.options.identity;
        let membership = identity
            .membership()
            .ok_or_else(|| Error::denied("this edge has not joined a cluster"))?;
        let early_data = self.inner.options.transport.early_data;
        tls::member(identity, &membership, alpn, early_data)
    }

    async fn connect(
        &mut self,
        addresses: &[SocketAddr],
        config: &Arc<ClientConfig>,
    ) -> Result<Link> {
        let connection = self.dialer.connect(addresses, config, self.within).await?;
        self.inner.trusted(&connection)?;
        self.inner.hold(connection.clone());
        Ok(connection)
    }
}
