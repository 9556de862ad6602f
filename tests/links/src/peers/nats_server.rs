//! A NATS leaf node with a JetStream domain of its own and a hub that mirrors its stream, both in files, as
//! its manual describes for edges that are at times without their hub.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use super::nats::{Connection, NatsPublisher};
use super::{Carrier, Publisher};
use crate::lab::{CLOUD, Lab};
use crate::namespace::Place;
use crate::process::{Process, command};
use crate::wait;

const SUBJECT: &str = "plant.readings";
const PATIENCE: Duration = Duration::from_secs(30);

struct Nats {
    leaf: Mutex<Process>,
    place: Place,
    config: PathBuf,
    hub_place: Place,
    _hub: Process,
}

pub(super) fn start(_: &Path, lab: &Lab, directory: &Path) -> Box<dyn Carrier> {
    let (edge, cloud) = (&lab.edge.place, &lab.cloud.place);
    let hub = configure(
        directory,
        "hub",
        cloud,
        &format!("leafnodes {{ listen: \"{CLOUD}:7422\" }}"),
    );
    let remote =
        format!("leafnodes {{ reconnect: 1, remotes: [ {{ url: \"nats://{CLOUD}:7422\" }} ] }}");
    let leaf = configure(directory, "leaf", edge, &remote);
    let hub = server(cloud, &hub);
    let started = Nats {
        leaf: Mutex::new(server(edge, &leaf)),
        place: edge.clone(),
        config: leaf,
        hub_place: cloud.clone(),
        _hub: hub,
    };
    make(
        &client(edge),
        "ROWS",
        r#"{"name":"ROWS","subjects":["plant.>"],"retention":"limits","storage":"file","num_replicas":1,"max_msgs":-1,"max_bytes":-1,"max_age":0,"discard":"old","duplicate_window":120000000000}"#,
    );
    make(
        &client(cloud),
        "HELD",
        r#"{"name":"HELD","retention":"limits","storage":"file","num_replicas":1,"max_msgs":-1,"max_bytes":-1,"max_age":0,"discard":"old","mirror":{"name":"ROWS","external":{"api":"$JS.leaf.API","deliver":""}}}"#,
    );
    Box::new(started)
}

fn client(place: &Place) -> String {
    format!("{}:4222", place.address)
}

fn make(server: &str, stream: &str, config: &str) {
    wait::until("a stream's making", PATIENCE, || {
        let answer = Connection::insist(server)
            .ask(&format!("STREAM.CREATE.{stream}"), config)
            .ok()?;
        assert!(
            answer["error"]["code"]
                .as_u64()
                .is_none_or(|code| code == 503),
            "{answer}"
        );
        answer["error"].is_null().then_some(())
    });
}

fn configure(directory: &Path, name: &str, place: &Place, beside: &str) -> PathBuf {
    let file = directory.join(format!("{name}.conf"));
    let config = format!(
        "server_name: {name}\nlisten: \"{}\"\njetstream {{ store_dir: \"{}\", domain: {name} }}\n{beside}\n",
        client(place),
        directory.join(name).display()
    );
    std::fs::write(&file, config).unwrap();
    file
}

fn server(place: &Place, config: &Path) -> Process {
    let mut start = command(Some(place), "nats-server");
    start.arg("-c").arg(config);
    Process::start(start, &config.with_extension("log"))
}

impl Carrier for Nats {
    fn publisher(&self) -> Box<dyn Publisher> {
        Box::new(NatsPublisher::new(client(&self.place), SUBJECT))
    }

    fn kill(&self) {
        let mut leaf = self.leaf.lock().unwrap();
        leaf.kill();
        *leaf = server(&self.place, &self.config);
    }

    fn arrived(&self) -> u64 {
        let mut hub = Connection::insist(&client(&self.hub_place));
        let answer = hub.ask("STREAM.INFO.HELD", "").unwrap();
        answer["state"]["messages"].as_u64().unwrap_or(0)
    }

    fn received(&self) -> Vec<u64> {
        let held = self.arrived();
        Connection::insist(&client(&self.hub_place)).read_all("HELD", held)
    }
}
