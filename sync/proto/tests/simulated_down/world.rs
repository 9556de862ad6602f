//! The simulated world: a cloud, two edges, a network between them, and what goes wrong.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use activestore_sync_proto::{
    CloudCall, CloudOutput, Downlink, DownlinkOptions, EdgeCall, EdgeOutput, Frame, Limits, Now,
    Uplink, UplinkOptions, decode, encode, run_cloud_call, run_edge_call,
};
use activestore_types::NodeId;

use crate::hosts::{Rng, SimCloud, SimEdge};
use crate::streams::{NEVER, Streams};

const STORM: Duration = Duration::from_secs(25);
const PEACE: Duration = Duration::from_secs(60);
pub const WINDOW: Limits = Limits {
    window_segments: 4,
    window_bytes: 600,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Loss, delay, repetition, cuts and crashes.
    Storms,
    /// The same, and the stream is trimmed.
    Trims,
    /// The same, and the cloud starts another stream.
    Epochs,
    /// Streams that lose nothing and overtake each other, on connections that end.
    Streams,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    pub edges: u64,
    pub applied: u64,
    pub pieces: u64,
    pub started_over: u64,
    pub crashes: u64,
}

impl Summary {
    pub fn add(&mut self, other: &Summary) {
        self.edges += other.edges;
        self.applied += other.applied;
        self.pieces += other.pieces;
        self.started_over += other.started_over;
        self.crashes += other.crashes;
    }
}

enum Event {
    ToEdge(u64, Vec<u8>),
    ToCloud(u64, Vec<u8>),
    EdgeRuns(u64, EdgeCall),
    CloudRuns(u64, CloudCall),
    Wake(u64),
    Connect(usize),
    Lost(u64),
    Write,
    Mishap,
}

struct Connection {
    edge: usize,
    uplink: Uplink,
    downlink: Downlink,
    alarm: Option<Duration>,
}

pub struct World {
    plan: Plan,
    rng: Rng,
    now: Duration,
    ticket: u64,
    events: BTreeMap<(Duration, u64), Event>,
    cloud: Arc<SimCloud>,
    edges: Vec<Arc<SimEdge>>,
    connections: BTreeMap<u64, Connection>,
    streams: Streams,
    cut: bool,
    storm: bool,
    summary: Summary,
}

impl World {
    pub fn new(seed: u64, plan: Plan) -> Self {
        let mut rng = Rng(seed);
        let cloud = Arc::new(SimCloud::new(Rng(rng.next())));
        let edges = (1..=2)
            .map(|n| SimEdge::new(NodeId([n; 16]), Rng(rng.next())))
            .collect();
        World {
            plan,
            rng,
            now: Duration::ZERO,
            ticket: 0,
            events: BTreeMap::new(),
            cloud,
            edges,
            connections: BTreeMap::new(),
            streams: Streams::default(),
            cut: false,
            storm: true,
            summary: Summary::default(),
        }
    }

    pub fn run(mut self) -> Result<Summary, String> {
        for edge in 0..self.edges.len() {
            self.after(10, Event::Connect(edge));
        }
        self.after(5, Event::Write);
        self.after(500, Event::Mishap);
        while self.now < STORM {
            self.step();
        }
        self.storm = false;
        self.cut = false;
        self.cloud.behave();
        self.edges.iter().for_each(|edge| edge.behave());
        while !self.settled() {
            if self.now > STORM + PEACE {
                let places: Vec<_> = self.edges.iter().map(|edge| edge.position()).collect();
                return Err(format!(
                    "{:?} and the edges at {places:?}",
                    self.cloud.last()
                ));
            }
            self.step();
        }
        for edge in &self.edges {
            if edge.rows() != self.cloud.rows() {
                return Err("an edge holds other rows than the cloud".to_owned());
            }
            let (applied, pieces, started_over) = edge.counts();
            self.summary.edges += 1;
            self.summary.applied += applied;
            self.summary.pieces += pieces;
            self.summary.started_over += started_over;
        }
        Ok(self.summary)
    }

