//! The world around the two machines: time, a network, drivers, and what goes wrong.

mod fleet;
mod network;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use activestore_sync_proto::{
    BlobAssembly, CloudCall, CloudEvent, CloudOutput, DigestComparison, Downlink, DownlinkOptions,
    EdgeCall, EdgeEvent, EdgeOutput, Frame, Inbox, Limits, Now, Reconnect, Replica, Uplink,
    UplinkOptions, decode, encode, run_cloud_call, run_edge_call,
};
use activestore_types::{Epoch, NodeId, SyncClass};

use crate::hosts::{Image, Rng, SimCloud, SimEdge};
use crate::plan::{Mutation, Plan, Summary};
use crate::streams::{NEVER, Streams};
pub use fleet::FLEET;

const WINDOW: Limits = Limits {
    window_segments: 6,
    window_bytes: 400,
};
/// Live rows, alarms and one backlog, each with a window of its own.
const LANES: usize = 3;
const STORM: Duration = Duration::from_secs(30);
const CALM: Duration = Duration::from_secs(120);

enum Event {
    ToEdge(u64, Vec<u8>),
    ToCloud(u64, Vec<u8>),
    EdgeRuns(u64, EdgeCall),
    CloudRuns(u64, CloudCall),
    Wake(u64),
    Connect(usize),
    Lost(u64),
    Seal(usize),
    Mishap,
    Catalog,
}

struct Edge {
    node: NodeId,
    host: Arc<SimEdge>,
    connection: Option<u64>,
    carry: Option<BlobAssembly>,
    verified: Option<bool>,
}

struct Connection {
    edge: usize,
    uplink: Option<Uplink>,
    downlink: Option<Downlink>,
    /// Frames on the way down are gone when the cloud process that sent them is.
    crashed: bool,
    /// When the machines are to be woken; older alarms are left to ring unheard.
    alarm: Option<Duration>,
}

pub struct World {
    now: Duration,
    events: BTreeMap<(Duration, u64), Event>,
    ticket: u64,
    steps: u64,
    rng: Rng,
    plan: Plan,
    mutation: Mutation,
    loss: u64,
    repeat: u64,
    delay_ms: u64,
    streams: Streams,
    cut: bool,
    cloud: Arc<SimCloud>,
    edges: Vec<Edge>,
    connections: BTreeMap<u64, Connection>,
    images: Vec<(usize, Image)>,
    next_row: u64,
    /// Rows a replaced disk took with it: nobody promised to have them.
    forgiven: BTreeSet<u64>,
    progress: BTreeMap<(NodeId, Epoch), u64>,
    summary: Summary,
}

impl World {
    pub fn new(seed: u64, plan: Plan, mutation: Mutation) -> Self {
        let mut rng = Rng(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ plan as u64);
        let cloud = Arc::new(SimCloud::new(
            Rng(rng.next()),
            mutation == Mutation::ApplyRepeats,
        ));
        let mut world = World {
            now: Duration::ZERO,
            events: BTreeMap::new(),
            ticket: 0,
            steps: 0,
            loss: rng.below(15),
            repeat: rng.below(10),
            delay_ms: 5 + rng.below(120),
            streams: Streams::default(),
            cut: false,
            cloud,
            edges: Vec::new(),
            connections: BTreeMap::new(),
            images: Vec::new(),
            next_row: 0,
            forgiven: BTreeSet::new(),
            progress: BTreeMap::new(),
            summary: Summary::default(),
            rng,
            plan,
            mutation,
        };
        match plan {
            Plan::Fleet => world.add_fleet(),
            _ => world.add_edge(NodeId([1; 16]), None),
        }
        world.cloud.change_catalog(1000);
        world.after(3000, Event::Catalog);
        world.after(500, Event::Mishap);
        world
    }

    pub fn run(mut self) -> Result<Summary, String> {
        while self.now < STORM {
            self.step()?;
        }
        self.cut = false;
        self.loss = 0;
        self.repeat = 0;
        self.cloud.behave();
        for edge in &self.edges {
            edge.host.behave();
        }
        for id in self.ids() {
            let now = self.now;
            self.with_uplink(id, |uplink| uplink.urgent_only(now, false));
        }
        while !(self.looks() && self.settled()) {
            if self.now > STORM + CALM {
                return Err("the ends did not converge after the network healed".to_owned());
            }
            self.step()?;
        }
        self.final_checks()?;
        (self.summary.applied, self.summary.forgotten) = self.cloud.counts();
        for edge in &self.edges {
            let (started, adopted, rotations) = edge.host.counts();
            self.summary.epochs_set_aside += started;
            self.summary.rotations += rotations;
            self.summary.adopted += adopted;
        }
        Ok(self.summary)
    }

