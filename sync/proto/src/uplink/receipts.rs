//! Receipts on their way to the host, one at a time: of those that come meanwhile the last of each epoch
//! waits, for it says all that the ones before it said.

use std::collections::BTreeMap;

use activestore_types::{Epoch, ErrorKind, Result};

use super::{EdgeEvent, EdgeOutput, Outputs};
use crate::call::EdgeCall;
use crate::receipt::Receipt;

/// Epochs of which a receipt may wait: a node ships few at once, whatever its cloud sends.
const WAITING_MAX: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Receipts {
    calling: bool,
    waiting: BTreeMap<Epoch, Receipt>,
}

impl Receipts {
    pub(super) fn came(&mut self, receipt: Receipt, out: &mut Outputs) {
        let epoch = receipt.statement.epoch;
        if self.waiting.len() < WAITING_MAX || self.waiting.contains_key(&epoch) {
            self.waiting.insert(epoch, receipt);
        }
        self.next(out);
    }

    pub(super) fn taken(
        &mut self,
        epoch: Epoch,
        seq: u64,
        result: Result<bool>,
        out: &mut Outputs,
    ) {
        self.calling = false;
        let event = match result {
            Ok(true) => Some(EdgeEvent::ReceiptHeld { epoch, seq }),
            Ok(false) => None,
            Err(error) if error.kind() == ErrorKind::Denied => {
                Some(EdgeEvent::ReceiptRefused { error })
            }
            // The next one says as much.
            Err(error) => Some(EdgeEvent::Trouble(error.context("a receipt"))),
        };
        out.extend(event.map(EdgeOutput::Event));
        self.next(out);
    }

    fn next(&mut self, out: &mut Outputs) {
        if !self.calling
            && let Some((_, receipt)) = self.waiting.pop_first()
        {
            self.calling = true;
            out.push_back(EdgeOutput::Call(EdgeCall::Receipt(receipt)));
        }
    }
}

#[cfg(test)]
mod tests;
