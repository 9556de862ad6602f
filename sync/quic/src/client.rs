//! The edge's end: joins once, connects, ships, and connects again for ever.

mod allowed;
mod dial;
mod names;
mod news;
mod race;
mod status;
mod waiting;
mod way;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use activestore_sync_proto::reconcile::Report;
use activestore_sync_proto::{DigestComparison, Outbox, Replica, UplinkOptions};
use activestore_types::{Error, Result};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tracing::Instrument;

use crate::allowance::{Allowance, AllowanceOptions};
use crate::backoff::BackoffOptions;
use crate::bandwidth::Bucket;
use crate::certificate::is_valid;
use crate::clock::wall_ms;
use crate::crossed::Crossed;
use crate::edge_session::Command;
use crate::identity::EdgeIdentity;
use crate::link::Link;
use crate::token::JoinToken;
use crate::transport::TransportOptions;
#[cfg(test)]
pub(crate) use dial::Dialer;
pub use dial::Reach;
pub use news::{LinkNews, Told};
pub use status::ConnectionStatus;
pub(crate) use way::NO_ANSWER;

/// A comparison takes at most this long: either end may have to read whole tables, and rows to cross the link.
const VERIFY_TIMEOUT: Duration = Duration::from_secs(3600);

/// What the edge's end needs.
#[derive(Clone)]
pub struct ClientOptions {
    /// The cloud's addresses, `HOST:PORT`; tried beside each other, in this order a little apart. When empty, those in the token.
    pub peers: Vec<String>,
    /// This edge's key and membership.
    pub identity: Arc<EdgeIdentity>,
    /// The token to join with, if it has not joined yet.
    pub token: Option<String>,
    /// The sealed segments.
    pub outbox: Arc<dyn Outbox>,
    /// What takes the cloud's definitions.
    pub replica: Arc<dyn Replica>,
    /// The protocol's settings.
    pub uplink: UplinkOptions,
    /// The transport's settings.
    pub transport: TransportOptions,
    /// What carries the connection.
    pub reach: Reach,
    /// How long TCP is kept to where no UDP got through, until UDP is tried again.
    pub quic_again: Duration,
    /// Waits between attempts.
    pub backoff: BackoffOptions,
    /// How long one attempt to connect may take.
    pub connect_timeout: Duration,
    /// The same while rows wait and the outage is young: an attempt that meets the link's return sends its next
    /// packet only after ever longer pauses, so a new one is sooner there.
    pub eager_timeout: Duration,
    /// What may be sent in a second at most, in bytes; alarms go first. `None` for what the link takes.
    pub bandwidth: Option<u64>,
    /// Who is told of each connection, and of why there is none. It returns at once.
    pub told: Option<Told>,
    /// When rows may be sent, and how much in a month.
    pub allowance: AllowanceOptions,
    /// Whether it ends once it has joined, before anything is shipped.
    pub joins_only: bool,
}

impl ClientOptions {
    /// The usual settings.
    pub fn new(
        peers: Vec<String>,
        identity: Arc<EdgeIdentity>,
        token: Option<String>,
        outbox: Arc<dyn Outbox>,
        replica: Arc<dyn Replica>,
    ) -> Self {
        ClientOptions {
            peers,
            identity,
            token,
            outbox,
            replica,
            uplink: UplinkOptions::default(),
            transport: TransportOptions::default(),
            reach: Reach::Auto,
            quic_again: Duration::from_secs(3600),
            backoff: BackoffOptions::default(),
            connect_timeout: Duration::from_secs(10),
            eager_timeout: Duration::from_secs(5),
            bandwidth: None,
            told: None,
            allowance: AllowanceOptions::default(),
            joins_only: false,
        }
    }

    /// The same, set to find a link that works again within two seconds.
    #[must_use]
    pub fn quick(mut self) -> Self {
        self.transport = TransportOptions::quick();
        self.backoff.cap = Duration::from_millis(500);
        self.backoff.eager_cap = self.backoff.cap;
        self.backoff.alarm_first = Duration::from_millis(100);
        self.quic_again = Duration::from_secs(60);
        self.uplink.health_look = Duration::from_millis(250);
        self.connect_timeout = Duration::from_millis(1500);
        self.eager_timeout = self.connect_timeout;
        self
    }
}

