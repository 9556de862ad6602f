//! Frames survive the way to bytes and back; no bytes do harm.

use activestore_types::{Epoch, ErrorKind, NodeId, SyncClass, TableName};
use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::digest::TableDigest;
use crate::frame::{
    CatalogOffer, Follow, Health, Hello, LaneHeld, LaneOffer, PluginHealth, Reject, Rows,
    SegmentFrame, StartOver, Welcome,
};
use crate::limits::Limits;
use crate::receipt::{Receipt, Statement};
use crate::segment::{ChainHash, SealedSegment};

fn frames() -> impl Strategy<Value = Frame> {
    let payload = proptest::collection::vec(any::<u8>(), 0..2000);
    let pieces = proptest::collection::vec(any::<u8>(), 0..300);
    prop_oneof![
        Just(Frame::Apart),
        (
            any::<[u8; 16]>(),
            ".{0,40}",
            any::<u64>(),
            1..1000_u64,
            0..1000_u64
        )
            .prop_map(|(node, name, epoch, first, more)| Frame::Hello(Hello {
                protocol: 1,
                node: NodeId(node),
                name,
                epoch: Epoch(epoch),
                first_unacked: first,
                last_sealed: first - 1 + more,
                acked_hash: ChainHash([7; 32]),
                catalog_version: 3,
                limits: Limits::default(),
            })),
        (any::<u64>(), any::<u64>(), any::<[u8; 32]>()).prop_map(|(epoch, seq, hash)| {
            Frame::Welcome(Welcome {
                epoch: Epoch(epoch),
                durable_seq: seq,
                durable_hash: ChainHash(hash),
                catalog_version: 9,
                wall_ms: 1,
                limits: Limits::default(),
            })
        }),
        (1..u64::MAX, payload.clone()).prop_map(|(seq, payload)| Frame::Segment(SegmentFrame {
            epoch: Epoch(1),
            last_sealed: seq,
            class: SyncClass::Live,
            segment: SealedSegment::seal(
                NodeId([2; 16]),
                Epoch(1),
                seq,
                ChainHash::GENESIS,
                5,
                payload.into()
            ),
        })),
        (any::<u64>(), any::<u64>()).prop_map(|(epoch, seq)| Frame::Ack {
            epoch: Epoch(epoch),
            seq
        }),
        (any::<u64>(), ".{0,100}", any::<bool>()).prop_map(|(seq, reason, retryable)| {
            Frame::Reject(Reject {
                epoch: Epoch(4),
                seq,
                reason,
                retryable,
                retry_after_ms: 5,
            })
        }),
        (any::<u64>(), any::<[u8; 32]>()).prop_map(|(version, sha256)| Frame::CatalogOffer(
            CatalogOffer {
                version,
                sha256,
                bytes: 77
            }
        )),
        (any::<[u8; 32]>(), payload).prop_map(|(sha256, bytes)| Frame::BlobChunk {
            sha256,
            offset: 10,
            total: 5000,
            bytes: bytes.into()
        }),
        (any::<u64>(), any::<u64>(), any::<bool>()).prop_map(|(id, seq, fetching)| {
            Frame::Follow(Follow {
                id,
                epoch: Epoch(seq),
                seq,
                hash: ChainHash([7; 32]),
                fetching,
            })
        }),
        (any::<u64>(), 1..u64::MAX, ".{0,100}").prop_map(|(id, epoch, reason)| {
            Frame::StartOver(StartOver {
                id,
                node: NodeId([3; 16]),
                epoch: Epoch(epoch),
                seq: id,
                hash: ChainHash::GENESIS,
                definitions: 2,
                reason,
            })
        }),
        (1..u64::MAX, any::<[u8; 32]>(), pieces.clone()).prop_map(|(seq, hash, bytes)| {
            Frame::Receipt(Receipt {
                statement: Statement {
                    cloud: NodeId([4; 16]),
                    edge: NodeId([5; 16]),
                    epoch: Epoch(seq),
                    seq,
                    hash: ChainHash(hash),
                    rows: seq,
                    issued_ms: 6,
                },
                signature: bytes.clone().into(),
                certificates: vec![bytes.into()],
            })
        }),
        (any::<u64>(), pieces.clone(), proptest::option::of(pieces)).prop_map(
            |(id, payload, next)| {
                Frame::Rows(Rows {
                    id,
                    payload: payload.into(),
                    next: next.map(Bytes::from),
                })
            }
        ),
        (0..4_usize, any::<u64>(), 1..1000_u64, any::<[u8; 32]>()).prop_map(
            |(class, epoch, first, hash)| {
                Frame::Lane(LaneOffer {
                    class: SyncClass::ALL[class],
                    epoch: Epoch(epoch),
                    first_unacked: first,
                    last_sealed: first - 1,
                    acked_hash: ChainHash(hash),
                })
            }
        ),
        (any::<u64>(), any::<u64>(), any::<[u8; 32]>()).prop_map(|(epoch, seq, hash)| {
            Frame::LaneHeld(LaneHeld {
                epoch: Epoch(epoch),
                durable_seq: seq,
                durable_hash: ChainHash(hash),
            })
        }),
        (any::<u64>(), "[a-z]{1,9}", any::<bool>(), 0..4_usize).prop_map(
            |(calls, plugin, off, count)| {
                let one = PluginHealth {
                    plugin,
                    version: "1.0".to_owned(),
                    calls,
                    failures: calls / 2,
                    off,
                    since_ms: 7,
                };
                Frame::Health(Health {
                    plugins: vec![one; count],
                    clock_offset_ms: -1_000 * count as i64,
                })
            }
        ),
        (any::<u64>(), "[a-z]{1,9}", any::<[u8; 16]>()).prop_map(|(id, name, hash)| {
            Frame::DigestReply {
                id,
                tables: vec![TableDigest {
                    table: TableName::new(name, "t"),
                    rows: 4,
                    hash,
                }],
                error: None,
            }
        }),
    ]
}

