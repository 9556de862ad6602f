//! The connections to clouds: the node's own, and further ones that get what goes up.

use std::path::Path;
use std::sync::Arc;

use activestore_db::{Db, FurtherHosts};
use activestore_sync_proto::{Outbox, Replica};
use activestore_sync_quic::{ClientOptions, EdgeIdentity, LinkNews, Reach, SyncClient, Transport};
use activestore_types::{Error, Result};

use super::peers::IDENTITY_DIR;
use super::settings::{Further, Settings};
use crate::config::{LinkSetting, TransportSetting};

/// Starts the connection to the node's own cloud.
///
/// # Errors
/// `Denied` where the node has not joined it and has no token.
pub(super) fn to_own_cloud(
    settings: &Settings,
    db: &Db,
    outbox: Arc<dyn Outbox>,
    replica: Arc<dyn Replica>,
) -> Result<SyncClient> {
    let identity = identity_in(&settings.db.data_dir.join(IDENTITY_DIR))?;
    if !identity.joined() && settings.token.is_none() {
        return Err(Error::denied("this edge has not joined its cloud yet").with_hint(
            "make a token at the cloud with activestore token create, and start once with --token TOKEN",
        ));
    }
    db.check_receipts_with(identity.clone());
    let mut options = ClientOptions::new(
        settings.peers.clone(),
        identity,
        settings.token.clone(),
        outbox,
        replica,
    );
    options.bandwidth = settings.bandwidth;
    options.allowance = settings.allowance.clone();
    start(settings, db, options, None)
}

/// Starts the connections to further clouds, with their names.
///
/// # Errors
/// `Denied` where the node has not joined one of them.
pub(super) fn to_further_clouds(settings: &Settings, db: &Db) -> Result<Vec<(String, SyncClient)>> {
    let mut hosts = db.further_hosts();
    let mut all = Vec::new();
    for further in &settings.also {
        let found = hosts
            .iter()
            .position(|hosts| hosts.name == further.cloud.name);
        if let Some(found) = found {
            let hosts = hosts.swap_remove(found);
            all.push((
                hosts.name.clone(),
                to_further(settings, db, further, hosts)?,
            ));
        }
    }
    Ok(all)
}

fn to_further(
    settings: &Settings,
    db: &Db,
    further: &Further,
    hosts: FurtherHosts,
) -> Result<SyncClient> {
    let identity = identity_in(&further.identity)?;
    let name = hosts.name;
    if !identity.joined() {
        return Err(Error::denied(format!(
            "this node has not joined the further cloud '{name}' yet"
        ))
        .with_hint(format!(
            "make a token there with activestore token create, and run activestore join --as {name} --peer HOST:PORT \
             --token TOKEN before the start"
        )));
    }
    db.check_receipts_of(&name, identity.clone());
    let peers = further.peers.clone();
    let mut options = ClientOptions::new(peers, identity, None, hosts.outbox, hosts.replica);
    let _named = tracing::info_span!("cloud", name).entered();
    options.uplink.follows = false;
    options.bandwidth = further.bandwidth;
    options.allowance = further.allowance.clone();
    start(settings, db, options, Some(name))
}

fn identity_in(directory: &Path) -> Result<Arc<EdgeIdentity>> {
    EdgeIdentity::open_or_create(directory).map(Arc::new)
}

/// What holds for every cloud.
fn start(
    settings: &Settings,
    db: &Db,
    mut options: ClientOptions,
    further: Option<String>,
) -> Result<SyncClient> {
    options.reach = match settings.transport {
        TransportSetting::Auto => Reach::Auto,
        TransportSetting::Quic => Reach::Only(Transport::Quic),
        TransportSetting::Tcp => Reach::Only(Transport::Tcp),
    };
    if settings.link == LinkSetting::Quick {
        options = options.quick();
    }
    options.transport = settings.wire;
    let told = db.clone();
    options.told = Some(Arc::new(move |news: LinkNews<'_>| match news {
        LinkNews::Connected { address, transport } => {
            told.cloud_connected(further.as_deref(), address, transport.name());
        }
        LinkNews::Lost { reason } => told.cloud_lost(further.as_deref(), reason),
    }));
    SyncClient::start(options)
}
