//! A sink that the test opens and shuts, and clients on loopback.

use std::sync::Arc;
use std::time::Duration;

use activestore_types::{Error, NamedBatch, Result};
use arrow::array::AsArray;
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use rumqttc::{AsyncClient, Event, EventLoop, Incoming, MqttOptions as ClientOptions};
use tokio::sync::Semaphore;

use crate::mqtt::{Mapping, MqttListener, MqttOptions, MqttStats};
use crate::mqtt_config::{MqttConfig, TopicRule};
use crate::sink::RowSink;

/// Far beyond what any step takes: a test that waits this long has failed.
pub(super) const LONG: Duration = Duration::from_secs(20);

/// Each write takes one permit; without permits writes wait.
pub(super) struct GatedSink {
    pub(super) gate: Semaphore,
    pub(super) written: Mutex<Vec<NamedBatch>>,
    /// How many writes have come to the gate.
    pub(super) arrived: Semaphore,
    /// Errors for the next writes, in order.
    pub(super) errors: Mutex<Vec<Error>>,
    /// Batches that hold this text in a column `s` are refused.
    pub(super) poison: Option<&'static str>,
}

impl GatedSink {
    pub(super) fn open() -> Arc<Self> {
        Self::new(Semaphore::MAX_PERMITS, None)
    }

    pub(super) fn new(permits: usize, poison: Option<&'static str>) -> Arc<Self> {
        Arc::new(GatedSink {
            gate: Semaphore::new(permits),
            written: Mutex::default(),
            arrived: Semaphore::new(0),
            errors: Mutex::default(),
            poison,
        })
    }

    pub(super) fn rows(&self) -> usize {
        self.written.lock().iter().map(|batch| batch.rows).sum()
    }
}

impl RowSink for GatedSink {
    fn write(&self, batches: Vec<NamedBatch>) -> BoxFuture<'_, Result<()>> {
        async move {
            self.arrived.add_permits(1);
            self.gate.acquire().await.unwrap().forget();
            for batch in &batches {
                batch.validate()?;
            }
            let error = {
                let mut errors = self.errors.lock();
                (!errors.is_empty()).then(|| errors.remove(0))
            };
            if let Some(error) = error {
                return Err(error);
            }
            if let Some(poison) = self.poison
                && batches.iter().any(|batch| {
                    batch.column("s").is_some_and(|column| {
                        column
                            .array
                            .as_string::<i32>()
                            .iter()
                            .flatten()
                            .any(|text| text == poison)
                    })
                })
            {
                return Err(Error::invalid("poison"));
            }
            self.written.lock().extend(batches);
            Ok(())
        }
        .boxed()
    }
}

pub(super) fn rule(topic: &str, table: &str) -> TopicRule {
    TopicRule {
        topic: topic.to_owned(),
        table: table.to_owned(),
        format: Default::default(),
        columns: Default::default(),
        types: Default::default(),
        precision: None,
    }
}

pub(super) fn readings() -> Mapping {
    let mut rule = rule("plant/+/readings", "plant.readings");
    rule.columns.insert("device".to_owned(), "$1".to_owned());
    Mapping::new(&[rule]).unwrap()
}

pub(super) async fn listener(sink: Arc<GatedSink>) -> MqttListener {
    listener_with(sink, |_| {}).await
}

pub(super) async fn listener_with(
    sink: Arc<GatedSink>,
    change: impl FnOnce(&mut MqttOptions),
) -> MqttListener {
    let mut options = MqttOptions::new("127.0.0.1:0", &MqttConfig::default()).unwrap();
    options.mapping = readings();
    options.now_ns = || 7;
    change(&mut options);
    MqttListener::start(options, sink).await.unwrap()
}

/// A connected rumqttc client whose incoming packets the test reads.
pub(super) struct Peer {
    pub(super) client: AsyncClient,
    events: EventLoop,
}

impl Peer {
    pub(super) async fn connect(listener: &MqttListener, id: &str) -> Peer {
        let mut peer = Peer::dial(listener, id, |_| {});
        assert!(matches!(peer.incoming().await, Incoming::ConnAck(_)));
        peer
    }

    pub(super) fn dial(
        listener: &MqttListener,
        id: &str,
        change: impl FnOnce(&mut ClientOptions),
    ) -> Peer {
        let mut options = ClientOptions::new(id, "127.0.0.1", listener.local_addr().port());
        options.set_keep_alive(Duration::from_secs(60));
        options.set_max_packet_size(4 << 20, 4 << 20);
        change(&mut options);
        let (client, events) = AsyncClient::new(options, 1_000);
        Peer { client, events }
    }

    /// The next packet from the listener.
    pub(super) async fn incoming(&mut self) -> Incoming {
        self.try_incoming().await.unwrap()
    }

    pub(super) async fn try_incoming(&mut self) -> Result<Incoming, rumqttc::ConnectionError> {
        let wait = async {
            loop {
                if let Event::Incoming(packet) = self.events.poll().await? {
                    return Ok(packet);
                }
            }
        };
        tokio::time::timeout(LONG, wait).await.unwrap()
    }

    /// Drives the connection for as long as `other` takes; a packet meanwhile is a failure.
    pub(super) async fn silent_during<T>(&mut self, other: impl Future<Output = T>) -> T {
        tokio::pin!(other);
        loop {
            tokio::select! {
                biased;
                event = self.events.poll() => {
                    if let Event::Incoming(packet) = event.unwrap() {
                        panic!("{packet:?} came too early");
                    }
                }
                done = &mut other => return done,
            }
        }
    }
}

/// Waits until the statistics are as wanted.
pub(super) async fn until(listener: &MqttListener, wanted: impl Fn(&MqttStats) -> bool) {
    let wait = async {
        while !wanted(&listener.stats()) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(
        tokio::time::timeout(LONG, wait).await.is_ok(),
        "{:?}",
        listener.stats()
    );
}
