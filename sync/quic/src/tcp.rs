//! A connection over TCP and TLS, for networks that let no UDP through: the same frames under the same
//! certificates and names of protocols, in one stream instead of several.

mod queue;
mod record;
mod signs;
mod socket;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use activestore_sync_proto::{Frame, FrameReader, encode};
use activestore_types::{Error, Result};
use bytes::Bytes;
use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::bandwidth::Bucket;
use crate::failure::{Side, of_tls, text};
use crate::lanes::READ_QUEUE_FRAMES;
use crate::transport::TransportOptions;
use queue::{Next, Queue, RANKS, URGENT_RANKS};
use record::{Record, RecordReader};
pub(crate) use socket::{Socket, Traffic};

/// A TLS stream of either end.
pub(crate) type Stream = tokio_rustls::TlsStream<Socket>;

/// Bytes read at once: what a record of TLS holds, since each of many edges has such a buffer.
const READ_BYTES: usize = 16 << 10;
/// What a close may take to reach the peer.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// A peer of whom nothing came for so many idle timeouts is gone, also where a proxy goes on acknowledging bytes.
/// Far more than what a ping waits behind segments on a slow link.
const UNHEARD_TIMEOUTS: u32 = 10;
/// Of a new round trip, this part goes into the smoothed one.
const RTT_GAIN: u64 = 8;

/// A connection; clones are the same one.
#[derive(Clone)]
pub(crate) struct TcpLink {
    shared: Arc<Shared>,
    reader: Arc<Reader>,
}

/// Ends the connection when its last user goes.
struct Reader {
    shared: Arc<Shared>,
    task: AbortHandle,
}

struct Shared {
    side: Side,
    remote: SocketAddr,
    protocol: Option<Vec<u8>>,
    member: Option<CertificateDer<'static>>,
    options: TransportOptions,
    queue: Mutex<Queue>,
    /// Bounds what is written, but for what is urgent.
    bucket: OnceLock<Arc<Bucket>>,
    wake: Notify,
    /// Why it ended, once it has.
    ended: watch::Sender<Option<String>>,
    frames: Mutex<Option<mpsc::Receiver<Result<Box<Frame>>>>>,
    /// Whether a frame came.
    heard: watch::Sender<bool>,
    /// Requests to join and their answers; each connection carries one.
    messages: tokio::sync::Mutex<mpsc::Receiver<Bytes>>,
    traffic: Arc<Traffic>,
    /// The smoothed round trip in microseconds; 0 until one is known.
    rtt_us: AtomicU64,
}

impl TcpLink {
    /// Takes over a stream whose handshake is done.
    pub(crate) fn start(
        stream: Stream,
        remote: SocketAddr,
        side: Side,
        options: TransportOptions,
    ) -> TcpLink {
        let (socket, session) = stream.get_ref();
        let (frames_in, frames) = mpsc::channel(READ_QUEUE_FRAMES);
        let (messages_in, messages) = mpsc::channel(1);
        let shared = Arc::new(Shared {
            side,
            remote,
            protocol: session.alpn_protocol().map(<[u8]>::to_vec),
            member: session
                .peer_certificates()
                .and_then(|chain| chain.first().cloned()),
            options,
            queue: Mutex::default(),
            bucket: OnceLock::new(),
            wake: Notify::new(),
            ended: watch::Sender::new(None),
            frames: Mutex::new(Some(frames)),
            heard: watch::Sender::new(false),
            messages: tokio::sync::Mutex::new(messages),
            traffic: socket.traffic(),
            rtt_us: AtomicU64::new(0),
        });
        let (read, write) = tokio::io::split(stream);
        tokio::spawn(shared.clone().write(write));
        let task = tokio::spawn(shared.clone().read(read, frames_in, messages_in)).abort_handle();
        TcpLink {
            reader: Arc::new(Reader {
                shared: shared.clone(),
                task,
            }),
            shared,
        }
    }

    /// A number that no other connection of this process has while this one lives.
    pub(crate) fn id(&self) -> usize {
        Arc::as_ptr(&self.reader).addr()
    }

    pub(crate) fn remote_address(&self) -> SocketAddr {
        self.shared.remote
    }

    /// The name of the protocol that the handshake agreed on.
    pub(crate) fn protocol(&self) -> Option<Vec<u8>> {
        self.shared.protocol.clone()
    }

