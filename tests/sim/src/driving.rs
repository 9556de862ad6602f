//! Connections: what the machines of both ends want is carried out, and frames find their way or do not.

use std::time::Duration;

use activestore_sync_proto::{
    CloudCall, CloudOutput, DigestComparison, Downlink, EdgeCall, EdgeEvent, EdgeOutput, Frame,
    Reconnect, Uplink, encode, run_cloud_call, run_edge_call,
};
use sha2::Digest;

use crate::connection::{Connection, uplink_options};
use crate::world::{Event, Network, World};

impl World {
    pub(crate) fn connect(&mut self, index: usize) {
        if self.edges[index].connection.is_some() {
            return;
        }
        if self.network != Network::Whole {
            let pause = 200 + self.rng.below(800);
            return self.after(pause, Event::Connect(index));
        }
        if self.edges[index].away_until > self.now {
            let left = self.edges[index].away_until - self.now;
            return self.after(left.as_millis() as u64, Event::Connect(index));
        }
        self.summary.connections += 1;
        self.ticket += 1;
        let id = self.ticket;
        let carry = self.edges[index].carry.take();
        let uplink = Uplink::new(uplink_options(self.plan.ping_every), self.now, carry);
        let node = self.edges[index].node.db().node_id();
        if self.is_gateway(index) {
            let labels = "role=gateway".parse().unwrap();
            self.inbox_above(index).member(node, &labels);
        }
        self.connections
            .insert(id, Connection::new(index, node, uplink));
        self.edges[index].connection = Some(id);
        self.drain(id);
    }

    /// Both ends notice that the connection is gone.
    pub(crate) fn lose(&mut self, id: u64) {
        let Some(mut connection) = self.connections.remove(&id) else {
            return;
        };
        let left = connection.downlink.take().filter(|_| !connection.orphaned);
        let status = left.and_then(|end| end.status(self.cloud_now(), false));
        // A fleet of the other kinds hears of no edge that left: what it needs is kept for it.
        if let Some(status) = status.filter(|_| self.plan.absences) {
            self.inbox_above(connection.edge).peer_seen(status);
        }
        let edge = &mut self.edges[connection.edge];
        if let Some(uplink) = connection.uplink.take() {
            edge.carry = uplink.into_carry();
        }
        if edge.connection == Some(id) {
            edge.connection = None;
            let pause = 100 + self.rng.below(600);
            self.after(pause, Event::Connect(connection.edge));
        }
    }

    /// The connections that lead to the cloud, or to a gateway.
    pub(crate) fn ids_above(&self, above: Option<usize>) -> Vec<u64> {
        let ids = self.connections.iter();
        ids.filter(|(_, end)| self.edges[end.edge].above == above)
            .map(|(id, _)| *id)
            .collect()
    }

