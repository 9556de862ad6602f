//! The edge and the cloud of the rounds, what was written at each, and what each has to hold.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::plan::Fault;
use crate::lab::{CLOUD, Lab};
use crate::node::{Node, token};
use crate::readings::{FIELDS, Reading, Readings};
use crate::wait;

const QUIC_PORT: u16 = 7490;
/// Rows that flow down, in one write.
const DOWN_ROWS: u64 = 5;
/// Between two writes.
const PAUSE: Duration = Duration::from_millis(40);
/// An unacknowledged write is tried again for so long.
const PATIENCE: Duration = Duration::from_secs(60);
/// At most this many numbers are named that are missing or too many.
const NAMED_MAX: usize = 10;
/// Lines of each log that are shown where rows are missing.
const LOG_LINES: usize = 60;
/// 2026-01-01.
const FIRST_NS: i64 = 1_767_225_600_000_000_000;

/// One direction: the numbers 0 up to `acknowledged` are with the node that took them.
#[derive(Default)]
struct Written {
    acknowledged: u64,
}

pub struct Fleet {
    pub lab: Lab,
    program: PathBuf,
    directory: TempDir,
    edge: Option<Node>,
    cloud: Option<Node>,
    readings: Readings,
    up: Written,
    down: Written,
}

impl Fleet {
    pub fn start(program: &Path, transport: Option<&str>) -> Fleet {
        let directory = tempfile::tempdir().unwrap();
        let mut config = "[sync]\nlink = \"quick\"\nseal_after = \"100ms\"\n".to_owned();
        if let Some(transport) = transport {
            writeln!(config, "transport = \"{transport}\"").unwrap();
        }
        std::fs::write(directory.path().join("node.toml"), config).unwrap();
        let mut fleet = Fleet {
            lab: Lab::make(),
            program: program.to_owned(),
            directory,
            edge: None,
            cloud: None,
            readings: Readings::new(FIRST_NS),
            up: Written::default(),
            down: Written::default(),
        };
        let cloud = fleet.start_cloud();
        cloud.sql("CREATE KEYSPACE plant WITH (sync = 'up')");
        cloud.sql(&format!(
            "CREATE TABLE plant.readings (device TEXT, ts TIMESTAMP, {FIELDS}, n BIGINT, PRIMARY KEY ((device), ts)) WITH (sync = 'up')"
        ));
        cloud.sql(
            "CREATE TABLE plant.limits (n BIGINT PRIMARY KEY, high BIGINT) WITH (sync = 'down')",
        );
        let token = token(Some(&fleet.lab.cloud.place), program, &cloud, &peer());
        fleet.cloud = Some(cloud);
        let edge = fleet.start_edge(&["--token", &token]);
        wait::until("the definitions' way down", PATIENCE, || {
            let tables = "SELECT count(*) FROM system.tables WHERE keyspace = 'plant'";
            (edge.number(tables) == 2).then_some(())
        });
        fleet.edge = Some(edge);
        fleet
    }

    fn start_cloud(&self) -> Node {
        let quic = peer();
        self.start_node(true, &["--role", "cloud", "--quic", &quic])
    }

    fn start_edge(&self, beside: &[&str]) -> Node {
        let peer = peer();
        self.start_node(
            false,
            &[&["--role", "edge", "--peer", &peer], beside].concat(),
        )
    }

    fn start_node(&self, is_cloud: bool, arguments: &[&str]) -> Node {
        let (namespace, name) = if is_cloud {
            (&self.lab.cloud, "cloud")
        } else {
            (&self.lab.edge, "edge")
        };
        let config = self.directory.path().join("node.toml");
        let same = [
            "--http",
            "0.0.0.0:7480",
            "--config",
            config.to_str().unwrap(),
        ];
        let directory = self.directory.path().join(name);
        Node::start_in(
            Some(&namespace.place),
            &self.program,
            &directory,
            &[&same, arguments].concat(),
        )
    }

    pub fn written_up(&self) -> u64 {
        self.up.acknowledged
    }

    pub fn written_down(&self) -> u64 {
        self.down.acknowledged
    }

