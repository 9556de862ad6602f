//! The HTTP interface over a real port, a real database and a plain client: what a user, a script or
//! an InfluxDB client meets.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

#[path = "http/auth.rs"]
mod auth;
#[cfg(feature = "console")]
#[path = "http/console.rs"]
mod console;
#[cfg(feature = "line-protocol")]
#[path = "http/lines.rs"]
mod lines;
#[cfg(feature = "parquet")]
#[path = "http/parquet.rs"]
mod parquet;
#[cfg(feature = "prometheus")]
#[path = "http/remote_write.rs"]
mod remote_write;
#[path = "http/sparse.rs"]
mod sparse;
#[path = "http/subscribe.rs"]
mod subscribe;
#[path = "http/unread.rs"]
mod unread;

use std::io::Write;
use std::sync::Arc;

use activestore_db::{Db, DbOptions, Role};
use activestore_gateway::{Gateway, GatewayOptions, NoPeers};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use ureq::Agent;

/// A node's HTTP side on a free port.
struct Node {
    runtime: Runtime,
    gateway: Option<Gateway>,
    db: Db,
    base: String,
    agent: Agent,
    _dir: tempfile::TempDir,
}

struct Reply {
    status: u16,
    headers: ureq::http::HeaderMap,
    bytes: Vec<u8>,
    text: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }
}

impl Node {
    fn start() -> Node {
        Node::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut GatewayOptions)) -> Node {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let (db, gateway) = runtime.block_on(async {
            let db = Db::open(DbOptions::new(dir.path(), Role::Edge)).unwrap();
            let mut options = GatewayOptions::listening_on("127.0.0.1:0".parse().unwrap());
            change(&mut options);
            let gateway = Gateway::start(options, db.clone(), Arc::new(NoPeers))
                .await
                .unwrap();
            (db, gateway)
        });
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .build()
            .new_agent();
        Node {
            base: format!("http://{}", gateway.local_addr()),
            runtime,
            gateway: Some(gateway),
            db,
            agent,
            _dir: dir,
        }
    }

    fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut request = self.agent.post(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        reply(request.send(body).unwrap())
    }

    fn get(&self, path: &str) -> Reply {
        reply(
            self.agent
                .get(format!("{}{path}", self.base))
                .call()
                .unwrap(),
        )
    }

    fn sql(&self, sql: &str) -> Value {
        let reply = self.post("/v1/sql", &[("content-type", "text/plain")], sql.as_bytes());
        assert_eq!(reply.status, 200, "{sql}: {}", reply.text);
        reply.json()
    }

    fn rows(&self, sql: &str) -> Value {
        self.sql(sql)["rows"].clone()
    }

    /// A table of readings.
    fn with_readings() -> Node {
        let node = Node::start();
        node.sql("CREATE KEYSPACE plant");
        node.sql(
            "CREATE TABLE plant.readings (device TEXT, ts TIMESTAMP, temp DOUBLE, n BIGINT, PRIMARY KEY ((device), ts))",
        );
        node
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let gateway = self.gateway.take();
        self.runtime.block_on(async {
            if let Some(gateway) = gateway {
                gateway.shutdown().await;
            }
            let _ = self.db.shutdown().await;
        });
    }
}

fn reply(mut response: ureq::http::Response<ureq::Body>) -> Reply {
    let bytes = response
        .body_mut()
        .with_config()
        .limit(u64::MAX)
        .read_to_vec()
        .unwrap();
    Reply {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: String::from_utf8_lossy(&bytes).into_owned(),
        bytes,
    }
}

