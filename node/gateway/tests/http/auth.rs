//! Who is let in, with what, and what is said to the others.

use super::*;

/// A node with a superuser `admin`, a role `reader` and a role `writer`.
pub(super) fn guarded(change: impl FnOnce(&mut GatewayOptions)) -> Node {
    let node = Node::with(change);
    node.sql("CREATE KEYSPACE plant");
    node.sql("CREATE TABLE plant.readings (device TEXT, ts TIMESTAMP, temp DOUBLE, PRIMARY KEY ((device), ts))");
    // The last statement that anybody may send.
    node.sql("CREATE USER admin WITH SUPERUSER PASSWORD 'open: sesame'");
    as_admin(
        &node,
        "CREATE USER reader PASSWORD 'r'; GRANT SELECT ON plant.readings TO reader; \
         CREATE USER writer PASSWORD 'w'; GRANT INSERT ON KEYSPACE plant TO writer",
    );
    node
}

pub(super) const ADMIN: &str = "Basic YWRtaW46b3Blbjogc2VzYW1l";
const READER: &str = "Basic cmVhZGVyOnI=";
pub(super) const WRITER: &str = "Basic d3JpdGVyOnc=";

fn send(node: &Node, authorization: &str, path: &str, body: &str) -> Reply {
    let headers = [
        ("authorization", authorization),
        ("content-type", "text/plain"),
    ];
    node.post(path, &headers, body.as_bytes())
}

pub(super) fn as_admin(node: &Node, sql: &str) -> Value {
    let reply = send(node, ADMIN, "/v1/sql", sql);
    assert_eq!(reply.status, 200, "{sql}: {}", reply.text);
    reply.json()
}

#[test]
fn wrong_absent_and_right_credentials() {
    let node = guarded(|_| {});
    let plain = [("content-type", "text/plain")];
    let absent = node.post("/v1/sql", &plain, b"SELECT 1");
    assert_eq!(absent.status, 401, "{}", absent.text);
    assert_eq!(absent.json()["error"]["code"], "denied");
    let challenge = absent.headers.get("www-authenticate").unwrap();
    assert!(challenge.to_str().unwrap().starts_with("Basic realm="));
    for wrong in [
        "Basic YWRtaW46b3BlbiBzZXNhbWU=",
        "Basic bm9ib2R5Ong=",
        "Basic !",
        "Basic",
        "Basic YWRtaW4=",
        "Bearer ast_0000000000000000_00",
        "Bearer ",
        "Token open",
        "Digest username=admin",
    ] {
        let reply = send(&node, wrong, "/v1/sql", "SELECT 1");
        assert_eq!(reply.status, 401, "{wrong}: {}", reply.text);
        assert!(!reply.text.contains("admin"), "{}", reply.text);
    }
    assert_eq!(send(&node, ADMIN, "/v1/sql", "SELECT 1").status, 200);
    let both = [
        ("authorization", ADMIN),
        ("authorization", READER),
        ("content-type", "text/plain"),
    ];
    assert_eq!(node.post("/v1/sql", &both, b"SELECT 1").status, 401);
}

#[test]
fn every_address_is_closed_but_probes() {
    let node = guarded(|options| options.metrics_open = false);
    let open = [
        "/",
        "/openapi.json",
        "/health/live",
        "/health/ready",
        "/ping",
    ];
    for open in open {
        let status = node.get(open).status;
        assert!(status == 200 || status == 204, "{open}: {status}");
    }
    let description = node.get("/openapi.json").json();
    let reader = [("authorization", READER)];
    for (path, methods) in description["paths"].as_object().unwrap() {
        if open.contains(&path.as_str()) || path.starts_with("/console/") {
            continue;
        }
        let address = path
            .replace("{keyspace}", "plant")
            .replace("{table}", "readings")
            .replace("{name}", "n")
            .replace("{act}", "pause")
            .replace("{node}", "00000000000000000000000000000001");
        let for_all =
            ["/metrics", "/v1/status", "/v1/sql", "/v1/subscribe"].contains(&path.as_str());
        for method in methods.as_object().unwrap().keys() {
            let call = |headers: &[(&str, &str)]| match method.as_str() {
                "post" => node.post(&address, headers, b""),
                _ => {
                    let url = format!("{}{address}", node.base);
                    let mut request = match method.as_str() {
                        "get" => node.agent.get(url),
                        _ => node.agent.delete(url),
                    };
                    for (name, value) in headers {
                        request = request.header(*name, *value);
                    }
                    reply(request.call().unwrap())
                }
            };
            assert_eq!(call(&[]).status, 401, "{method} {path}");
            let known = call(&reader).status;
            if for_all {
                assert!(known != 401 && known != 403, "{method} {path}: {known}");
            } else if !path.contains("write") {
                assert_eq!(known, 403, "{method} {path}");
            }
        }
    }
    assert_eq!(node.get("/nothing").status, 401);
}

#[test]
fn metrics_are_open_unless_they_are_not() {
    let node = guarded(|_| {});
    let page = node.get("/metrics");
    assert_eq!(page.status, 200);
    assert!(page.text.contains("activestore_login_required 1"));
    assert!(page.text.contains("activestore_logins_total"));
}

