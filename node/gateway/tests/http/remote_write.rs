//! Prometheus remote write: what a sender meets, whose samples are whole, in part or not what they should be.

use super::auth::{ADMIN, WRITER, as_admin, guarded};
use super::*;

#[path = "../../../ingest/src/prometheus/tests/wire.rs"]
mod wire;

use wire::{Told, bytes, request, request_v2, series};

const PATH: &str = "/api/v1/write";

const HEADERS: [(&str, &str); 3] = [
    ("content-encoding", "snappy"),
    ("content-type", "application/x-protobuf"),
    ("x-prometheus-remote-write-version", "0.1.0"),
];

const HEADERS_V2: [(&str, &str); 2] = [
    ("content-encoding", "snappy"),
    (
        "content-type",
        "application/x-protobuf;proto=io.prometheus.write.v2.Request",
    ),
];

fn packed(message: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(message).unwrap()
}

fn up(ms: i64, value: f64) -> Vec<u8> {
    let labels = [("__name__", "up"), ("instance", "a:1"), ("job", "node")];
    series(&labels, &[(ms, value)])
}

fn figure(node: &Node, name: &str) -> f64 {
    let page = node.get("/metrics").text;
    let line = page.lines().find(|line| line.starts_with(name)).unwrap();
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

/// One line of text, as a sender logs it.
fn is_told(reply: &Reply, status: u16, text: &str) {
    assert_eq!(reply.status, status, "{}", reply.text);
    assert!(reply.text.contains(text), "{}", reply.text);
    assert_eq!(reply.text.trim_end().lines().count(), 1, "{}", reply.text);
    assert_eq!(reply.headers["content-type"], "text/plain; charset=utf-8");
}

#[test]
fn samples_of_both_versions_are_durable_when_204_comes() {
    let node = Node::start();
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    let body = packed(&request(&[
        up(1_767_225_600_000, 1.0),
        up(1_767_225_615_000, stale),
    ]));
    let reply = node.post(PATH, &HEADERS, &body);
    assert_eq!(reply.status, 204, "{}", reply.text);
    // Older than what is there, and of the other version.
    let labels = [("__name__", "up"), ("instance", "a:1"), ("job", "node")];
    let told: [Told<'_>; 1] = [(&labels, &[(1_767_225_590_000, 0.0)])];
    let reply = node.post(PATH, &HEADERS_V2, &packed(&request_v2(&told)));
    assert_eq!(reply.status, 204, "{}", reply.text);
    let written = "x-prometheus-remote-write-samples-written";
    assert_eq!(reply.headers[written], "1");
    // Sent again, as after an answer that was lost.
    assert_eq!(node.post(PATH, &HEADERS, &body).status, 204);
    assert_eq!(
        node.rows("SELECT time, job, instance, value, stale FROM prometheus.up ORDER BY time"),
        json!([
            ["2025-12-31T23:59:50Z", "node", "a:1", 0.0, null],
            ["2026-01-01T00:00:00Z", "node", "a:1", 1.0, null],
            ["2026-01-01T00:00:15Z", "node", "a:1", null, true]
        ])
    );
    assert_eq!(figure(&node, "activestore_remote_write_samples_total"), 5.0);
    assert_eq!(
        figure(&node, "activestore_remote_write_stale_markers_total"),
        2.0
    );

    let reply = node.post(
        "/api/v1/write?keyspace=plant&table=samples",
        &HEADERS,
        &body,
    );
    assert_eq!(reply.status, 204, "{}", reply.text);
    assert_eq!(
        node.rows("SELECT metric, _series, count(*) FROM plant.samples GROUP BY metric, _series"),
        json!([["up", "__name__=up,instance=a:1,job=node", 2]])
    );
    // Nothing at all is nothing wrong.
    assert_eq!(node.post(PATH, &HEADERS, &packed(b"")).status, 204);
}

#[test]
fn of_a_request_in_part_the_rest_is_stored() {
    let node = Node::start();
    let nameless = series(&[("job", "x")], &[(1, 1.0)]);
    let reply = node.post(PATH, &HEADERS, &packed(&request(&[nameless, up(1, 1.0)])));
    is_told(
        &reply,
        400,
        "1 series of the request are refused and the rest is stored",
    );
    assert!(reply.text.contains("no __name__"), "{}", reply.text);
    assert_eq!(
        reply.headers["x-prometheus-remote-write-samples-written"],
        "1"
    );
    let mut histogram = up(2, 1.0);
    bytes(4, b"", &mut histogram);
    let reply = node.post(PATH, &HEADERS, &packed(&request(&[histogram])));
    is_told(
        &reply,
        400,
        "1 native histograms of the request are left out",
    );
    assert_eq!(
        node.rows("SELECT count(*) FROM prometheus.up"),
        json!([[2]])
    );
    assert_eq!(
        figure(&node, "activestore_remote_write_series_refused_total"),
        1.0
    );
    assert_eq!(
        figure(&node, "activestore_remote_write_requests_refused_total"),
        2.0
    );
}

#[test]
fn a_table_that_does_not_take_its_samples_costs_no_other_metric_a_sample() {
    let node = Node::start();
    // By line protocol, where a number with an i is BIGINT; and a table that grows no columns.
    let lines = "cpu,host=a value=1i 1\n".as_bytes();
    let reply = node.post("/api/v2/write?org=o&bucket=prometheus", &[], lines);
    assert_eq!(reply.status, 204, "{}", reply.text);
    node.sql(
        "CREATE TABLE prometheus.fixed (_series TEXT, time TIMESTAMP, value DOUBLE, PRIMARY KEY ((_series), time))",
    );
    let of = |metric: &str, value: f64| {
        let labels = [("__name__", metric), ("job", "node")];
        series(&labels, &[(1, value)])
    };
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    let metrics = ["a", "b", "cpu", "c", "fixed", "d", "e"];
    let mut all: Vec<_> = metrics.iter().map(|metric| of(metric, 0.5)).collect();
    all.push(series(&[("job", "nameless")], &[(1, 1.0)]));
    all.push(of("fixed", stale));
    let reply = node.post(PATH, &HEADERS, &packed(&request(&all)));
    is_told(
        &reply,
        400,
        "1 series and all samples for 2 tables of the request are refused and the rest is stored",
    );
    let written = "x-prometheus-remote-write-samples-written";
    assert_eq!(reply.headers[written], "5");
    for metric in ["a", "b", "c", "d", "e"] {
        assert_eq!(
            node.rows(&format!("SELECT value FROM prometheus.{metric}")),
            json!([[0.5]])
        );
    }
    assert_eq!(node.rows("SELECT value FROM prometheus.cpu"), json!([[1]]));
    for (name, value) in [
        ("samples_total", 5.0),
        ("stale_markers_total", 0.0),
        ("series_refused_total", 1.0),
        ("tables_refused_total", 2.0),
    ] {
        let name = format!("activestore_remote_write_{name}");
        assert_eq!(figure(&node, &name), value, "{name}");
    }

    // Alone it is told as the table tells it.
    let reply = node.post(PATH, &HEADERS, &packed(&request(&[of("cpu", 0.5)])));
    is_told(&reply, 400, "'value'");
    assert_eq!(reply.headers[written], "0");
}

#[test]
fn a_wrong_sample_costs_no_other_of_the_one_table_for_all() {
    let node = Node::start();
    // It grows no columns.
    node.sql(
        "CREATE KEYSPACE plant; CREATE TABLE plant.all (_series TEXT, time TIMESTAMP, metric TEXT, job TEXT, value DOUBLE, PRIMARY KEY ((_series), time))",
    );
    let of = |metric: &str, label: &str, value: f64| {
        series(&[("__name__", metric), (label, "x")], &[(1, value)])
    };
    let all = [
        of("a", "job", 1.0),
        of("b", "zone", 2.0),
        of("c", "job", 3.0),
        of("d", "job", 4.0),
    ];
    let path = "/api/v1/write?keyspace=plant&table=all";
    let reply = node.post(path, &HEADERS, &packed(&request(&all)));
    is_told(
        &reply,
        400,
        "1 sample of the request are refused and the rest is stored",
    );
    assert!(reply.text.contains("'zone'"), "{}", reply.text);
    let written = "x-prometheus-remote-write-samples-written";
    assert_eq!(reply.headers[written], "3");
    assert_eq!(
        node.rows("SELECT metric, value FROM plant.all ORDER BY value"),
        json!([["a", 1.0], ["c", 3.0], ["d", 4.0]])
    );
    for (name, value) in [("samples", 1.0), ("tables", 0.0)] {
        let name = format!("activestore_remote_write_{name}_refused_total");
        assert_eq!(figure(&node, &name), value, "{name}");
    }
}

#[test]
fn what_is_no_remote_write_is_refused_and_nothing_is_kept() {
    let node = Node::with(|options| options.body_bytes_max = 64 * 1024);
    let message = request(&[up(1, 1.0)]);
    let whole = packed(&message);
    for cut in 0..whole.len() {
        is_told(
            &node.post(PATH, &HEADERS, &whole[..cut]),
            400,
            "not a whole snappy block",
        );
    }
    for cut in [1, 2, message.len() / 2, message.len() - 1] {
        let reply = node.post(PATH, &HEADERS, &packed(&message[..cut]));
        is_told(&reply, 400, "not a message of remote write");
    }
    for text in [
        &b"up 12\n"[..],
        &[0x0b, 0x0c],
        &[0x0a, 0xff, 0xff],
        &[0; 100],
    ] {
        let reply = node.post(PATH, &HEADERS, &packed(text));
        is_told(&reply, 400, "not a message of remote write");
    }
    // It unpacks to a megabyte, and says so; and it says that it unpacks to four gigabytes, and does not.
    let bomb = packed(&vec![0; 1 << 20]);
    assert!(bomb.len() < 64 * 1024);
    is_told(
        &node.post(PATH, &HEADERS, &bomb),
        413,
        "unpacks to 1048576 bytes",
    );
    let claim = [0xff, 0xff, 0xff, 0xff, 0x0f, 0];
    is_told(&node.post(PATH, &HEADERS, &claim), 400, "snappy");
    is_told(
        &node.post(PATH, &HEADERS, &vec![0; 100 * 1024]),
        413,
        "larger than",
    );

    let with = |encoding, kind| {
        let headers = [("content-encoding", encoding), ("content-type", kind)];
        node.post(PATH, &headers, &whole)
    };
    is_told(&with("gzip", HEADERS[1].1), 415, "Content-Encoding: snappy");
    is_told(&with("snappy", "text/plain"), 415, "application/x-protobuf");
    let other = "application/x-protobuf;proto=io.prometheus.write.v3.Request";
    is_told(
        &with("snappy", other),
        415,
        "'io.prometheus.write.v3.Request'",
    );
    let reply = node.post("/api/v1/write?bucket=x", &HEADERS, &whole);
    is_told(&reply, 400, "'bucket'");
    let reply = node.post("/api/v1/write?keyspace=system", &HEADERS, &whole);
    is_told(&reply, 403, "belongs to the program");
    assert_eq!(
        node.rows("SELECT count(*) FROM system.tables WHERE keyspace = 'prometheus'"),
        json!([[0]])
    );
    assert_eq!(node.post(PATH, &HEADERS, &whole).status, 204);
}

#[test]
fn a_body_whose_length_is_not_announced_does_not_wait_for_itself() {
    // While its length is not known it holds all that there is.
    let node = Node::with(|options| {
        options.body_bytes_max = 64 << 10;
        options.bodies_bytes_max = 64 << 10;
    });
    let body = packed(&request(&[up(1, 1.0)]));
    let mut request = node.agent.post(format!("{}{PATH}", node.base));
    for (name, value) in HEADERS {
        request = request.header(name, value);
    }
    let reader = &mut body.as_slice();
    let reply = reply(request.send(ureq::SendBody::from_reader(reader)).unwrap());
    assert_eq!(reply.status, 204, "{}", reply.text);
}

#[test]
fn rows_are_made_in_the_room_that_all_bodies_share() {
    let node = Node::with(|options| {
        options.body_bytes_max = 1 << 20;
        options.bodies_bytes_max = 1_984 << 10;
    });
    let long = "x".repeat(2_000);
    let of = |samples: i64| {
        let samples: Vec<_> = (0..samples).map(|ms| (ms, 0.5)).collect();
        let labels = [("__name__", "m"), ("long", long.as_str())];
        packed(&request(&[series(&labels, &samples)]))
    };
    // Its rows come to more than half of what bodies may take.
    let reply = node.post(PATH, &HEADERS, &of(400));
    is_told(&reply, 400, "bytes of rows");
    // These to more than is usual.
    let body = of(150);
    assert_eq!(node.post(PATH, &HEADERS, &body).status, 204);

    // A client that sends nothing of the megabyte that it announces holds room for bodies alone.
    let address = node.base.strip_prefix("http://").unwrap();
    let mut slow = std::net::TcpStream::connect(address).unwrap();
    let head = "POST /v1/write?keyspace=plant HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048576\r\n\r\n";
    slow.write_all(head.as_bytes()).unwrap();
    assert_eq!(node.post(PATH, &HEADERS, &body).status, 204);
    drop(slow);
}

#[test]
fn overload_is_told_in_a_way_that_is_sent_again() {
    let node = Node::with(|options| options.requests_max = 0);
    let reply = node.post(PATH, &HEADERS, &packed(&request(&[up(1, 1.0)])));
    assert_eq!(reply.status, 503, "{}", reply.text);
    assert_eq!(reply.headers["retry-after"], "1");
}

#[test]
fn who_writes_has_to_log_in_and_to_have_the_right() {
    let node = guarded(|_| {});
    let body = packed(&request(&[up(1, 1.0)]));
    is_told(&node.post(PATH, &HEADERS, &body), 401, "without a login");
    let by = |authorization: &str, path: &str| {
        let headers: Vec<_> = HEADERS
            .into_iter()
            .chain([("authorization", authorization)])
            .collect();
        node.post(path, &headers, &body)
    };
    is_told(&by("Bearer ast_0000000000000000_00", PATH), 401, "");
    is_told(&by(WRITER, PATH), 403, "GRANT");
    as_admin(&node, "CREATE KEYSPACE prometheus");
    as_admin(
        &node,
        "GRANT INSERT, CREATE ON KEYSPACE prometheus TO writer",
    );
    let reply = by(WRITER, PATH);
    assert_eq!(reply.status, 204, "{}", reply.text);
    // A table on which the role has no right, beside one on which it has.
    let other = series(&[("__name__", "other")], &[(1, 1.0)]);
    let both = packed(&request(&[other, up(2, 1.0)]));
    let path = "/api/v1/write?keyspace=plant";
    as_admin(
        &node,
        "CREATE TABLE plant.up (_series TEXT, time TIMESTAMP, value DOUBLE, PRIMARY KEY ((_series), time)) WITH (flexible = true)",
    );
    let headers: Vec<_> = HEADERS
        .into_iter()
        .chain([("authorization", WRITER)])
        .collect();
    let reply = node.post(path, &headers, &both);
    is_told(&reply, 400, "all samples for 1 table of the request are");
    assert!(reply.text.contains("GRANT CREATE"), "{}", reply.text);
    let rows = as_admin(&node, "SELECT value FROM plant.up")["rows"].clone();
    assert_eq!(rows, json!([[1.0]]));
    assert_eq!(by(ADMIN, "/api/v1/write?keyspace=fresh").status, 204);
}
