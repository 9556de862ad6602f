//! Bytes that are no messages, messages that are too long, and clients that do nothing. Whoever sends them is told,
//! and nobody else notices.

use std::io::Write;
use std::time::Duration;

use proptest::prelude::*;

use crate::client::{Client, framed, tags, text};
use crate::node::Node;

fn said(client: &mut Client) -> (String, String) {
    let replies = client.rest();
    let error = replies
        .iter()
        .find(|reply| reply.tag == 'E')
        .unwrap_or_else(|| panic!("{replies:?}"));
    (error.field('C').unwrap(), error.field('M').unwrap())
}

fn is_well(node: &Node) {
    assert_eq!(node.connect().rows("SELECT 1"), [["1"]]);
}

#[test]
fn what_is_no_startup_message_is_refused() {
    let node = Node::start();
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        &[0, 0, 0, 4, 0, 0, 0, 0],
        &[0xff; 16],
        &[0, 0, 0, 9, 0, 3, 0, 0, b'u'],
        &[0, 0, 0, 9, 0, 3, 0, 0, 0],
    ] {
        let mut client = Client::open(node.address);
        client.stream.write_all(bytes).unwrap();
        let _ = client.stream.shutdown(std::net::Shutdown::Write);
        let _whatever = client.rest();
        is_well(&node);
    }
    let mut client = Client::open(node.address);
    client.stream.write_all(&[0, 0, 0, 8, 0, 2, 0, 0]).unwrap();
    assert_eq!(said(&mut client).0, "0A000");
}

#[test]
fn a_hundred_megabytes_are_refused_at_their_head() {
    let node = Node::start();
    let mut client = node.connect();
    let mut head = vec![b'Q'];
    head.extend(100_000_000_u32.to_be_bytes());
    client.stream.write_all(&head).unwrap();
    let (code, message) = said(&mut client);
    assert_eq!(code, "54000");
    assert!(message.contains("at most"), "{message}");
    // One that is only too long for SQL leaves the session as it was.
    let mut client = node.connect();
    let long = format!("SELECT '{}'", "x".repeat(5_000_000));
    assert_eq!(client.error(&long).field('C').unwrap(), "54000");
    assert_eq!(client.rows("SELECT 1"), [["1"]]);
    is_well(&node);
}

#[test]
fn deep_nesting_is_an_error_of_the_statement() {
    let node = Node::start();
    let mut client = node.connect();
    let deep = format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000));
    let error = client.error(&deep);
    assert_eq!(error.field('C').unwrap(), "42601");
    assert!(error.field('M').unwrap().contains("nested"), "{error:?}");
    client.parse("", &deep, &[]);
    assert_eq!(tags(&client.sync()), "EZ");
    assert_eq!(client.rows("SELECT 1"), [["1"]]);
}

#[test]
fn messages_that_are_cut_short_end_their_connection_alone() {
    let node = Node::start();
    let whole = [
        framed(
            'P',
            &[text("s"), text("SELECT $1"), vec![0, 1, 0, 0, 0, 25]].concat(),
        ),
        framed(
            'B',
            &[
                text("p"),
                text("s"),
                vec![0, 0, 0, 1, 0, 0, 0, 1, b'x', 0, 0],
            ]
            .concat(),
        ),
        framed('E', &[text("p"), vec![0, 0, 0, 0]].concat()),
    ];
    for message in &whole {
        let body = &message[5..];
        for length in 0..body.len() {
            let mut client = node.connect();
            client.send(char::from(message[0]), &body[..length]);
            let _ = client.stream.shutdown(std::net::Shutdown::Write);
            let replies = client.rest();
            assert!(
                replies.iter().any(|reply| reply.tag == 'E'),
                "{message:?} at {length}: {replies:?}"
            );
        }
    }
    for tag in ['\0', 'z', '\u{7f}', 'p'] {
        let mut client = node.connect();
        client.send(tag, b"x\0");
        assert_eq!(said(&mut client).0, "08P01");
    }
    is_well(&node);
}

#[test]
fn who_does_not_begin_is_put_out() {
    let node = Node::with(|options| options.startup_max = Duration::from_millis(200));
    let mut silent = Client::open(node.address);
    let mut slow = Client::open(node.address);
    slow.stream.write_all(&[0, 0, 0, 50, 0, 3]).unwrap();
    assert_eq!(silent.rest(), []);
    assert_eq!(slow.rest(), []);
    is_well(&node);
    assert!(
        node.metrics()
            .contains("activestore_pg_startups_failed_total 2")
    );
}

#[test]
fn one_connection_too_many_is_told_so() {
    let node = Node::with(|options| options.connections_max = 2);
    let (first, _second) = (node.connect(), node.connect());
    let (code, message) = said(&mut Client::open(node.address));
    assert_eq!(code, "53300");
    assert!(message.contains('2'), "{message}");
    drop(first);
    for _ in 0..600 {
        let mut client = Client::open(node.address);
        client.startup(&[("user", "anna")]);
        if client.rest_begins_a_session() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("the place of a connection that ended did not come free");
}

impl Client {
    fn rest_begins_a_session(&mut self) -> bool {
        self.receive().is_some_and(|reply| reply.tag == 'R')
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_bytes_harm_others(
        messages in proptest::collection::vec(
            (proptest::sample::select(b"QPBDECHSXdcfpF".to_vec()), proptest::collection::vec(any::<u8>(), 0..40), -3_i32..4),
            1..6,
        ),
    ) {
        thread_local! {
            static NODE: Node = Node::start();
        }
        NODE.with(|node| {
            let mut client = node.connect();
            for (tag, body, off) in messages {
                // Lengths that are off by a little, too.
                let length = i32::try_from(body.len()).unwrap() + 4 + off;
                let mut bytes = vec![tag];
                bytes.extend(length.to_be_bytes());
                bytes.extend(body);
                if client.stream.write_all(&bytes).is_err() {
                    break;
                }
            }
            let _ = client.stream.shutdown(std::net::Shutdown::Write);
            let _whatever = client.rest();
            is_well(node);
        });
    }
}
