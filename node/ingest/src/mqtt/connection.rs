//! One client's connection to the listener, from CONNECT to its end.
//!
//! Steps per message: rows by the mapping, into the committer's queue (which holds the socket back
//! when it is full), wait for the write, acknowledge, hand to subscribers. Acknowledgements keep
//! the order of the messages.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BytesMut;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use rumqttc::mqttbytes::QoS;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::admission::{session_name, visitor};
use super::codec::{self, Bye, Hello, Incoming, Message, Outgoing, Refusal, Version};
use super::committer::Outcome;
use super::filter::valid_topic;
use super::hub::{Delivery, Kept, Membership};
use super::listener::{DRAIN_TIMEOUT, Shared};
use super::stats::count;
use crate::sink::Visitor;

/// Bytes read at a time.
const READ_BYTES: usize = 16 << 10;

/// QoS 1 deliveries to one subscriber that wait for its PUBACK.
const DELIVERIES_UNACKED_MAX: usize = 64;

/// QoS 2 messages of one connection between PUBREC and PUBREL.
const UNRELEASED_MAX: usize = 1_024;

/// A connection without a keep-alive of its own is closed after this long without a packet.
const IDLE_MAX: Duration = Duration::from_secs(24 * 3_600);

/// Why a connection ended.
enum End {
    /// The client said goodbye; `true`: and asked for its will.
    Left(bool),
    /// The socket is gone.
    Gone,
    /// The client broke the protocol.
    Broken(String),
    /// We end it.
    Told(Bye),
}

/// A message on its way through the write.
struct Settled {
    message: Message,
    pkid: u16,
    rows: u64,
    result: Settlement,
}

enum Settlement {
    Outcome(Outcome),
    /// No rows to write: no rule, rejected, or a QoS 2 message sent again.
    Nothing {
        repeated: bool,
    },
}

struct Connection<'a> {
    shared: &'a Shared,
    stream: TcpStream,
    peer: SocketAddr,
    version: Version,
    peer_packet_max: Option<u32>,
    input: BytesMut,
    output: BytesMut,
    waiting: FuturesOrdered<BoxFuture<'static, Settled>>,
    unacked_max: usize,
    visitor: Arc<dyn Visitor>,
}

/// Serves the client until the connection ends.
pub(super) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    shared: &Shared,
    mut stop: watch::Receiver<bool>,
    full: bool,
) {
    let mut connection = Connection {
        shared,
        stream,
        peer,
        version: Version::V4,
        peer_packet_max: None,
        input: BytesMut::new(),
        output: BytesMut::new(),
        waiting: FuturesOrdered::new(),
        unacked_max: DELIVERIES_UNACKED_MAX,
        visitor: shared.sink.anybody(),
    };
    let hello = tokio::select! {
        hello = timeout(shared.options.connect_timeout, connection.hello()) => hello,
        _ = stop.wait_for(|stop| *stop) => return,
    };
    let hello = match hello {
        Ok(Ok(hello)) => hello,
        Ok(Err(reason)) => return connection.refused(&reason),
        Err(_) => return connection.refused("no CONNECT in time"),
    };
    connection.version = hello.version;
    connection.peer_packet_max = hello.packet_bytes_max;
    connection.unacked_max = usize::from(hello.receive_max).min(DELIVERIES_UNACKED_MAX);
    let Some((mut membership, mut kept)) = connection.admit(&hello, full).await else {
        return;
    };
    let idle = match hello.keep_alive_s {
        0 => IDLE_MAX,
        seconds => Duration::from_secs(u64::from(seconds)) * 3 / 2,
    };
    let end = connection
        .run(&mut membership, &mut kept, &mut stop, idle)
        .await;
    let will = hello.will.filter(|_| !matches!(end, End::Left(false)));
    connection.close(end).await;
    let expiry = Duration::from_secs(u64::from(hello.session_expiry_s));
    membership.leave(kept, expiry);
    if let Some(will) = will {
        connection.leave_will(will).await;
    }
}

