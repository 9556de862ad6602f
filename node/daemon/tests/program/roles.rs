//! Roles as who owns the machine, who administers the node and a device meet them.

use std::io::Write;
use std::process::{Output, Stdio};

use rumqttc::{Client, Event, MqttOptions, Outgoing, Packet, QoS};

use crate::process::{Node, eventually, program, quick_config, run, said, start_cloud, wrote};

const PASSWORD: &str = "open sesame";

/// `role create` or `role password`, the password on stdin.
fn role(arguments: &[&str], password: &str) -> Output {
    let mut child = program()
        .arg("role")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{password}").unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

/// A statement of somebody.
fn sql_as(node: &Node, user: &str, password: &str, sql: &str) -> Output {
    program()
        .args(["sql", "--user", user, "--url", &node.url()])
        .args(["--format", "csv", "-c", sql])
        .env("ACTIVESTORE_PASSWORD", password)
        .output()
        .unwrap()
}

#[track_caller]
fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", said(output));
    wrote(output).replace("\r\n", "\n")
}

#[test]
fn who_owns_the_machine_lets_in_who_lets_in_others() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let data_dir = data.to_str().unwrap().to_owned();
    let create = |name: &str, extra: &[&str]| {
        let arguments = [&["create", name, "--data-dir", &data_dir], extra].concat();
        role(&arguments, PASSWORD)
    };
    // The first has to be one who can let in others; the directory is a new one.
    let refused = create("reader", &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("superuser"), "{}", said(&refused));
    done(&create("admin", &["--superuser"]));

    let node = Node::start(&data, &[]);
    let running = create("second", &["--superuser"]);
    assert!(
        said(&running).contains("another node"),
        "{}",
        said(&running)
    );
    let unknown = run(&["sql", "--url", &node.url(), "-c", "SELECT 1"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(said(&unknown).contains("--user"), "{}", said(&unknown));
    assert!(!sql_as(&node, "admin", "wrong", "SELECT 1").status.success());
    done(&sql_as(
        &node,
        "admin",
        PASSWORD,
        "CREATE KEYSPACE plant; CREATE TABLE plant.readings (device TEXT PRIMARY KEY, temp DOUBLE); \
         CREATE USER panel; GRANT SELECT ON plant.readings TO panel",
    ));

    let token = |arguments: &[&str]| {
        program()
            .args(["auth", "token"])
            .args(arguments)
            .args(["--user", "admin", "--url", &node.url()])
            .env("ACTIVESTORE_PASSWORD", PASSWORD)
            .output()
            .unwrap()
    };
    let made = done(&token(&["create", "--role", "panel", "--expires", "1h"]));
    let made = made.trim();
    let as_panel = |sql: &str| {
        program()
            .args(["sql", "--url", &node.url(), "--format", "csv", "-c", sql])
            .env("ACTIVESTORE_AUTH_TOKEN", made)
            .output()
            .unwrap()
    };
    assert_eq!(
        done(&as_panel("SELECT count(*) AS n FROM plant.readings")),
        "n\n0\n"
    );
    let refused = as_panel("DELETE FROM plant.readings");
    assert!(
        said(&refused).contains("GRANT DELETE ON TABLE plant.readings TO panel"),
        "{}",
        said(&refused)
    );
    let id = made.split('_').nth(1).unwrap();
    assert!(done(&token(&["list"])).contains(id));
    done(&token(&["revoke", id]));
    assert!(!as_panel("SELECT 1").status.success());
    assert_eq!(node.stop(), Some(0));

    // A password that was lost.
    done(&role(
        &["password", "admin", "--data-dir", &data_dir],
        "another",
    ));
    let file = dir.path().join("admin-password");
    std::fs::write(&file, "a third\n").unwrap();
    let node = Node::start(&data, &[]);
    done(&sql_as(&node, "admin", "another", "SELECT 1"));
    assert_eq!(node.stop(), Some(0));
    let config = dir.path().join("node.toml");
    let text = format!(
        "[auth]\nadmin_password_file = \"{}\"\nopen_metrics = false\n",
        file.display()
    );
    std::fs::write(&config, text).unwrap();
    let node = Node::start(&data, &["--config", config.to_str().unwrap()]);
    done(&sql_as(&node, "admin", "a third", "SELECT 1"));
    assert!(
        !sql_as(&node, "admin", "another", "SELECT 1")
            .status
            .success()
    );
    assert_eq!(node.stop(), Some(0));
}

/// Publishes with QoS 1 and says whether the listener took the login; returns after the acknowledgement.
fn publish(node: &Node, login: Option<(&str, &str)>, topic: &str, payload: &str) -> bool {
    let address = node.listener("mqtt");
    let (host, port) = address.rsplit_once(':').unwrap();
    let mut options = MqttOptions::new("device-1", host, port.parse().unwrap());
    if let Some((user, password)) = login {
        options.set_credentials(user, password);
    }
    let (client, mut connection) = Client::new(options, 10);
    client
        .publish(topic, QoS::AtLeastOnce, false, payload.to_owned())
        .unwrap();
    for event in connection.iter() {
        match event {
            Ok(Event::Incoming(Packet::PubAck(_))) => {
                client.disconnect().unwrap();
            }
            Ok(Event::Outgoing(Outgoing::Disconnect)) => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
    false
}

#[test]
fn devices_log_in_over_mqtt_and_write_what_they_may() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let data_dir = data.to_str().unwrap();
    done(&role(
        &["create", "admin", "--superuser", "--data-dir", data_dir],
        PASSWORD,
    ));
    let config = dir.path().join("node.toml");
    std::fs::write(
        &config,
        "[[mqtt.topics]]\ntopic = \"readings\"\ntable = \"plant.readings\"\n\
         [[mqtt.topics]]\ntopic = \"orders\"\ntable = \"plant.orders\"\n",
    )
    .unwrap();
    let config = config.to_str().unwrap();
    let node = Node::start(&data, &["--config", config, "--mqtt", "127.0.0.1:0"]);
    let table = "(device TEXT PRIMARY KEY, temp DOUBLE)";
    done(&sql_as(
        &node,
        "admin",
        PASSWORD,
        &format!(
            "CREATE KEYSPACE plant; CREATE TABLE plant.readings {table}; CREATE TABLE plant.orders {table}; \
             CREATE USER device PASSWORD 'd'; GRANT INSERT ON plant.readings TO device"
        ),
    ));
    let row = r#"{"device": "a", "temp": 1}"#;
    assert!(!publish(&node, None, "readings", row));
    assert!(!publish(&node, Some(("device", "wrong")), "readings", row));
    assert!(publish(&node, Some(("device", "d")), "readings", row));
    // What may not be written is acknowledged, as every row that can never be, and is not there.
    assert!(publish(&node, Some(("device", "d")), "orders", row));
    let counted = "SELECT (SELECT count(*) FROM plant.readings) AS a, (SELECT count(*) FROM plant.orders) AS b";
    let counted = done(&sql_as(&node, "admin", PASSWORD, counted));
    assert_eq!(counted, "a,b\n1,0\n");
    assert_eq!(node.stop(), Some(0));
}

#[test]
fn roles_of_the_cloud_hold_on_its_edges() {
    let dir = tempfile::tempdir().unwrap();
    let config = quick_config(dir.path());
    let cloud = start_cloud(&dir.path().join("cloud"), &config);
    let token = run(&["token", "create", "--url", &cloud.url()]);
    let token = done(&token).trim().to_owned();
    let peer = cloud.listener("quic");
    let edge = Node::start(
        &dir.path().join("edge"),
        &["--config", &config, "--peer", &peer, "--token", &token],
    );
    assert_eq!(edge.rows("SELECT 1"), ["1"]);
    cloud.execute(&format!(
        "CREATE USER admin WITH SUPERUSER PASSWORD '{PASSWORD}'"
    ));
    eventually("the edge's asking for a login", || {
        let output = run(&["sql", "--url", &edge.url(), "-c", "SELECT 1"]);
        (!output.status.success()).then_some(())
    });
    let listed = done(&sql_as(
        &edge,
        "admin",
        PASSWORD,
        "SELECT name, defined FROM system.roles",
    ));
    assert_eq!(listed, "name,defined\nadmin,cloud\n");
    let refused = sql_as(&edge, "admin", PASSWORD, "ALTER ROLE admin PASSWORD 'mine'");
    assert!(
        said(&refused).contains("at the cloud"),
        "{}",
        said(&refused)
    );
    // Also while the cloud is away.
    assert_eq!(cloud.stop(), Some(0));
    done(&sql_as(&edge, "admin", PASSWORD, "SELECT 1"));
    assert_eq!(edge.stop(), Some(0));
}
