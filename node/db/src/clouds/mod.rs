//! Further clouds: each has an outbox of its own over the one log, with chains, epochs, acknowledgements and receipts of its
//! own, so none waits for another. The node's own cloud is the only one that definitions and rows come down from, and
//! the only one for whose sake a write is ever refused.

mod opening;
mod replica;
mod report;

use std::sync::{Arc, OnceLock};

use activestore_sync_proto::reconcile::Outcome;
use activestore_sync_proto::{Outbox, Replica, Verifier};
use activestore_types::{Epoch, Error, Result, TableName};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

pub use opening::further_outboxes;
pub(crate) use opening::{check_all, directories, directory, is_private, is_queue, queue_file};
pub use report::{OWN_CLOUD, ShippingReport};

use crate::db::{Db, Inner};
use crate::options::FurtherCloud;
use crate::outbox::Sealer;
use crate::reconcile::{Mirror, Settling};

/// What the queue of a further cloud keeps of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    cloud: FurtherCloud,
    /// Drawn when its outbox was made, or takes other tables: rows of before were not meant for it.
    born: u64,
}

/// A further cloud and what is shipped to it.
pub(crate) struct Further {
    pub(crate) cloud: FurtherCloud,
    pub(crate) outbox: Arc<Sealer>,
    born: u64,
    /// Says whether a receipt is this cloud's.
    pub(crate) verifier: OnceLock<Arc<dyn Verifier>>,
    /// Why its last receipt was refused.
    pub(crate) refused_receipt: Mutex<Option<String>>,
    pub(crate) settling: Settling,
    /// The last comparison with it since the start.
    pub(crate) outcome: Mutex<Option<Outcome>>,
}

/// The further clouds of a node, by name.
#[derive(Default)]
pub(crate) struct Clouds(Vec<Arc<Further>>);

/// A further cloud as the sync protocol sees it.
#[derive(Clone)]
pub struct FurtherHosts {
    /// What the node calls it.
    pub name: String,
    /// Segments to ship to it.
    pub outbox: Arc<dyn Outbox>,
    /// Takes its receipts, and nothing that would come down from it.
    pub replica: Arc<dyn Replica>,
}

impl Clouds {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Further>> {
        self.0.iter()
    }

    fn named(&self, name: &str) -> Option<&Arc<Further>> {
        self.iter().find(|further| further.cloud.name == name)
    }
}

impl Db {
    /// The further clouds as the sync protocol sees them.
    pub fn further_hosts(&self) -> Vec<FurtherHosts> {
        let hosts = |further: &Arc<Further>| FurtherHosts {
            name: further.cloud.name.clone(),
            outbox: further.outbox.clone(),
            replica: Arc::new(replica::Copied {
                further: further.clone(),
                mirror: Mirror {
                    inner: self.inner.clone(),
                    further: Some(further.clone()),
                },
            }),
        };
        self.inner.clouds.iter().map(hosts).collect()
    }

    /// Whether this node ships to a further cloud of that name.
    ///
    /// # Errors
    /// `NotFound`, naming those that there are.
    pub fn check_further(&self, name: &str) -> Result<()> {
        self.inner.further(name).map(drop)
    }

    /// From now on this node takes receipts of a further cloud that this says are its own.
    pub fn check_receipts_of(&self, name: &str, verifier: Arc<dyn Verifier>) {
        if let Some(further) = self.inner.clouds.named(name) {
            // The first stands: a cloud has one authority.
            let _ = further.verifier.set(verifier);
        }
    }
}

impl Inner {
    /// The further cloud of that name.
    ///
    /// # Errors
    /// `NotFound`, naming those that there are.
    pub(crate) fn further(&self, name: &str) -> Result<&Arc<Further>> {
        self.clouds.named(name).ok_or_else(|| {
            let names: Vec<&str> = self
                .clouds
                .iter()
                .map(|one| one.cloud.name.as_str())
                .collect();
            Error::not_found(format!("this node ships to no further cloud '{name}'")).with_hint(
                match names.is_empty() {
                    true => {
                        "further clouds are named in the configuration, in [[sync.also]]".to_owned()
                    }
                    false => format!("its further clouds are {}", names.join(", ")),
                },
            )
        })
    }

    /// Everything that is sealed for a cloud: that of the node's own is the first.
    pub(crate) fn outboxes(&self) -> impl Iterator<Item = &Arc<Sealer>> {
        let further = self.clouds.iter().map(|further| &further.outbox);
        self.outbox.iter().chain(further)
    }

    /// The outboxes whose receipts are needed before rows are covered; those of a table, where one is named.
    pub(crate) fn counting(&self, table: Option<&TableName>) -> impl Iterator<Item = &Arc<Sealer>> {
        let all = self.options.receipts_of_all;
        self.outboxes().enumerate().filter_map(move |(at, outbox)| {
            let takes = table.is_none_or(|table| outbox.addressee().takes(table));
            (at == 0 || all && takes).then_some(outbox)
        })
    }

    /// What tells the counting outboxes of now from those of another time, in which rows went that nobody will sign for.
    pub(crate) fn generation_with(&self, table: Option<&TableName>) -> u64 {
        self.counting(table).fold(0_u64, |sum, outbox| {
            let standing = outbox.standing();
            let gone = standing.let_go.tables.iter();
            let gone = gone.filter(|(name, _)| table.is_none_or(|table| table == *name));
            let times: u64 = gone.map(|(_, gone)| gone.times).sum();
            let name = outbox.addressee().further();
            let further = name.and_then(|name| self.clouds.named(name));
            sum.wrapping_add(further.map_or(0, |further| further.born))
                .wrapping_add(standing.generation)
                .wrapping_add(times)
        })
    }

    /// The outbox that ships a chain, of the node's own cloud or a further one.
    pub(crate) fn shipper_of(&self, epoch: Epoch) -> Option<&Arc<Sealer>> {
        self.outboxes()
            .find(|outbox| outbox.shipped().iter().any(|chain| chain.epoch == epoch))
    }
}
