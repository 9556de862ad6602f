//! Receivers as they are and as they should not be, at real sockets.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use activestore_db::{Carried, Carrier, Parcel, Setback, SinkAddress, SinkLine, SinkOptions};

use super::SinkCarrier;
use super::packet::{self, Reply};

mod endings;

/// Longer than any receiver of these tests is waited for.
const SLOW: Duration = Duration::from_secs(20);

fn line(address: &str, options: &[(&str, &str)]) -> Box<dyn SinkLine> {
    let address = SinkAddress::parse(address).unwrap();
    let options = options
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let options = SinkOptions::parse(&options.collect::<BTreeMap<_, _>>(), &address).unwrap();
    SinkCarrier::new("node")
        .line("hot", &address, &options)
        .unwrap()
}

fn parcels(count: usize) -> Vec<Parcel> {
    let parcels = (1..=count).map(|number| Parcel {
        id: format!("id{number}"),
        topic: "plant/a".to_owned(),
        body: format!("{{\"n\":{number}}}").into_bytes(),
    });
    parcels.collect()
}

/// A receiver that does this with its one connection.
fn serve(work: impl FnOnce(TcpStream) + Send + 'static) -> (u16, std::thread::JoinHandle<()>) {
    let (listener, thread) = serve_once(work);
    (listener.local_addr().unwrap().port(), thread)
}

/// The same, at a port that stays its own and at which nobody answers then.
fn serve_once(
    work: impl FnOnce(TcpStream) + Send + 'static,
) -> (TcpListener, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let accepts = listener.try_clone().unwrap();
    let thread = std::thread::spawn(move || work(accepts.accept().unwrap().0));
    (listener, thread)
}

fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap().to_ascii_lowercase()
}

