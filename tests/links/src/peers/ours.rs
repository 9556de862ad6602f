//! activestore: the edge takes the same messages by MQTT and acknowledges them when they are durable.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use super::mqtt::MqttPublisher;
use super::{Carrier, Publisher};
use crate::lab::{CLOUD, Lab};
use crate::namespace::Place;
use crate::node::{Node, token};
use crate::readings::FIELDS;
use crate::wait;

const TOPIC: &str = "plant/readings";
/// A wire's settings, as both other programs have them; rows wait a second, so that a segment is worth its overhead.
const CLOUD_CONFIG: &str = "[sync]\nlink = \"quick\"\n";
const EDGE_CONFIG: &str = "[sync]\nlink = \"quick\"\nseal_after = \"1s\"\n\
    [[mqtt.topics]]\ntopic = \"plant/readings\"\ntable = \"plant.readings\"\nformat = \"json\"\nprecision = \"ms\"\n";
const PATIENCE: Duration = Duration::from_secs(60);

struct Activestore {
    edge: Mutex<Option<Node>>,
    cloud: Node,
    place: Place,
    program: PathBuf,
    directory: PathBuf,
}

pub(super) fn start(program: &Path, lab: &Lab, directory: &Path) -> Box<dyn Carrier> {
    std::fs::write(directory.join("cloud.toml"), CLOUD_CONFIG).unwrap();
    std::fs::write(directory.join("edge.toml"), EDGE_CONFIG).unwrap();
    let peer = format!("{CLOUD}:7490");
    let config = directory.join("cloud.toml");
    let arguments = [
        "--role",
        "cloud",
        "--http",
        "0.0.0.0:7480",
        "--quic",
        &peer,
        "--config",
        config.to_str().unwrap(),
    ];
    let place = &lab.cloud.place;
    let cloud = Node::start_in(Some(place), program, &directory.join("cloud"), &arguments);
    cloud.sql("CREATE KEYSPACE plant WITH (sync = 'up')");
    cloud.sql(&format!(
        "CREATE TABLE plant.readings (device TEXT, ts TIMESTAMP, {FIELDS}, n BIGINT, PRIMARY KEY ((device), ts)) WITH (sync = 'up')"
    ));
    let token = token(Some(place), program, &cloud, &peer);
    let node = Activestore {
        edge: Mutex::default(),
        cloud,
        place: lab.edge.place.clone(),
        program: program.to_owned(),
        directory: directory.to_owned(),
    };
    let edge = node.start_edge(&["--token", &token]);
    wait::until("the definitions' way down", PATIENCE, || {
        let tables = "SELECT count(*) FROM system.tables WHERE keyspace = 'plant'";
        (edge.number(tables) == 1).then_some(())
    });
    *node.edge.lock().unwrap() = Some(edge);
    Box::new(node)
}

impl Activestore {
    fn start_edge(&self, beside: &[&str]) -> Node {
        let peer = format!("{CLOUD}:7490");
        let mqtt = self.broker();
        let config = self.directory.join("edge.toml");
        let arguments = [
            "--role",
            "edge",
            "--http",
            "0.0.0.0:7480",
            "--mqtt",
            &mqtt,
            "--peer",
            &peer,
            "--config",
            config.to_str().unwrap(),
        ];
        let directory = self.directory.join("edge");
        Node::start_in(
            Some(&self.place),
            &self.program,
            &directory,
            &[&arguments, beside].concat(),
        )
    }

    fn broker(&self) -> String {
        format!("{}:1883", self.place.address)
    }
}

impl Carrier for Activestore {
    fn publisher(&self) -> Box<dyn Publisher> {
        Box::new(MqttPublisher::new(self.broker(), TOPIC))
    }

    fn kill(&self) {
        let mut edge = self.edge.lock().unwrap();
        *edge = None;
        *edge = Some(self.start_edge(&[]));
    }

    fn arrived(&self) -> u64 {
        self.cloud
            .number("SELECT count(DISTINCT n) FROM plant.readings")
    }

    fn received(&self) -> Vec<u64> {
        let rows = self.cloud.sql("SELECT n FROM plant.readings");
        rows.iter().map(|row| row[0].as_u64().unwrap()).collect()
    }
}
