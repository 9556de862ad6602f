//! The client of an existing broker: subscribes to the rules' topics with QoS 1 and a kept session,
//! and acknowledges a message after its write. What cannot be written for now is tried again until
//! it can; meanwhile the broker holds further messages back, as its window is full.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use activestore_types::{Error, NamedBatch, Result};
use rumqttc::{AsyncClient, Event, EventLoop, Packet, Publish, QoS, SubscribeFilter};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::committer::{Committer, Outcome};
use super::listener::{WAITING_BYTES_MAX, system_now_ns};
use super::mapping::Mapping;
use super::stats::{Counters, MqttCounts, MqttStats, count};
use crate::mqtt_config::BrokerConfig;
use crate::sink::RowSink;

/// Messages between receipt and acknowledgement.
const UNACKED_MAX: usize = 1_024;

/// Requests (acknowledgements, subscriptions) that may wait for the connection. More than
/// [`UNACKED_MAX`]: queueing an acknowledgement must never wait for the task that makes room.
const REQUESTS_MAX: usize = UNACKED_MAX * 2;

/// The pause before the first new attempt to connect or write, doubled up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(100);

/// The longest pause between attempts.
const RETRY_MAX: Duration = Duration::from_secs(10);

/// How long a shutdown waits for writes under way.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// A running subscription to a broker. Dropping it ends it.
pub struct MqttClient {
    counters: Arc<Counters>,
    stop: watch::Sender<bool>,
    poll: JoinHandle<()>,
    settle: JoinHandle<()>,
}

/// A received message whose write is under way.
struct Waiting {
    publish: Publish,
    /// Kept for another attempt; none where there is nothing to write.
    batches: Vec<NamedBatch>,
    outcome: Option<oneshot::Receiver<Outcome>>,
    _place: tokio::sync::OwnedSemaphorePermit,
}

impl MqttClient {
    /// Starts to connect; failures are logged and tried again. Must be called inside a tokio
    /// runtime.
    ///
    /// # Errors
    /// `Invalid` for an address that is not `HOST[:PORT]`, an empty client id, or no rules.
    pub fn start(
        broker: &BrokerConfig,
        mapping: Mapping,
        sink: Arc<dyn RowSink>,
    ) -> Result<MqttClient> {
        let (host, port) = match broker.address.rsplit_once(':') {
            Some((host, port)) => (
                host,
                port.parse().map_err(|_| {
                    Error::invalid(format!(
                        "mqtt broker '{}': HOST:PORT expected",
                        broker.address
                    ))
                })?,
            ),
            None => (broker.address.as_str(), 1883),
        };
        if host.is_empty() || broker.client_id.is_empty() {
            return Err(Error::invalid(
                "an mqtt broker needs an address and a client_id",
            ));
        }
        let filters = mapping.filters();
        if filters.is_empty() {
            return Err(Error::invalid(
                "an mqtt broker is configured, but no topics to take from it",
            )
            .with_hint("add [[mqtt.topics]] rules"));
        }
        let mut options = rumqttc::MqttOptions::new(&broker.client_id, host, port);
        options
            .set_keep_alive(Duration::from_secs(broker.keep_alive_s.max(5)))
            .set_clean_session(false)
            .set_manual_acks(true)
            .set_max_packet_size(broker.packet_bytes_max, broker.packet_bytes_max);
        if let Some(login) = &broker.login {
            options.set_credentials(&login.username, &login.password);
        }
        let (client, connection) = AsyncClient::new(options, REQUESTS_MAX);
        let counters = Counters::new();
        let (stop, stopped) = watch::channel(false);
        let (waiting, settled) = mpsc::channel(UNACKED_MAX);
        let writer = Writer {
            committer: Committer::start(sink.clone()),
            waiting_bytes: Arc::new(Semaphore::new(WAITING_BYTES_MAX)),
            counters: counters.clone(),
        };
        let receiver = Receiver {
            writer: writer.clone(),
            sink,
            mapping,
            places: Arc::new(Semaphore::new(UNACKED_MAX)),
            waiting,
            address: broker.address.clone(),
        };
        let poll =
            tokio::spawn(receiver.poll(connection, client.clone(), filters, stopped.clone()));
        let settle = tokio::spawn(writer.settle(settled, client, stopped));
        Ok(MqttClient {
            counters,
            stop,
            poll,
            settle,
        })
    }

    /// What has happened so far.
    pub fn stats(&self) -> MqttStats {
        self.counters.snapshot()
    }

    /// What it counts, for who wants to read that again.
    pub fn counts(&self) -> MqttCounts {
        MqttCounts(self.counters.clone())
    }

    /// Ends the subscription; messages without acknowledgement stay with the broker.
    pub async fn shutdown(self) {
        let _ = self.stop.send(true);
        let ended = async {
            let _ = self.poll.await;
            let _ = self.settle.await;
        };
        let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, ended).await;
    }
}

struct Receiver {
    writer: Writer,
    sink: Arc<dyn RowSink>,
    mapping: Mapping,
    places: Arc<Semaphore>,
    waiting: mpsc::Sender<Waiting>,
    address: String,
}

