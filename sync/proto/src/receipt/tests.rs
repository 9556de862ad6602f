//! The form of a receipt is fixed: what was signed once is checked for ever.

use activestore_types::{Epoch, ErrorKind, NodeId};

use super::{MAX_CERTIFICATES, Receipt, ReceiptText, Statement};
use crate::segment::ChainHash;

fn statement() -> Statement {
    Statement {
        cloud: NodeId([0xc1; 16]),
        edge: NodeId([0xe2; 16]),
        epoch: Epoch(0x0102_0304_0506_0708),
        seq: 41,
        hash: ChainHash([0x77; 32]),
        rows: 90_000,
        issued_ms: 1_790_000_000_123,
    }
}

fn receipt() -> Receipt {
    Receipt {
        statement: statement(),
        signature: vec![9; 64].into(),
        certificates: vec![vec![1, 2, 3].into()],
    }
}

#[test]
fn the_signed_bytes_are_these_and_no_others() {
    let hex: String = statement()
        .signed_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let expected = [
        "61637469766573746f72652072656365697074203100".to_owned(), // "activestore receipt 1\0"
        "c1".repeat(16),
        "e2".repeat(16),
        "0807060504030201".to_owned(),
        "2900000000000000".to_owned(),
        "77".repeat(32),
        "905f010000000000".to_owned(),
        "7b6c50c4a0010000".to_owned(),
    ];
    assert_eq!(hex, expected.concat());
}

#[test]
fn every_member_changes_the_signed_bytes() {
    let same = statement().signed_bytes();
    let changed = [
        Statement {
            cloud: NodeId([0; 16]),
            ..statement()
        },
        Statement {
            edge: NodeId([0; 16]),
            ..statement()
        },
        Statement {
            epoch: Epoch(1),
            ..statement()
        },
        Statement {
            seq: 42,
            ..statement()
        },
        Statement {
            hash: ChainHash([0x76; 32]),
            ..statement()
        },
        Statement {
            rows: 90_001,
            ..statement()
        },
        Statement {
            issued_ms: 0,
            ..statement()
        },
    ];
    for one in changed {
        assert_ne!(one.signed_bytes(), same, "{one:?}");
    }
}

#[test]
fn a_receipt_comes_back_from_its_file() {
    let text = ReceiptText::from(&receipt());
    assert_eq!(Receipt::try_from(&text).unwrap(), receipt());
    assert_eq!(text.epoch, "0102030405060708");
}

#[test]
fn a_file_that_is_none_is_refused_with_what_is_wrong() {
    let broken: [fn(&mut ReceiptText); 8] = [
        |text| text.format = "activestore receipt 2".to_owned(),
        |text| text.cloud = "nobody".to_owned(),
        |text| text.epoch = "12".to_owned(),
        |text| text.hash.push('0'),
        |text| text.signature = "zz".to_owned(),
        |text| text.certificates.clear(),
        |text| text.seq = 0,
        |text| text.certificates = vec!["00".to_owned(); MAX_CERTIFICATES + 1],
    ];
    for breaks in broken {
        let mut text = ReceiptText::from(&receipt());
        breaks(&mut text);
        let error = Receipt::try_from(&text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
}
