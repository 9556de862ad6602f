//! What a node tells those who run it: metrics that say what they mean, a dashboard that asks for nothing else, spans
//! for a collector.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;

use super::fleet::{Fleet, joined};
use super::process::{Node, PATIENCE, eventually, run, said};

/// A family of metrics as a page shows it.
#[derive(Default)]
struct Family {
    help: String,
    kind: String,
    samples: Vec<String>,
}

fn page(node: &Node) -> String {
    let page = ureq::get(format!("{}/metrics", node.url())).call().unwrap();
    page.into_body().read_to_string().unwrap()
}

/// The families of a page; each begins once, with HELP and TYPE, and no sample comes twice.
fn families(page: &str) -> BTreeMap<String, Family> {
    let mut all: BTreeMap<String, Family> = BTreeMap::new();
    let (mut at, mut seen) = (String::new(), BTreeSet::new());
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            let family = Family {
                help: help.to_owned(),
                ..Family::default()
            };
            assert!(
                all.insert(name.to_owned(), family).is_none(),
                "{name} begins twice"
            );
            at = name.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, at, "TYPE follows HELP");
            all.get_mut(name).unwrap().kind = kind.to_owned();
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(seen.insert(series.to_owned()), "{series} comes twice");
            let name = series.split('{').next().unwrap();
            let family = all.get_mut(&at).unwrap();
            let ends: &[&str] = match family.kind.as_str() {
                "histogram" => &["_bucket", "_sum", "_count"],
                _ => &[""],
            };
            let known = ends
                .iter()
                .any(|end| name.strip_suffix(end) == Some(at.as_str()));
            assert!(known, "{name} is among the samples of {at}");
            family.samples.push(line.to_owned());
        }
    }
    all
}

/// A gateway with everything on, its cloud, and where its spans go.
struct Everything {
    node: Node,
    cloud: Node,
    spans: Receiver<Value>,
    _dir: tempfile::TempDir,
}

impl Everything {
    fn start() -> Everything {
        let dir = tempfile::tempdir().unwrap();
        let mut fleet = Fleet::quick(dir.path());
        let cloud = fleet.cloud(&dir.path().join("cloud"));
        fleet.quic = cloud.listener("quic");
        let data = dir.path().join("gateway");
        joined(&cloud, &fleet.quic, &data, &["role=gateway"]);
        let (collector, spans) = collector();
        let config = dir.path().join("all.toml");
        let text = format!(
            "[limits]\ndisk = \"1GiB\"\n[sync]\nlink = \"quick\"\nseal_after = \"50ms\"\nmonthly_bytes = \"1GB\"\noutbox_bytes = \"100MB\"\n\
             [telemetry]\nslow_query = \"1ms\"\notlp = \"{collector}\"\n\
             [[mqtt.topics]]\ntopic = \"lp\"\ntable = \"plant\"\nformat = \"lp\"\n"
        );
        std::fs::write(&config, text).unwrap();
        let arguments = [
            "--config",
            config.to_str().unwrap(),
            "--dev",
            "--role",
            "gateway",
            "--peer",
            &fleet.quic,
            "--quic",
            "127.0.0.1:0",
            "--mqtt",
            "127.0.0.1:0",
        ];
        Everything {
            node: Node::start(&data, &arguments),
            cloud,
            spans,
            _dir: dir,
        }
    }

    /// Definitions come from the cloud, and with them what is counted by name.
    fn with_work(self) -> Everything {
        let cloud = &self.cloud;
        cloud.execute("CREATE KEYSPACE plant WITH (sync = 'up')");
        cloud.execute("CREATE TABLE plant.readings (device TEXT, ts TIMESTAMP, temp DOUBLE, PRIMARY KEY ((device), ts))");
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../plugins/target/components/anomaly.wasm");
        let file = file.to_str().unwrap();
        let deployed = run(&["plugin", "deploy", file, "--url", &cloud.url()]);
        assert!(deployed.status.success(), "{}", said(&deployed));
        cloud.execute(
            "CREATE PROCESSOR flag ON plant.readings USING PLUGIN 'anomaly' WITH (threshold = '4.0') INTO plant.alerts",
        );
        eventually("the processor's way", || {
            let processors = "SELECT count(*) FROM system.processors";
            (self.node.rows(processors) == ["1"]).then_some(())
        });
        self.node
            .execute("INSERT INTO plant.readings VALUES ('p1', now(), 21.5)");
        self
    }
}

/// What takes spans, and what it got.
fn collector() -> (String, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (got, gets) = channel();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let Some(message) = taken(stream) else {
                continue;
            };
            if got.send(message).is_err() {
                return;
            }
        }
    });
    (base, gets)
}

fn taken(stream: TcpStream) -> Option<Value> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    reader.read_line(&mut line).ok()?;
    assert!(line.starts_with("POST /v1/traces "), "{line}");
    while line.len() > 2 {
        line.clear();
        reader.read_line(&mut line).ok()?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    reader.into_inner().write_all(answer).ok()?;
    serde_json::from_slice(&body).ok()
}

/// The metrics that the expressions of the dashboard name.
fn asked_for() -> BTreeSet<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cross/grafana/activestore.json");
    let dashboard: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let mut asked = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().unwrap();
            let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            asked.extend(
                words
                    .filter(|word| word.starts_with("activestore_"))
                    .map(str::to_owned),
            );
        }
    }
    assert!(asked.len() > 40, "{asked:?}");
    asked
}