fn gzipped(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn statements_rows_and_parameters() {
    let node = Node::with_readings();
    let done = node.sql(
        "INSERT INTO plant.readings (device, ts, temp) VALUES ('p1', '2026-01-01T00:00:00Z', 21.5), ('p2', '2026-01-01T00:00:00Z', NULL)",
    );
    assert_eq!(done["stats"]["tag"], "INSERT 2");
    assert_eq!(done["stats"]["affected"], 2);
    let reply = node.post(
        "/v1/sql",
        &[("content-type", "application/json")],
        json!({"sql": "SELECT device, ts, temp FROM plant.readings WHERE device = $1", "params": ["p1"]})
            .to_string()
            .as_bytes(),
    );
    let answer = reply.json();
    assert_eq!(
        answer["columns"][2],
        json!({"name": "temp", "type": "DOUBLE"})
    );
    assert_eq!(
        answer["rows"],
        json!([["p1", "2026-01-01T00:00:00Z", 21.5]])
    );
    assert_eq!(answer["stats"]["rows"], 1);
    assert!(answer["stats"]["elapsed_ms"].as_f64().unwrap() >= 0.0);

    let csv = node.post(
        "/v1/sql?format=csv",
        &[],
        b"SELECT device, temp FROM plant.readings ORDER BY device",
    );
    assert_eq!(csv.headers["content-type"], "text/csv; charset=utf-8");
    assert_eq!(csv.text, "device,temp\r\np1,21.5\r\np2,\r\n");
    let ndjson = node.post(
        "/v1/sql",
        &[("accept", "application/x-ndjson")],
        b"SELECT device FROM plant.readings ORDER BY device",
    );
    assert_eq!(ndjson.text, "{\"device\":\"p1\"}\n{\"device\":\"p2\"}\n");
}

#[test]
fn a_large_answer_is_streamed_whole() {
    let node = Node::start();
    let reply = node.post(
        "/v1/sql?format=ndjson",
        &[],
        b"SELECT value AS n, 'some text that makes the answer larger than one chunk' AS t FROM generate_series(1, 60000)",
    );
    if reply.status == 400 {
        // The engine has no generate_series: the same with what is stored.
        return streamed_from_a_table(&node);
    }
    assert_eq!(reply.text.lines().count(), 60_000);
}

fn streamed_from_a_table(node: &Node) {
    node.sql("CREATE KEYSPACE k");
    node.sql("CREATE TABLE k.t (a TEXT, n BIGINT, PRIMARY KEY ((a), n))");
    let body: String = (0..60_000)
        .map(|n| {
            format!("{{\"a\":\"some text that makes the answer larger than a chunk\",\"n\":{n}}}\n")
        })
        .collect();
    let headers = [("content-type", "application/x-ndjson")];
    let reply = node.post("/v1/tables/k/t/rows", &headers, body.as_bytes());
    assert_eq!(reply.json()["rows"], 60_000, "{}", reply.text);
    let reply = node.post("/v1/sql?format=ndjson", &[], b"SELECT * FROM k.t");
    assert_eq!(reply.text.lines().count(), 60_000);
}

#[test]
fn errors_say_what_to_do() {
    let node = Node::with_readings();
    let send = |sql: &str| node.post("/v1/sql", &[], sql.as_bytes());
    let wrong = send("SELEC 1");
    assert_eq!(wrong.status, 400, "{}", wrong.text);
    assert_eq!(wrong.json()["error"]["code"], "invalid");
    let missing = send("SELECT * FROM plant.nothing");
    assert!(matches!(missing.status, 400 | 404), "{}", missing.text);
    assert!(missing.text.contains("nothing"), "{}", missing.text);
    assert_eq!(send("CREATE KEYSPACE plant").status, 409);
    assert_eq!(send(" ; ").status, 400);
    let typo = node.post(
        "/v1/sql",
        &[("content-type", "application/json")],
        b"{\"sqll\": \"SELECT 1\"}",
    );
    assert_eq!(typo.status, 400);
    assert!(typo.text.contains("sqll"), "{}", typo.text);
    assert_eq!(
        node.post("/v1/sql?format=orc", &[], b"SELECT 1").status,
        400
    );

    let nowhere = node.get("/v2/everything");
    assert_eq!(nowhere.status, 404);
    assert!(
        nowhere.json()["error"]["hint"]
            .as_str()
            .unwrap()
            .contains("openapi")
    );
    let method = node.get("/v1/sql");
    assert_eq!(method.status, 405);
    assert_eq!(method.json()["error"]["code"], "invalid");
}

#[test]
fn bulk_rows_in_every_format() {
    let node = Node::with_readings();
    let path = "/v1/tables/plant/readings/rows";
    let send = |kind: &str, body: &[u8]| node.post(path, &[("content-type", kind)], body);
    let array = send(
        "application/json",
        b"[{\"device\":\"a\",\"ts\":\"2026-01-01T00:00:00Z\",\"temp\":1}]",
    );
    assert_eq!(array.json()["rows"], 1, "{}", array.text);
    let csv = send(
        "text/csv",
        b"device,ts,temp,n\nb,2026-01-01T00:00:00Z,2.5,7\nc,2026-01-01T00:00:00Z,,\n",
    );
    assert_eq!(csv.json()["rows"], 2, "{}", csv.text);
    let arrow = node.post(
        "/v1/sql?format=arrow",
        &[],
        b"SELECT 'd' AS device, ts, temp, n FROM plant.readings WHERE device = 'b'",
    );
    let kind = arrow.headers["content-type"].to_str().unwrap();
    assert_eq!(kind, "application/vnd.apache.arrow.stream");
    let back = send(kind, &arrow.bytes);
    assert_eq!(back.json()["rows"], 1, "{}", back.text);
    assert_eq!(
        send(kind, &arrow.bytes[..arrow.bytes.len() / 2]).status,
        400
    );

    let bad = send(
        "application/x-ndjson",
        b"{\"device\":\"e\",\"ts\":\"2026-01-01T00:00:00Z\"}\n{\"device\":\"f\",\"ts\":\"soon\"}\n",
    );
    assert_eq!(bad.status, 400);
    assert!(bad.text.contains("line 2"), "{}", bad.text);
    assert_eq!(
        node.rows("SELECT device, temp, n FROM plant.readings ORDER BY device"),
        json!([
            ["a", 1.0, null],
            ["b", 2.5, 7],
            ["c", null, null],
            ["d", 2.5, 7]
        ])
    );
    assert_eq!(send("application/pdf", b"x").status, 415);
    let strict = send(
        "application/x-ndjson",
        b"{\"device\":\"g\",\"ts\":1,\"colour\":\"red\"}\n",
    );
    assert_eq!(strict.status, 400);
    assert!(strict.text.contains("colour"), "{}", strict.text);
    let missing = node.post(
        "/v1/tables/plant/none/rows",
        &[("content-type", "text/csv")],
        b"a\n1\n",
    );
    assert_eq!(missing.status, 404);
}

#[test]
fn limits_are_answered_and_not_felt() {
    let node = Node::with(|options| {
        options.body_bytes_max = 4096;
        options.requests_max = 0;
    });
    let busy = node.post("/v1/sql", &[], b"SELECT 1");
    assert_eq!(busy.status, 503);
    assert_eq!(busy.headers["retry-after"], "1");
    assert_eq!(busy.json()["error"]["code"], "overloaded");
    assert_eq!(node.get("/health/live").status, 200);
    assert!(
        node.get("/metrics")
            .text
            .contains("activestore_http_refused_total 1")
    );

    let node = Node::with(|options| options.body_bytes_max = 4096);
    let large = node.post("/v1/write?keyspace=k", &[], &vec![b'x'; 5000]);
    assert_eq!(large.status, 413, "{}", large.text);
    let bomb = gzipped(&"m v=1 1\n".repeat(10_000));
    assert!(bomb.len() < 4096);
    let large = node.post(
        "/v1/write?keyspace=k",
        &[("content-encoding", "gzip")],
        &bomb,
    );
    assert_eq!(large.status, 413, "{}", large.text);
    let strange = node.post("/v1/write?keyspace=k", &[("content-encoding", "br")], b"x");
    assert_eq!(strange.status, 415);
}

#[test]
fn a_page_from_elsewhere_is_refused() {
    let node = Node::start();
    let foreign = node.post("/v1/sql", &[("origin", "http://evil.example")], b"SELECT 1");
    assert_eq!(foreign.status, 403);
    let rebound = node.post("/v1/sql", &[("host", "evil.example")], b"SELECT 1");
    assert_eq!(rebound.status, 403);
}

#[test]
fn every_described_address_answers_and_metrics_are_well_formed() {
    let node = Node::start();
    let description = node.get("/openapi.json").json();
    for (path, methods) in description["paths"].as_object().unwrap() {
        let path = path
            .replace("{keyspace}", "k")
            .replace("{table}", "t")
            .replace("{name}", "n")
            .replace("{act}", "pause")
            .replace("{node}", "00000000000000000000000000000001");
        for method in methods.as_object().unwrap().keys() {
            let reply = match method.as_str() {
                "get" => node.get(&path),
                "post" => node.post(&path, &[], b""),
                _ => reply(
                    node.agent
                        .delete(format!("{}{path}", node.base))
                        .call()
                        .unwrap(),
                ),
            };
            assert!(
                reply.status != 405 && !reply.text.contains("there is nothing at"),
                "{method} {path}: {} {}",
                reply.status,
                reply.text
            );
        }
    }
    assert_eq!(node.get("/v1/status").json()["role"], "edge");
    assert!(node.get("/").text.contains("<title>activestore</title>"));
    assert_eq!(node.get("/health/ready").text, "ready\n");

    let page = node.get("/metrics").text;
    let mut typed = std::collections::BTreeSet::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert!(
                typed.insert(rest.split(' ').next().unwrap().to_owned()),
                "{line} twice"
            );
        } else if !line.starts_with('#') {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let family = name.split('{').next().unwrap();
            let known = ["_bucket", "_sum", "_count", ""].iter().any(|end| {
                family
                    .strip_suffix(end)
                    .is_some_and(|name| typed.contains(name))
            });
            assert!(known, "{line} has no TYPE");
        }
    }
    assert!(page.contains("route=\"/v1/status\""), "{page}");
}