impl Connection<'_> {
    async fn hello(&mut self) -> Result<Hello, String> {
        loop {
            let max = self.shared.options.packet_bytes_max;
            match codec::read(&mut self.input, None, max)? {
                Some(Incoming::Connect(hello)) => return Ok(hello),
                Some(_) => return Err("the first packet is not CONNECT".to_owned()),
                None => {}
            }
            self.input.reserve(READ_BYTES);
            match self.stream.read_buf(&mut self.input).await {
                Ok(0) => return Err("the connection closed before CONNECT".to_owned()),
                Ok(_) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    fn refused(&self, reason: &str) {
        count(&self.shared.counters.connections_refused);
        tracing::warn!(peer = %self.peer, reason, "an MQTT connection was refused");
    }

    /// Answers the CONNECT.
    async fn admit(&mut self, hello: &Hello, full: bool) -> Option<(Membership, Kept)> {
        let options = &self.shared.options;
        let visitor = if full {
            None
        } else {
            let (sink, from) = (self.shared.sink.as_ref(), self.peer.ip());
            visitor(options.login.as_ref(), sink, hello, from).await
        };
        let known = visitor.is_some();
        self.visitor = visitor.unwrap_or_else(|| self.visitor.clone());
        let refusal = if full {
            Some((Refusal::Full, "too many connections"))
        } else if !known {
            Some((Refusal::Login, "a wrong user name or password"))
        } else if hello.client_id.is_empty() && !hello.clean && hello.version == Version::V4 {
            Some((Refusal::ClientId, "a session to keep, but no client id"))
        } else {
            None
        };
        if let Some((refusal, reason)) = refusal {
            self.refused(reason);
            self.put(Outgoing::Refuse(refusal));
            let _ = self.flush().await;
            return None;
        }
        let given = hello.client_id.is_empty();
        let client_id = if given {
            format!("client-{}", uuid::Uuid::new_v4().simple())
        } else {
            hello.client_id.clone()
        };
        let (membership, kept, session_present) = self
            .shared
            .hub
            .join(session_name(self.visitor.as_ref(), &client_id), hello.clean);
        self.put(Outgoing::Accept {
            session_present,
            client_id: given.then_some(client_id),
            packet_bytes_max: options.packet_bytes_max,
            inflight_max: options.inflight_max,
        });
        // Deliveries that were not acknowledged come first, and again.
        for (pkid, delivery) in &kept.unacked {
            self.put(Outgoing::Publish {
                message: delivery.message.clone(),
                pkid: *pkid,
                dup: true,
            });
        }
        Some((membership, kept))
    }

    async fn run(
        &mut self,
        membership: &mut Membership,
        kept: &mut Kept,
        stop: &mut watch::Receiver<bool>,
        idle: Duration,
    ) -> End {
        let inflight_max = self.shared.options.inflight_max;
        let mut deadline = Instant::now() + idle;
        loop {
            while self.waiting.len() < inflight_max {
                let max = self.shared.options.packet_bytes_max;
                match codec::read(&mut self.input, Some(self.version), max) {
                    Ok(Some(packet)) => {
                        if let Err(end) = self.take(packet, membership, kept).await {
                            return end;
                        }
                    }
                    Ok(None) => break,
                    Err(reason) => return End::Broken(reason),
                }
            }
            if self.flush().await.is_err() {
                return End::Gone;
            }
            let reading = self.waiting.len() < inflight_max;
            self.input.reserve(if reading { READ_BYTES } else { 0 });
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return End::Told(Bye::ShuttingDown),
                bye = membership.close.recv() => return End::Told(bye.unwrap_or(Bye::TakenOver)),
                Some(settled) = self.waiting.next(), if !self.waiting.is_empty() => {
                    if !reading {
                        deadline = Instant::now() + idle;
                    }
                    if let Err(end) = self.settle(settled) {
                        return end;
                    }
                }
                Some(delivery) = kept.deliveries.recv(), if kept.unacked.len() < self.unacked_max => {
                    self.deliver(delivery, kept);
                }
                read = self.stream.read_buf(&mut self.input), if reading => match read {
                    Ok(0) | Err(_) => return End::Gone,
                    Ok(_) => deadline = Instant::now() + idle,
                },
                () = tokio::time::sleep_until(deadline), if reading => {
                    return End::Told(Bye::KeepAlive);
                }
            }
        }
    }

    async fn take(
        &mut self,
        packet: Incoming,
        membership: &Membership,
        kept: &mut Kept,
    ) -> Result<(), End> {
        match packet {
            Incoming::Publish { message, pkid } => {
                if message.qos == QoS::ExactlyOnce && !kept.unreleased.insert(pkid) {
                    // In its place in the order, so after the write of the first copy.
                    self.ready(message, pkid, true);
                    return Ok(());
                }
                if kept.unreleased.len() > UNRELEASED_MAX {
                    let reason = "too many QoS 2 messages without PUBREL";
                    return Err(End::Broken(reason.to_owned()));
                }
                self.receive(message, pkid).await?;
            }
            Incoming::PubAck(pkid) => kept.unacked.retain(|(other, _)| *other != pkid),
            Incoming::PubRel(pkid) => {
                kept.unreleased.remove(&pkid);
                self.put(Outgoing::PubComp(pkid));
            }
            Incoming::Subscribe { pkid, filters } => {
                let granted = membership.subscribe(filters);
                self.put(Outgoing::SubAck { pkid, granted });
            }
            Incoming::Unsubscribe { pkid, filters } => {
                membership.unsubscribe(&filters);
                self.put(Outgoing::UnsubAck {
                    pkid,
                    count: filters.len(),
                });
            }
            Incoming::Ping => {
                self.put(Outgoing::Pong);
            }
            Incoming::Disconnect { with_will } => return Err(End::Left(with_will)),
            Incoming::Connect(_) => return Err(End::Broken("a second CONNECT".to_owned())),
        }
        Ok(())
    }

    /// Starts a message's way to the disk.
    async fn receive(&mut self, message: Message, pkid: u16) -> Result<(), End> {
        if !valid_topic(&message.topic) {
            return Err(End::Broken(format!(
                "'{}' is not a topic to publish under",
                crate::value::shown(&message.topic)
            )));
        }
        count(&self.shared.counters.messages);
        let shared = self.shared;
        let now_ns = (shared.options.now_ns)();
        let rows =
            shared
                .options
                .mapping
                .rows(&message.topic, &message.payload, now_ns, &|table| {
                    shared.sink.schema(table)
                });
        let batches = match rows {
            Ok(Some(batches)) => batches,
            Ok(None) => {
                count(&shared.counters.unmapped);
                self.ready(message, pkid, false);
                return Ok(());
            }
            Err(error) => {
                shared
                    .counters
                    .reject(&message.topic, error.to_string(), now_ns);
                self.ready(message, pkid, false);
                return Ok(());
            }
        };
        if let Err(error) = self.visitor.may_write(&batches) {
            // Others do not get it either.
            shared
                .counters
                .reject(&message.topic, error.to_string(), now_ns);
            self.ready(message, pkid, true);
            return Ok(());
        }
        let rows = batches.iter().map(|batch| batch.rows as u64).sum();
        let outcome = shared
            .committer
            .submit(batches, &shared.waiting_bytes, message.payload.len())
            .await;
        self.waiting.push_back(Box::pin(async move {
            let outcome = outcome.await.unwrap_or_else(|_| {
                Outcome::Failed(activestore_types::Error::closed("the writer has stopped"))
            });
            Settled {
                message,
                pkid,
                rows,
                result: Settlement::Outcome(outcome),
            }
        }));
        Ok(())
    }

    fn ready(&mut self, message: Message, pkid: u16, repeated: bool) {
        self.waiting.push_back(Box::pin(async move {
            Settled {
                message,
                pkid,
                rows: 0,
                result: Settlement::Nothing { repeated },
            }
        }));
    }

    /// Acknowledges a message whose write is over, and hands it on.
    fn settle(&mut self, settled: Settled) -> Result<(), End> {
        let counters = &self.shared.counters;
        let message = settled.message;
        let mut repeated = false;
        match settled.result {
            Settlement::Nothing { repeated: again } => repeated = again,
            Settlement::Outcome(Outcome::Written) => {
                count(&counters.written);
                counters.rows.fetch_add(settled.rows, Ordering::Relaxed);
            }
            Settlement::Outcome(Outcome::Refused(reason)) => {
                let now_ns = (self.shared.options.now_ns)();
                counters.reject(&message.topic, reason, now_ns);
            }
            Settlement::Outcome(Outcome::Failed(error)) => {
                count(&counters.failed);
                tracing::warn!(topic = message.topic, %error, "an MQTT message was not written");
                if message.qos != QoS::AtMostOnce {
                    return Err(End::Told(Bye::Busy));
                }
                return Ok(());
            }
        }
        match message.qos {
            QoS::AtMostOnce => true,
            QoS::AtLeastOnce => self.put(Outgoing::PubAck(settled.pkid)),
            QoS::ExactlyOnce => self.put(Outgoing::PubRec(settled.pkid)),
        };
        if !repeated {
            self.shared.hub.publish(&message);
        }
        Ok(())
    }

    fn deliver(&mut self, delivery: Delivery, kept: &mut Kept) {
        let message = delivery.message.clone();
        let target = self.shared.options.mapping.target(&message.topic);
        let seen =
            target.is_none_or(|(keyspace, table)| self.visitor.may_read(keyspace, table).is_ok());
        if !seen {
            count(&self.shared.counters.undelivered);
            return;
        }
        if message.qos == QoS::AtMostOnce {
            self.put(Outgoing::Publish {
                message,
                pkid: 0,
                dup: false,
            });
            return;
        }
        // Far fewer are unacknowledged than there are ids.
        let mut pkid = kept.last_pkid;
        loop {
            pkid = pkid.checked_add(1).unwrap_or(1);
            if kept.unacked.iter().all(|(other, _)| *other != pkid) {
                break;
            }
        }
        kept.last_pkid = pkid;
        let sent = self.put(Outgoing::Publish {
            message,
            pkid,
            dup: false,
        });
        if sent {
            kept.unacked.push_back((pkid, delivery));
        }
    }

    /// Appends a packet to the output; `false` where it is over the client's limit, and left out
    /// as MQTT 5 says.
    fn put(&mut self, packet: Outgoing) -> bool {
        let written = codec::write(packet, self.version, self.peer_packet_max, &mut self.output);
        if !written {
            count(&self.shared.counters.undelivered);
        }
        written
    }

    async fn flush(&mut self) -> Result<(), ()> {
        if self.output.is_empty() {
            return Ok(());
        }
        let sent = timeout(
            self.shared.options.send_timeout,
            self.stream.write_all(&self.output),
        )
        .await;
        self.output.clear();
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(()),
            Err(_) => {
                count(&self.shared.counters.connections_dropped);
                tracing::warn!(peer = %self.peer, "an MQTT connection was dropped: the client does not read");
                Err(())
            }
        }
    }

    /// Says goodbye and closes; a shutdown lets what is under way be acknowledged first.
    async fn close(&mut self, end: End) {
        let bye = match &end {
            End::Left(_) | End::Gone => None,
            End::Broken(reason) => {
                count(&self.shared.counters.connections_dropped);
                tracing::warn!(peer = %self.peer, reason, "an MQTT connection was dropped");
                Some(Bye::Malformed)
            }
            End::Told(bye) => {
                tracing::info!(peer = %self.peer, reason = ?bye, "an MQTT connection was closed");
                Some(*bye)
            }
        };
        if matches!(end, End::Told(Bye::ShuttingDown)) {
            self.drain().await;
        }
        if let Some(bye) = bye {
            self.put(Outgoing::Disconnect(bye));
        }
        if !matches!(end, End::Gone) {
            let _ = self.flush().await;
        }
        let _ = self.stream.shutdown().await;
        self.drain().await;
    }

    /// Settles what is under way, in bounded time.
    async fn drain(&mut self) {
        let drain = async {
            while let Some(settled) = self.waiting.next().await {
                if self.settle(settled).is_err() {
                    // After a message that was not written no later one may be acknowledged.
                    self.waiting.clear();
                }
            }
        };
        let _ = timeout(DRAIN_TIMEOUT, drain).await;
    }

    async fn leave_will(&mut self, will: Message) {
        self.waiting.clear();
        if self.receive(will, 0).await.is_ok()
            && let Ok(Some(settled)) = timeout(DRAIN_TIMEOUT, self.waiting.next()).await
        {
            // The acknowledgement goes nowhere: there is nobody left to send it to.
            let _ = self.settle(settled);
        }
    }
}
