//! Rows as they are written, over the PostgreSQL wire: as a COPY, by a cursor, as rows of a statement.

use std::time::{Duration, Instant};

use crate::client::{Client, Reply, tags, text};
use crate::node::Node;
use crate::sessions::{complete, key, send_cancel};

const ALL: &str = "SUBSCRIBE SELECT k, n FROM plant.types";

fn insert(node: &Node, key: &str, n: i64) {
    node.sql(&format!(
        "INSERT INTO plant.types (k, ts, n) VALUES ('{key}', '2026-01-01', {n})"
    ));
}

/// The next line of a COPY.
fn line(client: &mut Client) -> Vec<String> {
    let reply = client.receive().unwrap();
    assert_eq!(reply.tag, 'd', "{:?}", reply.field('M'));
    let text = String::from_utf8(reply.body).unwrap();
    let fields = text.trim_end_matches('\n').split('\t');
    fields.map(str::to_owned).collect()
}

/// A row without the place behind it.
fn told(row: &[String]) -> Vec<&str> {
    let fields = row.iter().enumerate().filter(|(place, _)| *place != 1);
    fields.map(|(_, field)| field.as_str()).collect()
}

fn copied(client: &mut Client, subscribe: &str) {
    client.send('Q', &text(&format!("COPY ({subscribe}) TO STDOUT")));
    assert_eq!(client.receive().unwrap().tag, 'H');
}

/// Fetches until there are so many rows, beside those that say that nothing happened.
fn fetched(client: &mut Client, sql: &str, count: usize) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let began = Instant::now();
    while rows.len() < count {
        let more = client.rows(sql);
        rows.extend(more.into_iter().filter(|row| row[0] != "beat"));
        assert!(began.elapsed() < Duration::from_secs(60), "{rows:?}");
    }
    rows
}

#[test]
fn a_copy_tells_rows_as_they_are_written_and_goes_on_behind_one() {
    let node = Node::with_types();
    insert(&node, "old", 1);
    let mut client = node.connect();
    copied(&mut client, &format!("{ALL} WITH (snapshot = true)"));
    assert_eq!(line(&mut client), ["snapshot", "\\N", "\\N", "old", "1"]);
    assert_eq!(told(&line(&mut client)), ["live", "\\N", "\\N", "\\N"]);
    insert(&node, "new\ttab", 2);
    let upsert = line(&mut client);
    assert_eq!(told(&upsert), ["upsert", "\\N", "new\\ttab", "2"]);
    node.sql("DELETE FROM plant.types WHERE k = 'old' AND ts = '2026-01-01'");
    let key = "{\"k\":\"old\",\"ts\":\"2026-01-01T00:00:00Z\"}";
    assert_eq!(told(&line(&mut client)), ["delete", key, "\\N", "\\N"]);
    node.sql("DELETE FROM plant.types WHERE k = 'old'");
    let erase = line(&mut client);
    assert_eq!(erase[0], "erase");
    assert!(erase[2].contains("\"from\":{\"k\":\"old\"}"), "{erase:?}");
    drop(client);

    // The place of an event leads on behind it, and one that is none is refused before the COPY begins.
    let mut client = node.connect();
    copied(
        &mut client,
        &format!("{ALL} WITH (after = '{}')", upsert[1]),
    );
    assert_eq!(line(&mut client)[..2], ["live", upsert[1].as_str()]);
    assert_eq!(line(&mut client)[0], "delete");
    assert_eq!(line(&mut client), erase);
    let mut client = node.connect();
    let error = client.error(&format!("COPY ({ALL} WITH (after = 'x')) TO STDOUT"));
    assert_eq!(error.field('C').unwrap(), "22023");
    assert!(error.field('M').unwrap().contains("token"), "{error:?}");
}

