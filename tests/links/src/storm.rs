//! All edges of a fleet come back at once, while one that is connected goes on writing.
//!
//! `cargo xtask bench storm [--edges 10000] [--nodes 250] [--config FILE]`: a real cloud process, so many real client
//! ends in this one, with hosts in memory, and one real edge as a witness. Client ends that share a node are copies of it
//! with epochs of their own, so that a large storm does not begin with as many joins. It prints the time until all are
//! in, the memory of both ends, the cloud's CPU, and what the witness's alarms took meanwhile. This process needs 0.12 MB and a
//! file for each client end, and the processors for all of them: on a small machine it is the edges that are slow.

mod host;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use activestore_sync_quic::{ClientOptions, EdgeIdentity, SyncClient};
use activestore_types::{Epoch, NodeId};

use crate::memory;
use crate::node::{Node, token};
use crate::options::Options;
use crate::wait::{self, now_ns};
use host::StormEdge;

/// How long the whole storm may take.
const PATIENCE: Duration = Duration::from_secs(1800);
/// How long a step before it may take.
const STEP: Duration = Duration::from_secs(120);
/// Edges that the cloud takes beyond those of the storm, unless a file says otherwise: the witness, and connections that
/// ended without a farewell.
const BESIDE: usize = 100;
/// Nodes that join at once.
const JOINING: usize = 16;
/// A pause between two looks at all client ends.
const LOOK: Duration = Duration::from_millis(200);
/// The witness writes an alarm so often.
const ALARM_EVERY: Duration = Duration::from_millis(500);

