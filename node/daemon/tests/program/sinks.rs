//! Sinks of the real program: a receiver that fails, is slow and breaks off, and a node that is killed in the middle;
//! brokers that are killed as well.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::door::{Door, Place};
use super::process::{Node, eventually};
use super::webhook::{Received, read};

mod slow;

/// How often the program is killed.
const KILLS: u64 = 4;
/// Rows that are acknowledged in each life, at least.
const ROWS: u64 = 60;
const TABLE: &str = "CREATE KEYSPACE k;
    CREATE TABLE k.t (device TEXT, n BIGINT, temp DOUBLE, PRIMARY KEY ((device), n))";

/// Whether somebody asks about the address alone, which is answered.
fn is_there(request: &Received, stream: &mut TcpStream) -> bool {
    let asks = request.line.starts_with("OPTIONS ");
    if asks {
        let _ = stream.write_all(b"HTTP/1.1 204 ok\r\nconnection: close\r\n\r\n");
    }
    asks
}

/// A receiver that takes events and misbehaves in all ways, by turns; what it was given and has said that it took.
fn moody(listener: TcpListener) -> Arc<Mutex<Vec<Value>>> {
    let taken = Arc::new(Mutex::new(Vec::new()));
    let kept = taken.clone();
    std::thread::spawn(move || {
        let mut turn = 0;
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else {
                return;
            };
            let Some(request) = read(&mut stream) else {
                continue;
            };
            if is_there(&request, &mut stream) {
                continue;
            }
            turn += 1;
            match turn % 6 {
                // Breaks off without a word, in the middle of its answer, or says that it has no time.
                1 => continue,
                2 => {
                    let _ = stream.write_all(b"HTTP/1.1 2");
                    continue;
                }
                3 => {
                    let _ = stream.write_all(
                        b"HTTP/1.1 503 no\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n",
                    );
                    continue;
                }
                4 => std::thread::sleep(Duration::from_millis(300)),
                _ => {}
            }
            // What it has noted is what it has.
            let events: Vec<Value> = serde_json::from_str(&request.body).unwrap();
            kept.lock().unwrap().extend(events);
            if turn % 6 != 5 {
                let _ = stream.write_all(
                    b"HTTP/1.1 204 ok\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
                );
            }
        }
    });
    taken
}

/// Writes rows of two devices, each with numbers that rise, until nobody answers; how many were answered.
fn write(url: &str, next: &AtomicU64, stop: &AtomicBool) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(true)
        .build()
        .into();
    while !stop.load(Ordering::Relaxed) {
        let n = next.load(Ordering::Relaxed);
        let temp = if n.is_multiple_of(5) { 20 } else { 90 };
        let sql = format!(
            "INSERT INTO k.t (device, n, temp) VALUES ('d{}', {n}, {temp})",
            n % 2
        );
        let sent = agent
            .post(format!("{url}/v1/sql"))
            .send_json(serde_json::json!({ "sql": sql }));
        if sent.is_err() {
            return;
        }
        next.fetch_add(1, Ordering::Relaxed);
    }
}

/// Every event once at least, and those of a key in order: a number that is new is higher than all before.
fn check(events: &[Value], upto: u64) {
    let mut highest: BTreeMap<String, u64> = BTreeMap::new();
    let mut seen: BTreeMap<u64, String> = BTreeMap::new();
    for event in events {
        assert_eq!(event["op"], "upsert");
        let n = event["row"]["n"].as_u64().unwrap();
        let id = event["id"].as_str().unwrap().to_owned();
        let device = event["row"]["device"].as_str().unwrap().to_owned();
        assert_eq!(device, format!("d{}", n % 2));
        if let Some(before) = seen.insert(n, id.clone()) {
            assert_eq!(before, id, "an event that is told again has another id");
            continue;
        }
        let last = highest.insert(device, n);
        assert!(last.is_none_or(|last| last < n), "{n} came behind {last:?}");
    }
    for n in (0..upto).filter(|n| !n.is_multiple_of(5)) {
        assert!(seen.contains_key(&n), "{n} of {upto} never arrived");
    }
    assert!(seen.keys().all(|n| !n.is_multiple_of(5)));
}

