//! One connection of the edge: carries out what the machine wants until the connection ends.

use std::sync::Arc;
use std::time::Duration;

use activestore_sync_proto::reconcile::{Report, Sum, TableReport};
use activestore_sync_proto::{
    BlobAssembly, DigestComparison, EdgeCall, EdgeEvent, EdgeOutput, EdgeReply, Reconnect,
    TableDigest, Uplink, run_edge_call,
};
use activestore_types::{Error, Result, SyncClass};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::allowance::Passes;
use crate::client::{Inner, NO_ANSWER, VerifyReport};
use crate::early::{self, Unanswered};
use crate::failure::{self, Side};
use crate::lanes::stopped;
use crate::link::{Link, Outgoing};

/// Comparisons that may wait for a session at once.
pub(crate) const COMMAND_QUEUE: usize = 4;

/// Asked of a running session.
pub(crate) enum Command {
    /// Compare with the cloud.
    Verify {
        /// Whether differences are mended.
        repair: bool,
        /// Who waits for it.
        answer: oneshot::Sender<Result<VerifyReport>>,
    },
    /// End, and connect by a better way.
    ConnectAnew,
}

/// How a session ended.
pub(crate) struct SessionEnd {
    pub(crate) reason: String,
    pub(crate) reconnect: Reconnect,
    /// After which pause the cloud asked to come again, if it did.
    pub(crate) again: Option<Duration>,
    pub(crate) carry: Option<BlobAssembly>,
    /// Whether the handshake had been done: then the back-off starts over.
    pub(crate) was_live: bool,
    /// Whether this end was told to stop.
    pub(crate) stopped: bool,
    /// Whether it was to resume a session and nobody answered, or what was sent early was not taken: the streams of
    /// such a connection are not to be told from those of before, so another one is made.
    pub(crate) unanswered: bool,
}

struct EdgeSession {
    inner: Arc<Inner>,
    connection: Link,
    uplink: Uplink,
    lanes: Outgoing,
    calls: JoinSet<EdgeReply>,
    verifying: Option<(u64, oneshot::Sender<Result<VerifyReport>>)>,
    verifications: u64,
    was_live: bool,
    ended: Option<(String, Reconnect)>,
}

/// Runs a session over an authenticated connection.
pub(crate) async fn run(
    inner: Arc<Inner>,
    connection: Link,
    carry: Option<BlobAssembly>,
    mut commands: mpsc::Receiver<Command>,
    mut unanswered: Option<Unanswered>,
) -> SessionEnd {
    let mut tasks = JoinSet::new();
    let (lanes, mut frames) = match connection
        .open(Side::Edge, &mut tasks, inner.bucket.as_ref())
        .await
    {
        Ok(opened) => opened,
        Err(reason) => {
            return SessionEnd {
                again: failure::again_in(&reason),
                reason,
                reconnect: Reconnect::AfterBackoff,
                carry,
                was_live: false,
                stopped: false,
                unanswered: false,
            };
        }
    };

    let started = Instant::now();
    let mut stop = inner.stop.subscribe();
    let mut passes = inner.allowance.as_ref().map(|allowance| allowance.watch());
    let mut told_to_stop = false;
    let mut refused = false;
    let mut options = inner.options.uplink;
    options.protocol = options.protocol.min(connection.version());
    let mut session = EdgeSession {
        uplink: Uplink::new(options, Duration::ZERO, carry),
        inner: inner.clone(),
        connection: connection.clone(),
        lanes,
        calls: JoinSet::new(),
        verifying: None,
        verifications: 0,
        was_live: false,
        ended: None,
    };
    if let Some(passes) = &mut passes {
        session.pass(started.elapsed(), &passes.borrow_and_update().clone());
    }
    loop {
        session.drain();
        if session.ended.is_some() {
            break;
        }
        let alarm = session.uplink.next_timeout();
        let alarm_at = started + alarm.unwrap_or(Duration::from_secs(3600));
        tokio::select! {
            frame = frames.recv() => match frame {
                Some(Ok(frame)) => session.uplink.handle_frame(started.elapsed(), *frame),
                Some(Err(error)) => session.end(format!("the cloud sent what cannot be read: {error}")),
                None => session.end_by_connection().await,
            },
            Some(reply) = session.calls.join_next(), if !session.calls.is_empty() => match reply {
                Ok(reply) => session.uplink.handle_reply(started.elapsed(), reply),
                Err(error) => session.end(format!("a call to the database failed: {error}")),
            },
            () = inner.sealed.notified() => session.uplink.sealed(),
            Some(command) = commands.recv() => session.command(command),
            () = tokio::time::sleep_until(alarm_at), if alarm.is_some() => {
                session.uplink.handle_timeout(started.elapsed());
            }
            taken = early::answer(&mut unanswered) => match taken {
                Some(true) => {
                    unanswered = None;
                    match inner.trusted(&connection) {
                        Ok(()) => drop(connection.answered()),
                        Err(error) => session.end(error.to_string()),
                    }
                }
                Some(false) if !connection.has_ended() => {
                    unanswered = None;
                    refused = true;
                    session.end("the cloud did not take what was sent early".to_owned());
                }
                Some(false) => session.end_by_connection().await,
                None => session.end(NO_ANSWER.to_owned()),
            },
            Some(now) = changed(&mut passes) => session.pass(started.elapsed(), &now),
            why = connection.closed(Side::Edge) => session.end(why),
            () = stopped(&mut stop) => {
                told_to_stop = true;
                session.end("the edge shuts down".to_owned());
            }
        }
    }
    let (reason, reconnect) = session
        .ended
        .take()
        .unwrap_or_else(|| ("the session ended".to_owned(), Reconnect::AfterBackoff));
    if let Some((_, waiting)) = session.verifying.take() {
        // The asker may be gone; then nobody needs the answer.
        let _ = waiting.send(Err(Error::overloaded(format!(
            "the comparison broke off: {reason}"
        ))));
    }
    connection.close(reason.as_bytes());
    // The next session must not meet a call of this one still changing the database.
    while session.calls.join_next().await.is_some() {}
    let outbox = inner.options.outbox.clone();
    let told = tokio::task::spawn_blocking(move || outbox.connection(None)).await;
    if told.is_err() {
        tracing::warn!("the outbox could not be told that the cloud is gone");
    }
    SessionEnd {
        again: failure::again_in(&reason),
        reason,
        reconnect,
        carry: session.uplink.into_carry(),
        was_live: session.was_live,
        stopped: told_to_stop,
        unanswered: unanswered.is_some() || refused,
    }
}

