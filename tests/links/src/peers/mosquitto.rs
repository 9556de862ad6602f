//! Two mosquitto brokers and a bridge with QoS 1, set as its manual says for a bridge that must not lose
//! messages: persistent sessions at both ends, no limit to queues, the database saved after each change. That
//! writes the whole database again and again, so it is measured a second time with a save a second.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::mqtt::{MqttPublisher, Subscriber};
use super::{Carrier, Publisher};
use crate::lab::{CLOUD, Lab};
use crate::namespace::Place;
use crate::process::{Process, command};

const TOPIC: &str = "plant/readings";

struct Mosquitto {
    edge: Mutex<Process>,
    place: Place,
    config: PathBuf,
    subscriber: Subscriber,
    _cloud: Process,
}

pub(super) fn start(_: &Path, lab: &Lab, directory: &Path) -> Box<dyn Carrier> {
    start_saving(
        lab,
        directory,
        "autosave_on_changes true\nautosave_interval 1\n",
    )
}

pub(super) fn start_saving_each_second(_: &Path, lab: &Lab, directory: &Path) -> Box<dyn Carrier> {
    start_saving(
        lab,
        directory,
        "autosave_on_changes false\nautosave_interval 1\n",
    )
}

fn start_saving(lab: &Lab, directory: &Path, saving: &str) -> Box<dyn Carrier> {
    let cloud = configure(directory, "cloud", saving, &lab.cloud.place, |config| {
        writeln!(config, "listener 1883 {CLOUD}").unwrap();
    });
    let edge = configure(directory, "edge", saving, &lab.edge.place, |config| {
        config.push_str(&format!(
            "connection cloud\naddress {CLOUD}:1883\ntopic plant/# out 1\ncleansession false\n\
             bridge_protocol_version mqttv311\nremote_clientid edge\nnotifications false\n\
             restart_timeout 1 2\nkeepalive_interval 5\n"
        ));
    });
    let cloud = broker(&lab.cloud.place, &cloud);
    let subscriber = Subscriber::start(format!("{}:1883", lab.cloud.place.address), TOPIC);
    let place = lab.edge.place.clone();
    Box::new(Mosquitto {
        edge: Mutex::new(broker(&place, &edge)),
        place,
        config: edge,
        subscriber,
        _cloud: cloud,
    })
}

/// Writes a broker's settings: what both have, and what `beside` adds.
fn configure(
    directory: &Path,
    name: &str,
    saving: &str,
    place: &Place,
    beside: impl FnOnce(&mut String),
) -> PathBuf {
    let data = directory.join(name);
    std::fs::create_dir_all(&data).unwrap();
    // Otherwise it gives root up for a user that may not write there.
    let mut config = format!(
        "user root\nallow_anonymous true\npersistence true\npersistence_location {}/\n{saving}\
         max_queued_messages 0\nmax_inflight_messages 1000\nlistener 1883 {}\n",
        data.display(),
        place.address
    );
    beside(&mut config);
    let file = directory.join(format!("{name}.conf"));
    std::fs::write(&file, config).unwrap();
    file
}

fn broker(place: &Place, config: &Path) -> Process {
    let mut start = command(Some(place), "mosquitto");
    start.arg("-c").arg(config);
    Process::start(start, &config.with_extension("log"))
}

impl Carrier for Mosquitto {
    fn publisher(&self) -> Box<dyn Publisher> {
        let broker = format!("{}:1883", self.place.address);
        Box::new(MqttPublisher::new(broker, TOPIC))
    }

    fn kill(&self) {
        let mut edge = self.edge.lock().unwrap();
        edge.kill();
        *edge = broker(&self.place, &self.config);
    }

    fn arrived(&self) -> u64 {
        self.subscriber.arrived()
    }

    fn received(&self) -> Vec<u64> {
        self.subscriber.received()
    }
}
