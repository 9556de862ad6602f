//! The stage of the demo: a cloud, two edges, the links between them, and the definitions that the
//! cloud hands down.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use activestore_types::{Error, Result};

use super::node::Node;
use super::relay::Relay;

const DEFINED_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

/// Names of the edges.
pub(crate) const EDGES: [&str; 2] = ["edge-1", "edge-2"];

/// The link is a wire, and the edges' MQTT topics become rows.
const EDGE_CONFIG: &str = r#"
[sync]
link = "quick"
seal_after = "500ms"

[[mqtt.topics]]
topic = "plant/+/readings"
table = "plant.readings"
format = "json"
columns = { device = "$1" }
types = { ts = "TIMESTAMP" }
"#;

/// The cloud's end of the same link.
const CLOUD_CONFIG: &str = r#"
[sync]
link = "quick"

"#;

/// What the cloud defines; everything flows down to the edges.
pub(crate) const DEFINITIONS: &[&str] = &[
    "CREATE KEYSPACE plant WITH (ttl = '90d', sync = 'up')",
    "CREATE TABLE plant.readings (device TEXT, ts TIMESTAMP, cpu DOUBLE, load DOUBLE, value DOUBLE, \
     PRIMARY KEY ((device), ts)) WITH (flexible = true)",
    "CREATE FUNCTION f_to_c USING PLUGIN 'units'",
    "CREATE FUNCTION kib_to_gib USING PLUGIN 'units'",
    "CREATE MODEL host_strain USING PLUGIN 'onnx' WITH (file = 'host.onnx')",
    "CREATE PROCESSOR strain ON plant.readings USING MODEL 'host_strain' WITH (columns = 'cpu, load')",
    "CREATE PROCESSOR flag ON plant.readings USING PLUGIN 'anomaly' \
     WITH (columns = 'cpu, value') INTO plant.alerts",
];

/// Everything that runs.
pub(crate) struct Stage {
    // Edges end before the cloud, and nodes before their links.
    pub(crate) edges: Vec<Node>,
    pub(crate) cloud: Node,
    pub(crate) links: Vec<Relay>,
    _dir: Directory,
}

/// A directory that goes when the demo ends.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("{} could not be removed: {error}", self.0.display());
        }
    }
}

impl Stage {
    /// Starts the cloud, deploys plugins and definitions there, and admits two edges.
    pub(crate) fn build(components: &Path, say: &dyn Fn(&str)) -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("activestore-demo-{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        let held = Directory(dir.clone());
        // Compiled plugins are kept between runs, and the three nodes share them.
        let shared = format!(
            "[plugins]\ncache_dir = '{}'\n",
            components.join("compiled").display()
        );

        say("Starting the cloud node.");
        let config = dir.join("cloud.toml");
        fs::write(&config, format!("{CLOUD_CONFIG}{shared}"))?;
        let config = config.display().to_string();
        let arguments = [
            "--role",
            "cloud",
            "--quic",
            "127.0.0.1:0",
            "--config",
            &config,
        ];
        let cloud = Node::start(&dir, "cloud", &arguments)?;

        say(
            "Deploying three WebAssembly plugins and a model to the cloud, and defining tables there.",
        );
        for plugin in ["units", "anomaly", "onnx"] {
            let path = components.join(format!("{plugin}.wasm"));
            let wasm = fs::read(&path).map_err(|error| {
                Error::from(error)
                    .context(path.display())
                    .with_hint("cargo xtask build-plugins makes it; --components says where it is")
            })?;
            cloud.client.post(
                &format!("/v1/plugins?name={plugin}"),
                "application/wasm",
                &wasm,
            )?;
        }
        cloud.client.post(
            "/v1/files/host.onnx",
            "application/octet-stream",
            HOST_MODEL,
        )?;
        for statement in DEFINITIONS {
            cloud.query(statement)?;
        }

        say("Starting two edge nodes; a single-use token admits each, over mutual TLS on QUIC.");
        let quic = cloud.listener("quic")?;
        let (mut edges, mut links) = (Vec::new(), Vec::new());
        for name in EDGES {
            let link = Relay::start(quic)?;
            let token = cloud
                .client
                .post("/v1/tokens?ttl=5m", "application/json", b"")?
                .get("token")
                .and_then(serde_json::Value::as_str)
                .map(str::to_owned)
                .ok_or_else(|| Error::internal("the cloud made no token"))?;
            let config = dir.join(format!("{name}.toml"));
            fs::write(&config, format!("{EDGE_CONFIG}{shared}"))?;
            let (config, peer) = (config.display().to_string(), link.address().to_string());
            let arguments = [
                "--role",
                "edge",
                "--mqtt",
                "127.0.0.1:0",
                "--peer",
                &peer,
                "--token",
                &token,
                "--config",
                &config,
            ];
            edges.push(Node::start(&dir, name, &arguments)?);
            links.push(link);
        }
        let stage = Stage {
            edges,
            cloud,
            links,
            _dir: held,
        };
        stage.wait_for_definitions()?;
        say("Tables, function, model and processors, with their code, have arrived on both edges.");
        Ok(stage)
    }

    fn wait_for_definitions(&self) -> Result<()> {
        let until = Instant::now() + DEFINED_WITHIN;
        for edge in &self.edges {
            loop {
                let ready =
                    edge.number("SELECT count(*) FROM system.processors WHERE error IS NULL")?;
                if ready == 2 {
                    break;
                }
                if Instant::now() > until {
                    return Err(Error::internal(format!(
                        "the definitions did not reach {} in time",
                        edge.name
                    )));
                }
                std::thread::sleep(POLL);
            }
        }
        Ok(())
    }

    /// Cuts both links, or joins them.
    pub(crate) fn cut(&self, cut: bool) {
        for link in &self.links {
            link.cut(cut);
        }
    }
}

/// A small network that scores how strained this machine is from a core's business and the load;
/// `plugins/onnx/model` holds the script that trains it from generated data.
const HOST_MODEL: &[u8] = include_bytes!("../../../../plugins/onnx/model/host.onnx");
