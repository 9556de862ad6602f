//! Bytes that are no calls, messages that are too large or say what is not so, and clients that do nothing. Whoever
//! sends them is told, and nobody else notices.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, StringArray};
use arrow::ipc::CompressionType;
use arrow::ipc::writer::IpcWriteOptions;
use arrow::record_batch::RecordBatch;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::sql::{ProstMessageExt, TicketStatementQuery};
use arrow_flight::{FlightData, FlightDescriptor, Ticket};
use futures::{StreamExt, TryStreamExt, stream};
use proptest::prelude::*;
use prost::Message;
use tonic::Code;

use crate::client::{Client, Node, Outcome, batches, rows, said};
use crate::ingest::{append, ingested, readings};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn is_well(node: &Node) {
    node.wait(async {
        let mut client = node.client().await;
        assert_eq!(rows(&mut client, "SELECT 1").await, [["1"]]);
    });
}

/// Sends bytes and reads until the node ends the connection.
fn sent(node: &Node, bytes: &[u8]) {
    let mut stream = TcpStream::connect(node.address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(error) => assert_ne!(
            error.kind(),
            std::io::ErrorKind::WouldBlock,
            "the connection stands"
        ),
    }
}

#[test]
fn what_is_no_connection_of_http_2_is_closed() {
    let node = Node::start();
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        &[0xff; 64],
        &PREFACE[..20],
        b"",
        &[22, 3, 1, 2, 0, 1],
    ] {
        sent(&node, bytes);
        is_well(&node);
    }
    node.until("startups_failed_total", 5.0);
    // Frames that are cut, or say that they are longer than they may be.
    for frames in [
        &[0, 0, 0, 4, 0, 0, 0, 0][..],
        &[0xff; 100],
        &[
            0, 0, 0, 4, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 1, 5, 0, 0, 0, 1,
        ],
    ] {
        sent(&node, &[PREFACE, frames].concat());
        is_well(&node);
    }
}

#[test]
fn who_does_not_begin_is_put_out() {
    let node = Node::with(|options| options.startup_max = Duration::from_millis(300));
    let mut silent = TcpStream::connect(node.address).unwrap();
    let mut slow = TcpStream::connect(node.address).unwrap();
    slow.write_all(&PREFACE[..10]).unwrap();
    for stream in [&mut silent, &mut slow] {
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let mut rest = Vec::new();
        assert_eq!(stream.read_to_end(&mut rest).unwrap_or(0), 0);
    }
    is_well(&node);
    node.until("startups_failed_total", 2.0);
}

