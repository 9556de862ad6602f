//! When the cloud signs what it holds: at once when an edge has nothing left to ship and got no receipt for
//! a while, or a chain has come to its end, and while rows keep coming not more often than the settings say. The host says what is signed, out of what it
//! made durable; this part only says when it is asked.

use std::collections::BTreeMap;
use std::time::Duration;

use activestore_types::{Epoch, ErrorKind, NodeId, Result};

use super::{CloudEvent, CloudOutput, DownlinkOptions, Outputs};
use crate::call::CloudCall;
use crate::frame::Frame;
use crate::receipt::Receipt;

/// How far a chain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Durable {
    pub(super) epoch: Epoch,
    /// The last segment that is durable here.
    pub(super) seq: u64,
    /// The last segment that the edge has sealed, as far as it has said.
    pub(super) last_sealed: u64,
    /// Whether the edge seals nothing more in it: once all of it is here, it is gone.
    pub(super) ends: bool,
}

#[derive(Debug, Default)]
struct Chain {
    /// The last segment that is durable here.
    durable: u64,
    /// The last segment that a receipt covers.
    covered: u64,
    /// Since when the edge has more that is not durable.
    behind: Option<Duration>,
    /// When the last receipt was asked of the host.
    asked: Option<Duration>,
    calling: bool,
    /// Whether this is the last receipt that there will be.
    last: bool,
    /// Whether the host could not sign yet when it was asked.
    waits: bool,
}

#[derive(Debug)]
pub(super) struct Attesting {
    options: DownlinkOptions,
    node: NodeId,
    /// One entry for each epoch of this connection.
    chains: BTreeMap<Epoch, Chain>,
}

impl Attesting {
    pub(super) fn new(options: DownlinkOptions, node: NodeId) -> Self {
        Attesting {
            options,
            node,
            chains: BTreeMap::new(),
        }
    }

    /// The chains of the connection are this far.
    pub(super) fn progressed(&mut self, now: Duration, all: &[Durable], out: &mut Outputs) {
        // One that is done and waits for its last receipt is asked for in this connection.
        let waits = |chain: &Chain| chain.calling || chain.waits;
        self.chains
            .retain(|epoch, chain| waits(chain) || all.iter().any(|one| one.epoch == *epoch));
        for one in all {
            let chain = self.chains.entry(one.epoch).or_default();
            chain.durable = chain.durable.max(one.seq);
            let behind = one.last_sealed > chain.durable;
            chain.behind = behind.then(|| chain.behind.unwrap_or(now));
            chain.last = one.ends && !behind;
        }
        self.handle_timeout(now, out);
    }

    /// The host answered.
    pub(super) fn attested(
        &mut self,
        epoch: Epoch,
        receipt: Result<Option<Receipt>>,
        out: &mut Outputs,
    ) {
        let Some(chain) = self.chains.get_mut(&epoch) else {
            return;
        };
        chain.calling = false;
        chain.waits = false;
        match receipt {
            Ok(Some(receipt)) => {
                let seq = receipt.statement.seq;
                chain.covered = chain.covered.max(seq);
                out.push_back(CloudOutput::Send(Frame::Receipt(receipt)));
                out.push_back(CloudOutput::Event(CloudEvent::ReceiptIssued { epoch, seq }));
            }
            // Nothing is signed here: not asked again before there is more.
            Ok(None) => chain.covered = chain.durable,
            // It waits for something else, and is asked again.
            Err(error) if error.kind() == ErrorKind::Overloaded => chain.waits = true,
            Err(error) => out.push_back(CloudOutput::Event(CloudEvent::Trouble(
                error.context("a receipt for an edge"),
            ))),
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Duration> {
        let every = self.options.receipt_every;
        let waiting = self.chains.values().filter(|chain| chain.wants());
        waiting.map(|chain| chain.due(every)).min()
    }

    /// Asks for every receipt that is due.
    pub(super) fn handle_timeout(&mut self, now: Duration, out: &mut Outputs) {
        let every = self.options.receipt_every;
        for (epoch, chain) in &mut self.chains {
            if chain.wants() && chain.due(every) <= now {
                chain.asked = Some(now);
                chain.calling = true;
                out.push_back(CloudOutput::Call(CloudCall::Attest {
                    node: self.node,
                    epoch: *epoch,
                }));
            }
        }
    }
}

impl Chain {
    fn wants(&self) -> bool {
        self.durable > self.covered && !self.calling
    }

    fn due(&self, every: Duration) -> Duration {
        if self.last && !self.waits {
            return Duration::ZERO;
        }
        let since = self.asked.max(self.behind);
        since.map_or(Duration::ZERO, |since| since + every)
    }
}

#[cfg(test)]
mod tests;