pub fn run(options: &Options) {
    options.only(&["edges", "nodes", "config"]);
    let edges: usize = options.number("edges", 10_000).max(1);
    let nodes: usize = options.number("nodes", 250).clamp(1, edges);
    let dir = tempfile::tempdir().unwrap();
    let mut arguments = vec!["--role", "cloud", "--quic", "127.0.0.1:0"];
    let own = dir.path().join("storm.toml");
    std::fs::write(&own, format!("[sync]\nedges = {}\n", edges + BESIDE)).unwrap();
    arguments.extend(["--config", options.text("config").or(own.to_str()).unwrap()]);
    let cloud = Node::start(&options.program, &dir.path().join("cloud"), &arguments);
    let peer = cloud.listener("quic").unwrap();
    cloud.sql("CREATE KEYSPACE plant WITH (sync = 'up')");
    cloud.sql(
        "CREATE TABLE plant.alarms (device TEXT, ts TIMESTAMP, code BIGINT, PRIMARY KEY ((device), ts)) \
         WITH (sync = 'up', sync_class = 'alarm')",
    );
    let ticket = token(None, &options.program, &cloud, &peer);
    let witness = Node::start(
        &options.program,
        &dir.path().join("witness"),
        &["--role", "edge", "--peer", &peer, "--token", &ticket],
    );
    wait::until("the witness's definitions", STEP, || {
        let tables = "SELECT count(*) FROM system.tables WHERE keyspace = 'plant'";
        (witness.number(tables) == 1).then_some(())
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let begun = Instant::now();
    let identities = runtime.block_on(join(&cloud, &peer, dir.path(), nodes));
    println!(
        "{nodes} nodes joined in {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    storm(&runtime, &cloud, &witness, &peer, &identities, edges);
}

/// Lets so many nodes join, some at a time.
async fn join(cloud: &Node, peer: &str, dir: &Path, nodes: usize) -> Vec<Arc<EdgeIdentity>> {
    let mut identities = Vec::new();
    while identities.len() < nodes {
        let some = identities.len()..nodes.min(identities.len() + JOINING);
        let mut joining = Vec::new();
        for number in some {
            let path = dir.join(format!("node{number}"));
            let identity = Arc::new(EdgeIdentity::open_or_create(&path).unwrap());
            let answer = cloud.post("/v1/tokens").unwrap();
            let token = answer["token"].as_str().unwrap().to_owned();
            let client = client(peer, &identity, Some(token), number, 1);
            joining.push((identity, client));
        }
        for (identity, client) in joining {
            let begun = Instant::now();
            while !identity.joined() {
                let status = client.status();
                assert!(begun.elapsed() < STEP, "a node does not join: {status:?}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            client.shutdown().await;
            identities.push(identity);
        }
    }
    identities
}

fn client(
    peer: &str,
    identity: &Arc<EdgeIdentity>,
    token: Option<String>,
    number: usize,
    copy: u64,
) -> SyncClient {
    let node = identity.node().unwrap_or_else(|| {
        let mut bytes = [0x5a; 16];
        bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
        NodeId(bytes)
    });
    let host = Arc::new(StormEdge::new(node, Epoch(copy)));
    let peers = vec![peer.to_owned()];
    let options = ClientOptions::new(peers, identity.clone(), token, host.clone(), host);
    SyncClient::start(options).unwrap()
}

fn storm(
    runtime: &tokio::runtime::Runtime,
    cloud: &Node,
    witness: &Node,
    peer: &str,
    identities: &[Arc<EdgeIdentity>],
    edges: usize,
) {
    let calm = alarms(cloud, witness, || false, Duration::from_secs(5));
    report("before the storm", calm);
    let cpu_before = memory::cpu_seconds(cloud.id());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let alarms =
            scope.spawn(|| alarms(cloud, witness, || done.load(Ordering::Relaxed), PATIENCE));
        let begun = Instant::now();
        runtime.block_on(async {
            let clients: Vec<SyncClient> = (0..edges)
                .map(|number| {
                    let identity = &identities[number % identities.len()];
                    let copy = (number / identities.len()) as u64 + 2;
                    client(peer, identity, None, number, copy)
                })
                .collect();
            let mut halves = [0.5, 0.9, 0.99].into_iter().peekable();
            let mut told = Instant::now();
            loop {
                tokio::time::sleep(LOOK).await;
                // Those that were let in once count: a copy may be told to make way for another one later.
                let inside = clients
                    .iter()
                    .filter(|client| client.status().connections > 0)
                    .count();
                let took = begun.elapsed().as_secs_f64();
                while let Some(share) = halves.next_if(|share| inside as f64 >= share * edges as f64) {
                    println!("{:3.0} % of {edges} edges are in after {took:.1} s", share * 100.0);
                }
                if inside == edges {
                    println!("all {edges} edges are in after {took:.1} s: {:.0} a second", edges as f64 / took);
                    break;
                }
                if told.elapsed() > Duration::from_secs(5) {
                    told = Instant::now();
                    eprintln!("{took:6.1} s: {inside} of {edges} are in");
                }
                assert!(begun.elapsed() < PATIENCE, "{inside} of {edges} edges got in");
            }
            done.store(true, Ordering::Relaxed);
            let sync = cloud.get("/v1/sync");
            println!("admission: {}", sync["admission"]);
            let own = memory::peak(std::process::id()) as f64;
            println!(
                "the client ends: {:.1} MiB at most ({:.0} KiB each)",
                own / 1048576.0,
                own / 1024.0 / edges as f64
            );
            println!(
                "the cloud: {:.1} MiB at most, {:.1} s of CPU ({:.2} ms an edge); it knows of {} connections now",
                memory::peak(cloud.id()) as f64 / 1048576.0,
                memory::cpu_seconds(cloud.id()) - cpu_before,
                (memory::cpu_seconds(cloud.id()) - cpu_before) * 1e3 / edges as f64,
                sync["connections"].as_array().map_or(0, Vec::len),
            );
        });
        report("during the storm", alarms.join().unwrap());
    });
}

/// Alarms of the witness until it is told to stop: from the write until a query of the cloud finds each, in seconds.
fn alarms(cloud: &Node, witness: &Node, stop: impl Fn() -> bool, at_most: Duration) -> Vec<f64> {
    let begun = Instant::now();
    let mut waits = Vec::new();
    while !stop() && begun.elapsed() < at_most {
        let next = Instant::now() + ALARM_EVERY;
        let ts = now_ns();
        witness.write("alarms", &format!("device,ts,code\nwitness,{ts},1\n"));
        let asked = format!(
            "SELECT count(*) FROM plant.alarms WHERE device = 'witness' AND CAST(ts AS BIGINT) = {ts}"
        );
        wait::until("an alarm's way to the cloud", STEP, || {
            (cloud.number(&asked) == 1).then_some(())
        });
        waits.push((now_ns() - ts) as f64 / 1e9);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    waits
}

fn report(when: &str, mut waits: Vec<f64>) {
    waits.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let index = ((waits.len().max(1) - 1) as f64 * share) as usize;
        waits.get(index).copied().unwrap_or(f64::NAN)
    };
    println!(
        "{} alarms of an edge that was connected {when}: median {:.2} s, worst {:.2} s",
        waits.len(),
        at(0.5),
        at(1.0)
    );
}
