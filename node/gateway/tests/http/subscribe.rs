//! Rows as they are written, over each of the wires; what ends a subscription, and what strange requests get.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::time::Duration;

use tungstenite::Message;

use super::auth::{ADMIN, as_admin, guarded};
use super::*;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The lines of an answer without an end.
struct Events(std::io::Lines<BufReader<Box<dyn Read>>>);

impl Events {
    fn begin(node: &Node, sql: &str, headers: &[(&str, &str)], rest: &[(&str, &str)]) -> Events {
        let reply = Events::ask(node, sql, headers, rest);
        assert_eq!(reply.status(), 200);
        let reader: Box<dyn Read> = Box::new(
            reply
                .into_body()
                .into_with_config()
                .limit(u64::MAX)
                .reader(),
        );
        Events(BufReader::new(reader).lines())
    }

    fn ask(
        node: &Node,
        sql: &str,
        headers: &[(&str, &str)],
        rest: &[(&str, &str)],
    ) -> ureq::http::Response<ureq::Body> {
        let mut request = node
            .agent
            .get(format!("{}/v1/subscribe", node.base))
            .config()
            .timeout_global(Some(PATIENCE))
            .build()
            .query("sql", sql);
        for (name, value) in rest {
            request = request.query(*name, *value);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.call().unwrap()
    }

    fn line(&mut self) -> String {
        self.0.next().expect("another line").unwrap()
    }

    /// The next line of JSON.
    fn json(&mut self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }

    /// The next server-sent event: its lines.
    fn event(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line();
            if line.is_empty() {
                return lines;
            }
            lines.push(line);
        }
    }
}

const HOT: &str = "SUBSCRIBE SELECT device, temp FROM plant.readings WHERE temp > 80";
const LINES: [(&str, &str); 1] = [("format", "ndjson")];

