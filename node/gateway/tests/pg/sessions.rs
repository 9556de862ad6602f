//! What a session is told, its settings, its transactions, and how a statement ends early.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::client::{Client, Reply, tags};
use crate::node::{ENDLESS, Node};

pub(crate) fn key(client: &Client) -> Vec<u8> {
    let key = client
        .greeting
        .iter()
        .find(|reply| reply.tag == 'K')
        .unwrap();
    key.body.clone()
}

pub(crate) fn complete(replies: &[Reply]) -> Vec<String> {
    let tags = replies.iter().filter(|reply| reply.tag == 'C');
    tags.map(|reply| {
        String::from_utf8_lossy(&reply.body)
            .trim_end_matches('\0')
            .to_owned()
    })
    .collect()
}

#[test]
fn a_greeting_says_what_drivers_look_for() {
    let node = Node::start();
    let client = node.connect();
    let said: Vec<String> = client
        .greeting
        .iter()
        .filter(|reply| reply.tag == 'S')
        .map(|reply| {
            String::from_utf8_lossy(&reply.body)
                .replace('\0', " ")
                .trim()
                .to_owned()
        })
        .collect();
    for wanted in [
        "client_encoding UTF8",
        "DateStyle ISO, MDY",
        "integer_datetimes on",
        "server_version 15.0",
        "standard_conforming_strings on",
        "TimeZone UTC",
        "is_superuser on",
        "session_authorization anna",
    ] {
        assert!(said.iter().any(|line| line == wanted), "{wanted}: {said:?}");
    }
}

#[test]
fn several_statements_are_answered_one_by_one_up_to_the_first_that_fails() {
    let node = Node::start();
    let mut client = node.connect();
    let replies = client.query("SELECT 1; SELECT 'a;b' AS x; SELECT nothing; SELECT 2");
    assert_eq!(tags(&replies), "TDCTDCEZ");
    assert_eq!(client.rows("SELECT 3"), [["3"]]);
    assert_eq!(tags(&client.query(" ; -- nothing\n;")), "IZ");
}

#[test]
fn errors_say_their_code_their_place_and_what_to_do() {
    let node = Node::with_types();
    let mut client = node.connect();
    let error = client.error("SELECT 1;\n  SELEC 2");
    assert_eq!(error.field('C').unwrap(), "42601");
    assert_eq!(error.field('P').unwrap(), "13");
    assert!(error.field('H').unwrap().contains("SELECT"), "{error:?}");
    for (sql, code) in [
        ("SELECT * FROM plant.nothing", "42P01"),
        ("SELECT nothing FROM plant.types", "42703"),
        ("SELECT nothing(1)", "42883"),
        ("SELECT 1 / 0", "22012"),
        ("CREATE TABLE plant.types (k TEXT PRIMARY KEY)", "42P07"),
        (
            "INSERT INTO plant.types (k, ts, i) VALUES ('a', now(), 'x')",
            "22P02",
        ),
        ("LISTEN news", "0A000"),
        ("SAVEPOINT s", "25P01"),
        ("SET nonsense = 1", "42704"),
        ("SET client_encoding = 'LATIN1'", "22023"),
    ] {
        assert_eq!(client.error(sql).field('C').as_deref(), Some(code), "{sql}");
    }
}

#[test]
fn settings_are_kept_told_and_taken_back() {
    let node = Node::start();
    let mut client = Client::connect(
        node.address,
        &[
            ("user", "anna"),
            ("application_name", "line 4"),
            ("options", "-c statement_timeout=5s"),
        ],
    );
    assert_eq!(client.rows("SHOW application_name"), [["line 4"]]);
    assert_eq!(client.rows("SHOW statement_timeout"), [["5s"]]);
    let replies = client.query("SET application_name TO 'other'");
    assert_eq!(tags(&replies), "SCZ");
    assert_eq!(client.rows("SHOW application_name"), [["other"]]);
    assert_eq!(
        client.rows("SET TIME ZONE 'Europe/Berlin'; SHOW TimeZone"),
        [["Europe/Berlin"]]
    );
    client.query("DISCARD ALL");
    assert_eq!(client.rows("SHOW application_name"), [["line 4"]]);
    assert!(client.rows("SHOW ALL").len() > 30);
}