    /// Whether every edge stands where the stream ends.
    fn settled(&self) -> bool {
        let end = self.cloud.last();
        self.edges.iter().all(|edge| {
            let at = edge.position();
            at.cursor.is_none() && (at.epoch, at.progress.seq) == end
        })
    }

    fn after(&mut self, ms: u64, event: Event) {
        let micros = self.rng.below(1000);
        self.ticket += 1;
        let at = self.now + Duration::from_millis(ms) + Duration::from_micros(micros);
        self.events.insert((at, self.ticket), event);
    }

    fn step(&mut self) {
        let ((at, _), event) = self.events.pop_first().unwrap();
        self.now = at.max(self.now);
        let (now, cloud_now) = (self.now, self.cloud_now());
        match event {
            Event::ToEdge(id, bytes) => self.with(id, |c| {
                c.uplink.handle_frame(now, decode(&bytes).unwrap());
            }),
            Event::ToCloud(id, bytes) => self.with(id, |c| {
                c.downlink.handle_frame(cloud_now, decode(&bytes).unwrap());
            }),
            Event::EdgeRuns(id, call) => {
                let edges = self.edges.clone();
                self.with(id, |c| {
                    let host = &*edges[c.edge];
                    c.uplink.handle_reply(now, run_edge_call(call, host, host));
                });
            }
            Event::CloudRuns(id, call) => {
                let cloud = self.cloud.clone();
                self.with(id, |c| {
                    let reply = run_cloud_call(call, &*cloud);
                    c.downlink.handle_reply(cloud_now, reply);
                });
            }
            Event::Wake(id) => self.with(id, |c| {
                if c.alarm.is_some_and(|at| at <= now) {
                    c.alarm = None;
                    c.uplink.handle_timeout(now);
                    c.downlink.handle_timeout(cloud_now);
                }
            }),
            Event::Connect(edge) => self.connect(edge),
            Event::Lost(id) => self.lose(id),
            Event::Write => {
                if self.storm {
                    self.cloud.write();
                    self.tell_all();
                    let pause = 20 + self.rng.below(300);
                    self.after(pause, Event::Write);
                }
            }
            Event::Mishap => self.mishap(),
        }
    }

    fn cloud_now(&self) -> Now {
        Now {
            monotonic: self.now,
            wall_ms: 1_700_000_000_000 + self.now.as_millis() as u64,
        }
    }

    fn tell_all(&mut self) {
        for id in self.ids() {
            self.with(id, |c| c.downlink.down_sealed());
        }
    }

    fn ids(&self) -> Vec<u64> {
        self.connections.keys().copied().collect()
    }

    fn connect(&mut self, edge: usize) {
        if self.connections.values().any(|c| c.edge == edge) {
            return;
        }
        if self.cut {
            let pause = 100 + self.rng.below(400);
            return self.after(pause, Event::Connect(edge));
        }
        self.ticket += 1;
        let id = self.ticket;
        let uplink = UplinkOptions {
            limits: WINDOW,
            ask_again: self.net(600),
            resend_after: self.net(800),
            retry_after: Duration::from_millis(150),
            wanted_again: Duration::from_millis(200),
            ping_every: Some(Duration::from_secs(1)),
            silent_after: Duration::from_secs(4),
            ..UplinkOptions::default()
        };
        let downlink = DownlinkOptions {
            limits: WINDOW,
            offer_again: self.net(1000),
            retry_after: Duration::from_millis(100),
            wanted_again: Duration::from_millis(200),
            resend_after: self.net(800),
            ..DownlinkOptions::default()
        };
        let node = NodeId([edge as u8 + 1; 16]);
        self.connections.insert(
            id,
            Connection {
                edge,
                uplink: Uplink::new(uplink, self.now, None),
                downlink: Downlink::new(downlink, node),
                alarm: None,
            },
        );
        self.with(id, |_| {});
    }