#[test]
fn a_heavy_query_holds_up_nobody_else() {
    let node = Node::with(|options| options.query_threads = 1);
    let base = node.base.clone();
    let agent = node.agent.clone();
    let (started, has_started) = std::sync::mpsc::channel();
    let heavy = std::thread::spawn(move || {
        started.send(()).unwrap();
        let sql = "SELECT count(*) FROM generate_series(1, 30000) a, generate_series(1, 30000) b WHERE a.value + b.value > 3";
        agent
            .post(format!("{base}/v1/sql"))
            .send(sql)
            .map(|answer| answer.status().as_u16())
    });
    has_started.recv().unwrap();
    for _ in 0..20 {
        let reply = node.post("/v1/write?keyspace=k", &[], b"m v=1 1");
        assert_eq!(reply.status, 204, "{}", reply.text);
        assert_eq!(node.get("/health/ready").status, 200);
    }
    // The client goes away; the node must end all the same.
    node.agent.clone().shutdown();
    let _ = heavy.join().unwrap();
}

#[test]
fn requests_under_way_end_before_a_shutdown_does() {
    let mut node = Node::with_readings();
    let gateway = node.gateway.take().unwrap();
    let address = gateway.local_addr();
    node.runtime.block_on(gateway.shutdown());
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn a_component_is_fetched_as_it_was_deployed_and_its_log_is_read_on() {
    let node = Node::with(|options| {
        options.body_bytes_max = 4096;
        options.bodies_bytes_max = 4096;
    });
    let built = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../plugins/target/components/units.wasm"
    );
    let wasm = std::fs::read(built).unwrap();
    let made = node.post("/v1/plugins?name=units&version=1", &[], &wasm);
    assert_eq!(made.status, 201, "{}", made.text);
    // More than the bound on bodies takes all of it, and gives it back.
    for path in ["", "?version=1", "?version=1"] {
        let reply = node.get(&format!("/v1/plugins/units/component{path}"));
        assert_eq!(reply.status, 200, "{}", reply.text);
        assert_eq!(reply.headers["content-type"], "application/wasm");
        assert_eq!(reply.headers["content-length"], wasm.len().to_string());
        assert!(reply.bytes == wasm, "{} bytes", reply.bytes.len());
    }
    let other = node.get("/v1/plugins/units/component?version=2");
    assert_eq!(other.status, 404);
    assert!(
        other.json()["error"]["hint"]
            .as_str()
            .unwrap()
            .contains('1')
    );
    assert_eq!(node.get("/v1/plugins/none/component").status, 404);

    let log = node.get("/v1/plugins/units/logs?after=7&level=warn").json();
    assert_eq!(log, json!({ "logs": [], "last": 7, "gap": false }));
    assert_eq!(node.get("/v1/plugins/units/logs?after=x").status, 400);
    assert_eq!(node.get("/v1/plugins/units/logs?level=loud").status, 400);
    let listed = node.get("/v1/plugins").json();
    let version = &listed["plugins"][0]["versions"][0];
    assert_eq!(
        (&version["version"], &version["in_force"]),
        (&json!("1"), &json!(true))
    );
}