impl Receiver {
    async fn poll(
        self,
        mut connection: EventLoop,
        client: AsyncClient,
        filters: Vec<String>,
        mut stop: watch::Receiver<bool>,
    ) {
        let counters = self.writer.counters.clone();
        let mut pause = RETRY_MIN;
        let mut connected = false;
        loop {
            let event = tokio::select! {
                event = connection.poll() => event,
                _ = stop.wait_for(|stop| *stop) => {
                    return;
                }
            };
            match event {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    tracing::info!(broker = self.address, "connected to the MQTT broker");
                    connected = true;
                    pause = RETRY_MIN;
                    counters.connections.store(1, Ordering::Relaxed);
                    count(&counters.connections_total);
                    let wanted = filters
                        .iter()
                        .map(|filter| SubscribeFilter::new(filter.clone(), QoS::AtLeastOnce));
                    if let Err(error) = client.try_subscribe_many(wanted) {
                        tracing::warn!(%error, "cannot subscribe to the MQTT broker's topics");
                    }
                }
                Ok(Event::Incoming(Packet::SubAck(granted))) => {
                    use rumqttc::SubscribeReasonCode::Failure;
                    for (filter, code) in filters.iter().zip(&granted.return_codes) {
                        if *code == Failure {
                            tracing::error!(
                                broker = self.address,
                                topic = filter,
                                "the MQTT broker refused the subscription"
                            );
                        }
                    }
                }
                Ok(Event::Incoming(Packet::Publish(publish))) => {
                    tokio::select! {
                        () = self.receive(publish) => {}
                        _ = stop.wait_for(|stop| *stop) => return,
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    counters.connections.store(0, Ordering::Relaxed);
                    if connected {
                        count(&counters.connections_dropped);
                    }
                    connected = false;
                    tracing::warn!(broker = self.address, %error, "no connection to the MQTT broker");
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        _ = stop.wait_for(|stop| *stop) => return,
                    }
                    pause = (pause * 2).min(RETRY_MAX);
                }
            }
        }
    }

    async fn receive(&self, publish: Publish) {
        let counters = &self.writer.counters;
        count(&counters.messages);
        let Ok(place) = self.places.clone().acquire_owned().await else {
            return;
        };
        let now_ns = system_now_ns();
        let rows = self
            .mapping
            .rows(&publish.topic, &publish.payload, now_ns, &|table| {
                self.sink.schema(table)
            });
        let batches = match rows {
            Ok(Some(batches)) => batches,
            Ok(None) => {
                count(&counters.unmapped);
                Vec::new()
            }
            Err(error) => {
                counters.reject(&publish.topic, error.to_string(), now_ns);
                Vec::new()
            }
        };
        let outcome = if batches.is_empty() {
            None
        } else {
            Some(self.writer.submit(&batches, &publish).await)
        };
        let waiting = Waiting {
            publish,
            batches,
            outcome,
            _place: place,
        };
        let _ = self.waiting.send(waiting).await;
    }
}

#[derive(Clone)]
struct Writer {
    committer: Committer,
    waiting_bytes: Arc<Semaphore>,
    counters: Arc<Counters>,
}

impl Writer {
    async fn submit(
        &self,
        batches: &[NamedBatch],
        publish: &Publish,
    ) -> oneshot::Receiver<Outcome> {
        self.committer
            .submit(batches.to_vec(), &self.waiting_bytes, publish.payload.len())
            .await
    }

    /// Acknowledges in the order of receipt.
    async fn settle(
        self,
        mut settled: mpsc::Receiver<Waiting>,
        client: AsyncClient,
        mut stop: watch::Receiver<bool>,
    ) {
        while let Some(waiting) = settled.recv().await {
            let written = tokio::select! {
                () = self.write(&waiting.publish, &waiting.batches, waiting.outcome) => true,
                _ = stop.wait_for(|stop| *stop) => false,
            };
            if !written {
                return;
            }
            if waiting.publish.qos != QoS::AtMostOnce
                && let Err(error) = client.try_ack(&waiting.publish)
            {
                tracing::warn!(%error, "cannot acknowledge to the MQTT broker; it will send again");
            }
        }
    }

    /// Waits for the write, with new attempts where it failed for now.
    async fn write(
        &self,
        publish: &Publish,
        batches: &[NamedBatch],
        outcome: Option<oneshot::Receiver<Outcome>>,
    ) {
        let Some(mut outcome) = outcome else {
            return;
        };
        let mut pause = RETRY_MIN;
        loop {
            let error = match outcome.await {
                Ok(Outcome::Written) => {
                    count(&self.counters.written);
                    let rows: usize = batches.iter().map(|batch| batch.rows).sum();
                    self.counters.rows.fetch_add(rows as u64, Ordering::Relaxed);
                    return;
                }
                Ok(Outcome::Refused(reason)) => {
                    self.counters
                        .reject(&publish.topic, reason, system_now_ns());
                    return;
                }
                Ok(Outcome::Failed(error)) => error,
                Err(_) => Error::closed("the writer has stopped"),
            };
            count(&self.counters.failed);
            tracing::warn!(topic = publish.topic, %error, "an MQTT message was not written; trying again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
            outcome = self.submit(batches, publish).await;
        }
    }
}
