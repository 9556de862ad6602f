//! Further clouds: `[[sync.also]]`.

use std::path::{Path, PathBuf};

use activestore_db::{FullOutbox, FurtherCloud};
use activestore_sync_quic::AllowanceOptions;
use activestore_types::{Error, Result};

use super::allowance::allowance;
use super::{bandwidth, one_cloud};
use crate::config::{Also, FullOutboxSetting, Sync};

/// A further cloud and the link to it.
#[derive(Clone, Debug)]
pub struct Further {
    /// For the database.
    pub cloud: FurtherCloud,
    /// The cloud's address.
    pub peers: Vec<String>,
    /// What this node is to it: keys and certificates.
    pub identity: PathBuf,
    /// What is sent to it in a second at most, in bytes.
    pub bandwidth: Option<u64>,
    /// When rows may be sent to it, and how much in a month.
    pub allowance: AllowanceOptions,
}

/// From the file's section; `own` is the node's own cloud.
///
/// # Errors
/// `Invalid`, naming the cloud and the setting.
pub(super) fn further(sync: &Sync, own: &[String], data_dir: &Path) -> Result<Vec<Further>> {
    if let (Some(first), []) = (sync.also.first(), own) {
        return Err(Error::invalid(format!(
            "[[sync.also]] names the further cloud '{}', and this node has no cloud of its own",
            first.name
        ))
        .with_hint("name that in [sync] peers or with --peer: definitions come from it"));
    }
    let one = |also: &Also| {
        one_of(sync, also, data_dir)
            .map_err(|error| error.context(format!("[[sync.also]] '{}'", also.name)))
    };
    sync.also.iter().map(one).collect()
}

fn one_of(sync: &Sync, also: &Also, data_dir: &Path) -> Result<Further> {
    let mut cloud = FurtherCloud::named(&also.name);
    if let Some(tables) = &also.tables {
        cloud.tables.clone_from(tables);
    }
    if let Some(bytes) = also.outbox_bytes {
        cloud.outbox_bytes_max = bytes.0;
    }
    cloud.at_limit = match also.at_limit.unwrap_or_default() {
        FullOutboxSetting::Hold => FullOutbox::Hold,
        FullOutboxSetting::DropOldest => FullOutbox::DropOldest,
    };
    cloud.check()?;
    if also.peers.is_empty() {
        return Err(Error::invalid("it has no address").with_hint("add peers = [\"host:7490\"]"));
    }
    one_cloud(&also.peers)?;
    let directory = data_dir.join(cloud.directory());
    let link = Sync {
        monthly_bytes: also.monthly_bytes,
        month_starts: sync.month_starts.filter(|_| also.monthly_bytes.is_some()),
        schedule: also.schedule.clone(),
        schedule_offset: sync
            .schedule_offset
            .clone()
            .filter(|_| !also.schedule.is_empty()),
        ..Sync::default()
    };
    Ok(Further {
        peers: also.peers.clone(),
        bandwidth: bandwidth(also.bandwidth)?,
        allowance: allowance(&link, &directory)?,
        identity: directory,
        cloud,
    })
}
