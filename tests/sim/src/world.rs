//! The fleet: nodes, time and what comes next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use activestore_db::Role;
use activestore_env::SimRng;
use activestore_sync_proto::{BlobAssembly, CloudCall, EdgeCall, Inbox, Now, decode};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::connection::Connection;
use crate::goods::Goods;
use crate::ledger::Ledger;
use crate::mutation::{Mutated, Mutation};
use crate::node::{Image, Node};
use crate::plan::{Plan, Summary};

/// 2026-01-01.
pub(crate) const BEGIN_MS: u64 = 1_767_225_600_000;
pub(crate) const TEN_YEARS_MS: u64 = 3_652 * 86_400_000;
/// How long everything may take to be told once the network is whole.
pub(crate) const CALM: Duration = Duration::from_secs(7200);
/// At most so many devices; a clone is one more.
pub(crate) const EDGES_MAX: usize = 60;
const TABLES: &str = "
    CREATE KEYSPACE plant WITH (sync = 'up');
    CREATE TABLE plant.readings (device TEXT, n BIGINT, v BIGINT, PRIMARY KEY ((device), n));
    CREATE TABLE plant.alarms (device TEXT, n BIGINT, v BIGINT, PRIMARY KEY ((device), n))
      WITH (sync_class = 'alarm');
    CREATE KEYSPACE shop WITH (sync = 'both');
    CREATE TABLE shop.prices (item BIGINT PRIMARY KEY, price BIGINT);
    CREATE KEYSPACE ref WITH (sync = 'down');
    CREATE TABLE ref.limits (device BIGINT PRIMARY KEY, high BIGINT)";
const GOODS_TABLE: &str =
    "CREATE TABLE shop.goods (item BIGINT PRIMARY KEY, price BIGINT, stock BIGINT)";
pub(crate) const GOODS: &str = "SELECT item, coalesce(price, -1) FROM shop.goods";
pub(crate) const PRICES: &str = "SELECT item, price FROM shop.prices";
pub(crate) const LIMITS: &str = "SELECT device, high FROM ref.limits";

pub(crate) enum Event {
    ToEdge(u64, Vec<u8>),
    ToCloud(u64, Vec<u8>),
    EdgeRuns(u64, EdgeCall),
    CloudRuns(u64, CloudCall),
    Wake(u64),
    Connect(usize),
    Lost(u64),
    Work(usize),
    CloudWork,
    SealDown,
    Mishap,
    Heal(usize),
    HealNetwork,
}

pub(crate) struct Edge {
    pub(crate) node: Node,
    /// Whether it was at another gateway before: then the one above it never had all of its rows.
    pub(crate) moved: bool,
    /// The gateway that it ships to, by its place among the edges; `None` is the cloud.
    pub(crate) above: Option<usize>,
    pub(crate) ledger: Ledger,
    /// Until when it does not connect.
    pub(crate) away_until: Duration,
    pub(crate) connection: Option<u64>,
    pub(crate) carry: Option<BlobAssembly>,
    /// An image of this disk ran elsewhere, or this one was put back: its digests say nothing.
    pub(crate) is_whole: bool,
    pub(crate) verified: Option<bool>,
    /// What the last comparison row by row left unmended.
    pub(crate) left: Option<u64>,
    pub(crate) image: Option<Image>,
}

/// The table that holds a row: odd ones are alarms.
pub(crate) fn table_of(row: i64) -> &'static str {
    match row % 2 {
        0 => "plant.readings",
        _ => "plant.alarms",
    }
}

/// Which way frames get through.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    Whole,
    Cut,
    UpOnly,
    DownOnly,
}

/// See the module's text.
pub struct World {
    pub(crate) now: Duration,
    pub(crate) events: BTreeMap<(Duration, u64), Event>,
    pub(crate) ticket: u64,
    pub(crate) rng: SimRng,
    pub(crate) plan: Plan,
    pub(crate) mutation: Mutation,
    pub(crate) loss: u64,
    pub(crate) delay_ms: u64,
    pub(crate) network: Network,
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) dir: TempDir,
    pub(crate) cloud: Node,
    pub(crate) inbox: Arc<dyn Inbox>,
    pub(crate) cloud_image: Option<Image>,
    pub(crate) edges: Vec<Edge>,
    pub(crate) connections: BTreeMap<u64, Connection>,
    pub(crate) next_row: i64,
    pub(crate) goods: Goods,
    pub(crate) trace: Sha256,
    pub(crate) summary: Summary,
}