    /// Writes at both ends as long as `meanwhile` runs; then every row that was begun is acknowledged.
    pub fn write_while(&mut self, meanwhile: impl FnOnce(&mut Fleet)) {
        let done = AtomicBool::new(false);
        let (edge_url, cloud_url) = (
            self.lab.edge.place.address.clone(),
            self.lab.cloud.place.address.clone(),
        );
        let mut readings = std::mem::replace(&mut self.readings, Readings::new(0));
        let (mut up, mut down) = (self.up.acknowledged, self.down.acknowledged);
        std::thread::scope(|scope| {
            let writing_up = scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let rows = readings.second();
                    let mut lines = format!("{},n\n", Reading::HEADER);
                    for (n, reading) in (up..).zip(&rows) {
                        writeln!(lines, "{},{n}", reading.csv()).unwrap();
                    }
                    persist(&edge_url, "readings", &lines);
                    up += rows.len() as u64;
                    std::thread::sleep(PAUSE);
                }
            });
            let writing_down = scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let mut lines = "n,high\n".to_owned();
                    for n in down..down + DOWN_ROWS {
                        writeln!(lines, "{n},{}", n * 3).unwrap();
                    }
                    persist(&cloud_url, "limits", &lines);
                    down += DOWN_ROWS;
                    std::thread::sleep(PAUSE * 4);
                }
            });
            meanwhile(self);
            done.store(true, Ordering::Relaxed);
            writing_up.join().unwrap();
            writing_down.join().unwrap();
        });
        self.readings = readings;
        self.up.acknowledged = up;
        self.down.acknowledged = down;
    }

    /// Makes it happen, and undoes what lasts.
    pub fn suffer(&mut self, fault: Fault) {
        match fault {
            Fault::Down(lasts) => {
                self.lab.set_up(false);
                std::thread::sleep(lasts);
                self.lab.set_up(true);
            }
            Fault::Silence(lasts) => {
                let before = self.lab.lost_per_mille();
                self.lab.lose(1000);
                std::thread::sleep(lasts);
                self.lab.lose(before);
            }
            Fault::Move => self.lab.move_edge(),
            Fault::KillEdge => {
                self.edge = None;
                self.edge = Some(self.start_edge(&[]));
            }
            Fault::KillCloud => {
                self.cloud = None;
                self.cloud = Some(self.start_cloud());
            }
            Fault::KillBoth => {
                self.edge = None;
                self.cloud = None;
                self.edge = Some(self.start_edge(&[]));
                self.cloud = Some(self.start_cloud());
            }
        }
    }

    fn edge(&self) -> &Node {
        self.edge.as_ref().unwrap()
    }

    fn cloud(&self) -> &Node {
        self.cloud.as_ref().unwrap()
    }

    /// Waits until each end holds every acknowledged number once; panics with those that it does not.
    pub fn converge(&self, within: Duration) {
        let begun = Instant::now();
        let mut ends = [
            (self.cloud(), "readings", self.up.acknowledged, false),
            (self.edge(), "readings", self.up.acknowledged, false),
            (self.edge(), "limits", self.down.acknowledged, false),
            (self.cloud(), "limits", self.down.acknowledged, false),
        ];
        while ends.iter().any(|(.., whole)| !whole) {
            for (node, table, count, whole) in &mut ends {
                *whole = *whole || is_whole(node, table, *count);
            }
            if begun.elapsed() > within {
                for (node, table, count, _) in ends.iter().filter(|(.., whole)| !whole) {
                    eprintln!("{} {table}: {}", node.url, differences(node, table, *count));
                }
                eprintln!("the edge says {:#}", self.edge().get("/v1/sync"));
                eprintln!("the cloud says {:#}", self.cloud().get("/v1/sync"));
                for name in ["edge.log", "cloud.log"] {
                    let log = std::fs::read_to_string(self.directory.path().join(name)).unwrap();
                    let lines: Vec<&str> = log.lines().collect();
                    let last = &lines[lines.len().saturating_sub(LOG_LINES)..];
                    eprintln!("the end of {name}:\n{}", last.join("\n"));
                }
                panic!("not everything arrived in {within:?}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// At the end: the ends agree on every cell, by digests.
    pub fn finish(&mut self) {
        self.lab.lose(0);
        self.lab.rate(10_000);
        wait::until("equal digests", PATIENCE, || {
            let report = self.edge().post("/v1/sync/verify").ok()?;
            (report["equal"] == true).then_some(())
        });
        let up = "SELECT count(*) FROM plant.readings";
        assert_eq!(self.cloud().number(up), self.up.acknowledged);
    }
}

fn peer() -> String {
    format!("{CLOUD}:{QUIC_PORT}")
}

/// Sends rows until a node acknowledges them; they have keys, so sending them again changes nothing.
fn persist(host: &str, table: &str, lines: &str) {
    let url = format!("http://{host}:7480/v1/tables/plant/{table}/rows");
    wait::until("an acknowledged write", PATIENCE, || {
        let answer = ureq::post(&url)
            .config()
            .timeout_global(Some(Duration::from_secs(10)))
            .build()
            .header("content-type", "text/csv")
            .send(lines);
        answer.is_ok().then_some(())
    });
}

/// Whether a table holds the numbers 0 up to `count`, each once.
fn is_whole(node: &Node, table: &str, count: u64) -> bool {
    let sums = "count(*), count(DISTINCT n), min(n), max(n)";
    let rows = node.try_sql(&format!("SELECT {sums} FROM plant.{table}"));
    rows.is_ok_and(|rows| {
        let held = |column: usize| rows[0][column].as_u64();
        count == 0
            || (held(0) == Some(count)
                && held(1) == Some(count)
                && held(2) == Some(0)
                && held(3) == Some(count - 1))
    })
}

fn differences(node: &Node, table: &str, count: u64) -> String {
    let mut times = vec![0_u32; count as usize];
    let mut beyond = 0;
    for row in node.sql(&format!("SELECT n FROM plant.{table}")) {
        match row[0].as_u64().and_then(|n| times.get_mut(n as usize)) {
            Some(times) => *times += 1,
            None => beyond += 1,
        }
    }
    let of = |wanted: &dyn Fn(u32) -> bool| -> Vec<usize> {
        let numbers = (0..times.len()).filter(|n| wanted(times[*n]));
        numbers.collect()
    };
    let (missing, doubled) = (of(&|times| times == 0), of(&|times| times > 1));
    format!(
        "{} of {count} missing ({:?}…), {} more than once ({:?}…), {beyond} that nobody wrote",
        missing.len(),
        &missing[..missing.len().min(NAMED_MAX)],
        doubled.len(),
        &doubled[..doubled.len().min(NAMED_MAX)],
    )
}