    fn settled(&self) -> bool {
        self.edges.iter().all(|edge| {
            edge.host.behind() == 0
                && edge.host.catalog_version() == self.cloud.catalog_version()
                && edge
                    .connection
                    .and_then(|id| self.connections.get(&id))
                    .is_some_and(|c| c.uplink.as_ref().is_some_and(Uplink::is_live))
        })
    }

    fn final_checks(&mut self) -> Result<(), String> {
        let held = self.cloud.rows();
        for index in 0..self.edges.len() {
            let written = self.edges[index].host.written();
            if let Some(row) = written
                .iter()
                .find(|row| !held.contains(row) && !self.forgiven.contains(row))
            {
                return Err(format!("row {row} was sealed and is not in the cloud"));
            }
        }
        if self.plan == Plan::Storms {
            self.compare_digests()?;
        }
        Ok(())
    }

    fn compare_digests(&mut self) -> Result<(), String> {
        for edge in 0..self.edges.len() {
            let connection = self.edges[edge].connection.unwrap();
            self.with_uplink(connection, |uplink| uplink.verify(99));
        }
        let until = self.now + Duration::from_secs(5);
        while self.edges.iter().any(|edge| edge.verified.is_none()) {
            if self.now > until {
                return Err("the comparison of digests did not end".to_owned());
            }
            self.step()?;
        }
        if self.edges.iter().any(|edge| edge.verified == Some(false)) {
            return Err("the digests differ".to_owned());
        }
        Ok(())
    }

    fn add_edge(&mut self, node: NodeId, image: Option<Image>) {
        let rng = Rng(self.rng.next());
        self.edges.push(Edge {
            node,
            host: Arc::new(SimEdge::new(node, rng, self.cloud.clone(), image)),
            connection: None,
            carry: None,
            verified: None,
        });
        let edge = self.edges.len() - 1;
        self.after(10, Event::Connect(edge));
        self.after(20, Event::Seal(edge));
    }

    fn at(&mut self, at: Duration, event: Event) {
        self.ticket += 1;
        self.events.insert((at, self.ticket), event);
    }

    fn after(&mut self, ms: u64, event: Event) {
        let micros = self.rng.below(1000);
        let at = self.now + Duration::from_millis(ms) + Duration::from_micros(micros);
        self.at(at, event);
    }

    fn step(&mut self) -> Result<(), String> {
        let ((at, _), event) = self
            .events
            .pop_first()
            .expect("something always happens next");
        self.now = at.max(self.now);
        self.happen(event);
        self.steps += 1;
        if !self.looks() {
            return Ok(());
        }
        let strides = self.strides();
        let seen = self.cloud.progress_seen();
        self.progress.retain(|key, _| seen.contains_key(key));
        for (key, seq) in seen {
            let before = self.progress.insert(key, seq).unwrap_or(0);
            if seq < before || seq - before > strides {
                return Err(format!("progress went from {before} to {seq}"));
            }
        }
        match self.cloud.complaint() {
            Some(complaint) => Err(complaint),
            None => Ok(()),
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::ToEdge(id, bytes) => {
                let now = self.now;
                self.with_uplink(id, |uplink| {
                    uplink.handle_frame(now, decode(&bytes).unwrap())
                });
            }
            Event::ToCloud(id, bytes) => {
                let now = self.cloud_now();
                self.with_downlink(id, |downlink| {
                    downlink.handle_frame(now, decode(&bytes).unwrap());
                });
            }
            Event::EdgeRuns(id, call) => self.edge_runs(id, call),
            Event::CloudRuns(id, call) => self.cloud_runs(id, call),
            Event::Wake(id) => {
                match self.connections.get_mut(&id) {
                    Some(connection) if connection.alarm.is_some_and(|at| at <= self.now) => {
                        connection.alarm = None;
                    }
                    _ => return,
                }
                let (now, cloud_now) = (self.now, self.cloud_now());
                self.with_uplink(id, |uplink| uplink.handle_timeout(now));
                self.with_downlink(id, |downlink| downlink.handle_timeout(cloud_now));
            }
            Event::Connect(edge) => self.connect(edge),
            Event::Lost(id) => self.lose(id),
            Event::Seal(edge) => self.seal(edge),
            Event::Mishap => self.mishap(),
            Event::Catalog => {
                if self.now < STORM {
                    let large = self.plan != Plan::Fleet && self.rng.chance(25);
                    let most = if large { 400_000 } else { 5_000 };
                    let bytes = self.rng.below(most) as usize;
                    self.cloud.change_catalog(bytes);
                    let pause = 4000 + self.rng.below(6000);
                    self.after(pause, Event::Catalog);
                }
                let version = self.cloud.catalog_version();
                for id in self.ids() {
                    self.with_downlink(id, |downlink| downlink.catalog_changed(version));
                }
            }
        }
    }