#[test]
fn a_cursor_gives_what_is_there_and_waits_as_long_as_it_is_told() {
    let node = Node::with_types();
    let mut client = node.connect();
    client.query("BEGIN");
    let declared = client.query(&format!("DECLARE c CURSOR FOR {ALL}"));
    assert_eq!(complete(&declared), ["DECLARE CURSOR"]);
    // It has begun, whenever it is fetched from.
    insert(&node, "a", 1);
    insert(&node, "b", 2);
    let live = fetched(&mut client, "FETCH 1 c", 1);
    assert_eq!(live[0][0], "live");
    let rows = fetched(&mut client, "FETCH ALL c", 2);
    assert_eq!(told(&rows[0]), ["upsert", "NULL", "a", "1"]);
    assert_eq!(told(&rows[1]), ["upsert", "NULL", "b", "2"]);
    let began = Instant::now();
    let nothing = client.query("FETCH 100 c WITH (timeout = '200ms')");
    assert!(began.elapsed() >= Duration::from_millis(200));
    assert_eq!(complete(&nothing), ["FETCH 0"]);
    assert_eq!(
        complete(&client.query("FETCH ALL c WITH (timeout = 0)")),
        ["FETCH 0"]
    );
    // One that waits gives the row as soon as it is written.
    client.send('Q', &text("FETCH 10 FROM c"));
    assert_eq!(client.receive().unwrap().tag, 'T');
    insert(&node, "c", 3);
    let replies = client.until('Z');
    assert_eq!(tags(&replies), "DCZ");
    assert_eq!(told(&replies[0].texts()), ["upsert", "NULL", "c", "3"]);
    let error = client.error("FETCH 1 c WITH (patience = 1)");
    assert_eq!(error.field('C').unwrap(), "42601");
    client.query("ROLLBACK");
    // Its seat is free again.
    assert!(node.metrics().contains("activestore_subscribers 0"));
}

#[test]
fn a_prepared_subscription_is_described_takes_values_and_is_read_in_pieces() {
    let node = Node::with_types();
    let mut client = node.connect();
    client.query("BEGIN");
    client.parse(
        "",
        "SUBSCRIBE SELECT k, n FROM plant.types WHERE n > $1",
        &[],
    );
    client.bind("p", "", 0, &[Some(b"10".to_vec())], 1);
    client.describe('P', "p");
    client.execute("p", 1);
    let replies = client.sync();
    assert_eq!(tags(&replies), "12TDsZ", "{replies:?}");
    for name in ["subscribe_op", "subscribe_id", "subscribe_about", "k", "n"] {
        let name = text(name);
        let mut windows = replies[2].body.windows(name.len());
        assert!(windows.any(|window| window == name));
    }
    insert(&node, "low", 5);
    insert(&node, "high", 50);
    client.execute("p", 10);
    let replies = client.sync();
    assert_eq!(tags(&replies), "DsZ", "{replies:?}");
    let values = replies[0].values();
    assert_eq!(values[0].as_deref(), Some(&b"upsert"[..]));
    assert_eq!(values[4], Some(50_i64.to_be_bytes().to_vec()));
}