    /// The certificate that the peer showed.
    pub(crate) fn member(&self) -> Option<CertificateDer<'static>> {
        self.shared.member.clone()
    }

    pub(crate) fn rtt(&self) -> Duration {
        Duration::from_micros(self.shared.rtt_us.load(Ordering::Relaxed))
    }

    /// Bytes sent and received, with those of TLS.
    pub(crate) fn traffic(&self) -> (u64, u64) {
        let traffic = &self.shared.traffic;
        let [sent, received] =
            [&traffic.sent, &traffic.received].map(|bytes| bytes.load(Ordering::Relaxed));
        (sent, received)
    }

    /// The frames that come in; they can be taken once.
    pub(crate) fn frames(&self) -> Option<mpsc::Receiver<Result<Box<Frame>>>> {
        self.shared.frames.lock().take()
    }

    /// Returns when the first frame has come.
    ///
    /// # Errors
    /// Why the connection ended before.
    pub(crate) async fn heard(&self) -> std::result::Result<(), String> {
        let mut heard = self.shared.heard.subscribe();
        tokio::select! {
            _ = heard.wait_for(|heard| *heard) => Ok(()),
            why = self.closed() => Err(why),
        }
    }

    /// What is not urgent is written as fast as this lets it from now on.
    pub(crate) fn meter(&self, bucket: Arc<Bucket>) {
        // A connection is opened once.
        let _ = self.shared.bucket.set(bucket);
    }

    /// Queues a request to join, or its answer.
    ///
    /// # Errors
    /// As [`TcpLink::send`].
    pub(crate) fn send_message(&self, bytes: &[u8]) -> Result<()> {
        self.shared
            .send(0, &Record::Message(Bytes::copy_from_slice(bytes)))
    }

    /// The peer's, or `None` when the connection ended before.
    pub(crate) async fn message(&self) -> Option<Bytes> {
        self.shared.messages.lock().await.recv().await
    }

    /// Queues a frame.
    ///
    /// # Errors
    /// `Overloaded` when the peer has not read for so long that the queue is full.
    pub(crate) fn send(&self, frame: &Frame) -> Result<()> {
        match encode(frame) {
            Ok(bytes) => self
                .shared
                .send(queue::rank(frame), &Record::Frame(Bytes::from(bytes))),
            Err(error) => {
                tracing::error!("a {} frame was not sent: {error}", frame.name());
                Ok(())
            }
        }
    }

    /// Says goodbye and ends; what waits is not sent any more.
    pub(crate) fn close(&self, reason: &[u8]) {
        self.shared.end(
            "this end closed the connection".to_owned(),
            Some(&Record::close(reason)),
        );
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.shared.ended.borrow().is_some()
    }

    /// Returns when it has ended, and why.
    pub(crate) async fn closed(&self) -> String {
        let mut ended = self.shared.ended.subscribe();
        let ended = ended.wait_for(Option::is_some).await;
        ended
            .ok()
            .and_then(|ended| ended.clone())
            .unwrap_or_else(|| "the connection ended".to_owned())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.shared.end(
            "nobody uses the connection".to_owned(),
            Some(&Record::close(b"")),
        );
        self.task.abort();
    }
}

impl Shared {
    fn send(&self, rank: usize, record: &Record) -> Result<()> {
        self.queue.lock().push(rank, record)?;
        self.wake.notify_one();
        Ok(())
    }

    /// The first end counts.
    fn end(&self, why: String, farewell: Option<&Record>) {
        self.queue.lock().end(farewell);
        self.ended.send_if_modified(|ended| {
            let first = ended.is_none();
            ended.get_or_insert(why);
            first
        });
        self.wake.notify_one();
    }

    /// Returns once the peer counts as gone, where this end asks for signs of life.
    async fn gone(&self, writing_since: Option<u64>) {
        if self.options.keep_alive.is_none() {
            return std::future::pending().await;
        }
        let rtt = Duration::from_micros(self.rtt_us.load(Ordering::Relaxed));
        let patience = signs::patience_at(signs::patience(&self.options), rtt);
        self.traffic.signs.gone(patience, writing_since).await;
    }

    fn fell_silent(&self) {
        self.end(self.side.of_peer("fell silent"), None);
    }