#[test]
fn every_event_arrives_in_order_however_often_node_and_receiver_fail() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let taken = moody(listener);
    let mut node = Node::start(dir.path(), &[]);
    node.execute(TABLE);
    node.execute(&format!(
        "CREATE SINK hot TO 'http://{address}/hook' WITH (batch = 7, timeout = '2 s', max_retry = '1 s', header_authorization = 'Bearer s3cret')
         AS SELECT device, n FROM k.t WHERE temp > 80"
    ));
    let next = AtomicU64::new(0);
    for life in 1..=KILLS {
        let stop = AtomicBool::new(false);
        let url = node.url();
        std::thread::scope(|scope| {
            scope.spawn(|| write(&url, &next, &stop));
            eventually("writes", || {
                (next.load(Ordering::Relaxed) >= life * ROWS).then_some(())
            });
            // Its end is SIGKILL, with requests under way.
            drop(node);
            stop.store(true, Ordering::Relaxed);
        });
        node = Node::start(dir.path(), &[]);
        // The row that was under way when it was killed may be there.
        let newest = node.rows("SELECT max(n) FROM k.t");
        next.store(newest[0].parse::<u64>().unwrap() + 1, Ordering::Relaxed);
    }
    eventually("all events", || {
        (node.rows("SELECT state, waiting FROM system.sinks") == ["current,0"]).then_some(())
    });
    let taken = taken.lock().unwrap().clone();
    check(&taken, next.load(Ordering::Relaxed));
    let shown = node.rows("SHOW SINKS").join("\n");
    assert!(
        shown.contains(&address.to_string())
            && !shown.contains("s3cret")
            && !shown.contains("/hook"),
        "{shown}"
    );
    assert_eq!(
        node.rows("SELECT refused + skipped FROM system.sinks"),
        ["0"]
    );
    assert_eq!(node.stop(), Some(0));
}

/// A receiver that takes what `take` says it takes, and breaks off upon the rest.
fn hook(mut take: impl FnMut(Value) -> bool + Send + 'static) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let Some(request) = read(&mut stream) else {
                continue;
            };
            if is_there(&request, &mut stream) {
                continue;
            }
            if take(serde_json::from_str(&request.body).unwrap()) {
                let _ = stream.write_all(
                    b"HTTP/1.1 204 ok\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
                );
            }
        }
    });
    address
}

#[test]
fn an_event_that_a_hook_chokes_on_and_one_without_words_hold_up_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let taken = Arc::new(Mutex::new(Vec::new()));
    let kept = taken.clone();
    let address = hook(move |event| {
        let n = event["row"]["n"].as_u64().unwrap();
        if n != 4 {
            kept.lock().unwrap().push(n);
        }
        n != 4
    });
    let node = Node::start(dir.path(), &[]);
    node.execute(TABLE);
    // A map by numbers has no form in JSON.
    node.execute(&format!(
        "CREATE SINK hot TO 'http://{address}/' WITH (attempts = 3, max_retry = '1 s', refused_into = 'k.refused') AS
         SELECT n, CASE WHEN n = 2 THEN map(make_array(n), make_array(temp)) END AS m FROM k.t"
    ));
    node.execute("INSERT INTO k.t (device, n, temp) VALUES ('a', 1, 1), ('a', 2, 1), ('a', 3, 1), ('a', 4, 1), ('a', 5, 1)");
    eventually("the last event", || {
        let stands = node.rows("SELECT state, sent, refused, skipped FROM system.sinks");
        (stands == ["current,3,2,0"]).then_some(())
    });
    assert_eq!(*taken.lock().unwrap(), [1, 3, 5]);
    let reasons = node.rows("SELECT reason, event IS NULL FROM k.refused ORDER BY event");
    assert_eq!(reasons.len(), 2);
    assert!(
        reasons[0].contains("broke off upon it 3 times") && reasons[0].ends_with("false"),
        "{reasons:?}"
    );
    assert!(
        reasons[1].contains("cannot be put into words") && reasons[1].ends_with("true"),
        "{reasons:?}"
    );
    assert_eq!(node.stop(), Some(0));
}

