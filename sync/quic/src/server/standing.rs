//! Sees to it that who is let in may still be: ends the sessions of edges that were turned away, and renews this node's
//! own certificate, both while the server runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::Shared;
use crate::clock::wall_ms;
use crate::lanes::stopped;
use crate::token_store::Standing;

/// How often the list of members is looked at: a look at the file's mark while nothing changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Looks until the server stops.
pub(super) async fn watch(shared: Arc<Shared>) {
    let mut stop = shared.stop.subscribe();
    let mut tick = tokio::time::interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known = Standing::default();
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stopped(&mut stop) => return,
        }
        let looking = shared.clone();
        let before = known.clone();
        let looked = tokio::task::spawn_blocking(move || looking.look(&before)).await;
        match looked {
            Ok(Ok(now)) => known = now,
            // Nobody is sent away for a list that cannot be read; nobody new comes in either.
            Ok(Err(error)) => tracing::warn!("the list of members cannot be read: {error}"),
            Err(error) => tracing::warn!("the look at the list of members failed: {error}"),
        }
    }
}

impl Shared {
    fn look(&self, before: &Standing) -> activestore_types::Result<Standing> {
        match self.options.identity.renew_if_due(wall_ms()) {
            Ok(false) => {}
            Ok(true) => tracing::info!("this node's certificate was renewed"),
            Err(error) => {
                tracing::warn!("this node's certificate cannot be renewed, and will end: {error}");
            }
        }
        let now = self.options.tokens.standing()?;
        if now.is(before) {
            return Ok(now);
        }
        let peers = self.peers.lock();
        let connected = peers.iter().map(|(id, peer)| (*id, peer.member.clone()));
        let gone = now.turned_away(connected.collect());
        for (id, member) in gone {
            let Some(peer) = peers.get(&id) else { continue };
            let node = member.node;
            tracing::warn!(%node, "an edge was turned away: its session ends");
            peer.connection.close(b"this node was turned away");
            let text = format!("node {node} was turned away while it was connected");
            self.options.inbox.turned_away(node, &text);
        }
        Ok(now)
    }
}