/// What may go, as soon as that changes.
async fn changed(passes: &mut Option<watch::Receiver<Passes>>) -> Option<Passes> {
    if let Some(passes) = passes
        && passes.changed().await.is_ok()
    {
        return Some(passes.borrow_and_update().clone());
    }
    // Nothing is held back, or nobody says any more.
    std::future::pending().await
}

impl EdgeSession {
    fn end(&mut self, reason: String) {
        self.ended.get_or_insert((reason, Reconnect::AfterBackoff));
    }

    /// What may go has changed.
    fn pass(&mut self, now: Duration, passes: &Passes) {
        self.uplink.urgent_only(now, !passes.rows);
        if let Some(waits) = passes.held() {
            self.end(waits);
        }
    }

    async fn end_by_connection(&mut self) {
        let why = self.connection.closed(Side::Edge).await;
        self.end(why);
    }

    fn command(&mut self, command: Command) {
        let (repair, answer) = match command {
            Command::Verify { repair, answer } => (repair, answer),
            Command::ConnectAnew => {
                let why = "UDP gets through again".to_owned();
                self.ended.get_or_insert((why, Reconnect::Now));
                return;
            }
        };
        if self.verifying.is_some() {
            // The asker may be gone; then nobody needs the answer.
            let _ = answer.send(Err(Error::overloaded("a comparison is under way")));
            return;
        }
        let replica = &self.inner.options.replica;
        let compares = self.uplink.can_compare() && replica.holdings().is_some();
        if repair && !compares {
            // The asker may be gone; then nobody needs the answer.
            let _ = answer.send(Err(Error::conflict(
                "the cloud is not connected, or too old to mend rows with",
            )
            .with_hint("update the cloud node, and see activestore sync status")));
            return;
        }
        self.verifications += 1;
        self.verifying = Some((self.verifications, answer));
        match compares {
            true => self.uplink.compare(self.verifications, repair),
            false => self.uplink.verify(self.verifications),
        }
    }

    /// Carries out everything the machine wants now.
    fn drain(&mut self) {
        while let Some(output) = self.uplink.poll() {
            match output {
                EdgeOutput::Send(frame) => {
                    if let Err(error) = self.lanes.send(frame) {
                        self.end(error.to_string());
                    }
                }
                EdgeOutput::Call(call) => self.call(call),
                EdgeOutput::Event(event) => self.note(event),
                EdgeOutput::Disconnect { reason, reconnect } => {
                    self.ended.get_or_insert((reason, reconnect));
                }
            }
        }
    }

    fn call(&mut self, call: EdgeCall) {
        let inner = self.inner.clone();
        self.calls.spawn_blocking(move || {
            if let EdgeCall::ObserveClock { server_wall_ms, .. } = &call {
                inner.options.identity.observe_cloud(*server_wall_ms);
                if let Some(allowance) = &inner.allowance {
                    allowance.told_time(*server_wall_ms);
                }
            }
            run_edge_call(call, &*inner.options.outbox, &*inner.options.replica)
        });
    }