#[test]
fn events_come_and_go_on_behind_the_last_one() {
    let node = Node::with_readings();
    let mut events = Events::begin(&node, HOT, &[("accept", "text/event-stream")], &[]);
    let live = events.event();
    assert_eq!(live[1], "event: live");
    node.sql("INSERT INTO plant.readings (device, ts, temp) VALUES ('a', '2026-01-01', 90), ('b', '2026-01-01', 10), ('c', '2026-01-01', 91)");
    let first = events.event();
    let id = first[0].strip_prefix("id: ").unwrap().to_owned();
    assert_eq!(first[1], "event: upsert");
    let data: Value = serde_json::from_str(first[2].strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(
        data,
        json!({"op": "upsert", "id": id, "row": {"device": "a", "temp": 90.0}})
    );
    drop(events);
    // The way a browser comes back, and the same in the address; the header knows better.
    node.sql("DELETE FROM plant.readings WHERE device = 'c' AND ts = '2026-01-01'");
    let again = |headers: &[(&str, &str)], rest: &[(&str, &str)]| {
        let mut events = Events::begin(&node, HOT, headers, rest);
        assert_eq!(events.event()[0], format!("id: {id}"));
        // What is told is how rows are now: of the row that is gone only that it is.
        let told = events.event();
        assert_eq!(told[1], "event: delete");
        let key = "\"key\":{\"device\":\"c\",\"ts\":\"2026-01-01T00:00:00Z\"}";
        assert!(told[2].contains(key), "{told:?}");
    };
    again(&[("last-event-id", &id)], &[]);
    again(&[], &[("from", &id)]);
    let begin = live[0].strip_prefix("id: ").unwrap();
    again(&[("last-event-id", &id)], &[("from", begin)]);
}

#[test]
fn lines_and_messages_say_the_same() {
    let node = Node::with_readings();
    node.sql("INSERT INTO plant.readings (device, ts, temp) VALUES ('old', '2026-01-01', 99)");
    let sql = format!("{HOT} WITH (snapshot = true)");
    let mut lines = Events::begin(&node, &sql, &[], &LINES);
    let (mut socket, response) = socket(&node, &sql, &[]).unwrap();
    assert_eq!(response, 101);
    let mut message = || -> Value {
        loop {
            if let Message::Text(text) = socket.read().unwrap() {
                return serde_json::from_str(&text).unwrap();
            }
        }
    };
    let old = json!({"op": "snapshot", "row": {"device": "old", "temp": 99.0}});
    assert_eq!([lines.json(), message()], [old.clone(), old]);
    assert_eq!(lines.json()["op"], "live");
    assert_eq!(message()["op"], "live");
    node.sql("INSERT INTO plant.readings (device, ts, temp) VALUES ('new', '2026-01-01', 88)");
    node.sql("DELETE FROM plant.readings WHERE device = 'old'");
    for _ in 0..2 {
        assert_eq!(lines.json(), message());
    }
    socket.close(None).unwrap();
    drop(lines);
    // Both are gone once the node has noticed.
    let until = std::time::Instant::now() + PATIENCE;
    while !node
        .get("/metrics")
        .text
        .contains("activestore_subscribers 0\n")
    {
        assert!(std::time::Instant::now() < until, "a subscriber stays");
        std::thread::sleep(Duration::from_millis(5));
    }
}

type Socket = tungstenite::WebSocket<TcpStream>;

/// A WebSocket, or the status that it was refused with.
fn socket(node: &Node, sql: &str, headers: &[(&str, &str)]) -> Result<(Socket, u16), u16> {
    let address = node.base.strip_prefix("http://").unwrap();
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let encoded: String = sql.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let mut request = tungstenite::handshake::client::Request::builder()
        .uri(format!("ws://{address}/v1/subscribe?sql={encoded}"))
        .header("host", address)
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    match tungstenite::client(request.body(()).unwrap(), stream) {
        Ok((socket, response)) => Ok((socket, response.status().as_u16())),
        Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(response))) => {
            Err(response.status().as_u16())
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn silence_is_broken_and_moves_the_place_on() {
    let node = Node::with(|options| options.heartbeat = Duration::from_millis(30));
    node.sql("CREATE KEYSPACE plant; CREATE TABLE plant.readings (device TEXT, ts TIMESTAMP, temp DOUBLE, n BIGINT, PRIMARY KEY ((device), ts))");
    let mut events = Events::begin(&node, HOT, &[], &[]);
    let mut lines = Events::begin(&node, HOT, &[], &LINES);
    let live = events.event()[0].clone();
    assert_eq!(lines.json()["op"], "live");
    node.sql("INSERT INTO plant.readings (device, ts, temp) VALUES ('cold', '2026-01-01', 1)");
    // Nothing that is asked for; still a place behind it comes, as an id without an event.
    let beat = loop {
        let event = events.event();
        if event.len() == 2 && event[1] != live {
            break event;
        }
    };
    assert_eq!(beat[0], ": beat");
    let id = beat[1].strip_prefix("id: ").unwrap();
    let beat = loop {
        let beat = lines.json();
        assert_eq!(beat["op"], "beat");
        if beat["id"] == id {
            break beat;
        }
    };
    assert!(beat.get("row").is_none());
    let mut again = Events::begin(&node, HOT, &[], &[("from", id)]);
    assert_eq!(again.event()[0], format!("id: {id}"));
}

#[test]
fn strange_requests_are_refused_in_a_sentence() {
    let node = Node::with_readings();
    let deep = format!(
        "SELECT {}1{} FROM plant.readings",
        "(".repeat(5_000),
        ")".repeat(5_000)
    );
    for (sql, rest, status, words) in [
        ("", &[][..], 400, "what to subscribe to"),
        ("SELECT", &[], 400, "xpected"),
        ("SELECT 1; SELECT 2", &[], 400, "one query"),
        ("DROP TABLE plant.readings", &[], 400, "only a query"),
        (
            "SELECT avg(temp) FROM plant.readings",
            &[],
            400,
            "materialized views",
        ),
        ("SELECT * FROM plant.nothing", &[], 404, "plant.nothing"),
        ("SELECT nix FROM plant.readings", &[], 404, "nix"),
        (
            "SUBSCRIBE SELECT * FROM plant.readings WITH (on_slow = 'wait')",
            &[],
            400,
            "disconnect",
        ),
        (
            "SELECT * FROM plant.readings WHERE temp > $1",
            &[],
            400,
            "$1",
        ),
        (
            "SELECT * FROM plant.readings",
            &[("params", "{}")],
            400,
            "array",
        ),
        (
            "SELECT * FROM plant.readings",
            &[("format", "arrow")],
            400,
            "arrow",
        ),
        (
            "SELECT * FROM plant.readings",
            &[("from", "../../etc")],
            400,
            "token",
        ),
        (&deep, &[], 400, "nested"),
    ] {
        let reply = reply(Events::ask(&node, sql, &[], rest));
        let hint = reply.json()["error"]["hint"].to_string();
        let short: String = sql.chars().take(40).collect();
        assert_eq!(reply.status, status, "{short}: {}", reply.text);
        assert!(
            reply.text.contains(words) || hint.contains(words),
            "{short}: {}",
            reply.text
        );
    }
    let long = format!("SELECT '{}' FROM plant.readings", "x".repeat(20_000));
    let long = reply(Events::ask(&node, &long, &[], &[]));
    assert!(
        long.status == 400 && long.text.contains("longer"),
        "{}",
        long.text
    );
    // A page from elsewhere, and a handshake that is none.
    assert_eq!(
        socket(&node, HOT, &[("origin", "http://evil.example")]).err(),
        Some(403)
    );
    assert_eq!(socket(&node, "SELECT 1", &[]).err(), Some(400));
    let half = reply(Events::ask(&node, HOT, &[("upgrade", "websocket")], &[]));
    assert_eq!(half.status, 400, "{}", half.text);
    // A client that floods a socket is cut off; others are unharmed.
    let (mut flood, _) = socket(&node, HOT, &[]).unwrap();
    let sent = (0..64).try_for_each(|_| flood.send(Message::Binary(vec![0; 1 << 20].into())));
    let cut = sent.is_err()
        || std::iter::repeat_with(|| flood.read())
            .take(100)
            .any(|said| said.is_err());
    assert!(cut, "it is still listened to");
    let mut events = Events::begin(&node, HOT, &[], &LINES);
    assert_eq!(events.json()["op"], "live");
}

#[test]
fn a_token_that_is_revoked_and_a_grant_that_is_taken_end_it() {
    let node = guarded(|options| options.heartbeat = Duration::from_millis(30));
    let asked = |authorization: &str| {
        let headers = [("authorization", authorization)];
        Events::ask(&node, HOT, &headers, &LINES).status().as_u16()
    };
    assert_eq!(Events::ask(&node, HOT, &[], &[]).status(), 401);
    assert_eq!(asked("Basic d3JpdGVyOnc="), 403, "may write, and not read");
    let made = as_admin(&node, "CREATE TOKEN FOR reader");
    let column = |name: &str| {
        let columns = made["columns"].as_array().unwrap();
        let place = columns.iter().position(|column| column["name"] == name);
        made["rows"][0][place.unwrap()].as_str().unwrap().to_owned()
    };
    let bearer = format!("Bearer {}", column("token"));
    let headers = [("authorization", bearer.as_str())];
    let mut events = Events::begin(&node, HOT, &headers, &LINES);
    assert_eq!(events.json()["op"], "live");
    as_admin(&node, &format!("DROP TOKEN '{}'", column("id")));
    let end = loop {
        let event = events.json();
        if event["op"] != "beat" {
            break event;
        }
    };
    assert_eq!(
        (&end["op"], &end["error"]["code"]),
        (&json!("end"), &json!("denied"))
    );
    assert!(events.0.next().is_none(), "the answer ends");
    let reader = [("authorization", "Basic cmVhZGVyOnI=")];
    let mut events = Events::begin(&node, HOT, &reader, &LINES);
    assert_eq!(events.json()["op"], "live");
    as_admin(&node, "REVOKE SELECT ON plant.readings FROM reader");
    let insert = "INSERT INTO plant.readings VALUES ('a', '2026-01-01', 99)";
    let headers = [("authorization", ADMIN), ("content-type", "text/plain")];
    assert_eq!(
        node.post("/v1/sql", &headers, insert.as_bytes()).status,
        200
    );
    loop {
        let event = events.json();
        assert_ne!(event["op"], "upsert");
        if event["op"] == "end" {
            assert_eq!(event["error"]["code"], "denied");
            break;
        }
    }
}

#[test]
fn a_stopping_gateway_ends_subscriptions_and_holds_no_place_for_them() {
    let mut node = Node::with(|options| options.requests_max = 2);
    node.sql("CREATE KEYSPACE plant; CREATE TABLE plant.readings (device TEXT, ts TIMESTAMP, temp DOUBLE, n BIGINT, PRIMARY KEY ((device), ts))");
    // More than there may be requests at once.
    let mut all: Vec<Events> = (0..6)
        .map(|_| Events::begin(&node, HOT, &[], &LINES))
        .collect();
    node.sql("INSERT INTO plant.readings (device, ts, temp) VALUES ('a', '2026-01-01', 90)");
    let started = std::time::Instant::now();
    let gateway = node.gateway.take().unwrap();
    node.runtime.block_on(gateway.shutdown());
    assert!(
        started.elapsed() < Duration::from_secs(9),
        "they were waited for"
    );
    for events in &mut all {
        let mut ops = Vec::new();
        while let Some(Ok(line)) = events.0.next() {
            let event: Value = serde_json::from_str(&line).unwrap();
            ops.push(event["op"].as_str().unwrap().to_owned());
        }
        assert_eq!(ops.first().map(String::as_str), Some("live"));
        assert_eq!(ops.last().map(String::as_str), Some("end"), "{ops:?}");
    }
}