fn later(carried: &Carried) -> (usize, &str) {
    match &carried.setback {
        Some(
            Setback::Later(why, _)
            | Setback::Away(why)
            | Setback::Late(why)
            | Setback::BrokeOff(why),
        ) => (carried.taken, why),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_web_hook_gets_a_batch_under_a_key() {
    let (port, server) = serve(|mut stream| {
        let head = head(&mut stream);
        assert!(head.starts_with("post /x?k=1 "), "{head}");
        for header in [
            "authorization: bearer x",
            "x-team: plant",
            "content-type: application/json",
            "idempotency-key: id1..id2",
        ] {
            assert!(head.contains(header), "{head}");
        }
        let mut body = [0; 18];
        stream.read_exact(&mut body).unwrap();
        assert_eq!(&body, b"[{\"n\":1},\n{\"n\":2}]");
        stream
            .write_all(b"HTTP/1.1 503 no\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n")
            .unwrap();
    });
    let options = [
        ("batch", "2"),
        ("header_authorization", "Bearer x"),
        ("header_x_team", "plant"),
    ];
    let carried = line(&format!("http://127.0.0.1:{port}/x?k=1"), &options).carry(&parcels(2));
    server.join().unwrap();
    let setback = Setback::Later(
        "it was answered 503".to_owned(),
        Some(Duration::from_secs(7)),
    );
    assert_eq!(
        carried,
        Carried {
            taken: 0,
            setback: Some(setback)
        }
    );
}

#[test]
fn a_web_hook_that_does_not_behave_takes_nothing_and_not_for_ever() {
    type Deed = fn(&mut TcpStream);
    let deeds: [(&str, Deed); 5] = [
        ("302", |stream| {
            let _ = stream.write_all(
                b"HTTP/1.1 302 look\r\nlocation: file:///etc/passwd\r\ncontent-length: 0\r\n\r\n",
            );
        }),
        ("", |stream| {
            // A head without an end.
            let _ = stream.write_all(b"HTTP/1.1 200 ok\r\n");
            let begun = Instant::now();
            while begun.elapsed() < SLOW && stream.write_all(&[b'x'; 4096]).is_ok() {}
        }),
        ("", |stream| {
            // Byte by byte, and never to an end.
            let begun = Instant::now();
            while begun.elapsed() < SLOW && stream.write_all(b"H").is_ok() {
                std::thread::sleep(Duration::from_millis(50));
            }
        }),
        ("", |stream| {
            let _ = stream.write_all(b"HTTP/1.1 20");
        }),
        ("", |stream| {
            let _ = stream.write_all(b"\x16\x03\x01 what is this\r\n\r\n");
        }),
    ];
    for (words, deed) in deeds {
        let (port, server) = serve(move |mut stream| {
            head(&mut stream);
            deed(&mut stream);
        });
        let begun = Instant::now();
        let carried = line(
            &format!("http://127.0.0.1:{port}/"),
            &[("timeout", "500 ms")],
        )
        .carry(&parcels(1));
        assert!(begun.elapsed() < SLOW);
        let (taken, why) = later(&carried);
        assert_eq!(taken, 0);
        assert!(why.contains(words), "{why}");
        server.join().unwrap();
    }
}

/// Reads a whole packet: its first byte and its rest.
fn packet_of(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut byte = [0];
    stream.read_exact(&mut byte).ok()?;
    let first = byte[0];
    let (mut length, mut shift) = (0, 0);
    loop {
        stream.read_exact(&mut byte).ok()?;
        length |= usize::from(byte[0] & 0x7f) << shift;
        shift += 7;
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).ok()?;
    Some((first, rest))
}

fn number_of(rest: &[u8]) -> [u8; 2] {
    let topic = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
    [rest[2 + topic], rest[3 + topic]]
}

#[test]
fn a_broker_gets_messages_and_each_waits_for_its_acknowledgement() {
    let (port, server) = serve(|mut stream| {
        let (first, rest) = packet_of(&mut stream).unwrap();
        assert_eq!(first, 0x10);
        assert_eq!(&rest[..8], b"\0\x04MQTT\x04\xc2");
        assert!(rest.ends_with(b"\0\x08node-hot\0\x01u\0\x01p"), "{rest:?}");
        stream.write_all(&[0x20, 2, 0, 0]).unwrap();
        let mut numbers = Vec::new();
        for number in 1..=3 {
            let (first, rest) = packet_of(&mut stream).unwrap();
            assert_eq!(first, 0x33);
            assert!(rest.ends_with(format!("{{\"n\":{number}}}").as_bytes()));
            numbers.push(number_of(&rest));
        }
        // In another order, and the last one never.
        for number in [numbers[1], numbers[0]] {
            stream.write_all(&[0x40, 2, number[0], number[1]]).unwrap();
        }
    });
    let options = [
        ("user", "u"),
        ("password", "p"),
        ("retain", "true"),
        ("timeout", "2 s"),
    ];
    let carried = line(&format!("mqtt://127.0.0.1:{port}/t"), &options).carry(&parcels(3));
    assert_eq!(later(&carried).0, 2);
    server.join().unwrap();
}

#[test]
fn a_broker_that_does_not_behave_is_left() {
    let answers: [(&'static [u8], &[u8], &str); 8] = [
        (&[0x20, 2, 0, 5], &[], "may not connect"),
        (&[0x20, 2, 0, 0], &[0x40, 2, 0x77, 0x77], "was not sent"),
        (&[0x20, 2, 0, 0], &[0x20, 2, 0, 0], "was not sent"),
        (
            &[0x20, 2, 0, 0],
            &[0x30, 0xff, 0xff, 0xff],
            "no broker sends",
        ),
        (&[0x40, 2, 0, 1], &[], "no CONNACK"),
        (&[0x20, 0xff, 0xff, 0xff], &[], "no broker sends"),
        (&[0x20, 2], &[], "closed the connection"),
        (&[], &[], "closed the connection"),
    ];
    for (hello, reply, words) in answers {
        let reply = reply.to_vec();
        let (port, server) = serve(move |mut stream| {
            packet_of(&mut stream);
            let _ = stream.write_all(hello);
            if hello == [0x20, 2, 0, 0] {
                packet_of(&mut stream);
                let _ = stream.write_all(&reply);
            }
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let mut line = line(&format!("mqtt://127.0.0.1:{port}/t"), &[("timeout", "5 s")]);
        let carried = line.carry(&parcels(1));
        let (taken, why) = later(&carried);
        assert_eq!(taken, 0);
        assert!(why.contains(words), "{why}");
        drop(line);
        server.join().unwrap();
    }
    // One that says nothing at all is waited for no longer than is said.
    let (port, server) = serve(|mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let begun = Instant::now();
    let carried = line(
        &format!("mqtt://127.0.0.1:{port}/t"),
        &[("timeout", "300 ms")],
    )
    .carry(&parcels(1));
    assert!(later(&carried).1.contains("in time"));
    assert!(begun.elapsed() < SLOW);
    server.join().unwrap();
}

#[test]
fn packets_are_those_of_the_standard() {
    assert_eq!(
        packet::publish("a/b", b"hi", 0x0102, false).unwrap(),
        b"\x32\x09\0\x03a/b\x01\x02hi"
    );
    let long = vec![b'x'; 321 - 7];
    let message = packet::publish("a/b", &long, 1, false).unwrap();
    // The standard's own example of a length: 321 is 0xc1 0x02.
    assert_eq!(message[1..3], [0xc1, 0x02]);
    assert!(packet::connect(&"x".repeat(70_000), None).is_none());
    assert_eq!(packet::reply([0x40, 2, 1, 2]), Some(Reply::Published(258)));
    for bytes in [
        [0x40, 3, 1, 2],
        [0x20, 2, 2, 0],
        [0x50, 2, 0, 1],
        [0; 4],
        [0xff; 4],
    ] {
        assert_eq!(packet::reply(bytes), None);
    }
    assert!(packet::is_topic("a/%2B"));
    for topic in ["", "a/+", "#", "a\0b"] {
        assert!(!packet::is_topic(topic));
    }
}