#[test]
fn connections_and_calls_are_bounded() {
    let node = Node::with(|options| {
        options.connections_max = 2;
        options.calls_max = 1;
    });
    let (first, mut kept) = node.wait(async { (node.client().await, node.client().await) });
    node.until("connections_open", 2.0);
    let mut third = TcpStream::connect(node.address).unwrap();
    third
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let _ = third.write_all(PREFACE);
    assert_eq!(third.read(&mut [0; 8]).unwrap_or(0), 0);
    drop(first);
    node.until("connections_open", 1.0);
    node.wait(async {
        // Rows that are not taken keep the one place.
        let many = "SELECT value, repeat('x', 1000) FROM generate_series(1, 1000000)";
        let info = kept.execute(many.to_owned(), None).await.unwrap();
        let mut stream = kept.do_get(crate::client::ticket(&info)).await.unwrap();
        stream.next().await.unwrap().unwrap();
        let mut other = node.client().await;
        let (code, message) = said(batches(&mut other, "SELECT 1").await);
        assert_eq!(code, Code::Unavailable);
        assert!(message.contains("as many calls"), "{message}");
        drop(stream);
        for _ in 0..600 {
            if batches(&mut other, "SELECT 1").await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the place of a call that ended did not come free");
    });
}

#[test]
fn tickets_and_commands_that_are_none_are_refused() {
    let node = Node::start();
    let handle = |handle: &[u8]| {
        let ticket = TicketStatementQuery {
            statement_handle: handle.to_vec().into(),
        };
        ticket.as_any().encode_to_vec()
    };
    let mut cut = handle(b"\x01SELECT 1");
    cut.truncate(cut.len() - 3);
    let mut of_another = handle(b"\x01SELECT 1");
    let place = of_another
        .windows(5)
        .position(|word| word == b"Query")
        .unwrap();
    of_another[place] = b'X';
    node.wait(async {
        let mut client = node.client().await;
        for bytes in [
            Vec::new(),
            vec![0xff; 40],
            b"SELECT 1".to_vec(),
            cut,
            of_another,
            handle(b""),
            handle(b"\x02SELECT 1"),
            handle(b"\x00SELECT 1"),
            handle(b"\x01\xff\xfe"),
            handle(b"\x01SELECT 1; DROP KEYSPACE plant"),
        ] {
            let ticket = Ticket::new(bytes.clone());
            let refused = said(client.do_get(ticket).await);
            assert_eq!(refused.0, Code::InvalidArgument, "{bytes:?}: {}", refused.1);
            let asked = client
                .inner_mut()
                .get_flight_info(FlightDescriptor::new_cmd(bytes))
                .await;
            let asked = asked.unwrap_err().code();
            assert!(
                matches!(asked, Code::InvalidArgument | Code::Unimplemented),
                "{asked}"
            );
        }
        assert_eq!(rows(&mut client, "SELECT 1").await, [["1"]]);
    });
}

async fn put(client: &mut Client, messages: Vec<FlightData>) -> Outcome<()> {
    let answers = client.do_put(stream::iter(messages)).await?;
    answers.try_collect::<Vec<_>>().await?;
    Ok(())
}

async fn messages(batch: RecordBatch, packed: bool) -> Vec<FlightData> {
    let command = append("readings").as_any().encode_to_vec();
    let compression = packed.then_some(CompressionType::LZ4_FRAME);
    let options = IpcWriteOptions::default()
        .try_with_compression(compression)
        .unwrap();
    let messages = FlightDataEncoderBuilder::new()
        .with_options(options)
        .with_flight_descriptor(Some(FlightDescriptor::new_cmd(command)))
        .build(stream::iter([Ok(batch)]));
    messages.try_collect().await.unwrap()
}

fn named(device: &str) -> RecordBatch {
    let column = |text: &str| Arc::new(StringArray::from(vec![text])) as ArrayRef;
    RecordBatch::try_from_iter([("device", column(device)), ("ts", column("2026-05-05"))]).unwrap()
}

#[test]
fn rows_that_say_what_is_not_so_are_refused() {
    let node = Node::with_readings();
    node.wait(async {
        let mut client = node.client().await;
        // Packed columns are taken; one that says it comes to a terabyte is not believed.
        put(&mut client, messages(named("packed"), true).await)
            .await
            .unwrap();
        let mut bomb = messages(named(&"bomb".repeat(100)), true).await;
        let last = bomb.last_mut().unwrap();
        let mut body = last.data_body.to_vec();
        body[..8].copy_from_slice(&(1_i64 << 40).to_le_bytes());
        last.data_body = body.into();
        let (code, message) = said(put(&mut client, bomb).await);
        assert_eq!(code, Code::InvalidArgument);
        assert!(message.contains("unpacked"), "{message}");
        // Cut bodies, heads that are garbage, rows before their columns, no command.
        let whole = messages(named("cut"), false).await;
        let with = |change: fn(&mut Vec<FlightData>)| {
            let mut messages = whole.clone();
            change(&mut messages);
            messages
        };
        for messages in [
            with(|all| all[1].data_body = all[1].data_body.slice(..3)),
            with(|all| all[1].data_body = Default::default()),
            with(|all| all[1].data_header = all[1].data_header.slice(..20)),
            with(|all| all[1].data_header = vec![0xff; 200].into()),
            with(|all| {
                let descriptor = all[0].flight_descriptor.take();
                all.remove(0);
                all[0].flight_descriptor = descriptor;
            }),
            with(|all| all[0].flight_descriptor = None),
            with(|all| all.clear()),
            with(|all| all.insert(1, all[0].clone())),
        ] {
            let (code, message) = said(put(&mut client, messages).await);
            assert_eq!(code, Code::InvalidArgument, "{message}");
        }
        let found = "SELECT device FROM plant.readings WHERE ts = '2026-05-05'";
        assert_eq!(rows(&mut client, found).await, [["packed"]]);
    });
}

#[test]
fn a_message_that_is_too_large_is_refused_at_its_head() {
    let node = Node::with(|options| options.message_bytes_max = 256 * 1024);
    node.sql(
        "CREATE KEYSPACE plant; \
         CREATE TABLE plant.readings (device TEXT, ts TIMESTAMP, temp DOUBLE, PRIMARY KEY ((device), ts))",
    );
    node.wait(async {
        let mut client = node.client().await;
        let small = vec![readings("a", 0, 5_000), readings("a", 5_000, 5_000)];
        assert_eq!(
            ingested(&mut client, append("readings"), small)
                .await
                .unwrap(),
            10_000
        );
        let (code, message) = said(
            ingested(
                &mut client,
                append("readings"),
                vec![readings("b", 0, 100_000)],
            )
            .await,
        );
        assert_eq!(code, Code::ResourceExhausted, "{message}");
        assert!(message.contains("smaller batches"), "{message}");
        let found = "SELECT count(*) FROM plant.readings";
        assert_eq!(rows(&mut client, found).await, [["10000"]]);
    });
    assert_eq!(node.figure("protocol_violations_total"), 1.0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_frames_harm_others(
        frames in proptest::collection::vec(
            (0_u8..12, any::<u8>(), 0_u32..4, proptest::collection::vec(any::<u8>(), 0..60), -3_i32..4),
            1..8,
        ),
    ) {
        thread_local! {
            static NODE: Node = Node::start();
        }
        NODE.with(|node| {
            let mut bytes = PREFACE.to_vec();
            bytes.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
            for (kind, flags, stream, body, off) in frames {
                // Lengths that are off by a little, too.
                let length = (i32::try_from(body.len()).unwrap() + off).max(0);
                bytes.extend(&length.to_be_bytes()[1..]);
                bytes.extend([kind, flags]);
                bytes.extend(stream.to_be_bytes());
                bytes.extend(body);
            }
            sent(node, &bytes);
            is_well(node);
        });
    }
}