    /// After how long something is sent again for want of an answer.
    fn net(&self, ms: u64) -> Duration {
        match self.plan {
            Plan::Streams => NEVER,
            _ => Duration::from_millis(ms),
        }
    }

    /// The connection is gone at both ends; what they were doing is forgotten.
    fn lose(&mut self, id: u64) {
        if let Some(connection) = self.connections.remove(&id) {
            let pause = 50 + self.rng.below(300);
            self.after(pause, Event::Connect(connection.edge));
        }
    }

    fn mishap(&mut self) {
        if !self.storm {
            return;
        }
        match self.rng.below(8) {
            0 | 1 if self.plan != Plan::Streams => self.cut = !self.cut,
            2 => {
                self.summary.crashes += 1;
                for id in self.ids() {
                    self.lose(id);
                }
            }
            3 | 4 if self.plan == Plan::Trims => self.cloud.trim(),
            3 if self.plan == Plan::Epochs => {
                self.cloud.new_epoch();
                self.tell_all();
            }
            _ => {
                self.summary.crashes += 1;
                if let Some(id) = self.ids().first() {
                    self.lose(*id);
                }
            }
        }
        let pause = 200 + self.rng.below(2500);
        self.after(pause, Event::Mishap);
    }

    /// Acts on a connection, if it is still there, and carries out what its machines then want.
    fn with(&mut self, id: u64, act: impl FnOnce(&mut Connection)) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        act(connection);
        let (mut up, mut down) = (Vec::new(), Vec::new());
        while let Some(output) = connection.uplink.poll() {
            up.push(output);
        }
        while let Some(output) = connection.downlink.poll() {
            down.push(output);
        }
        for (segments, _) in [
            connection.uplink.down_waiting(),
            connection.downlink.down_in_flight(),
        ] {
            assert!(segments <= WINDOW.window_segments as usize);
        }
        let timeouts = [
            connection.uplink.next_timeout(),
            connection.downlink.next_timeout(),
        ];
        if let Some(at) = timeouts.into_iter().flatten().min() {
            // Never at this very moment again: time goes on.
            let at = at.max(self.now + Duration::from_millis(1));
            if connection.alarm.is_none_or(|pending| at < pending) {
                connection.alarm = Some(at);
                self.ticket += 1;
                self.events.insert((at, self.ticket), Event::Wake(id));
            }
        }
        for output in up {
            match output {
                EdgeOutput::Send(frame) => self.transmit(id, true, &frame),
                EdgeOutput::Call(call) => {
                    let ms = self.rng.below(15);
                    self.after(ms, Event::EdgeRuns(id, call));
                }
                EdgeOutput::Event(_) => {}
                EdgeOutput::Disconnect { .. } => self.after(50, Event::Lost(id)),
            }
        }
        for output in down {
            match output {
                CloudOutput::Send(frame) => self.transmit(id, false, &frame),
                CloudOutput::Call(call) => {
                    let ms = self.rng.below(40);
                    self.after(ms, Event::CloudRuns(id, call));
                }
                CloudOutput::Event(_) => {}
                CloudOutput::Disconnect { .. } => self.after(50, Event::Lost(id)),
            }
        }
    }

    fn transmit(&mut self, id: u64, up: bool, frame: &Frame) {
        let bytes = encode(frame).unwrap();
        let event = |bytes| match up {
            true => Event::ToCloud(id, bytes),
            false => Event::ToEdge(id, bytes),
        };
        if self.plan == Plan::Streams {
            let at = self.now + Duration::from_millis(self.rng.below(120));
            let at = self.streams.arrival(id, up, frame.lane(), at);
            self.ticket += 1;
            self.events.insert((at, self.ticket), event(bytes));
            return;
        }
        let (loss, repeat, delay) = if self.storm { (5, 5, 120) } else { (0, 0, 20) };
        let copies = 1 + u64::from(self.rng.chance(repeat));
        for _ in 0..copies {
            if self.cut || self.rng.chance(loss) {
                continue;
            }
            let ms = self.rng.below(delay);
            self.after(ms, event(bytes.clone()));
        }
    }
}