#[test]
fn every_metric_says_what_it_means_and_the_dashboard_asks_for_no_other() {
    let all = Everything::start().with_work();
    let families = eventually("the processor's figures", || {
        let families = families(&page(&all.node));
        families
            .contains_key("activestore_processor_rows_total")
            .then_some(families)
    });
    for (name, family) in &families {
        let Family { help, kind, .. } = family;
        assert!(name.starts_with("activestore_"), "{name}");
        assert!(
            help.ends_with('.') && help.len() > 8,
            "{name} has no sentence: {help}"
        );
        assert_eq!(
            name.ends_with("_total"),
            kind == "counter",
            "{name} is a {kind}"
        );
        for end in [
            "_ms",
            "_us",
            "_ns",
            "_milliseconds",
            "_kb",
            "_mb",
            "_mib",
            "_percent",
            "_minutes",
            "_hours",
        ] {
            assert!(
                !name.trim_end_matches("_total").ends_with(end),
                "{name} is not in base units"
            );
        }
        let unit = name.trim_end_matches("_total");
        let lower = help.to_lowercase();
        let is_ratio = lower.contains(" for each ");
        let is_size = ["bytes", "memory", "space that"]
            .iter()
            .any(|word| lower.starts_with(word));
        if is_size && !is_ratio {
            assert!(
                unit.ends_with("_bytes"),
                "{name} does not say that it is bytes: {help}"
            );
        }
        if lower.starts_with("time ") || lower.starts_with("age ") {
            assert!(
                unit.ends_with("_seconds"),
                "{name} does not say that it is seconds: {help}"
            );
        }
        if kind == "histogram" {
            let whole = family
                .samples
                .iter()
                .filter(|line| line.contains("le=\"+Inf\""))
                .count();
            let counts = family
                .samples
                .iter()
                .filter(|line| line.starts_with(&format!("{name}_count")))
                .count();
            assert_eq!(whole, counts, "{name}");
        }
    }
    let missing: Vec<String> = asked_for()
        .into_iter()
        .filter(|asked| {
            let ends = ["_bucket", "_sum", "_count"];
            let mut of_histogram = ends.iter().filter_map(|end| asked.strip_suffix(end));
            !families.contains_key(asked)
                && !of_histogram.any(|name| {
                    families
                        .get(name)
                        .is_some_and(|family| family.kind == "histogram")
                })
        })
        .collect();
    assert!(
        missing.is_empty(),
        "the dashboard asks for what is not there: {missing:?}"
    );
    for layer in [
        "wal",
        "sst",
        "sync",
        "edges",
        "http",
        "pg",
        "mqtt",
        "remote_write",
        "plugin",
        "trace",
    ] {
        let begin = format!("activestore_{layer}_");
        assert!(
            families.keys().any(|name| name.starts_with(&begin)),
            "nothing of {layer}"
        );
    }
    let first = &families["activestore_statement_first_byte_seconds"];
    let of = |text: &str| first.samples.iter().any(|line| line.contains(text));
    assert!(of("wire=\"http\",kind=\"insert\"") && of("wire=\"http\",kind=\"select\""));
}

#[test]
fn statements_are_told_to_a_collector_and_in_the_list_of_slow_ones() {
    let all = Everything::start();
    all.node.execute("CREATE KEYSPACE own");
    all.node
        .execute("CREATE TABLE own.t (k TEXT PRIMARY KEY, v BIGINT)");
    all.node.execute(
        "INSERT INTO own.t SELECT 'hunter' || i, i FROM generate_series(1, 20000) AS s(i)",
    );
    let rows = all.node.rows(
        "SELECT kind, statement, who, outcome FROM system.slow_queries WHERE kind = 'insert'",
    );
    assert_eq!(rows, ["insert,INSERT INTO own.t,(anybody),done"]);
    all.node.rows(
        "SELECT max(v + i) FROM own.t, generate_series(1, 100000) AS s(i) WHERE k = 'hunter2'",
    );
    let told = all
        .node
        .rows("SELECT statement FROM system.slow_queries WHERE statement LIKE 'SELECT max(v%'");
    assert_eq!(
        told,
        ["\"SELECT max(v + i) FROM own.t, generate_series(?, ?) AS s(i) WHERE k = ?\""]
    );

    let mut names = BTreeSet::new();
    let wanted = ["statement", "write", "seal"];
    let mut under = false;
    while !under || !wanted.iter().all(|name| names.contains(*name)) {
        let message = all.spans.recv_timeout(PATIENCE).unwrap();
        assert!(!message.to_string().contains("hunter2"), "{message}");
        let spans = message["resourceSpans"][0]["scopeSpans"][0]["spans"]
            .as_array()
            .unwrap()
            .clone();
        for span in &spans {
            names.insert(span["name"].as_str().unwrap().to_owned());
            under |= span["name"] == "write"
                && spans.iter().any(|above| {
                    above["name"] == "statement" && above["spanId"] == span["parentSpanId"]
                });
        }
    }
    assert_eq!(all.node.stop(), Some(0));
}

#[test]
fn a_collector_that_is_none_is_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let data: PathBuf = dir.path().join("data");
    let config = dir.path().join("wrong.toml");
    std::fs::write(&config, "[telemetry]\notlp = \"127.0.0.1:4318\"\n").unwrap();
    let output = run(&[
        "start",
        "--config",
        config.to_str().unwrap(),
        "--data-dir",
        data.to_str().unwrap(),
    ]);
    assert_eq!(output.status.code(), Some(1));
    let said = said(&output);
    assert!(
        said.contains("not the address of a collector") && said.contains("4318"),
        "{said}"
    );
}
