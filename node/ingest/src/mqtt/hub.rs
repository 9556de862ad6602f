//! Who is connected and who wants which topics: passing messages between the listener's clients,
//! the sessions of clients that are away, and the retained messages. It never waits for a
//! subscriber, and it keeps everything in memory only.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rumqttc::mqttbytes::QoS;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::codec::{Bye, Message};
use super::filter::TopicFilter;
use super::stats::{Counters, count};

/// Messages that wait for one subscriber.
const DELIVERIES_MAX: usize = 1_024;

/// Payload bytes that wait for all subscribers.
const DELIVERY_BYTES_MAX: usize = 16 << 20;

/// Subscriptions of one session.
const FILTERS_MAX: usize = 256;

/// Sessions that are kept for clients that are away; the one that has been away longest goes first.
const AWAY_MAX: usize = 1_024;

/// Bytes of retained messages in all; further topics are not retained.
const RETAINED_BYTES_MAX: usize = 4 << 20;

/// The sessions of one listener.
pub(super) struct Hub {
    state: Mutex<State>,
    bytes: Arc<Semaphore>,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct State {
    sessions: HashMap<String, Session>,
    next: u64,
    retained: HashMap<String, Message>,
    retained_bytes: usize,
}

struct Session {
    /// Which connection has it, or had it last.
    owner: u64,
    filters: Vec<(TopicFilter, QoS)>,
    deliveries: mpsc::Sender<Delivery>,
    presence: Presence,
}

enum Presence {
    /// Tells the connection to close.
    Here(mpsc::Sender<Bye>),
    Away {
        kept: Kept,
        since: Instant,
        expiry: Duration,
    },
}

/// A message on its way to one subscriber; its bytes count until it is dropped.
pub(super) struct Delivery {
    pub(super) message: Message,
    _bytes: OwnedSemaphorePermit,
}

/// What outlives a connection, if its session does.
pub(super) struct Kept {
    /// Messages for this client.
    pub(super) deliveries: mpsc::Receiver<Delivery>,
    /// QoS 1 deliveries without a PUBACK, by packet id, in the order they were sent.
    pub(super) unacked: VecDeque<(u16, Delivery)>,
    /// QoS 2 packet ids between PUBLISH and PUBREL.
    pub(super) unreleased: HashSet<u16>,
    /// The last packet id given to a delivery.
    pub(super) last_pkid: u16,
}

/// One connection's place in the hub; dropping it ends the session unless [`Membership::leave`]
/// has kept it.
pub(super) struct Membership {
    name: String,
    id: u64,
    hub: Arc<Hub>,
    /// Says why the connection must end.
    pub(super) close: mpsc::Receiver<Bye>,
}

impl Hub {
    pub(super) fn new(counters: Arc<Counters>) -> Arc<Hub> {
        Arc::new(Hub {
            state: Mutex::default(),
            bytes: Arc::new(Semaphore::new(DELIVERY_BYTES_MAX)),
            counters,
        })
    }

    /// Adds a connection. An older one of the same name is told to close. Unless `clean`, the
    /// name's session goes on if there is one, which the flag says.
    pub(super) fn join(self: &Arc<Self>, name: String, clean: bool) -> (Membership, Kept, bool) {
        let (deliveries, deliveries_end) = mpsc::channel(DELIVERIES_MAX);
        let (close, close_end) = mpsc::channel(1);
        let mut state = self.state.lock();
        state.next += 1;
        let id = state.next;
        let mut session = Session {
            owner: id,
            filters: Vec::new(),
            deliveries,
            presence: Presence::Here(close),
        };
        let mut kept = Kept {
            deliveries: deliveries_end,
            unacked: VecDeque::new(),
            unreleased: HashSet::new(),
            last_pkid: 0,
        };
        let mut present = false;
        if let Some(older) = state.sessions.remove(&name) {
            match older.presence {
                Presence::Here(close) => {
                    let _ = close.try_send(Bye::TakenOver);
                    if !clean {
                        present = true;
                        session.filters = older.filters;
                    }
                }
                Presence::Away {
                    kept: older_kept,
                    since,
                    expiry,
                } if !clean && since.elapsed() < expiry => {
                    present = true;
                    session.filters = older.filters;
                    session.deliveries = older.deliveries;
                    kept = older_kept;
                }
                Presence::Away { .. } => {}
            }
        }
        state.sessions.insert(name.clone(), session);
        let membership = Membership {
            name,
            id,
            hub: self.clone(),
            close: close_end,
        };
        (membership, kept, present)
    }

    /// Hands the message to its subscribers and retains it if it says so.
    pub(super) fn publish(&self, message: &Message) {
        let mut state = self.state.lock();
        if message.retain {
            state.retain(message);
        }
        state.sessions.retain(|name, session| {
            let granted = session
                .filters
                .iter()
                .filter(|(filter, _)| filter.matches(&message.topic))
                .map(|(_, qos)| *qos)
                .reduce(|one, other| if other > one { other } else { one });
            match granted {
                Some(granted) => self.deliver(name, session, message, granted, false),
                None => true,
            }
        });
    }