#[test]
fn a_transaction_that_wrote_does_not_pretend_to_take_it_back() {
    let node = Node::with_types();
    let mut client = node.connect();
    let standing = |replies: &[Reply]| char::from(replies.last().unwrap().body[0]);
    let replies = client.query("BEGIN");
    assert_eq!(
        (complete(&replies), standing(&replies)),
        (vec!["BEGIN".to_owned()], 'T')
    );
    let replies = client.query("INSERT INTO plant.types (k, ts) VALUES ('a', '2026-01-01')");
    assert_eq!(complete(&replies), ["INSERT 0 1"]);
    assert!(replies[0].tag == 'N' && replies[0].field('M').unwrap().contains("durable"));
    let replies = client.query("ROLLBACK");
    assert_eq!(standing(&replies), 'I');
    assert!(
        replies[0].field('M').unwrap().contains("stay"),
        "{replies:?}"
    );
    assert_eq!(client.rows("SELECT k FROM plant.types"), [["a"]]);

    let replies = client.query("BEGIN; SELECT nothing");
    assert_eq!(standing(&replies), 'E');
    assert_eq!(client.error("SELECT 1").field('C').unwrap(), "25P02");
    let replies = client.query("COMMIT");
    assert_eq!(
        (complete(&replies), standing(&replies)),
        (vec!["ROLLBACK".to_owned()], 'I')
    );

    // A savepoint is gone back to where nothing was written since.
    client.query("BEGIN; SAVEPOINT a; SELECT nothing");
    let back = client.query("ROLLBACK TO SAVEPOINT a; SELECT 1; RELEASE a");
    assert_eq!(complete(&back), ["ROLLBACK", "SELECT 1", "RELEASE"]);
    client.query("SAVEPOINT b; INSERT INTO plant.types (k, ts) VALUES ('a', '2026-01-01')");
    let error = client.error("ROLLBACK TO b");
    assert!(error.field('M').unwrap().contains("stay"), "{error:?}");
    client.query("ROLLBACK");

    client.query("BEGIN READ ONLY");
    assert_eq!(
        client
            .error("DELETE FROM plant.types WHERE k = 'a'")
            .field('C')
            .unwrap(),
        "25006"
    );
    client.query("ROLLBACK");
    assert_eq!(client.rows("SELECT count(*) FROM plant.types"), [["1"]]);
    let batch = "BEGIN BATCH; INSERT INTO plant.types (k, ts) VALUES ('b', now()); \
        DELETE FROM plant.types WHERE k = 'a' AND ts = '2026-01-01'; APPLY BATCH";
    assert_eq!(complete(&client.query(batch)), ["BATCH 2"]);
}

#[test]
fn a_statement_is_cancelled_from_another_connection() {
    let node = Node::start();
    let mut client = node.connect();
    let key = key(&client);
    // One that waits is not the one that is meant.
    cancel(&node, &key);
    assert_eq!(client.rows("SELECT 1"), [["1"]]);
    let (address, ended) = (node.address, AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Until one of them finds the statement running.
            while !ended.load(Ordering::Relaxed) {
                send_cancel(address, &key);
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let error = client.error(ENDLESS);
        ended.store(true, Ordering::Relaxed);
        assert_eq!(error.field('C').unwrap(), "57014");
        assert!(error.field('M').unwrap().contains("cancelled"), "{error:?}");
    });
    // A wrong secret stops nothing, and is told nothing.
    let mut other = node.connect();
    cancel(&node, &[0; 8]);
    assert_eq!(other.rows("SELECT 1"), [["1"]]);
}

fn cancel(node: &Node, key: &[u8]) {
    send_cancel(node.address, key);
}