#[test]
fn a_statement_streams_until_it_is_cancelled_and_the_session_goes_on() {
    let node = Node::with_types();
    let mut client = node.connect();
    client.send('Q', &text(ALL));
    assert_eq!(client.receive().unwrap().tag, 'T');
    assert_eq!(client.receive().unwrap().texts()[0], "live");
    insert(&node, "a", 1);
    assert_eq!(
        told(&client.receive().unwrap().texts()),
        ["upsert", "NULL", "a", "1"]
    );
    send_cancel(node.address, &key(&client));
    let replies = client.until('Z');
    assert_eq!(replies[0].field('C').unwrap(), "57014");
    assert_eq!(client.rows("SELECT 1"), [["1"]]);
    // A session's own limit counts.
    client.query("SET statement_timeout = '100ms'");
    assert_eq!(client.error(ALL).field('C').unwrap(), "57014");
    for _ in 0..600 {
        if node.metrics().contains("activestore_subscribers 0") {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("a subscription outlives who asked for it");
}

#[test]
fn who_does_not_keep_up_is_told() {
    let node = Node::with_types();
    let mut client = node.connect();
    client.query("BEGIN");
    client.query(&format!("DECLARE ends CURSOR FOR {ALL}"));
    client.query(&format!(
        "DECLARE drops CURSOR FOR {ALL} WITH (on_slow = 'drop')"
    ));
    // Both have read the log to its end once a row that is written now is told.
    for cursor in ["ends", "drops"] {
        insert(&node, cursor, 1);
        while !fetched(&mut client, &format!("FETCH 1 {cursor}"), 1)[0].contains(&cursor.to_owned())
        {
        }
        client.query(&format!("FETCH ALL {cursor} WITH (timeout = '200ms')"));
    }
    let long = "x".repeat(1 << 20);
    for n in 0..40 {
        node.sql(&format!(
            "INSERT INTO plant.types (k, ts, n) VALUES ('{n}{long}', '2026-01-01', {n})"
        ));
    }
    let mut dropped = None;
    let began = Instant::now();
    while dropped.is_none() {
        let rows = client.rows("FETCH 1 drops WITH (timeout = '1s')");
        dropped = rows.into_iter().find(|row| row[0] == "dropped");
        assert!(began.elapsed() < Duration::from_secs(60));
    }
    let dropped = dropped.unwrap();
    assert!(dropped[2].starts_with("{\"events\":"), "{dropped:?}");
    let error = (0..100).find_map(|_| {
        let replies = client.query("FETCH 1 ends");
        replies.into_iter().find(|reply| reply.tag == 'E')
    });
    let error = error.unwrap();
    assert_eq!(error.field('C').unwrap(), "53000");
    assert!(error.field('M').unwrap().contains("keep up"), "{error:?}");
}

#[test]
fn rights_are_asked_for_as_long_as_it_lasts() {
    let node = Node::with_types();
    node.sql(
        "CREATE TABLE plant.secrets (k TEXT PRIMARY KEY, n BIGINT); CREATE ROLE root WITH LOGIN SUPERUSER PASSWORD 'very secret'; \
         CREATE ROLE line WITH LOGIN; GRANT SELECT ON plant.types TO line",
    );
    let mut client = Client::presenting(node.address, "line", &node.token("line"));
    client.until('Z');
    for sql in [
        "COPY (SUBSCRIBE SELECT k, n FROM plant.secrets) TO STDOUT",
        "SUBSCRIBE SELECT k, n FROM plant.secrets",
    ] {
        assert_eq!(client.error(sql).field('C').unwrap(), "42501");
    }
    copied(&mut client, ALL);
    assert_eq!(line(&mut client)[0], "live");
    insert(&node, "a", 1);
    assert_eq!(line(&mut client)[0], "upsert");
    node.sql("REVOKE SELECT ON plant.types FROM line");
    insert(&node, "b", 2);
    let replies = client.until('Z');
    assert_eq!(replies[0].field('C').unwrap(), "42501", "{replies:?}");
}

#[test]
fn a_seldom_told_reader_hears_where_it_stands() {
    let node = Node::with_heartbeat(Duration::from_millis(100), |_| {});
    node.sql("CREATE KEYSPACE plant; CREATE TABLE plant.types (k TEXT PRIMARY KEY, n BIGINT)");
    let mut client = node.connect();
    copied(&mut client, ALL);
    let live = line(&mut client);
    let beat = line(&mut client);
    assert_eq!(told(&beat), ["beat", "\\N", "\\N", "\\N"]);
    assert_eq!(beat[1], live[1]);
    drop(client);
    let mut other = node.connect();
    copied(&mut other, &format!("{ALL} WITH (after = '{}')", beat[1]));
    assert_eq!(line(&mut other)[0], "live");
}

#[test]
fn a_node_that_goes_ends_its_subscriptions() {
    let node = Node::with_types();
    let mut client = node.connect();
    copied(&mut client, ALL);
    assert_eq!(line(&mut client)[0], "live");
    drop(node);
    let rest: Vec<Reply> = client.rest();
    let error = rest.iter().find(|reply| reply.tag == 'E').unwrap();
    assert_eq!(error.field('C').unwrap(), "57P01");
}
