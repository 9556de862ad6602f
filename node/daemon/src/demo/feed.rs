//! Feeds readings into an edge as field devices would: cores of this machine, or a file, over MQTT
//! with quality of service 1, and memory and temperatures over line protocol.
//!
//! A reading counts as taken when the edge has acknowledged it, which it does once it is on disk.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use activestore_types::{Error, Result};
use rumqttc::{Client as MqttClient, Event, MqttOptions, Outgoing, Packet, QoS};
use serde_json::Value;

use super::readings::Machine;
use crate::client::Client;

/// Readings are taken ten times a second.
const PERIOD: Duration = Duration::from_millis(100);
/// Rows of a file in one message.
const FILE_ROWS: usize = 50;
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(10);
const PACKET_BYTES_MAX: usize = 1 << 20;
const REQUESTS_MAX: usize = 256;

/// A running feed.
pub(crate) struct Feed {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// What a feed has sent and what was acknowledged.
#[derive(Default)]
pub(crate) struct Shared {
    ending: AtomicBool,
    /// Rows of `plant.readings` that were acknowledged, each key once.
    pub(crate) readings: AtomicU64,
    /// Rows of `plant.machine` that were acknowledged.
    pub(crate) machine: AtomicU64,
    /// Writes that the edge refused or did not answer.
    pub(crate) refused: AtomicU64,
    failure: Mutex<Option<String>>,
}

/// A file's rows, for one device.
pub(crate) struct Replay {
    pub(crate) device: String,
    pub(crate) rows: Vec<Value>,
    /// The time over which the rows are spread.
    pub(crate) over: Duration,
}

impl Feed {
    /// Starts feeding the edge of this name until it is ended.
    pub(crate) fn start(
        edge: &str,
        mqtt: SocketAddr,
        http: &Client,
        replay: Option<Replay>,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let by_mqtt = {
            let (shared, edge) = (shared.clone(), edge.to_owned());
            std::thread::spawn(move || {
                if let Err(error) = feed_mqtt(&shared, &edge, mqtt, replay) {
                    shared.fail(&error);
                }
            })
        };
        let by_http = {
            let (shared, edge, http) = (shared.clone(), edge.to_owned(), http.clone());
            std::thread::spawn(move || feed_http(&shared, &edge, &http))
        };
        Feed {
            shared,
            threads: vec![by_mqtt, by_http],
        }
    }

    /// Rows acknowledged so far: readings and machine rows.
    pub(crate) fn acknowledged(&self) -> (u64, u64) {
        (
            self.shared.readings.load(Ordering::Acquire),
            self.shared.machine.load(Ordering::Acquire),
        )
    }

    /// Stops, waits for what is under way, and says how many rows were acknowledged.
    ///
    /// # Errors
    /// When a reading was refused or not acknowledged in time.
    pub(crate) fn end(self) -> Result<(u64, u64)> {
        self.shared.ending.store(true, Ordering::Release);
        for thread in self.threads {
            if thread.join().is_err() {
                return Err(Error::internal("a feed panicked"));
            }
        }
        if let Some(failure) = self.shared.failure.lock().ok().and_then(|mut f| f.take()) {
            return Err(Error::internal(failure));
        }
        Ok((
            self.shared.readings.load(Ordering::Acquire),
            self.shared.machine.load(Ordering::Acquire),
        ))
    }
}

impl Shared {
    fn ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    fn fail(&self, error: &Error) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        if let Ok(mut failure) = self.failure.lock() {
            failure.get_or_insert_with(|| error.to_string());
        }
    }
}

/// Publishes with quality of service 1 and waits for each message's acknowledgement.
struct Publisher {
    client: MqttClient,
    connection: rumqttc::Connection,
}

impl Publisher {
    fn connect(id: &str, address: SocketAddr) -> Self {
        let mut options = MqttOptions::new(id, address.ip().to_string(), address.port());
        options.set_keep_alive(Duration::from_secs(30));
        options.set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX);
        let (client, connection) = MqttClient::new(options, REQUESTS_MAX);
        Publisher { client, connection }
    }

    fn publish(&mut self, topic: &str, payload: Vec<u8>) -> Result<()> {
        self.client
            .publish(topic, QoS::AtLeastOnce, false, payload)
            .map_err(|error| Error::internal(format!("MQTT: {error}")))?;
        let until = Instant::now() + ACKNOWLEDGED_WITHIN;
        while Instant::now() < until {
            match self.connection.recv_timeout(ACKNOWLEDGED_WITHIN) {
                Ok(Ok(Event::Incoming(Packet::PubAck(_)))) => return Ok(()),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    return Err(Error::internal(format!("MQTT: {error}")));
                }
                Err(_) => break,
            }
        }
        Err(Error::internal(
            "an MQTT message was not acknowledged in time",
        ))
    }

    fn close(mut self) {
        if self.client.disconnect().is_ok() {
            let until = Instant::now() + Duration::from_secs(1);
            while Instant::now() < until {
                match self.connection.recv_timeout(Duration::from_millis(200)) {
                    Ok(Ok(Event::Outgoing(Outgoing::Disconnect))) | Ok(Err(_)) | Err(_) => break,
                    Ok(Ok(_)) => {}
                }
            }
        }
    }
}

fn feed_mqtt(
    shared: &Shared,
    edge: &str,
    address: SocketAddr,
    replay: Option<Replay>,
) -> Result<()> {
    let mut publisher = Publisher::connect(&format!("demo-{edge}"), address);
    match replay {
        Some(replay) => {
            let topic = format!("plant/{}/readings", replay.device);
            let messages = replay.rows.len().div_ceil(FILE_ROWS).max(1);
            // A file may name a time twice (a clock set back): the later line replaces the earlier.
            let mut times = HashSet::new();
            let pause = replay.over / u32::try_from(messages).unwrap_or(u32::MAX);
            for rows in replay.rows.chunks(FILE_ROWS) {
                let begun = Instant::now();
                let new = rows
                    .iter()
                    .filter(|row| times.insert(row.get("ts").map(ToString::to_string)))
                    .count();
                publish(shared, &mut publisher, &topic, rows, new)?;
                if !shared.ending() {
                    std::thread::sleep(pause.saturating_sub(begun.elapsed()));
                }
            }
        }
        None => {
            let mut machine = Machine::default();
            machine.cores();
            while !shared.ending() {
                std::thread::sleep(PERIOD);
                for (core, reading) in machine.cores() {
                    let topic = format!("plant/{edge}-{core}/readings");
                    publish(shared, &mut publisher, &topic, &[reading], 1)?;
                }
            }
        }
    }
    publisher.close();
    Ok(())
}

fn publish(
    shared: &Shared,
    publisher: &mut Publisher,
    topic: &str,
    rows: &[Value],
    new: usize,
) -> Result<()> {
    let payload = serde_json::to_vec(rows)
        .map_err(|error| Error::internal(format!("a reading is not JSON: {error}")))?;
    publisher.publish(topic, payload)?;
    shared.readings.fetch_add(new as u64, Ordering::Release);
    Ok(())
}

fn feed_http(shared: &Shared, edge: &str, http: &Client) {
    let machine = Machine::default();
    while !shared.ending() {
        let (lines, rows) = machine.lines(edge);
        match http.post("/v1/write?keyspace=plant", "text/plain", lines.as_bytes()) {
            Ok(_) => {
                shared.machine.fetch_add(rows, Ordering::Release);
            }
            Err(error) => shared.fail(&error),
        }
        std::thread::sleep(PERIOD);
    }
}
