//! Requests that are answered though nobody has read their bodies: what becomes of their connection.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::time::Duration;

use super::*;

/// More than any answer here takes.
const PATIENCE: Duration = Duration::from_secs(30);

fn connect(node: &Node) -> TcpStream {
    let stream = TcpStream::connect(node.base.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends a request of this many zeros, or of chunks without an end where its length is not told.
fn send(stream: &mut TcpStream, line: &str, headers: &str, length: Option<usize>, zeros: usize) {
    let length = length.map_or_else(
        || "Transfer-Encoding: chunked".to_owned(),
        |length| format!("Content-Length: {length}"),
    );
    let head = format!("{line} HTTP/1.1\r\nHost: localhost\r\n{length}\r\n{headers}\r\n");
    let mut request = head.into_bytes();
    request.resize(request.len() + zeros, 0);
    stream.write_all(&request).unwrap();
}

/// The head of the next answer in lower case, its body read to its end.
fn answer(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).unwrap();
    head
}

fn closes(head: &str) -> bool {
    head.contains("\r\nconnection: close\r\n")
}

fn is_at_its_end(stream: &mut TcpStream) {
    let mut byte = [0];
    assert_eq!(stream.read(&mut byte).unwrap(), 0);
}

/// Requests whose bodies nobody reads, with the status of each.
const REFUSED: [(&str, &str, &str); 5] = [
    ("POST /v1/write", "", "400"),
    ("POST /v1/nothing", "", "404"),
    ("DELETE /v1/sql", "", "405"),
    ("POST /v1/sql", "Origin: http://elsewhere\r\n", "403"),
    ("POST /v1/write?keyspace=k", "", "413"),
];

fn small() -> Node {
    Node::with(|options| options.body_bytes_max = 4 << 10)
}

#[test]
fn a_small_body_that_nobody_reads_leaves_its_connection_of_use() {
    let node = small();
    let mut stream = connect(&node);
    for (line, headers, status) in REFUSED {
        // All of it is on its way at once, whatever the client does next.
        let length = 8 << 10;
        send(&mut stream, line, headers, Some(length), length);
        let head = answer(&mut stream);
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{head}");
        assert!(!closes(&head), "{head}");
        send(&mut stream, "GET /health/live", "", Some(0), 0);
        assert!(answer(&mut stream).starts_with("http/1.1 200 "), "{line}");
    }
}

#[test]
fn a_connection_that_closes_behind_an_answer_says_so() {
    let node = small();
    for (line, headers, status) in REFUSED {
        // The first is never sent whole, the second is, and nobody knows whether the third will be.
        for (length, zeros) in [
            (Some(1 << 30), 100 << 10),
            (Some(4 << 20), 4 << 20),
            (None, 0),
        ] {
            if length.is_none() && status == "413" {
                // How much it is shows when it is there.
                continue;
            }
            let mut stream = connect(&node);
            send(&mut stream, line, headers, length, zeros);
            let head = answer(&mut stream);
            assert!(head.starts_with(&format!("http/1.1 {status} ")), "{head}");
            assert!(closes(&head), "{head}");
            is_at_its_end(&mut stream);
        }
    }
}

#[test]
fn a_client_that_asks_first_is_not_told_to_send_what_nobody_wants() {
    let node = small();
    let expects = "Expect: 100-continue\r\n";
    let mut stream = connect(&node);
    send(&mut stream, "POST /v1/write", expects, Some(1000), 0);
    let head = answer(&mut stream);
    assert!(head.starts_with("http/1.1 400 "), "{head}");
    assert!(closes(&head), "{head}");
    is_at_its_end(&mut stream);

    // What is wanted is asked for, and the connection stays.
    let mut stream = connect(&node);
    let line = "POST /v1/write?keyspace=k";
    send(&mut stream, line, expects, Some(7), 0);
    let told = answer(&mut stream);
    assert!(told.starts_with("http/1.1 100 "), "{told}");
    stream.write_all(b"m v=1 1").unwrap();
    let head = answer(&mut stream);
    assert!(head.starts_with("http/1.1 204 "), "{head}");
    assert!(!closes(&head), "{head}");
    send(&mut stream, "GET /health/live", "", Some(0), 0);
    assert!(answer(&mut stream).starts_with("http/1.1 200 "));
}

#[test]
fn who_never_ends_a_body_that_nobody_wants_is_cut_off() {
    let node = small();
    let mut stream = connect(&node);
    send(&mut stream, "POST /v1/write", "", Some(1 << 40), 0);
    let zeros = vec![0; 1 << 20];
    let broken = loop {
        if let Err(error) = stream.write_all(&zeros) {
            break error.kind();
        }
    };
    let cut = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
    assert!(cut.contains(&broken), "{broken}");
}
