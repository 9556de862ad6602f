//! Receipts: at a cloud those that it signed last, at an edge those that it holds, checked, and what follows
//! from them: how much of the log is covered.
//!
//! A cloud keeps what it signed in memory only: it signs anew whatever it holds. An edge keeps the newest receipt of
//! each epoch of its own as a note.

mod coverage;
mod holding;
mod issuing;
mod passing;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use activestore_sync_proto::{Receipt, ReceiptText, Signer, Verifier};
use activestore_types::{Epoch, NodeId, Result};
use parking_lot::Mutex;
use serde::Serialize;

use crate::clouds::Further;
use crate::counters::Figures;
use crate::db::{Db, Inner};

/// What this node has to do with receipts.
#[derive(Default)]
pub(crate) struct Receipts {
    signer: OnceLock<Arc<dyn Signer>>,
    verifier: OnceLock<Arc<dyn Verifier>>,
    /// The last receipt that was signed here, by edge and epoch.
    issued: Mutex<BTreeMap<(NodeId, Epoch), Receipt>>,
    /// At a gateway: what its own cloud has still to sign for.
    passing: passing::Passing,
    /// One receipt is checked and kept at a time.
    taking: Mutex<()>,
    issued_count: AtomicU64,
    kept_count: AtomicU64,
    refused_count: AtomicU64,
    /// Why the last one was refused.
    refused: Mutex<Option<String>>,
}

/// A receipt as people see it.
#[derive(Clone, Debug, Serialize)]
pub struct ReceiptReport {
    /// `held` at an edge, `issued` at a cloud.
    pub side: &'static str,
    /// The other node: the cloud that signed, or the edge that it was signed for.
    pub node: String,
    /// Its name; empty where it is not known.
    pub name: String,
    /// The further cloud that signed it, as this node calls it; `null` for the node's own, and at a cloud.
    pub cloud: Option<String>,
    /// The epoch of the edge's chain, 16 hex digits.
    pub epoch: String,
    /// Every segment up to this one is covered.
    pub seq: u64,
    /// Its hash, in hex digits.
    pub hash: String,
    /// Rows up to there, as the cloud counted them.
    pub rows: u64,
    /// When it was signed, by the cloud's clock, in milliseconds since 1970.
    pub issued_ms: u64,
    /// Whether its signature holds, checked now; `null` where this node knows no authority to check it with.
    pub verified: Option<bool>,
}

impl ReceiptReport {
    /// Whether it is one of that further cloud, or of the own one and issued ones. What a cloud signed that is one no more
    /// nobody can verify here.
    pub(crate) fn is_of(&self, further: Option<&str>) -> bool {
        let is_known = self.side != "held" || self.verified != Some(false);
        self.cloud.as_deref() == further && is_known
    }
}

impl Db {
    /// From now on this node signs what it holds of its edges.
    pub fn sign_receipts_with(&self, signer: Arc<dyn Signer>) {
        // The first stands: a node has one identity.
        let _ = self.inner.receipts.signer.set(signer);
    }

    /// From now on this node takes receipts that this says are its fleet's.
    pub fn check_receipts_with(&self, verifier: Arc<dyn Verifier>) {
        let _ = self.inner.receipts.verifier.set(verifier);
    }

    /// The receipts that this node holds, or issued last, in the form of a file; those of one further cloud alone, where
    /// one is named.
    ///
    /// # Errors
    /// `NotFound` where there is no such cloud.
    pub fn receipts(&self, cloud: Option<&str>) -> Result<Vec<ReceiptText>> {
        let mut receipts = self.inner.all_receipts();
        if let Some(name) = cloud {
            self.inner.further(name)?;
            receipts.retain(|receipt| self.inner.signer_of(receipt) == Some(name));
        }
        Ok(receipts.iter().map(ReceiptText::from).collect())
    }
}

impl Inner {
    /// Those that are held, then those that were issued.
    fn all_receipts(&self) -> Vec<Receipt> {
        let held = self.held_receipts().into_iter().map(|held| held.receipt);
        let issued = self.receipts.issued.lock();
        held.chain(issued.values().cloned()).collect()
    }

    /// The further cloud whose signature a receipt has.
    fn signer_of(&self, receipt: &Receipt) -> Option<&str> {
        if receipt.statement.edge != self.node {
            return None;
        }
        let signed = |further: &&Arc<Further>| {
            let verifier = further.verifier.get();
            verifier.is_some_and(|verifier| verifier.verify(receipt).is_ok())
        };
        let further = self.clouds.iter().find(signed)?;
        Some(&further.cloud.name)
    }

    pub(crate) fn receipt_reports(&self) -> Vec<ReceiptReport> {
        let names = self.peers.lock();
        let verifier = self.receipts.verifier.get();
        let report = |receipt: Receipt| {
            let said = &receipt.statement;
            let held = said.edge == self.node;
            let other = if held { said.cloud } else { said.edge };
            let further = self.signer_of(&receipt);
            ReceiptReport {
                side: if held { "held" } else { "issued" },
                node: other.to_string(),
                name: names
                    .get(&other)
                    .map_or_else(String::new, |peer| peer.name.clone()),
                epoch: format!("{:016x}", said.epoch.0),
                seq: said.seq,
                hash: said.hash.to_string(),
                rows: said.rows,
                issued_ms: said.issued_ms,
                cloud: further.map(str::to_owned),
                verified: verifier
                    .map(|verifier| further.is_some() || verifier.verify(&receipt).is_ok()),
            }
        };
        self.all_receipts().into_iter().map(report).collect()
    }

    /// When the newest receipt was signed, in milliseconds since 1970.
    pub(crate) fn last_signed_ms(&self) -> Option<u64> {
        let receipts = self.all_receipts().into_iter();
        receipts.map(|receipt| receipt.statement.issued_ms).max()
    }

    /// Why the last receipt that was not true was refused.
    pub(crate) fn refused_receipt(&self) -> Option<String> {
        self.receipts.refused.lock().clone()
    }

    pub(crate) fn receipt_figures(&self, all: &mut Figures) {
        let receipts = &self.receipts;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        all.counter(
            "activestore_sync_receipts_issued_total",
            "Receipts that this node signed for its edges.",
            read(&receipts.issued_count),
        );
        all.counter(
            "activestore_sync_receipts_kept_total",
            "Receipts of the cloud that were checked and kept.",
            read(&receipts.kept_count),
        );
        all.counter(
            "activestore_sync_receipts_refused_total",
            "Receipts of the cloud that were not true.",
            read(&receipts.refused_count),
        );
        if let Some(newest) = self.last_signed_ms() {
            all.gauge(
                "activestore_sync_receipt_age_seconds",
                "Time since the newest receipt was signed.",
                self.wall_ms().saturating_sub(newest) as f64 / 1e3,
            );
        }
    }
}
