//! The codec takes any bytes without a panic.

use bytes::BytesMut;
use proptest::prelude::*;

use crate::mqtt::codec::{Version, read};

/// Packets of plausible shape: a type, a length that fits, and bytes.
fn packet() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![0_u8..8, Just(0xff), any::<u8>()];
    (any::<u8>(), prop::collection::vec(byte, 0..60)).prop_map(|(kind, body)| {
        let mut packet = vec![kind, u8::try_from(body.len()).unwrap()];
        packet.extend(body);
        packet
    })
}

fn connect() -> impl Strategy<Value = Vec<u8>> {
    (
        4_u8..6,
        prop::collection::vec(prop_oneof![0_u8..8, any::<u8>()], 0..60),
    )
        .prop_map(|(level, rest)| {
            let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', level];
            body.extend(rest);
            let mut packet = vec![0x10, u8::try_from(body.len()).unwrap()];
            packet.extend(body);
            packet
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_packet_is_read_or_refused(bytes in prop_oneof![packet(), connect(), prop::collection::vec(any::<u8>(), 0..40)]) {
        for version in [None, Some(Version::V4), Some(Version::V5)] {
            let mut buffer = BytesMut::from(bytes.as_slice());
            let before = buffer.len();
            match read(&mut buffer, version, 1 << 20) {
                Ok(Some(_)) => prop_assert!(buffer.len() < before),
                Ok(None) => prop_assert_eq!(buffer.len(), before),
                Err(reason) => prop_assert!(!reason.is_empty()),
            }
        }
    }
}
