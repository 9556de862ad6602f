//! Events as people and programs read them.

use activestore_types::NodeId;
use serde::Serialize;

use super::Kind;
use crate::db::{Db, Inner};
use crate::outbox::cloud_for_people;

/// One event of the sync.
#[derive(Clone, Debug, Serialize)]
pub struct EventReport {
    /// Its number; later events have higher ones.
    pub number: u64,
    /// When it happened first, by this node's clock, in milliseconds since 1970.
    pub first_ms: u64,
    /// When it happened last.
    pub last_ms: u64,
    /// What happened, in a word such as `connected`.
    pub kind: &'static str,
    /// The other node; `null` where there is none.
    pub node: Option<String>,
    /// Its name; `null` where it is not known.
    pub name: Option<String>,
    /// How often it happened.
    pub times: u64,
    /// The last time, as a sentence.
    pub text: String,
}

/// Events after a number.
#[derive(Clone, Debug, Serialize)]
pub struct EventsAfter {
    /// The events, oldest first.
    pub events: Vec<EventReport>,
    /// The number to go on after.
    pub last: u64,
    /// Whether some in between are not kept any more.
    pub gap: bool,
}

impl Db {
    /// Events with numbers above `after`; all of them after 0.
    pub fn sync_events(&self, after: u64) -> EventsAfter {
        let events = self.inner.event_reports(after);
        EventsAfter {
            last: events.last().map_or(after, |event| event.number),
            // The oldest go first: where that one is here, so are those after it.
            gap: after > 0 && !events.is_empty() && !self.inner.events.keeps(after),
            events,
        }
    }

    /// The connection to the cloud, or to a further one, is there.
    pub fn cloud_connected(&self, further: Option<&str>, address: &str, transport: &str) {
        let cloud = cloud_for_people(further);
        let text = format!("connected to {cloud} at {address} over {transport}");
        self.inner.events.tell(Kind::Connected, None, text);
    }

    /// There is no connection to the cloud, for this reason.
    pub fn cloud_lost(&self, further: Option<&str>, reason: &str) {
        let text = format!("not connected to {}: {reason}", cloud_for_people(further));
        self.inner.events.tell(Kind::Disconnected, None, text);
    }
}

impl Inner {
    pub(crate) fn event_reports(&self, after: u64) -> Vec<EventReport> {
        let names = self.peers.lock();
        let name = |node: NodeId| names.get(&node).map(|peer| peer.name.clone());
        let events = self.events.all().into_iter();
        let later = events.filter(|(number, _)| *number > after);
        later
            .map(|(number, event)| EventReport {
                number,
                first_ms: event.first_ms,
                last_ms: event.last_ms,
                kind: event.kind.name(),
                node: event.node.map(|node| node.to_string()),
                name: event.node.and_then(name),
                times: event.times,
                text: event.text,
            })
            .collect()
    }
}