proptest! {
    #[test]
    fn a_frame_comes_back(frame in frames(), cut in 1..700_usize) {
        let bytes = encode(&frame).unwrap();
        prop_assert_eq!(&decode(&bytes).unwrap(), &frame);
        let mut reader = FrameReader::new();
        let mut found = Vec::new();
        for piece in [bytes.clone(), bytes].concat().chunks(cut) {
            reader.push(piece);
            while let Some(frame) = reader.next_frame().unwrap() {
                found.push(frame);
            }
        }
        prop_assert_eq!(found, vec![frame.clone(), frame]);
        prop_assert!(reader.is_empty());
    }

    #[test]
    fn a_damaged_frame_is_an_error(frame in frames(), at in any::<usize>(), flip in 1..=255_u8) {
        let mut bytes = encode(&frame).unwrap();
        let at = at % bytes.len();
        bytes[at] ^= flip;
        prop_assert!(decode(&bytes).is_err());
    }

    #[test]
    fn a_cut_frame_is_an_error(frame in frames(), at in any::<usize>()) {
        let bytes = encode(&frame).unwrap();
        prop_assert!(decode(&bytes[..at % bytes.len()]).is_err());
    }

    #[test]
    fn hostile_bytes_with_a_right_checksum_do_no_harm(
        body in proptest::collection::vec(any::<u8>(), 0..400)
    ) {
        let mut counted = vec![WIRE_VERSION];
        counted.extend(body);
        let mut bytes = (counted.len() as u32).to_le_bytes().to_vec();
        bytes.extend(crc32c::crc32c(&counted).to_le_bytes());
        bytes.extend(counted);
        if let Ok(frame) = decode(&bytes) {
            prop_assert!(frame.check_bounds().is_ok());
        }
    }
}

#[test]
fn a_claimed_length_is_refused_before_the_bytes_come() {
    let mut reader = FrameReader::new();
    reader.push(&u32::MAX.to_le_bytes());
    reader.push(&[0; 4]);
    assert_eq!(reader.next_frame().unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn another_version_is_named() {
    let mut bytes = encode(&Frame::Ping { nonce: 1 }).unwrap();
    bytes[HEADER_BYTES] = 9;
    let crc = crc32c::crc32c(&bytes[HEADER_BYTES..]).to_le_bytes();
    bytes[4..8].copy_from_slice(&crc);
    let error = decode(&bytes).unwrap_err();
    assert!(error.message().contains("version 9"), "{error}");
}

#[test]
fn the_largest_segment_fits_and_a_larger_one_does_not() {
    let frame = |bytes: usize| {
        Frame::Segment(SegmentFrame {
            epoch: Epoch(u64::MAX),
            last_sealed: u64::MAX,
            class: SyncClass::Live,
            segment: SealedSegment::seal(
                NodeId([2; 16]),
                Epoch(u64::MAX),
                u64::MAX,
                ChainHash([255; 32]),
                u64::MAX,
                Bytes::from(vec![0; bytes]),
            ),
        })
    };
    let bytes = encode(&frame(MAX_FRAME_BYTES)).unwrap();
    assert!(decode(&bytes).is_ok());
    assert!(encode(&frame(MAX_FRAME_BYTES + 1)).is_err());
}
