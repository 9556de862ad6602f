//! What is told of changes that are seen from the outside: an edge that comes and goes, a clock that is off.

use activestore_catalog::RolloutStep;
use activestore_sync_proto::PeerStatus;
use activestore_types::{Epoch, NodeId};

use super::{Events, Kind};
use crate::db::Inner;

/// An offset of this node's clock that is told of, in milliseconds.
const CLOCK_OFFSET_TOLD_MS: u64 = 2_000;
/// How an edge's last error begins where its chain was set aside.
const SET_ASIDE: &str = "epoch set aside: ";

impl Events {
    /// A cloud refused a segment.
    pub(crate) fn segment_refused(&self, by: &str, seq: u64, reason: &str) {
        let text = format!("{by} refused segment {seq}, which is offered again: {reason}");
        self.tell(Kind::SegmentRefused, None, text);
    }

    /// An edge joined, or has another certificate.
    pub(crate) fn enrolled(&self, node: NodeId, renewed: bool) {
        let text = if renewed {
            format!("node {node} renewed its certificate")
        } else {
            format!("node {node} joined")
        };
        self.tell(Kind::Enrolled, Some(node), text);
    }

    /// Somebody with a member's certificate is not let in.
    pub(crate) fn turned_away(&self, node: NodeId, reason: &str) {
        self.tell(Kind::TurnedAway, Some(node), reason.to_owned());
    }

    /// A chain goes on under another epoch.
    pub(crate) fn epoch_follows(&self, by: &str, before: Epoch, after: Epoch) {
        let text = format!(
            "this data directory is not the one that {by} knows: epoch {:016x} follows {:016x}",
            after.0, before.0
        );
        self.tell(Kind::EpochSetAside, None, text);
    }
}

impl Inner {
    /// Compares what is known of an edge with what was known before.
    pub(crate) fn tell_of_peer(&self, before: Option<&PeerStatus>, now: &PeerStatus) {
        let node = Some(now.node);
        let was_connected = before.is_some_and(|before| before.connected);
        if now.connected && (!was_connected || before.is_some_and(|b| b.epoch != now.epoch)) {
            let over = now.transport.unwrap_or("a link");
            let text = format!("edge {} connected over {over}", now.name);
            self.events.tell(Kind::Connected, node, text);
        }
        let error = |status: &PeerStatus| status.last_error.clone();
        let told_before = before.and_then(error);
        if let Some(error) = error(now).filter(|error| told_before.as_ref() != Some(error))
            && let Some(reason) = error.strip_prefix(SET_ASIDE)
        {
            let text = format!(
                "epoch {:016x} is set aside, since its history is another one here: {reason}",
                now.epoch.0
            );
            self.events.tell(Kind::EpochSetAside, node, text);
        }
        let refused = now.refused_definitions.as_ref();
        if let Some((version, reason)) = refused
            && before.is_none_or(|before| before.refused_definitions.as_ref() != refused)
        {
            let text = format!("version {version} of the definitions was refused: {reason}");
            self.events.tell(Kind::Definitions, node, text);
        }
        if was_connected && !now.connected {
            let reason = now.last_error.as_deref().unwrap_or("it left");
            let text = format!("edge {} is not connected any more: {reason}", now.name);
            self.events.tell(Kind::Disconnected, node, text);
        }
    }

    /// An edge said how far its clock is behind this node's.
    pub(crate) fn tell_of_edge_clock(&self, node: NodeId, offset_ms: i64) {
        let before_ms = self.edge_clocks.lock().insert(node, offset_ms);
        if let Some(text) = clock_text(
            before_ms.unwrap_or(0),
            offset_ms,
            "the edge's",
            "this node's",
        ) {
            self.events.tell(Kind::ClockOffset, Some(node), text);
        }
    }

    /// Tells of a clock that is off otherwise than at the last handshake.
    pub(crate) fn tell_of_clock(&self, before_ms: i64, offset_ms: i64) {
        if let Some(text) = clock_text(before_ms, offset_ms, "this node's", "the cloud's") {
            self.events.tell(Kind::ClockOffset, None, text);
        }
    }
}

/// A clock that is off as a sentence; `None` where it is off no more than before, or not worth telling.
fn clock_text(before_ms: i64, offset_ms: i64, here: &str, cloud: &str) -> Option<String> {
    let off = |ms: i64| ms.unsigned_abs() >= CLOCK_OFFSET_TOLD_MS;
    let changed = offset_ms.abs_diff(before_ms) >= CLOCK_OFFSET_TOLD_MS;
    if !changed || !(off(offset_ms) || off(before_ms)) {
        return None;
    }
    let by = offset_ms.unsigned_abs();
    let how = if offset_ms < 0 { "ahead of" } else { "behind" };
    Some(format!(
        "{here} clock is {by} ms {how} {cloud}; rows are stamped by the cloud's"
    ))
}

/// A step of a rollout as a sentence; `None` for one that nobody sees.
pub(crate) fn step_text(plugin: &str, step: &RolloutStep) -> Option<String> {
    Some(match step {
        RolloutStep::Soaked(_) => return None,
        RolloutStep::Advance => format!("a wave of the rollout of plugin {plugin} was passed"),
        RolloutStep::Finish => {
            format!("the rollout of plugin {plugin} is done: the version is in force")
        }
        RolloutStep::Stop(reason) => {
            format!("the rollout of plugin {plugin} was stopped, and is taken back: {reason}")
        }
        RolloutStep::Back => format!("the rollout of plugin {plugin} was taken back"),
        RolloutStep::Pause => format!("the rollout of plugin {plugin} is paused"),
        RolloutStep::Resume => format!("the rollout of plugin {plugin} goes on"),
    })
}