impl World {
    /// A fleet at its first morning.
    pub fn new(seed: u64, plan: Plan, mutation: Mutation) -> Self {
        let rng = SimRng::seeded(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        let runtime = Arc::new(runtime.unwrap());
        let dir = memory_dir();
        let path = dir.path().join("cloud");
        let cloud_seed = rng.below(u64::MAX);
        let cloud = Node::new(&runtime, Role::Cloud, path, cloud_seed, BEGIN_MS, None);
        cloud.run(TABLES).unwrap();
        if plan.absences {
            cloud.run(GOODS_TABLE).unwrap();
        }
        let mut world = World {
            now: Duration::ZERO,
            events: BTreeMap::new(),
            ticket: 0,
            loss: rng.below(plan.loss_max + 1),
            delay_ms: 5 + rng.below(200),
            network: Network::Whole,
            inbox: inbox(&cloud, mutation),
            cloud_image: None,
            runtime,
            dir,
            cloud,
            edges: Vec::new(),
            connections: BTreeMap::new(),
            next_row: 0,
            goods: Goods::default(),
            trace: Sha256::new(),
            summary: Summary::default(),
            rng,
            plan,
            mutation,
        };
        for number in 0..plan.gateways {
            let above = number.checked_sub(1).filter(|_| plan.tower);
            world.add_node(Role::Gateway, above, None);
        }
        for _ in 0..plan.edges {
            world.add_edge(None);
        }
        world.later(plan.mishap_every, Event::Mishap);
        world.later(plan.work_every, Event::CloudWork);
        world.later(plan.seal_every, Event::SealDown);
        world
    }

    /// Runs through the storm, lets everything heal, and checks.
    ///
    /// # Errors
    /// What is wrong, in one sentence.
    pub fn run(mut self) -> Result<Summary, String> {
        while self.now < self.plan.storm {
            self.step()?;
        }
        self.network = Network::Whole;
        self.loss = 0;
        for edge in 0..self.edges.len() {
            self.heal(edge);
        }
        self.settle()?;
        if self.plan.old_clouds {
            self.mend()?;
            self.settle()?;
        }
        self.check()?;
        self.summary.trace = self.trace.finalize().into();
        Ok(self.summary)
    }

    pub(crate) fn add_edge(&mut self, image: Option<Image>) {
        let gateways = self.plan.gateways as u64;
        let above = (gateways > 0).then(|| self.rng.below(gateways) as usize);
        self.add_node(Role::Edge, above, image);
    }

    fn add_node(&mut self, role: Role, above: Option<usize>, image: Option<Image>) {
        let index = self.edges.len();
        let name = format!("edge-{index}");
        let wall_ms = match self.plan.clock_faults && self.rng.one_in(4) {
            true => [0, BEGIN_MS + TEN_YEARS_MS][self.rng.below(2) as usize],
            false => self.wall_ms(),
        };
        let seed = self.rng.below(u64::MAX);
        let is_whole = image.is_none();
        let path = self.dir.path().join(&name);
        let node = Node::new(&self.runtime, role, path, seed, wall_ms, image);
        self.edges.push(Edge {
            node,
            moved: false,
            above,
            ledger: Ledger::new(name),
            away_until: Duration::ZERO,
            connection: None,
            carry: None,
            is_whole,
            verified: None,
            left: None,
            image: None,
        });
        self.after(10, Event::Connect(index));
        self.later(self.plan.work_every, Event::Work(index));
    }

    pub(crate) fn wall_ms(&self) -> u64 {
        BEGIN_MS + self.now.as_millis() as u64
    }

    pub(crate) fn cloud_now(&self) -> Now {
        Now {
            monotonic: self.now,
            wall_ms: self.wall_ms(),
        }
    }

    pub(crate) fn at(&mut self, at: Duration, event: Event) {
        self.ticket += 1;
        self.events.insert((at, self.ticket), event);
    }

    pub(crate) fn after(&mut self, ms: u64, event: Event) {
        let micros = Duration::from_micros(self.rng.below(1000));
        self.at(self.now + Duration::from_millis(ms) + micros, event);
    }

    /// About so much later: half of it to one and a half times.
    pub(crate) fn later(&mut self, about: Duration, event: Event) {
        let ms = about.as_millis() as u64;
        self.after(ms / 2 + self.rng.below(ms.max(1)), event);
    }

    pub(crate) fn step(&mut self) -> Result<(), String> {
        let ((at, _), event) = self.events.pop_first().expect("something comes next");
        if at > self.now {
            let passed = at - self.now;
            self.now = at;
            self.cloud.clock.advance(passed);
            for edge in &self.edges {
                edge.node.clock.advance(passed);
            }
        }
        self.happen(event);
        Ok(())
    }

    pub(crate) fn happen(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::ToEdge(id, bytes) => {
                self.with_uplink(id, |end| end.handle_frame(now, decode(&bytes).unwrap()));
            }
            Event::ToCloud(id, bytes) => {
                let now = self.cloud_now();
                self.with_downlink(id, |end| end.handle_frame(now, decode(&bytes).unwrap()));
            }
            Event::EdgeRuns(id, call) => self.edge_runs(id, call),
            Event::CloudRuns(id, call) => self.cloud_runs(id, call),
            Event::Wake(id) => {
                match self.connections.get_mut(&id) {
                    Some(connection) if connection.alarm.is_some_and(|at| at <= now) => {
                        connection.alarm = None;
                    }
                    _ => return,
                }
                let cloud_now = self.cloud_now();
                self.with_uplink(id, |end| end.handle_timeout(now));
                self.with_downlink(id, |end| end.handle_timeout(cloud_now));
            }
            Event::Connect(edge) => self.connect(edge),
            Event::Lost(id) => self.lose(id),
            Event::Work(edge) => self.work(edge),
            Event::CloudWork => self.cloud_work(),
            Event::SealDown => {
                self.seal_down();
                self.later(self.plan.seal_every, Event::SealDown);
            }
            Event::Mishap => self.mishap(),
            Event::Heal(edge) => self.heal(edge),
            Event::HealNetwork => self.network = Network::Whole,
        }
    }

    /// Whether a node of the fleet has edges of its own.
    pub(crate) fn is_gateway(&self, index: usize) -> bool {
        index < self.plan.gateways
    }

    /// What takes in the rows of a node of the fleet.
    pub(crate) fn inbox_above(&self, index: usize) -> Arc<dyn Inbox> {
        match self.edges[index].above {
            Some(gateway) => self.edges[gateway].node.db().sync_hosts().inbox,
            None => self.inbox.clone(),
        }
    }

    pub(crate) fn storms(&self) -> bool {
        self.now < self.plan.storm
    }
}

pub(crate) fn inbox(cloud: &Node, mutation: Mutation) -> Arc<dyn Inbox> {
    Arc::new(Mutated {
        inner: cloud.db().sync_hosts().inbox,
        mutation,
        held: std::sync::Mutex::default(),
    })
}

/// In memory where there is such a folder: syncs cost nothing there.
fn memory_dir() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}
