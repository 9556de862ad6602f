//! Line protocol on each of its addresses: what is durable, what is refused, and how each kind of client is told.

use super::*;

#[test]
fn line_protocol_is_durable_when_204_comes() {
    let node = Node::start();
    let lines =
        "pump,device=p1 temp=21.5,on=true 1767225600000\npump,device=p2 temp=22.5 1767225601000\n";
    let reply = node.post(
        "/v1/write?keyspace=plant&precision=ms",
        &[],
        lines.as_bytes(),
    );
    assert_eq!(reply.status, 204, "{}", reply.text);
    assert_eq!(
        node.rows("SELECT device, temp, time FROM plant.pump ORDER BY device"),
        json!([
            ["p1", 21.5, "2026-01-01T00:00:00Z"],
            ["p2", 22.5, "2026-01-01T00:00:01Z"]
        ])
    );
    let packed = gzipped("pump,device=p3 temp=1 1767225602000\n");
    let reply = node.post(
        "/v1/write?keyspace=plant&precision=ms",
        &[("content-encoding", "gzip")],
        &packed,
    );
    assert_eq!(reply.status, 204, "{}", reply.text);
    assert_eq!(node.rows("SELECT count(*) FROM plant.pump"), json!([[3]]));
}

#[test]
fn a_bad_line_refuses_the_body_unless_parts_are_accepted() {
    let node = Node::start();
    let lines = b"m v=1 1\nm broken\nm v=2 2\n";
    let strict = node.post("/v1/write?keyspace=k", &[], lines);
    assert_eq!(strict.status, 400);
    assert!(
        strict.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("line 2")
    );
    assert_eq!(strict.json()["refused"][0]["line"], 2);
    let partial = node.post("/v1/write?keyspace=k&partial=accept", &[], lines);
    assert_eq!(partial.status, 200, "{}", partial.text);
    let answer = partial.json();
    assert_eq!(
        (&answer["rows"], &answer["rejected"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(node.rows("SELECT count(*) FROM k.m"), json!([[2]]));
    assert_eq!(
        node.post("/v1/write", &[], lines).status,
        400,
        "no keyspace"
    );
    assert_eq!(
        node.post("/v1/write?keyspace=k&precision=d", &[], lines)
            .status,
        400
    );
}

#[test]
fn influxdb_clients_are_answered_in_their_words() {
    let node = Node::start();
    let v2 = node.post(
        "/api/v2/write?bucket=k/autogen&org=x&precision=s",
        &[],
        b"m v=1 1",
    );
    assert_eq!(v2.status, 204, "{}", v2.text);
    let v1 = node.post("/write?db=k", &[], b"m v=1 1");
    assert_eq!(v1.status, 204, "{}", v1.text);
    let bad = node.post("/api/v2/write?bucket=k", &[], b"m");
    assert_eq!(bad.status, 400);
    let body = bad.json();
    assert_eq!(body["code"], "invalid");
    assert!(
        body["message"].as_str().unwrap().contains("line 1"),
        "{body}"
    );
    let dropped = node.post("/write?db=k&partial=accept", &[], b"m v=3 3\nm\n");
    assert_eq!(dropped.status, 400);
    let error = dropped.json()["error"].as_str().unwrap().to_owned();
    assert!(
        error.starts_with("partial write") && error.contains("dropped=1"),
        "{error}"
    );
}

#[test]
fn clients_of_influxdb_1_count_minutes_and_hours() {
    let node = Node::start();
    for (precision, time) in [("m", 29_453_760), ("h", 490_896), ("s", 1_767_225_600)] {
        let path = format!("/write?db=k&precision={precision}");
        let line = format!("m,unit={precision} v=1 {time}");
        let reply = node.post(&path, &[], line.as_bytes());
        assert_eq!(reply.status, 204, "{precision}: {}", reply.text);
    }
    assert_eq!(
        node.rows("SELECT time, count(*) FROM k.m GROUP BY time"),
        json!([["2026-01-01T00:00:00Z", 3]])
    );
}

#[test]
fn anybody_may_ask_whether_there_is_an_influxdb() {
    let node = Node::start();
    node.sql("CREATE ROLE admin WITH LOGIN SUPERUSER PASSWORD 'secret'");
    assert_eq!(node.get("/v1/status").status, 401);
    let url = format!("{}/ping", node.base);
    let head = reply(node.agent.head(url).call().unwrap());
    for answer in [node.get("/ping"), node.get("/ping?verbose=true"), head] {
        assert_eq!((answer.status, answer.text.as_str()), (204, ""));
        let version = concat!("activestore-", env!("CARGO_PKG_VERSION"));
        assert_eq!(answer.headers["x-influxdb-version"], version);
        assert_eq!(answer.headers["x-influxdb-build"], "activestore");
    }
    assert_eq!(node.post("/ping", &[], b"").status, 405);
}

#[test]
fn influxdb_3_takes_units_of_any_name_and_tells_them_by_size() {
    let node = Node::start();
    for (number, precisions) in [
        ("1767225600", &["auto", "second", "s"][..]),
        ("1767225600000", &["auto", "millisecond", "ms"][..]),
        ("1767225600000000", &["auto", "microsecond", "us", "u"][..]),
        (
            "1767225600000000000",
            &["auto", "nanosecond", "ns", "n", ""][..],
        ),
    ] {
        for precision in precisions {
            let path = match *precision {
                "" => "/api/v3/write_lp?db=k".to_owned(),
                name => format!("/api/v3/write_lp?db=k&precision={name}&no_sync=true"),
            };
            let line = format!("m,p=x{precision}{number} v=1 {number}\n");
            let reply = node.post(&path, &[], line.as_bytes());
            assert_eq!(reply.status, 204, "{path}: {}", reply.text);
        }
    }
    assert_eq!(
        node.rows("SELECT time, count(*) FROM k.m GROUP BY time"),
        json!([["2026-01-01T00:00:00Z", 15]])
    );
    let packed = gzipped("m,p=packed v=1 1767225600\n");
    let packs = [("content-encoding", "gzip")];
    let reply = node.post("/api/v3/write_lp?db=k", &packs, &packed);
    assert_eq!(reply.status, 204, "{}", reply.text);
    assert_eq!(node.rows("SELECT count(*) FROM k.m"), json!([[16]]));
}

#[test]
fn influxdb_3_stores_the_good_lines_and_shows_the_others() {
    let node = Node::start();
    let lines = b"m v=1 1\n# remark\nm broken\r\nm v=2 2\nm v=x 3";
    let partial = node.post("/api/v3/write_lp?db=k", &[], lines);
    assert_eq!(partial.status, 400, "{}", partial.text);
    let answer = partial.json();
    assert_eq!(answer["error"], "partial write of line protocol occurred");
    let data = answer["data"].as_array().unwrap();
    let shown = |line: &Value| (line["line_number"].clone(), line["original_line"].clone());
    let shown: Vec<_> = data.iter().map(shown).collect();
    let expected = [(json!(3), json!("m broken")), (json!(5), json!("m v=x 3"))];
    assert_eq!(shown, expected);
    let reason = data[0]["error_message"].as_str().unwrap();
    assert!(reason.contains("'='"), "{reason}");
    assert_eq!(node.rows("SELECT count(*) FROM k.m"), json!([[2]]));

    // Of very many the first are told.
    let all = node.post("/api/v3/write_lp?db=k", &[], "m\n".repeat(300).as_bytes());
    assert_eq!(all.status, 400);
    assert_eq!(all.json()["data"].as_array().unwrap().len(), 100);
}

#[test]
fn influxdb_3_stores_nothing_of_a_body_that_is_wanted_whole() {
    let node = Node::start();
    let path = "/api/v3/write_lp?db=k&accept_partial=false";
    let long = format!("m v=\"{}", "€".repeat(1_000));
    let refused = node.post(path, &[], format!("m v=1 1\n{long}\nm\n").as_bytes());
    assert_eq!(refused.status, 400, "{}", refused.text);
    let answer = refused.json();
    assert_eq!(answer["error"], "parsing failed for write_lp endpoint");
    assert_eq!(answer["data"]["line_number"], 2);
    let shown = answer["data"]["original_line"].as_str().unwrap();
    assert!(long.starts_with(shown) && shown.len() < 600, "{shown}");
    let tables = "SELECT count(*) FROM system.tables WHERE keyspace = 'k'";
    assert_eq!(node.rows(tables), json!([[0]]));
    assert_eq!(node.post(path, &[], b"m v=1 1\n").status, 204);
    assert_eq!(node.rows("SELECT count(*) FROM k.m"), json!([[1]]));
}

#[test]
fn influxdb_3_is_told_in_one_sentence_what_else_is_wrong() {
    let node = Node::with(|options| options.body_bytes_max = 4096);
    let sentence = |reply: Reply| {
        let answer = reply.json();
        assert_eq!(answer.as_object().unwrap().len(), 1, "{answer}");
        (reply.status, answer["error"].as_str().unwrap().to_owned())
    };
    let line = b"m v=1 1".as_slice();
    let large = [b'x'; 5000];
    for (path, body, status, told) in [
        ("/api/v3/write_lp", line, 400, "add ?db=NAME"),
        ("/api/v3/write_lp?db=k&precision=m", line, 400, "precision"),
        ("/api/v3/write_lp?db=k&accept_partial=1", line, 400, "true"),
        ("/api/v3/write_lp?db=system", line, 403, "belongs"),
        ("/api/v3/write_lp?db=k", large.as_slice(), 413, "larger"),
    ] {
        let (found, error) = sentence(node.post(path, &[], body));
        assert_eq!(found, status, "{path}: {error}");
        assert!(error.contains(told), "{path}: {error}");
    }
    node.sql("CREATE ROLE admin WITH LOGIN SUPERUSER PASSWORD 'secret'");
    let (status, _) = sentence(node.post("/api/v3/write_lp?db=k", &[], line));
    assert_eq!(status, 401);
    let busy = Node::with(|options| options.requests_max = 0);
    let reply = busy.post("/api/v3/write_lp?db=k", &[], line);
    assert_eq!(reply.headers["retry-after"], "1");
    assert_eq!(sentence(reply).0, 503);
}
