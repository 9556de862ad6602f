//! The edge's side: checks what a cloud says it holds against what was sealed here, and keeps the newest
//! receipt of each epoch.
//!
//! A receipt that is not true (another node's, another chain, another hash, a signature that does not
//! hold, fewer rows than before) is refused, counted and told; nothing of it is kept.

use std::sync::atomic::Ordering;

use activestore_store::{Note, WriteSet};
use activestore_sync_proto::Receipt;
use activestore_types::{Epoch, Error, ErrorKind, Lsn, Result};
use serde::{Deserialize, Serialize};

use crate::clouds::Further;
use crate::db::Inner;
use crate::events::Kind;
use crate::outbox::{News, cloud_for_people};

/// Followed by the cloud's node id and the epoch, 16 hex digits.
const PREFIX: &str = "sync/receipt/";
/// Epochs whose receipts are kept: those of the past are for auditors, the oldest go.
const EPOCHS_MAX: usize = 16;

/// A receipt with what it means here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) receipt: Receipt,
    /// What the log's records below this hold of the epoch's tables, the receipt covers.
    pub(super) reach: Lsn,
}

impl Inner {
    /// As [`activestore_sync_proto::Replica::receipt`]; of a further cloud, where one is named.
    pub(crate) fn take_receipt(&self, receipt: &Receipt, of: Option<&Further>) -> Result<bool> {
        let _turn = self.receipts.taking.lock();
        let whose = cloud_for_people(of.map(|further| further.cloud.name.as_str()));
        let refused = of.map_or(&self.receipts.refused, |further| &further.refused_receipt);
        match self.checked(receipt, of) {
            Ok(None) => Ok(false),
            Ok(Some(held)) => {
                self.keep_receipt(held)?;
                let said = &receipt.statement;
                let text = format!(
                    "{whose} signed that it holds everything up to segment {} of epoch {:016x}",
                    said.seq, said.epoch.0
                );
                self.events.tell(Kind::Receipt, Some(said.cloud), text);
                self.receipts.kept_count.fetch_add(1, Ordering::Relaxed);
                *refused.lock() = None;
                Ok(true)
            }
            // What could not be looked at is no lie.
            Err(error) if error.kind() != ErrorKind::Denied => Err(error),
            Err(error) => {
                self.receipts.refused_count.fetch_add(1, Ordering::Relaxed);
                *refused.lock() = Some(error.to_string());
                let text = format!("a receipt of {whose} is not true: {error}");
                self.events.tell(Kind::ReceiptRefused, None, text);
                Err(error)
            }
        }
    }

    /// What is to be kept of a receipt; `None` where it says no more than what is held, or speaks of a
    /// segment that this node has let go of and cannot compare any more.
    fn checked(&self, receipt: &Receipt, of: Option<&Further>) -> Result<Option<Held>> {
        let said = &receipt.statement;
        let (outbox, verifier) = match of {
            Some(further) => (Some(&further.outbox), further.verifier.get()),
            None => (self.outbox.as_ref(), self.receipts.verifier.get()),
        };
        let (Some(outbox), Some(verifier)) = (outbox, verifier) else {
            return Err(Error::denied(
                "this node ships nothing that a receipt could be about",
            ));
        };
        receipt.check_bounds()?;
        if said.edge != self.node {
            return Err(Error::denied(format!(
                "the receipt is of node {} and this is {}",
                said.edge, self.node
            )));
        }
        verifier.verify(receipt)?;
        let mut chains = outbox.shipped().into_iter();
        let Some(sealed) = chains.find(|chain| chain.epoch == said.epoch) else {
            return Err(Error::denied(format!(
                "the receipt is of the epoch {:016x}, which this node does not ship",
                said.epoch.0
            )));
        };
        if said.seq > sealed.last_sealed {
            return Err(Error::denied(format!(
                "the receipt covers segment {} and this node sealed only {}",
                said.seq, sealed.last_sealed
            )));
        }
        let before = self.held_receipt(said.epoch);
        let Some(hash) = outbox.hash_at(said.epoch, said.seq)? else {
            return Ok(None);
        };
        if hash != said.hash {
            return Err(Error::denied(format!(
                "the receipt is of another segment {} than the one that this node sealed",
                said.seq
            )));
        }
        if let Some(before) = &before {
            let earlier = &before.receipt.statement;
            let fewer = said.seq > earlier.seq && said.rows < earlier.rows;
            let other = said.seq == earlier.seq && said.rows != earlier.rows;
            if fewer || other {
                return Err(Error::denied(format!(
                    "the receipt counts {} rows up to segment {}, and one before it {} up to {}",
                    said.rows, said.seq, earlier.rows, earlier.seq
                )));
            }
            if said.seq <= earlier.seq {
                return Ok(None);
            }
        }
        let reach = outbox.reach(sealed, said.seq).unwrap_or_default();
        let reach = before.map_or(reach, |before| before.reach.max(reach));
        Ok(Some(Held {
            receipt: receipt.clone(),
            reach,
        }))
    }

    fn keep_receipt(&self, held: Held) -> Result<()> {
        let said = held.receipt.statement;
        let value = postcard::to_stdvec(&held)
            .map_err(|error| Error::internal(format!("a receipt cannot be kept: {error}")))?;
        let mut notes = vec![Note {
            key: format!("{PREFIX}{}/{:016x}", said.cloud, said.epoch.0).into_bytes(),
            value: Some(value),
        }];
        let shipped = self.outboxes().flat_map(|outbox| outbox.shipped());
        let shipped: Vec<Epoch> = shipped.map(|chain| chain.epoch).collect();
        let mut others = self.held_receipts();
        // What is shipped now is covered by its receipt alone.
        others.retain(|other| !shipped.contains(&other.receipt.statement.epoch));
        // The oldest come last.
        others.sort_by_key(|other| std::cmp::Reverse(other.receipt.statement.issued_ms));
        let kept = (EPOCHS_MAX * self.outboxes().count()).saturating_sub(1);
        notes.extend(others.iter().skip(kept).map(|other| {
            let gone = &other.receipt.statement;
            Note {
                key: format!("{PREFIX}{}/{:016x}", gone.cloud, gone.epoch.0).into_bytes(),
                value: None,
            }
        }));
        self.store.commit(WriteSet {
            batches: Vec::new(),
            tombstones: Vec::new(),
            notes,
        })?;
        if let Some(outbox) = self.shipper_of(said.epoch) {
            outbox.covered_up_to(said.epoch, said.seq)?;
        }
        // The record holds nothing to ship, and the log is held until the outbox has seen that.
        self.wake_sealers(News::default());
        self.eviction.wake();
        Ok(())
    }

    /// Every receipt that is held.
    pub(super) fn held_receipts(&self) -> Vec<Held> {
        let notes = self.store.notes(PREFIX.as_bytes()).into_iter();
        notes
            .filter_map(|(_, value)| postcard::from_bytes(&value).ok())
            .collect()
    }

    /// The one that says most of an epoch.
    pub(super) fn held_receipt(&self, epoch: Epoch) -> Option<Held> {
        let held = self.held_receipts().into_iter();
        held.filter(|held| held.receipt.statement.epoch == epoch)
            .max_by_key(|held| held.receipt.statement.seq)
    }
}