    async fn write(self: Arc<Self>, mut stream: WriteHalf<Stream>) {
        // The first asks for the round trip; the others keep the connection alive.
        let mut ping_at = Some(Instant::now());
        let every = signs::every(&self.options);
        let mut ended = self.ended.subscribe();
        loop {
            if ping_at.is_some_and(|at| at <= Instant::now()) {
                ping_at = every.map(|every| Instant::now() + every);
                let now = self.traffic.signs.now_us();
                match self.send(0, &Record::Ping(now)) {
                    Ok(()) => self.traffic.signs.asked(),
                    Err(error) => self.end(error.to_string(), None),
                }
            }
            let held = self.bucket.get().and_then(|bucket| bucket.held());
            let ranks = if held.is_some() { URGENT_RANKS } else { RANKS };
            let next = self.queue.lock().pop(ranks);
            match next {
                Next::Write(bytes) => {
                    if let Some(bucket) = self.bucket.get() {
                        bucket.charge(bytes.len());
                    }
                    let began = self.traffic.signs.now_us();
                    let written = tokio::select! {
                        written = stream.write_all(&bytes) => written,
                        () = self.gone(Some(began)) => {
                            self.fell_silent();
                            continue;
                        }
                        // A peer that does not read must not keep the farewell for ever.
                        () = long_after_the_end(&mut ended) => return,
                    };
                    if let Err(error) = written {
                        self.end(of_tls(self.side, &error), None);
                    }
                }
                Next::Wait => {
                    let began = self.traffic.signs.now_us();
                    let flushed = tokio::select! {
                        flushed = stream.flush() => flushed,
                        () = long_after_the_end(&mut ended) => return,
                        () = self.gone(Some(began)) => {
                            self.fell_silent();
                            continue;
                        }
                    };
                    if let Err(error) = flushed {
                        self.end(of_tls(self.side, &error), None);
                        continue;
                    }
                    let pause = async {
                        match ping_at {
                            Some(at) => tokio::time::sleep_until(at).await,
                            None => std::future::pending().await,
                        }
                    };
                    tokio::select! {
                        () = self.wake.notified() => {}
                        () = pause => {}
                        () = tokio::time::sleep(held.unwrap_or_default()), if held.is_some() => {}
                        () = self.gone(None) => self.fell_silent(),
                    }
                }
                Next::End(farewell) => {
                    let leaving = async {
                        stream.write_all(&farewell.unwrap_or_default()).await?;
                        stream.shutdown().await
                    };
                    // The peer may be gone; it finds out by itself.
                    let _ = tokio::time::timeout(CLOSE_WITHIN, leaving).await;
                    return;
                }
            }
        }
    }

    async fn read(
        self: Arc<Self>,
        mut stream: ReadHalf<Stream>,
        into: mpsc::Sender<Result<Box<Frame>>>,
        messages: mpsc::Sender<Bytes>,
    ) {
        let mut records = RecordReader::default();
        let mut frames = FrameReader::new();
        let mut buffer = vec![0; READ_BYTES];
        let unheard = self.options.idle_timeout * UNHEARD_TIMEOUTS;
        loop {
            let read = match tokio::time::timeout(unheard, stream.read(&mut buffer)).await {
                Ok(Ok(0)) => return self.end(self.side.of_peer("ended the connection"), None),
                Ok(Ok(length)) => buffer.get(..length).unwrap_or_default(),
                Ok(Err(error)) => return self.end(of_tls(self.side, &error), None),
                Err(_) => return self.fell_silent(),
            };
            records.push(read);
            loop {
                let taken = match records.next_record() {
                    Ok(None) => break,
                    Ok(Some(record)) => self.take(record, &mut frames, &messages),
                    Err(error) => Err(error),
                };
                let frame = match taken {
                    Ok(None) => continue,
                    Ok(Some(frame)) => Ok(frame),
                    Err(error) => Err(error),
                };
                let unreadable = frame.as_ref().err().map(ToString::to_string);
                if into.send(frame.map(Box::new)).await.is_err() {
                    return;
                }
                if let Some(error) = unreadable {
                    let why = self
                        .side
                        .of_peer(&format!("sent what cannot be read: {error}"));
                    return self.end(why, Some(&Record::close(b"what you sent cannot be read")));
                }
            }
        }
    }

    /// The frame that a record is, if it is one.
    fn take(
        &self,
        record: Record,
        frames: &mut FrameReader,
        messages: &mpsc::Sender<Bytes>,
    ) -> Result<Option<Frame>> {
        match record {
            Record::Frame(bytes) => {
                self.heard.send_replace(true);
                frames.push(&bytes);
                let frame = frames.next_frame()?;
                if frame.is_none() || !frames.is_empty() {
                    return Err(Error::invalid("a record does not hold one whole frame"));
                }
                Ok(frame)
            }
            Record::Close(reason) => {
                let closed = format!("closed the connection: {}", text(&reason));
                self.end(self.side.of_peer(&closed), None);
                Ok(None)
            }
            Record::Message(bytes) => match messages.try_send(bytes) {
                Ok(()) => Ok(None),
                Err(_) => Err(Error::invalid("a second request came in one connection")),
            },
            Record::Ping(nonce) => self.send(0, &Record::Pong(nonce)).map(|()| None),
            Record::Pong(nonce) => {
                self.traffic.signs.answered();
                self.measured(self.traffic.signs.now_us().saturating_sub(nonce));
                Ok(None)
            }
        }
    }

    fn measured(&self, rtt_us: u64) {
        let before = self.rtt_us.load(Ordering::Relaxed);
        let smoothed = if before == 0 {
            rtt_us
        } else {
            before - before / RTT_GAIN + rtt_us / RTT_GAIN
        };
        self.rtt_us.store(smoothed.max(1), Ordering::Relaxed);
    }
}

/// Returns when the connection was ended so long ago that nobody waits for it any more.
async fn long_after_the_end(ended: &mut watch::Receiver<Option<String>>) {
    // The sender lives as long as the task that waits here.
    let _ = ended.wait_for(Option::is_some).await;
    tokio::time::sleep(CLOSE_WITHIN).await;
}