/// The outcome of comparing digests with the cloud.
#[derive(Clone, Debug)]
pub struct VerifyReport {
    /// The cloud's address.
    pub peer: String,
    /// Per table: this edge's digest and the cloud's.
    pub comparison: DigestComparison,
    /// Sealed segments that were not acknowledged; while it is not 0, a difference is no surprise.
    pub behind: u64,
    /// What was found row by row; `None` where the cloud is too old to compare more than digests.
    pub found: Option<Box<Report>>,
}

/// What the client's task and its handle share.
pub(crate) struct Inner {
    pub(crate) options: ClientOptions,
    pub(crate) sealed: Arc<Notify>,
    pub(crate) bucket: Option<Arc<Bucket>>,
    pub(crate) allowance: Option<Arc<Allowance>>,
    pub(crate) stop: watch::Sender<bool>,
    retry: Notify,
    status: Mutex<ConnectionStatus>,
    connection: Mutex<Option<Link>>,
    commands: Mutex<Option<mpsc::Sender<Command>>>,
    past_sent: AtomicU64,
    past_received: AtomicU64,
    /// What crossed the link since the start.
    crossed: Arc<Crossed>,
}

/// The running end of an edge. Dropping it stops it without a farewell.
pub struct SyncClient {
    inner: Arc<Inner>,
    task: JoinHandle<()>,
}

impl SyncClient {
    /// Starts in the background; call it inside a tokio runtime. That the cloud cannot be reached
    /// is no error: the status tells.
    ///
    /// # Errors
    /// `Invalid` when there is neither a peer nor a token that names one, or the token cannot be
    /// read.
    pub fn start(mut options: ClientOptions) -> Result<SyncClient> {
        let token: Option<JoinToken> = options.token.as_deref().map(str::parse).transpose()?;
        if let Some(token) = &token {
            options.identity.observe_time(token.issued_ms);
            if options.peers.is_empty() {
                options.peers = token.addresses().to_vec();
            }
        }
        if options.peers.is_empty() {
            return Err(Error::invalid("no address of the cloud is known")
                .with_hint("give one with --peer HOST:PORT or in [sync] peers"));
        }
        options.transport.build()?;
        let sealed = Arc::new(Notify::new());
        let waker = sealed.clone();
        options
            .outbox
            .on_sealed(Box::new(move || waker.notify_one()));
        let bucket = options.bandwidth.map(Bucket::new).map(Arc::new);
        let allowance = options.allowance.holds();
        let allowance = allowance
            .then(|| Allowance::open(options.allowance.clone()))
            .transpose()?;
        let inner = Arc::new(Inner {
            bucket,
            allowance,
            options,
            sealed,
            stop: watch::Sender::new(false),
            retry: Notify::new(),
            status: Mutex::default(),
            connection: Mutex::default(),
            commands: Mutex::default(),
            past_sent: AtomicU64::new(0),
            past_received: AtomicU64::new(0),
            crossed: Arc::default(),
        });
        // What is logged says for which cloud, where the caller does.
        let task = worker::run(inner.clone(), token).in_current_span();
        let task = tokio::spawn(task);
        Ok(SyncClient { inner, task })
    }

    /// How it stands now.
    pub fn status(&self) -> ConnectionStatus {
        self.inner.status_now()
    }

    /// Tries to connect now instead of waiting: call it when the network changed.
    pub fn retry_now(&self) {
        self.inner.retry.notify_one();
    }

    /// Compares this edge's own rows with what the cloud holds of them.
    ///
    /// # Errors
    /// `Overloaded` when there is no connection or it breaks meanwhile; `Conflict` while another comparison is
    /// under way; what the hosts report.
    pub async fn verify(&self) -> Result<VerifyReport> {
        self.compared(false).await
    }

    /// The same, and mends what differs: rows that the cloud lacks are shipped again, rows that this edge lost come
    /// back.
    ///
    /// # Errors
    /// As [`SyncClient::verify`], and `Conflict` where the cloud is too old for it.
    pub async fn repair(&self) -> Result<VerifyReport> {
        self.compared(true).await
    }

    async fn compared(&self, repair: bool) -> Result<VerifyReport> {
        let commands = self.inner.commands.lock().clone();
        let offline = || {
            Error::overloaded("this edge is not connected to its cloud")
                .with_hint("see `activestore sync status`")
        };
        let (answer, waiting) = oneshot::channel();
        commands
            .ok_or_else(offline)?
            .try_send(Command::Verify { repair, answer })
            .map_err(|_| offline())?;
        tokio::time::timeout(VERIFY_TIMEOUT, waiting)
            .await
            .map_err(|_| Error::overloaded("the comparison was not done in time"))?
            .map_err(|_| offline())?
    }