    /// Queues a delivery. A QoS 1 message may not be left out silently: a client that is here and
    /// too slow has to come again, and one that is away loses its session (`false`).
    fn deliver(
        &self,
        name: &str,
        session: &Session,
        message: &Message,
        granted: QoS,
        retain: bool,
    ) -> bool {
        let qos = if message.qos == QoS::AtMostOnce {
            QoS::AtMostOnce
        } else {
            granted
        };
        let here = matches!(session.presence, Presence::Here(_));
        if !here && qos == QoS::AtMostOnce {
            return true;
        }
        let message = Message {
            qos,
            retain,
            ..message.clone()
        };
        let size = message.payload.len().clamp(1, DELIVERY_BYTES_MAX);
        let queued = u32::try_from(size)
            .ok()
            .and_then(|size| self.bytes.clone().try_acquire_many_owned(size).ok())
            .is_some_and(|bytes| {
                let delivery = Delivery {
                    message,
                    _bytes: bytes,
                };
                session.deliveries.try_send(delivery).is_ok()
            });
        if queued {
            count(&self.counters.delivered);
            return true;
        }
        count(&self.counters.undelivered);
        match &session.presence {
            Presence::Here(close) if qos != QoS::AtMostOnce => {
                let _ = close.try_send(Bye::TooSlow);
                true
            }
            Presence::Here(_) => true,
            Presence::Away { .. } => {
                tracing::warn!(
                    client = name,
                    "an MQTT session ended: too many messages waited for its client"
                );
                false
            }
        }
    }
}

impl State {
    fn retain(&mut self, message: &Message) {
        let size = |message: &Message| message.topic.len() + message.payload.len();
        if let Some(older) = self.retained.remove(&message.topic) {
            self.retained_bytes -= size(&older);
        }
        if message.payload.is_empty() {
            return;
        }
        if self.retained_bytes + size(message) > RETAINED_BYTES_MAX {
            tracing::warn!(
                topic = message.topic,
                "an MQTT message is not retained: the retained messages fill their {} MiB",
                RETAINED_BYTES_MAX >> 20
            );
            return;
        }
        self.retained_bytes += size(message);
        self.retained.insert(message.topic.clone(), message.clone());
    }

    /// Makes room for one more session that is away.
    fn drop_longest_away(&mut self) {
        let away = |session: &Session| match &session.presence {
            Presence::Away { since, .. } => Some(*since),
            Presence::Here(_) => None,
        };
        if self.sessions.values().filter_map(away).count() < AWAY_MAX {
            return;
        }
        let longest = self
            .sessions
            .iter()
            .filter_map(|(name, session)| Some((away(session)?, name)))
            .min()
            .map(|(_, name)| name.clone());
        if let Some(name) = longest {
            self.sessions.remove(&name);
        }
    }
}

impl Membership {
    /// Adds subscriptions; gives what was granted, `None` for what is no filter or one too many.
    /// Retained messages follow as deliveries.
    pub(super) fn subscribe(&self, filters: Vec<(String, QoS)>) -> Vec<Option<QoS>> {
        let mut state = self.hub.state.lock();
        let State {
            sessions, retained, ..
        } = &mut *state;
        let session = sessions
            .get_mut(&self.name)
            .filter(|session| session.owner == self.id);
        let Some(session) = session else {
            return vec![None; filters.len()];
        };
        let mut granted = Vec::with_capacity(filters.len());
        for (text, qos) in filters {
            let filter = TopicFilter::new(&text).filter(|_| !text.starts_with("$share/"));
            let Some(filter) = filter else {
                granted.push(None);
                continue;
            };
            session.filters.retain(|(other, _)| *other != filter);
            if session.filters.len() >= FILTERS_MAX {
                granted.push(None);
                continue;
            }
            let qos = match qos {
                QoS::AtMostOnce => QoS::AtMostOnce,
                QoS::AtLeastOnce | QoS::ExactlyOnce => QoS::AtLeastOnce,
            };
            for message in retained.values() {
                if filter.matches(&message.topic) {
                    self.hub.deliver(&self.name, session, message, qos, true);
                }
            }
            session.filters.push((filter, qos));
            granted.push(Some(qos));
        }
        granted
    }

    /// Ends subscriptions.
    pub(super) fn unsubscribe(&self, filters: &[String]) {
        if let Some(session) = self.hub.state.lock().sessions.get_mut(&self.name)
            && session.owner == self.id
        {
            session
                .filters
                .retain(|(filter, _)| !filters.iter().any(|other| other == filter.text()));
        }
    }

    /// Leaves, and keeps the session for as long as `expiry` says. If another connection has taken
    /// the session over, it gets the deliveries that this one still had.
    pub(super) fn leave(self, mut kept: Kept, expiry: Duration) {
        let mut state = self.hub.state.lock();
        if !expiry.is_zero() {
            state.drop_longest_away();
        }
        let Some(session) = state.sessions.get_mut(&self.name) else {
            return;
        };
        if session.owner != self.id {
            let unacked = kept.unacked.drain(..).map(|(_, delivery)| delivery);
            let queued = std::iter::from_fn(|| kept.deliveries.try_recv().ok());
            for delivery in unacked.chain(queued) {
                if delivery.message.qos != QoS::AtMostOnce {
                    let _ = session.deliveries.try_send(delivery);
                }
            }
        } else if !expiry.is_zero() {
            session.presence = Presence::Away {
                kept,
                since: Instant::now(),
                expiry,
            };
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut state = self.hub.state.lock();
        let ended = state.sessions.get(&self.name).is_some_and(|session| {
            session.owner == self.id && matches!(session.presence, Presence::Here(_))
        });
        if ended {
            state.sessions.remove(&self.name);
        }
    }
}