pub(crate) fn send_cancel(address: std::net::SocketAddr, key: &[u8]) {
    let mut client = Client::open(address);
    let mut message = 16_u32.to_be_bytes().to_vec();
    message.extend(80_877_102_u32.to_be_bytes());
    message.extend(key);
    let _ = client.stream.write_all(&message);
    assert_eq!(client.rest(), []);
}

#[test]
fn a_statement_ends_at_its_time_limit() {
    let node = Node::start();
    let mut client = node.connect();
    client.query("SET statement_timeout = 200");
    let error = client.error(ENDLESS);
    assert_eq!(error.field('C').unwrap(), "57014");
    assert!(
        error.field('H').unwrap().contains("statement_timeout"),
        "{error:?}"
    );
    client.query("RESET statement_timeout");
    assert_eq!(client.rows("SELECT 1"), [["1"]]);
    let limited =
        Node::with(|options| options.statement_timeout = Some(Duration::from_millis(200)));
    let mut client = limited.connect();
    client.query("SET statement_timeout = '1h'");
    assert_eq!(client.error(ENDLESS).field('C').unwrap(), "57014");
}

#[test]
fn who_goes_away_leaves_no_query_behind() {
    let node = Node::start();
    for _ in 0..3 {
        let mut client = node.connect();
        client.send('Q', &crate::client::text(ENDLESS));
        drop(client);
    }
    let began = Instant::now();
    loop {
        let metrics = node.metrics();
        let open = metrics
            .lines()
            .find(|line| line.starts_with("activestore_pg_connections_open"));
        if open.unwrap().ends_with(" 0") {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{open:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_large_answer_waits_for_its_reader() {
    let node = Node::start();
    let mut client = node.connect();
    client.send(
        'Q',
        &crate::client::text("SELECT value, repeat('x', 1000) FROM generate_series(1, 100000)"),
    );
    // Others are answered while nobody reads a hundred megabytes.
    assert_eq!(node.connect().rows("SELECT 1"), [["1"]]);
    let (mut rows, mut bytes) = (0, 0);
    loop {
        let reply = client.receive().unwrap();
        match reply.tag {
            'D' => {
                rows += 1;
                bytes += reply.body.len();
            }
            'Z' => break,
            _ => {}
        }
    }
    assert_eq!(rows, 100_000);
    assert!(bytes > 100_000_000);
}

#[test]
fn a_cursor_is_read_in_pieces() {
    let node = Node::start();
    let mut client = node.connect();
    let declare = "DECLARE \"All\" NO SCROLL CURSOR WITHOUT HOLD FOR SELECT value FROM generate_series(1, 5) ORDER BY 1";
    assert_eq!(client.error(declare).field('C').unwrap(), "25P01");
    client.query("BEGIN");
    assert_eq!(complete(&client.query(declare)), ["DECLARE CURSOR"]);
    assert_eq!(client.rows("FETCH FORWARD 2 FROM \"All\""), [["1"], ["2"]]);
    assert_eq!(client.rows("FETCH \"All\""), [["3"]]);
    // The same rows, in bytes.
    client.parse("", "FETCH 1 FROM \"All\"", &[]);
    client.bind("", "", 0, &[], 1);
    client.describe('P', "");
    client.execute("", 0);
    let replies = client.sync();
    assert_eq!(tags(&replies), "12TDCZ", "{replies:?}");
    assert_eq!(replies[3].values(), [Some(4_i64.to_be_bytes().to_vec())]);
    let rest = client.query("FETCH ALL IN \"All\"; FETCH ALL IN \"All\"; CLOSE \"All\"");
    assert_eq!(complete(&rest), ["FETCH 1", "FETCH 0", "CLOSE CURSOR"]);
    assert_eq!(
        client.error("FETCH 1 FROM \"All\"").field('C').unwrap(),
        "34000"
    );
    client.query("ROLLBACK");
    let refused = client.error("DECLARE c CURSOR WITH HOLD FOR SELECT 1");
    assert_eq!(refused.field('C').unwrap(), "0A000");
}
