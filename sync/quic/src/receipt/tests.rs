//! A receipt holds with the fleet's authority, and with nothing changed.

use std::path::Path;

use activestore_sync_proto::{ChainHash, Receipt, Signer, Statement, Verifier};
use activestore_types::{Epoch, ErrorKind, NodeId};

use super::verify_receipt;
use crate::certificate;
use crate::clock::wall_ms;
use crate::identity::{CloudIdentity, EdgeIdentity};

fn statement(issued_ms: u64) -> Statement {
    Statement {
        cloud: NodeId([1; 16]),
        edge: NodeId([2; 16]),
        epoch: Epoch(3),
        seq: 4,
        hash: ChainHash([5; 32]),
        rows: 6,
        issued_ms,
    }
}

fn ca_of(directory: &Path) -> Vec<u8> {
    std::fs::read(directory.join("ca.crt")).unwrap()
}

#[test]
fn what_the_cloud_signed_holds_with_the_authority_and_no_other() {
    let (here, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let cloud = CloudIdentity::open_or_create(here.path()).unwrap();
    CloudIdentity::open_or_create(elsewhere.path()).unwrap();
    let receipt = cloud.sign(&statement(wall_ms())).unwrap();
    verify_receipt(&receipt, &ca_of(here.path())).unwrap();
    let error = verify_receipt(&receipt, &ca_of(elsewhere.path())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    let error = verify_receipt(&receipt, b"nothing").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
}

#[test]
fn nothing_of_it_may_be_changed() {
    let directory = tempfile::tempdir().unwrap();
    let cloud = CloudIdentity::open_or_create(directory.path()).unwrap();
    let ca = ca_of(directory.path());
    let receipt = cloud.sign(&statement(wall_ms())).unwrap();
    let changes: [fn(&mut Receipt); 9] = [
        |receipt| receipt.statement.cloud = NodeId([9; 16]),
        |receipt| receipt.statement.edge = NodeId([9; 16]),
        |receipt| receipt.statement.epoch = Epoch(4),
        |receipt| receipt.statement.seq += 1,
        |receipt| receipt.statement.hash = ChainHash([6; 32]),
        |receipt| receipt.statement.rows += 1,
        |receipt| receipt.statement.issued_ms += 1,
        |receipt| {
            let mut bytes = receipt.signature.to_vec();
            bytes[0] ^= 1;
            receipt.signature = bytes.into();
        },
        |receipt| receipt.certificates.clear(),
    ];
    for change in changes {
        let mut changed = receipt.clone();
        change(&mut changed);
        assert!(verify_receipt(&changed, &ca).is_err(), "{changed:?}");
    }
    for at in 0..receipt.certificates[0].len() {
        let mut changed = receipt.clone();
        let mut bytes = changed.certificates[0].to_vec();
        bytes[at] ^= 0x40;
        changed.certificates[0] = bytes.into();
        assert!(verify_receipt(&changed, &ca).is_err(), "byte {at}");
    }
}

#[test]
fn it_holds_as_of_the_moment_that_it_names() {
    let directory = tempfile::tempdir().unwrap();
    let cloud = CloudIdentity::open_or_create(directory.path()).unwrap();
    let long_after = wall_ms() + 3 * 365 * 86_400_000;
    let receipt = cloud.sign(&statement(long_after)).unwrap();
    let error = verify_receipt(&receipt, &ca_of(directory.path())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
}

/// An edge is of the fleet too, but its word is not the cloud's.
#[test]
fn an_edge_cannot_sign_for_the_cloud() {
    let (at_cloud, at_edge) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let cloud = CloudIdentity::open_or_create(at_cloud.path()).unwrap();
    let edge = EdgeIdentity::open_or_create(at_edge.path()).unwrap();
    let node = NodeId([2; 16]);
    let good = cloud.sign(&statement(wall_ms())).unwrap();
    let error = edge.verify(&good).unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Denied,
        "it has not joined: {error}"
    );
    let request = certificate::Request::read(&edge.request(node).unwrap(), node).unwrap();
    let certificate = request.sign(node, cloud.issuer(), wall_ms()).unwrap();
    let ca = cloud.ca().to_vec();
    edge.join(certificate.to_vec(), ca).unwrap();
    edge.verify(&good).unwrap();

    let key = edge.private_key();
    let key =
        ring::signature::Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.secret_der()).unwrap();
    let statement = statement(wall_ms());
    let signature = key.sign(&statement.signed_bytes());
    let forged = Receipt {
        statement,
        signature: signature.as_ref().to_vec().into(),
        certificates: vec![certificate.to_vec().into()],
    };
    let error = edge.verify(&forged).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
}