    fn cloud_now(&self) -> Now {
        Now {
            monotonic: self.now,
            wall_ms: 1_700_000_000_000 + self.now.as_millis() as u64,
        }
    }

    fn ids(&self) -> Vec<u64> {
        self.connections.keys().copied().collect()
    }

    fn edge_runs(&mut self, id: u64, call: EdgeCall) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        if connection.uplink.is_none() {
            return;
        }
        let host = self.edges[connection.edge].host.clone();
        let reply = run_edge_call(call, &*host, &*host);
        let now = self.now;
        self.with_uplink(id, |uplink| uplink.handle_reply(now, reply));
    }

    /// A call that was under way when its connection ended still runs; one of a crashed process
    /// does not.
    fn cloud_runs(&mut self, id: u64, call: CloudCall) {
        if self.connections.get(&id).is_none_or(|c| c.crashed) {
            return;
        }
        let reply = run_cloud_call(call, &*self.cloud.clone());
        let now = self.cloud_now();
        self.with_downlink(id, |downlink| downlink.handle_reply(now, reply));
    }

    fn connect(&mut self, edge: usize) {
        if self.edges[edge].connection.is_some() {
            return;
        }
        if self.cut {
            let pause = 100 + self.rng.below(400);
            return self.after(pause, Event::Connect(edge));
        }
        self.summary.connections += 1;
        self.ticket += 1;
        let id = self.ticket;
        let options = UplinkOptions {
            limits: WINDOW,
            ask_again: self.net(600),
            resend_after: self.net(800),
            retry_after: Duration::from_millis(150),
            ping_every: Some(Duration::from_secs(1)),
            silent_after: Duration::from_secs(4),
            ..UplinkOptions::default()
        };
        let carry = self.edges[edge].carry.take();
        let downlink_options = DownlinkOptions {
            limits: WINDOW,
            offer_again: self.net(1000),
            retry_after: Duration::from_millis(100),
            wanted_again: Duration::from_millis(200),
            ..DownlinkOptions::default()
        };
        self.connections.insert(
            id,
            Connection {
                edge,
                uplink: Some(Uplink::new(options, self.now, carry)),
                downlink: Some(Downlink::new(downlink_options, self.edges[edge].node)),
                crashed: false,
                alarm: None,
            },
        );
        self.edges[edge].connection = Some(id);
        self.drain(id);
    }

    /// Both ends notice that the connection is gone.
    fn lose(&mut self, id: u64) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        connection.downlink = None;
        let edge = connection.edge;
        if let Some(uplink) = connection.uplink.take() {
            self.edges[edge].carry = uplink.into_carry();
        }
        if self.edges[edge].connection == Some(id) {
            self.edges[edge].connection = None;
            let pause = 50 + self.rng.below(300);
            self.after(pause, Event::Connect(edge));
        }
    }

    fn seal(&mut self, edge: usize) {
        if self.now >= STORM {
            return;
        }
        let rows: Vec<u64> = (0..1 + self.rng.below(20))
            .map(|_| {
                self.next_row += 1;
                self.next_row
            })
            .collect();
        let urgent = self.rng.chance(20);
        let class = if urgent {
            SyncClass::Alarm
        } else {
            SyncClass::Live
        };
        self.edges[edge].host.seal(class, &rows);
        if let Some(id) = self.edges[edge].connection {
            self.with_uplink(id, Uplink::sealed);
            // A schedule holds what is not urgent for a while.
            let (now, held) = (self.now, self.now < STORM && self.rng.chance(30));
            self.with_uplink(id, |uplink| uplink.urgent_only(now, held));
        }
        let most = if self.plan == Plan::Fleet {
            10_000
        } else {
            300
        };
        let pause = 20 + self.rng.below(most);
        self.after(pause, Event::Seal(edge));
    }

    fn mishap(&mut self) {
        if self.now >= STORM {
            return;
        }
        match self.rng.below(8) {
            0 | 1 if self.plan != Plan::Streams => {
                self.cut = !self.cut;
                if self.cut {
                    // Long cuts are noticed by both ends, short ones by nobody.
                    for id in self.ids() {
                        if self.rng.chance(50) {
                            self.after(900, Event::Lost(id));
                        }
                    }
                }
            }
            2 => {
                self.summary.crashes += 1;
                let edge = self.rng.below(self.edges.len() as u64) as usize;
                self.crash_edge(edge);
            }
            3 => {
                self.summary.crashes += 1;
                for id in self.ids() {
                    if let Some(connection) = self.connections.get_mut(&id) {
                        connection.crashed = true;
                    }
                    self.lose(id);
                }
            }
            4 if self.plan == Plan::Clones && self.edges.len() < 3 => {
                let image = self.edges[0].host.image();
                self.add_edge(NodeId([1; 16]), Some(image));
            }
            4 | 5 if self.plan == Plan::Rollbacks => self.roll_back(),
            _ => {
                let edge = self.rng.below(self.edges.len() as u64) as usize;
                if let Some(id) = self.edges[edge].connection {
                    self.lose(id);
                }
            }
        }
        let pause = 200 + self.rng.below(2500);
        self.after(pause, Event::Mishap);
    }

    fn crash_edge(&mut self, edge: usize) {
        if let Some(id) = self.edges[edge].connection {
            self.lose(id);
        }
        self.edges[edge].carry = None;
        self.edges[edge].host.crash();
    }

    fn roll_back(&mut self) {
        let edge = 0;
        self.images.push((edge, self.edges[edge].host.image()));
        if self.images.len() < 2 || self.rng.chance(40) {
            return;
        }
        let index = self.rng.below(self.images.len() as u64) as usize;
        let (edge, image) = self.images.swap_remove(index);
        let before = self.edges[edge].host.unacked_rows();
        self.crash_edge(edge);
        self.edges[edge].host.restore(image);
        let after = self.edges[edge].host.unacked_rows();
        self.forgiven.extend(before.difference(&after));
    }

    fn with_uplink(&mut self, id: u64, act: impl FnOnce(&mut Uplink)) {
        if let Some(uplink) = self
            .connections
            .get_mut(&id)
            .and_then(|c| c.uplink.as_mut())
        {
            act(uplink);
            self.drain(id);
        }
    }

    fn with_downlink(&mut self, id: u64, act: impl FnOnce(&mut Downlink)) {
        if let Some(downlink) = self
            .connections
            .get_mut(&id)
            .and_then(|c| c.downlink.as_mut())
        {
            act(downlink);
            self.drain(id);
        }
    }

    /// Carries out what the machines of a connection want, and sets their alarm.
    fn drain(&mut self, id: u64) {
        let mut timeout: Option<Duration> = None;
        while let Some(output) = self
            .connections
            .get_mut(&id)
            .and_then(|c| c.uplink.as_mut())
            .and_then(Uplink::poll)
        {
            self.edge_output(id, output);
        }
        while let Some(output) = self
            .connections
            .get_mut(&id)
            .and_then(|c| c.downlink.as_mut())
            .and_then(Downlink::poll)
        {
            self.cloud_output(id, output);
        }
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        if let Some(uplink) = &connection.uplink {
            let (segments, _) = uplink.in_flight();
            assert!(segments <= LANES * WINDOW.window_segments as usize);
            timeout = timeout.into_iter().chain(uplink.next_timeout()).min();
        }
        if let Some(downlink) = &connection.downlink {
            let (segments, _) = downlink.waiting();
            assert!(segments <= LANES * WINDOW.window_segments as usize);
            timeout = timeout.into_iter().chain(downlink.next_timeout()).min();
        }
        if let Some(at) = timeout {
            // Never at this very moment again: time goes on.
            let at = at.max(self.now + Duration::from_millis(1));
            let connection = self.connections.get_mut(&id).expect("it was just there");
            if connection.alarm.is_none_or(|pending| at < pending) {
                connection.alarm = Some(at);
                self.at(at, Event::Wake(id));
            }
        }
    }
}