    /// Says goodbye and stops.
    pub async fn shutdown(mut self) {
        self.inner.stop.send_replace(true);
        // A task that panicked has nothing left to stop.
        let _ = (&mut self.task).await;
    }
}

impl Drop for SyncClient {
    fn drop(&mut self) {
        self.inner.stop.send_replace(true);
        self.task.abort();
    }
}

impl Inner {
    fn status_now(&self) -> ConnectionStatus {
        let mut status = self.status.lock().clone();
        status.joined = self.options.identity.joined();
        if let Some(allowance) = &self.allowance {
            status.waits = allowance.passes().waits;
            status.budget = allowance.budget();
        }
        status.bytes_sent = self.past_sent.load(Ordering::Relaxed);
        status.bytes_received = self.past_received.load(Ordering::Relaxed);
        if let Some(connection) = &*self.connection.lock() {
            let (sent, received) = connection.traffic();
            status.bytes_sent += sent;
            status.bytes_received += received;
            if status.connected_to.is_some() {
                status.transport = Some(connection.transport());
                status.rtt = Some(connection.rtt());
            }
        }
        status
    }

    fn tell(&self, news: LinkNews<'_>) {
        if let Some(told) = &self.options.told {
            told(news);
        }
    }

    pub(crate) fn connected(&self, connection: &Link, durable_seq: u64) {
        let address = connection.remote_address().to_string();
        let transport = connection.transport();
        self.tell(LinkNews::Connected {
            address: &address,
            transport,
        });
        let mut status = self.status.lock();
        status.connected_to = Some(address);
        status.connections += 1;
        status.acknowledged_seq = durable_seq;
        status.last_error = None;
    }

    /// The cloud acknowledged something, of live rows up to `seq`.
    pub(crate) fn acknowledged(&self, seq: Option<u64>, behind: u64) {
        let mut status = self.status.lock();
        status.acknowledged_seq = seq.unwrap_or(status.acknowledged_seq);
        status.last_ack_wall_ms = Some(wall_ms());
        status.behind = behind;
    }

    pub(crate) fn epoch_set_aside(&self) {
        self.status.lock().epochs_set_aside += 1;
    }

    pub(crate) fn catalog_adopted(&self, version: u64) {
        self.status.lock().catalog_version = Some(version);
    }

    /// This node stands there in the cloud's stream.
    pub(crate) fn followed(&self, seq: u64, last_sealed: u64, applied: u64) {
        let mut status = self.status.lock();
        status.down_behind = last_sealed.saturating_sub(seq);
        status.down_applied += applied;
        status.fetching = false;
    }

    pub(crate) fn fetches(&self, fetching: bool) {
        self.status.lock().fetching = fetching;
    }

    pub(crate) fn trouble(&self, sentence: String) {
        self.status.lock().last_error = Some(sentence);
    }

    /// Notes a failed attempt; says it in the log once, not at every attempt.
    fn failed(&self, sentence: String) {
        let mut status = self.status.lock();
        status.connected_to = None;
        if status.last_error.as_ref() != Some(&sentence) {
            tracing::warn!("not connected to the cloud: {sentence}");
            self.tell(LinkNews::Lost { reason: &sentence });
        }
        status.last_error = Some(sentence);
    }

    /// Looks at the cloud's certificate. A handshake that resumed an earlier session has not; before such a session is
    /// answered, there is none to look at.
    pub(crate) fn trusted(&self, connection: &Link) -> Result<()> {
        let now_ms = self.options.identity.clock().now_ms();
        if connection.member().is_some_and(|of| !is_valid(&of, now_ms)) {
            connection.close(b"your certificate is not valid now");
            return Err(Error::denied(
                "the cloud's certificate is not valid at this device's time; check its clock",
            ));
        }
        Ok(())
    }

    fn hold(&self, connection: Link) {
        self.release();
        *self.connection.lock() = Some(connection);
    }

    /// The connection is over: its bytes count as past.
    fn release(&self) {
        let mut held = self.connection.lock();
        if let Some(connection) = held.take() {
            connection.tell();
            let (sent, received) = connection.traffic();
            self.past_sent.fetch_add(sent, Ordering::Relaxed);
            self.past_received.fetch_add(received, Ordering::Relaxed);
        }
        drop(held);
        self.status.lock().connected_to = None;
    }
}