    pub(crate) fn edge_runs(&mut self, id: u64, call: EdgeCall) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        let hosts = self.edges[connection.edge].node.db().sync_hosts();
        let reply = run_edge_call(call, &*hosts.outbox.unwrap(), &*hosts.replica);
        let now = self.now;
        self.with_uplink(id, |end| end.handle_reply(now, reply));
    }

    pub(crate) fn cloud_runs(&mut self, id: u64, call: CloudCall) {
        let Some(connection) = self.connections.get(&id).filter(|end| !end.orphaned) else {
            return;
        };
        let reply = run_cloud_call(call, &*self.inbox_above(connection.edge));
        let now = self.cloud_now();
        self.with_downlink(id, |end| end.handle_reply(now, reply));
    }

    pub(crate) fn with_uplink(&mut self, id: u64, act: impl FnOnce(&mut Uplink)) {
        let connection = self.connections.get_mut(&id);
        if let Some(uplink) = connection.and_then(|end| end.uplink.as_mut()) {
            act(uplink);
            self.drain(id);
        }
    }

    pub(crate) fn with_downlink(&mut self, id: u64, act: impl FnOnce(&mut Downlink)) {
        let connection = self.connections.get_mut(&id);
        if let Some(downlink) = connection.and_then(|end| end.downlink.as_mut()) {
            act(downlink);
            self.drain(id);
        }
    }

    /// Carries out what the machines of a connection want, and sets their alarm.
    pub(crate) fn drain(&mut self, id: u64) {
        while let Some(output) = self
            .connections
            .get_mut(&id)
            .and_then(|end| end.uplink.as_mut()?.poll())
        {
            self.edge_output(id, output);
        }
        while let Some(output) = self
            .connections
            .get_mut(&id)
            .and_then(|end| end.downlink.as_mut()?.poll())
        {
            self.cloud_output(id, output);
        }
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if let Some(at) = connection.next_timeout() {
            // Never at this very moment again: time goes on.
            let at = at.max(self.now + Duration::from_millis(1));
            if connection.alarm.is_none_or(|pending| at < pending) {
                connection.alarm = Some(at);
                self.at(at, Event::Wake(id));
            }
        }
    }

    pub(crate) fn edge_output(&mut self, id: u64, output: EdgeOutput) {
        let index = self.connections[&id].edge;
        match output {
            EdgeOutput::Send(frame) => {
                self.transmit(&frame, Network::UpOnly, |bytes| Event::ToCloud(id, bytes));
            }
            EdgeOutput::Call(call) => {
                let ms = self.rng.below(15);
                self.after(ms, Event::EdgeRuns(id, call));
            }
            EdgeOutput::Event(event) => self.edge_event(index, event),
            EdgeOutput::Disconnect { reconnect, .. } => {
                let pause = match reconnect {
                    Reconnect::Now => 1,
                    Reconnect::AfterBackoff => 100,
                };
                self.after(pause, Event::Lost(id));
            }
        }
    }

    pub(crate) fn edge_event(&mut self, index: usize, event: EdgeEvent) {
        let edge = &mut self.edges[index];
        match event {
            EdgeEvent::Acknowledged { .. } => {
                let status = edge.node.db().sync_status();
                if status.pending_rows == 0 && status.unsealed_records == 0 {
                    edge.ledger.delivered();
                }
            }
            EdgeEvent::EpochSetAside { .. } => self.summary.epochs_set_aside += 1,
            EdgeEvent::StartedOver { .. } => self.summary.started_over += 1,
            EdgeEvent::Compared { result, .. } => {
                // One that broke off is made again.
                let outcome = result.map_or_else(|_| None, |report| Some(report.outcome));
                let mended = outcome.map_or(0, |found| found.mended_here + found.mended_there);
                self.summary.mended += mended;
                edge.left = Some(outcome.map_or(u64::MAX, |found| found.left() + found.behind));
            }
            EdgeEvent::Verified { here, there, .. } => {
                let compared = DigestComparison::new(&here.unwrap(), &there.unwrap());
                edge.verified = Some(compared.equal());
                self.summary.compared += 1;
            }
            _ => {}
        }
    }

    pub(crate) fn cloud_output(&mut self, id: u64, output: CloudOutput) {
        match output {
            CloudOutput::Send(frame) => {
                self.transmit(&frame, Network::DownOnly, |bytes| Event::ToEdge(id, bytes));
            }
            CloudOutput::Call(call) => {
                let ms = self.rng.below(40);
                self.after(ms, Event::CloudRuns(id, call));
            }
            CloudOutput::Event(_) => {}
            CloudOutput::Disconnect { .. } => self.after(50, Event::Lost(id)),
        }
    }

    pub(crate) fn transmit(
        &mut self,
        frame: &Frame,
        way: Network,
        event: impl Fn(Vec<u8>) -> Event,
    ) {
        let bytes = encode(frame).unwrap();
        self.summary.frames += 1;
        self.trace.update(self.now.as_nanos().to_le_bytes());
        self.trace.update(&bytes);
        let through = self.network == Network::Whole || self.network == way;
        let copies = 1 + u64::from(self.loss > 0 && self.rng.one_in(12));
        for _ in 0..copies {
            if !through || self.rng.below(100) < self.loss {
                self.summary.lost_frames += 1;
                continue;
            }
            let ms = self.rng.below(self.delay_ms);
            self.after(ms, event(bytes.clone()));
        }
    }
}
