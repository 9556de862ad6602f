//! Records come back as they were, however the stream is cut, and hostile bytes are refused.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;

fn all() -> Vec<Record> {
    vec![
        Record::Ping(7),
        Record::Frame(Bytes::from(vec![3; HEADER_BYTES + 900])),
        Record::Pong(u64::MAX),
        Record::close("the edge shuts down".as_bytes()),
        Record::close(b""),
        Record::Message(Bytes::from_static(b"let me in")),
    ]
}

#[test]
fn records_come_back_however_the_stream_is_cut() {
    let stream: Vec<u8> = all().iter().flat_map(Record::encode).collect();
    for step in [1, 2, 5, 13, 100, stream.len()] {
        let mut reader = RecordReader::default();
        let mut seen = Vec::new();
        for bytes in stream.chunks(step) {
            reader.push(bytes);
            while let Some(record) = reader.next_record().unwrap() {
                seen.push(record);
            }
        }
        assert_eq!(seen, all(), "cut every {step} bytes");
    }
}

#[test]
fn a_long_reason_is_cut() {
    let Record::Close(reason) = Record::close(&[b'x'; 5000]) else {
        panic!("a close");
    };
    assert_eq!(reason.len(), MAX_REASON_BYTES);
}

#[test]
fn what_is_no_record_is_refused_before_it_is_held() {
    for header in [
        [9, 0, 0, 0, 0],
        [KIND_PING, 7, 0, 0, 0],
        [KIND_PONG, 9, 0, 0, 0],
        [KIND_CLOSE, 1, 4, 0, 0],
        [KIND_FRAME, 7, 0, 0, 0],
        [KIND_MESSAGE, 1, 64, 0, 0],
        [KIND_FRAME, 255, 255, 255, 255],
    ] {
        let mut reader = RecordReader::default();
        reader.push(&header);
        assert!(reader.next_record().is_err(), "{header:?}");
    }
}