#[test]
fn a_node_is_the_broker_of_another_and_both_are_killed() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("broker.toml");
    // Nobody is behind it yet, and the broker comes back to it.
    let door = Door::new();
    std::fs::write(
        &config,
        "[[mqtt.topics]]\ntopic = \"plant/+/hot\"\ntable = \"k.got\"\nformat = \"json\"\n",
    )
    .unwrap();
    let config = config.to_str().unwrap().to_owned();
    let address = door.address();
    let broker_dir = dir.path().join("broker");
    let start_broker = || {
        let broker = Node::start(&broker_dir, &["--config", &config, "--mqtt", "127.0.0.1:0"]);
        door.leads_to(Some(Place::Port(broker.listener("mqtt"))));
        broker
    };
    let node_dir = dir.path().join("node");
    let node = Node::start(&node_dir, &[]);
    node.execute(TABLE);
    node.execute(&format!(
        "CREATE SINK out TO 'mqtt://{address}/plant/{{device}}/hot' WITH (timeout = '2 s', max_retry = '1 s')
         AS SELECT device, n FROM k.t WHERE temp > 80"
    ));
    let insert = |node: &Node, from: u64| {
        let rows: Vec<String> = (from..from + 50)
            .map(|n| format!("('d{}', {n}, 90)", n % 2))
            .collect();
        node.execute(&format!(
            "INSERT INTO k.t (device, n, temp) VALUES {}",
            rows.join(", ")
        ));
    };
    insert(&node, 0);
    eventually("a failure", || {
        (node.rows("SELECT state FROM system.sinks") == ["failing"]).then_some(())
    });
    drop(node);
    let broker = start_broker();
    broker.execute(
        "CREATE KEYSPACE k; CREATE TABLE k.got (id TEXT, op TEXT, sink TEXT, row JSON, PRIMARY KEY ((id)))",
    );
    let node = Node::start(&node_dir, &[]);
    insert(&node, 50);
    let sent = |node: &Node| node.rows("SELECT sent >= 100, state FROM system.sinks");
    eventually("the first hundred", || {
        (sent(&node) == ["true,current"]).then_some(())
    });
    door.leads_to(None);
    drop(broker);
    insert(&node, 100);
    let broker = start_broker();
    eventually("the rest", || {
        let count = broker.rows("SELECT count(*) FROM k.got WHERE op = 'upsert' AND sink = 'out'");
        (count == ["150"]).then_some(())
    });
    assert_eq!(node.stop(), Some(0));
    assert_eq!(broker.stop(), Some(0));
}

/// A mosquitto behind a port that is held, of a directory of its own; killed at the end.
struct Mosquitto(Child, Door);

impl Mosquitto {
    /// Starts one; `None` where it is not installed, which is said.
    fn start(dir: &std::path::Path) -> Option<Mosquitto> {
        let passwords = dir.join("passwords");
        let made = Command::new("mosquitto_passwd")
            .args(["-b", "-c"])
            .arg(&passwords)
            .args(["alarms", "open sesame"])
            .status();
        let clients = Command::new("mosquitto_sub").arg("--help").output();
        if made.is_err() || clients.is_err() {
            eprintln!("skipped: mosquitto is not installed (Debian: mosquitto mosquitto-clients)");
            return None;
        }
        assert!(made.unwrap().success(), "mosquitto_passwd");
        let (config, socket) = (dir.join("mosquitto.conf"), dir.join("socket"));
        let text = format!(
            "listener 0 {}\nallow_anonymous false\npassword_file {}\nuser root\n",
            socket.display(),
            passwords.display()
        );
        std::fs::write(&config, text).unwrap();
        let child = Command::new("mosquitto")
            .arg("-c")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let broker = Mosquitto(child, Door::new());
        eventually("a broker", || UnixStream::connect(&socket).ok().map(drop));
        broker.1.leads_to(Some(Place::Socket(socket)));
        Some(broker)
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn mosquitto_takes_what_a_sink_publishes() {
    let dir = tempfile::tempdir().unwrap();
    let Some(broker) = Mosquitto::start(dir.path()) else {
        return;
    };
    let node = Node::start(&dir.path().join("node"), &[]);
    node.execute(TABLE);
    node.execute(&format!(
        "CREATE SINK out TO 'mqtt://127.0.0.1:{}/plant/{{device}}' WITH (user = 'alarms', password = 'wrong', retain = true, max_retry = '1 s')
         AS SELECT device, n FROM k.t",
        broker.1.address().port()
    ));
    node.execute("INSERT INTO k.t (device, n) VALUES ('a', 1), ('b', 2), ('a', 3)");
    eventually("a refusal", || {
        let said = node.rows("SELECT last_error FROM system.sinks").join("");
        (said.contains("password") || said.contains("may not connect")).then_some(())
    });
    node.execute("ALTER SINK out SET (password = 'open sesame')");
    eventually("three messages", || {
        (node.rows("SELECT sent, state FROM system.sinks") == ["3,current"]).then_some(())
    });
    // They are retained: the last of each topic.
    let got = Command::new("mosquitto_sub")
        .args([
            "-h",
            "127.0.0.1",
            "-p",
            &broker.1.address().port().to_string(),
            "-u",
            "alarms",
            "-P",
            "open sesame",
        ])
        .args(["-t", "plant/#", "-v", "-C", "2", "-W", "30"])
        .output()
        .unwrap();
    let got = String::from_utf8(got.stdout).unwrap();
    assert!(
        got.contains("plant/a {\"sink\":\"out\",\"op\":\"upsert\""),
        "{got}"
    );
    assert!(got.contains("\"row\":{\"device\":\"a\",\"n\":3}"), "{got}");
    assert!(got.contains("\"row\":{\"device\":\"b\",\"n\":2}"), "{got}");
    assert_eq!(node.stop(), Some(0));
}
