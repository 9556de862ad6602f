//! Receipts between an edge and a cloud in one process: what is true is kept, what is not is refused.

use std::sync::Arc;

use activestore_sync_proto::{ChainHash, Receipt, ReceiptText, Signer, Statement, Verifier};
use activestore_types::{Epoch, ErrorKind, NodeId};
use ring::hmac;

use super::shipping::{sealed, ship};
use super::*;

/// Signs and checks with a secret that both sides know: which keys there are is decided elsewhere.
pub(super) struct Secret(hmac::Key);

impl Secret {
    pub(super) fn new(byte: u8) -> Arc<Self> {
        Arc::new(Secret(hmac::Key::new(hmac::HMAC_SHA256, &[byte; 32])))
    }
}

impl Signer for Secret {
    fn sign(&self, statement: &Statement) -> Result<Receipt> {
        let tag = hmac::sign(&self.0, &statement.signed_bytes());
        Ok(Receipt {
            statement: *statement,
            signature: tag.as_ref().to_vec().into(),
            certificates: vec![vec![1].into()],
        })
    }
}

impl Verifier for Secret {
    fn verify(&self, receipt: &Receipt) -> Result<()> {
        let said = receipt.statement.signed_bytes();
        hmac::verify(&self.0, &said, &receipt.signature)
            .map_err(|_| Error::denied("the signature does not hold"))
    }
}

/// An edge and a cloud that sign and check with one secret.
pub(super) fn pair(edge: &Path, cloud: &Path) -> (Db, Db) {
    let secret = Secret::new(7);
    let (edge, cloud) = (open(edge, Role::Edge), open(cloud, Role::Cloud));
    edge.check_receipts_with(secret.clone());
    cloud.sign_receipts_with(secret);
    (edge, cloud)
}

/// What the cloud signs now of the edge.
pub(super) fn attested(edge: &Db, cloud: &Db) -> Option<Receipt> {
    let (node, _, epoch) = edge.sync_hosts().outbox.unwrap().identity();
    cloud.sync_hosts().inbox.attest(node, epoch).unwrap()
}

/// Ships everything and brings a receipt; whether it was kept.
pub(super) fn ship_with_receipt(edge: &Db, cloud: &Db) -> bool {
    ship(edge, cloud);
    let receipt = attested(edge, cloud).unwrap();
    edge.sync_hosts().replica.receipt(&receipt).unwrap()
}

async fn insert(db: &Db, day: u32) {
    let sql = format!(
        "INSERT INTO plant.readings (device, ts, temp) VALUES ('a', '2026-01-{day:02}', {day})"
    );
    run(db, &sql).await;
}

#[test]
fn the_newest_receipt_is_kept_and_shown_at_both_ends() {
    runtime().block_on(async {
        let (edge_dir, cloud_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (edge, cloud) = pair(edge_dir.path(), cloud_dir.path());
        run(&edge, PLANT).await;
        assert!(attested(&edge, &cloud).is_none(), "it holds nothing yet");
        insert(&edge, 1).await;
        assert!(ship_with_receipt(&edge, &cloud));
        let old = attested(&edge, &cloud).unwrap();
        assert!(!ship_with_receipt(&edge, &cloud), "it says no more");
        insert(&edge, 2).await;
        assert!(ship_with_receipt(&edge, &cloud));
        let replica = edge.sync_hosts().replica;
        assert!(!replica.receipt(&old).unwrap(), "an older one is no news");

        let shown = "SELECT side, seq, row_fragments, verified FROM system.sync_receipts";
        assert_eq!(rows(&edge, shown).await, ["held|2|2|true"]);
        assert_eq!(rows(&cloud, shown).await, ["issued|2|2|"]);
        let status = edge.sync_status();
        assert_eq!(status.receipt.unwrap().node, cloud.node_id().to_string());
        assert_eq!(status.receipt_refused, None);
        let exported = edge.receipts(None).unwrap();
        let read = Receipt::try_from(&exported[0]).unwrap();
        Secret::new(7).verify(&read).unwrap();
        assert_eq!(exported, [ReceiptText::from(&read)]);

        edge.shutdown().await.unwrap();
        drop((edge, replica));
        let edge = open(edge_dir.path(), Role::Edge);
        assert_eq!(
            rows(&edge, shown).await,
            ["held|2|2|"],
            "who checks is not known yet"
        );
        edge.check_receipts_with(Secret::new(7));
        assert_eq!(rows(&edge, shown).await, ["held|2|2|true"]);
        insert(&edge, 3).await;
        assert!(ship_with_receipt(&edge, &cloud));
        edge.shutdown().await.unwrap();
        cloud.shutdown().await.unwrap();
    });
}

#[test]
fn what_is_not_true_is_refused_and_counted() {
    runtime().block_on(async {
        let (edge_dir, cloud_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (edge, cloud) = pair(edge_dir.path(), cloud_dir.path());
        run(&edge, PLANT).await;
        for day in 1..4 {
            insert(&edge, day).await;
            sealed(&edge);
        }
        assert!(ship_with_receipt(&edge, &cloud));
        insert(&edge, 4).await;
        ship(&edge, &cloud);
        let truth = attested(&edge, &cloud).unwrap().statement;
        let replica = edge.sync_hosts().replica;
        let lies = [
            Statement {
                edge: NodeId([9; 16]),
                ..truth
            },
            Statement {
                epoch: Epoch(truth.epoch.0 + 1),
                ..truth
            },
            Statement {
                seq: truth.seq + 1,
                ..truth
            },
            Statement {
                hash: ChainHash([9; 32]),
                ..truth
            },
            Statement { rows: 1, ..truth },
        ];
        for lie in &lies {
            let receipt = Secret::new(7).sign(lie).unwrap();
            let error = replica.receipt(&receipt).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Denied, "{lie:?}: {error}");
        }
        let stranger = Secret::new(8).sign(&truth).unwrap();
        let error = replica.receipt(&stranger).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        let status = edge.sync_status();
        assert!(status.receipt_refused.unwrap().contains("signature"));
        assert_eq!(
            status.receipt.unwrap().seq,
            truth.seq - 1,
            "nothing of it is kept"
        );
        let refused = edge.counters().into_iter();
        let refused = refused
            .filter(|figure| figure.name == "activestore_sync_receipts_refused_total")
            .map(|figure| figure.value)
            .sum::<f64>();
        assert!((refused - 6.0).abs() < f64::EPSILON, "{refused}");
        // The truth is still taken.
        let receipt = Secret::new(7).sign(&truth).unwrap();
        assert!(replica.receipt(&receipt).unwrap());
        assert_eq!(edge.sync_status().receipt_refused, None);
        edge.shutdown().await.unwrap();
        cloud.shutdown().await.unwrap();
    });
}

#[test]
fn a_cloud_signs_nothing_that_is_not_on_its_disk() {
    runtime().block_on(async {
        let (edge_dir, cloud_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let edge = open(edge_dir.path(), Role::Edge);
        let mut options = DbOptions::new(cloud_dir.path(), Role::Cloud);
        options.wal_sync = activestore_store::WalSync::Interval(Duration::from_secs(5));
        let cloud = Db::open(options).unwrap();
        cloud.sign_receipts_with(Secret::new(7));
        run(&edge, PLANT).await;
        insert(&edge, 1).await;
        ship(&edge, &cloud);
        assert!(attested(&edge, &cloud).is_none());
        edge.shutdown().await.unwrap();
        cloud.shutdown().await.unwrap();
    });
}
