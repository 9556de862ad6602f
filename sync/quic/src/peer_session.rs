//! One connection of the cloud: carries out what the machine wants until the connection ends.

use std::sync::Arc;
use std::time::Duration;

use activestore_sync_proto::{
    CloudCall, CloudEvent, CloudOutput, CloudReply, Downlink, Now, run_cloud_call,
};
use activestore_types::NodeId;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::clock::wall_ms;
use crate::failure::Side;
use crate::lanes::stopped;
use crate::link::{Link, Outgoing};
use crate::server::{HANDSHAKE_TIMEOUT, Pass, Shared};

struct PeerSession {
    shared: Arc<Shared>,
    connection: Link,
    node: NodeId,
    downlink: Downlink,
    lanes: Outgoing,
    calls: JoinSet<CloudReply>,
    started: Instant,
    ended: Option<String>,
    /// Held until the greeting is answered.
    pass: Option<Pass>,
}

/// Serves an authenticated edge until its connection ends; returns why it did.
pub(crate) async fn run(shared: Arc<Shared>, connection: Link, node: NodeId, pass: Pass) -> String {
    let mut tasks = JoinSet::new();
    let opened = connection.open(Side::Cloud, &mut tasks, None);
    let (lanes, mut frames) = match tokio::time::timeout(HANDSHAKE_TIMEOUT, opened).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(reason)) => return reason,
        Err(_) => {
            let reason = "no greeting came";
            connection.close(reason.as_bytes());
            return reason.to_owned();
        }
    };

    let mut catalog = shared.catalog.subscribe();
    let mut stream = shared.stream.subscribe();
    let mut stop = shared.stop.subscribe();
    let mut session = PeerSession {
        downlink: Downlink::new(shared.options.downlink, node),
        shared: shared.clone(),
        connection: connection.clone(),
        node,
        lanes,
        calls: JoinSet::new(),
        started: Instant::now(),
        ended: None,
        pass: Some(pass),
    };
    loop {
        session.drain();
        if session.ended.is_some() {
            break;
        }
        let alarm = session.downlink.next_timeout();
        let alarm_at = session.started + alarm.unwrap_or(Duration::from_secs(3600));
        tokio::select! {
            frame = frames.recv() => match frame {
                Some(Ok(frame)) => {
                    let now = session.now();
                    session.downlink.handle_frame(now, *frame);
                }
                Some(Err(error)) => session.end(format!("the edge sent what cannot be read: {error}")),
                None => session.end_by_connection().await,
            },
            Some(reply) = session.calls.join_next(), if !session.calls.is_empty() => match reply {
                Ok(reply) => {
                    let now = session.now();
                    session.downlink.handle_reply(now, reply);
                }
                Err(error) => session.end(format!("a call to the database failed: {error}")),
            },
            changed = catalog.changed() => {
                let version = *catalog.borrow_and_update();
                match changed {
                    Ok(()) => session.downlink.catalog_changed(version),
                    Err(_) => session.end("the cloud shuts down".to_owned()),
                }
            }
            Ok(()) = stream.changed() => session.downlink.down_sealed(),
            () = tokio::time::sleep_until(alarm_at), if alarm.is_some() => {
                let now = session.now();
                session.downlink.handle_timeout(now);
            }
            why = connection.closed(Side::Cloud) => session.end(why),
            () = stopped(&mut stop) => session.end(shared.farewell()),
        }
    }
    let reason = session.ended.take().unwrap_or_default();
    connection.close(reason.as_bytes());
    session.farewell().await;
    reason
}

impl PeerSession {
    fn now(&self) -> Now {
        Now {
            monotonic: self.started.elapsed(),
            wall_ms: wall_ms(),
        }
    }

    fn end(&mut self, reason: String) {
        self.ended.get_or_insert(reason);
    }

    async fn end_by_connection(&mut self) {
        let why = self.connection.closed(Side::Cloud).await;
        self.end(why);
    }

    /// Carries out everything the machine wants now.
    fn drain(&mut self) {
        while let Some(output) = self.downlink.poll() {
            match output {
                CloudOutput::Send(frame) => {
                    if let Err(error) = self.lanes.send(frame) {
                        self.end(error.to_string());
                    }
                }
                CloudOutput::Call(call) => self.call(call),
                CloudOutput::Event(event) => self.note(event),
                CloudOutput::Disconnect { reason } => self.end(reason),
            }
        }
    }

    fn call(&mut self, mut call: CloudCall) {
        if let CloudCall::PeerSeen(status) = &mut call {
            status.transport = Some(self.connection.transport().name());
            self.shared.seen(&self.connection, status.clone());
        }
        let shared = self.shared.clone();
        self.calls
            .spawn_blocking(move || run_cloud_call(call, &*shared.options.inbox));
    }

    fn note(&mut self, event: CloudEvent) {
        let node = self.node;
        let stats = &self.shared.counters;
        match event {
            CloudEvent::Live { epoch, durable_seq } => {
                self.pass = None;
                let peer = self.connection.remote_address();
                tracing::info!(%node, %peer, durable_seq, "an edge connected");
                self.shared.replace_older(&self.connection, node, epoch);
            }
            CloudEvent::Applied { rows, .. } => {
                stats.segments_applied.add(1);
                stats.rows_applied.add(rows);
            }
            CloudEvent::Repeated { .. } => stats.segments_repeated.add(1),
            CloudEvent::Quarantined { reason, .. } => {
                stats.epochs_quarantined.add(1);
                tracing::warn!(%node, "an epoch is set aside: {reason}");
            }
            CloudEvent::Refused { seq, error } => {
                stats.segments_refused.add(1);
                tracing::warn!(%node, seq, "a segment was refused: {error}");
            }
            CloudEvent::CatalogApplied { version, error } => match error {
                None => tracing::info!(%node, version, "an edge adopted definitions"),
                Some(error) => {
                    tracing::warn!(%node, version, "an edge did not adopt definitions: {error}");
                }
            },
            CloudEvent::Followed { seq } => {
                tracing::debug!(%node, seq, "an edge follows the stream");
            }
            CloudEvent::ToldToStartOver { reason } => {
                stats.start_overs.add(1);
                tracing::info!(%node, "an edge fetches the tables: {reason}");
            }
            CloudEvent::DownAcknowledged { .. } => stats.down_acknowledged.add(1),
            CloudEvent::DownRefused { seq, reason } => {
                tracing::warn!(%node, seq, "an edge could not apply a segment yet: {reason}");
            }
            CloudEvent::ReceiptIssued { seq, .. } => {
                stats.receipts_issued.add(1);
                tracing::debug!(%node, seq, "an edge got a receipt");
            }
            CloudEvent::Verified { .. } => {}
            CloudEvent::Trouble(error) => tracing::warn!(%node, "{error}"),
        }
    }

    /// Lets the calls under way finish and tells the host that the edge is gone.
    async fn farewell(mut self) {
        while let Some(reply) = self.calls.join_next().await {
            if let Ok(reply) = reply {
                let now = self.now();
                self.downlink.handle_reply(now, reply);
            }
            // What it wants to send or call now comes too late; what it reports still counts.
            while let Some(output) = self.downlink.poll() {
                if let CloudOutput::Event(event) = output {
                    self.note(event);
                }
            }
        }
        if let Some(status) = self.downlink.status(self.now(), false) {
            let shared = self.shared.clone();
            let told =
                tokio::task::spawn_blocking(move || shared.options.inbox.peer_seen(status)).await;
            if told.is_err() {
                tracing::warn!(node = %self.node, "the edge's leaving could not be noted");
            }
        }
    }
}