#[test]
fn grants_hold_for_statements_and_every_way_of_writing() {
    let node = guarded(|_| {});
    let select = "SELECT count(*) FROM plant.readings";
    let insert =
        "INSERT INTO plant.readings (device, ts, temp) VALUES ('a', '2026-01-01T00:00:00Z', 1)";
    assert_eq!(send(&node, READER, "/v1/sql", select).status, 200);
    let refused = send(&node, READER, "/v1/sql", insert);
    assert_eq!(refused.status, 403);
    assert_eq!(
        refused.json()["error"]["hint"],
        "GRANT INSERT ON TABLE plant.readings TO reader"
    );
    assert_eq!(send(&node, WRITER, "/v1/sql", select).status, 403);
    assert_eq!(send(&node, WRITER, "/v1/sql", insert).status, 200);

    let line = "readings,device=b temp=2 1767225600000000000";
    for path in [
        "/v1/write?keyspace=plant",
        "/api/v3/write_lp?db=plant",
        "/api/v2/write?bucket=plant",
        "/write?db=plant",
    ] {
        assert_eq!(send(&node, READER, path, line).status, 403, "{path}");
        let fresh = "made,device=b temp=2 1767225600000000000";
        assert_eq!(send(&node, WRITER, path, fresh).status, 403, "{path}");
    }
    let row = br#"[{"device": "c", "ts": "2026-01-01T00:00:00Z", "temp": 3}]"#;
    let rows = |authorization: &str, table: &str| {
        let headers = [
            ("authorization", authorization),
            ("content-type", "application/json"),
        ];
        node.post(&format!("/v1/tables/plant/{table}/rows"), &headers, row)
            .status
    };
    assert_eq!(rows(READER, "readings"), 403);
    assert_eq!(rows(READER, "nothing"), 403);
    assert_eq!(rows(WRITER, "nothing"), 404);
    assert_eq!(rows(WRITER, "readings"), 200);
    let count = as_admin(&node, select);
    assert_eq!(count["rows"], json!([[2]]));
}

#[test]
fn tokens_and_the_logins_of_influx() {
    let node = guarded(|_| {});
    as_admin(&node, "GRANT CREATE ON KEYSPACE plant TO writer");
    let made = as_admin(&node, "CREATE TOKEN FOR writer WITH (expires = '1h')");
    let token = made["rows"][0][1].as_str().unwrap().to_owned();
    let line = "pump,device=b temp=2 1767225600000000000";
    let influx = format!("Token {token}");
    let bearer = format!("Bearer {token}");
    for (authorization, path) in [
        (bearer.as_str(), "/v1/write?keyspace=plant"),
        (bearer.as_str(), "/api/v3/write_lp?db=plant"),
        (influx.as_str(), "/api/v3/write_lp?db=plant"),
        (influx.as_str(), "/api/v2/write?bucket=plant"),
        ("Token writer:w", "/write?db=plant"),
        (WRITER, "/write?db=plant"),
    ] {
        let reply = send(&node, authorization, path, line);
        assert_eq!(reply.status, 204, "{authorization} {path}: {}", reply.text);
    }
    let parameters = |user: &str, password: &str| {
        let path = format!("/write?db=plant&u={user}&p={password}");
        node.post(&path, &[], line.as_bytes())
    };
    assert_eq!(parameters("writer", "w").status, 204);
    assert_eq!(parameters("writer", &token).status, 204);
    let wrong = parameters("writer", "x");
    assert_eq!(wrong.status, 401);
    assert_eq!(wrong.json()["code"], "unauthorized");
    // Only the address that InfluxDB 1.x has takes them.
    let elsewhere = node.post(
        "/v1/write?keyspace=plant&u=writer&p=w",
        &[],
        line.as_bytes(),
    );
    assert_eq!(elsewhere.status, 401);

    let id = made["rows"][0][0].as_str().unwrap();
    as_admin(&node, &format!("DROP TOKEN '{id}'"));
    let ended = send(&node, &bearer, "/v1/write?keyspace=plant", line);
    assert_eq!(ended.status, 401);
    // Who lost the right to log in is out at once, password or not.
    as_admin(&node, "ALTER ROLE writer WITH NOLOGIN");
    assert_eq!(send(&node, WRITER, "/v1/sql", "SELECT 1").status, 401);
}

#[test]
fn passwords_are_in_no_answer() {
    let node = guarded(|_| {});
    for sql in [
        "CREATE USER x PASSWORD 'hunter2' 'again'",
        "CREATE USER x PASSWORD hunter2",
        "ALTER USER x hunter2",
        "ALTER USER nobody PASSWORD 'hunter2'",
        "CREATE USER admin PASSWORD 'hunter2'",
    ] {
        let reply = send(&node, ADMIN, "/v1/sql", sql);
        assert!(reply.status >= 400, "{sql}");
        assert!(!reply.text.contains("hunter2"), "{sql}: {}", reply.text);
    }
    as_admin(&node, "CREATE USER x PASSWORD 'hunter2'");
    for table in ["roles", "grants", "tokens", "settings"] {
        let shown = as_admin(&node, &format!("SELECT * FROM system.{table}"));
        assert!(!shown.to_string().contains("hunter2"), "{shown}");
    }
}