    fn note(&mut self, event: EdgeEvent) {
        let behind = self.uplink.behind();
        match event {
            EdgeEvent::Live {
                durable_seq,
                catalog_version,
            } => {
                self.was_live = true;
                let peer = self.connection.remote_address();
                tracing::info!(%peer, durable_seq, catalog_version, "connected to the cloud");
                self.inner.connected(&self.connection, durable_seq);
            }
            EdgeEvent::Acknowledged { class, seq } => {
                let seq = (class == SyncClass::Live).then_some(seq);
                self.inner.acknowledged(seq, behind);
            }
            EdgeEvent::EpochSetAside { reason } => {
                tracing::warn!("a new epoch is started: {reason}");
                self.inner.epoch_set_aside();
            }
            EdgeEvent::Refused { seq, reason } => {
                tracing::warn!(seq, "the cloud refused a segment, which is kept: {reason}");
                self.inner
                    .trouble(format!("the cloud refused segment {seq}: {reason}"));
            }
            EdgeEvent::CatalogAdopted { version } => {
                tracing::info!(version, "definitions adopted");
                self.inner.catalog_adopted(version);
            }
            EdgeEvent::CatalogFailed { version, reason } => {
                tracing::warn!(version, "definitions not adopted: {reason}");
                self.inner
                    .trouble(format!("definitions {version} were not adopted: {reason}"));
            }
            EdgeEvent::Verified {
                id,
                here,
                there,
                behind,
            } => self.verified(id, here, there, behind),
            EdgeEvent::Compared { id, result } => self.compared(id, result),
            EdgeEvent::Scrubbed(report) => {
                let outcome = report.outcome;
                tracing::info!(
                    differences = outcome.differences,
                    behind = outcome.behind,
                    "this node's rows were compared with the cloud's"
                );
            }
            EdgeEvent::Following { seq, last_sealed } => {
                tracing::debug!(seq, last_sealed, "following the cloud's stream");
                self.inner.followed(seq, last_sealed, 0);
            }
            EdgeEvent::DownApplied {
                seq, last_sealed, ..
            } => self.inner.followed(seq, last_sealed, 1),
            EdgeEvent::DownRefused { seq, error } => {
                tracing::warn!(seq, "a segment from the cloud is not applied yet: {error}");
                self.inner.trouble(format!(
                    "segment {seq} from the cloud is not applied: {error}"
                ));
            }
            EdgeEvent::StartedOver { reason } => {
                tracing::info!("the cloud's tables are fetched: {reason}");
                self.inner.fetches(true);
            }
            EdgeEvent::TablesFetched => {
                tracing::info!("the cloud's tables are here");
                self.inner.fetches(false);
            }
            EdgeEvent::ReceiptHeld { epoch, seq } => {
                tracing::debug!(epoch = epoch.0, seq, "a receipt is kept");
            }
            EdgeEvent::ReceiptRefused { error } => {
                tracing::error!("a receipt from the cloud is not true: {error}");
                self.inner
                    .trouble(format!("a receipt from the cloud is not true: {error}"));
            }
            EdgeEvent::Trouble(error) => {
                tracing::warn!("{error}");
                self.inner.trouble(error.to_string());
            }
        }
    }

    fn compared(&mut self, id: u64, result: Result<Box<Report>>) {
        match self.verifying.take() {
            Some((waiting, answer)) if waiting == id => {
                let report = result.map(|report| {
                    let side = |of: fn(&TableReport) -> Sum| -> Vec<TableDigest> {
                        let tables = report.tables.iter().map(|table| TableDigest {
                            table: table.table.clone(),
                            rows: of(table).rows,
                            hash: of(table).hash,
                        });
                        tables.collect()
                    };
                    VerifyReport {
                        peer: self.connection.remote_address().to_string(),
                        comparison: DigestComparison::new(
                            &side(|table| table.here),
                            &side(|table| table.there),
                        ),
                        behind: report.outcome.behind,
                        found: Some(report),
                    }
                });
                // The asker may be gone; then nobody needs the answer.
                let _ = answer.send(report);
            }
            other => self.verifying = other,
        }
    }

    fn verified(
        &mut self,
        id: u64,
        here: Result<Vec<TableDigest>>,
        there: Result<Vec<TableDigest>>,
        behind: u64,
    ) {
        match self.verifying.take() {
            Some((waiting, answer)) if waiting == id => {
                let report = here.and_then(|here| {
                    Ok(VerifyReport {
                        peer: self.connection.remote_address().to_string(),
                        comparison: DigestComparison::new(&here, &there?),
                        behind,
                        found: None,
                    })
                });
                // The asker may be gone; then nobody needs the answer.
                let _ = answer.send(report);
            }
            other => self.verifying = other,
        }
    }
}
