//! The addresses and what answers each. `assets/openapi.json` describes the same list; a test
//! calls every address that it names.

mod backup;
#[cfg(feature = "console")]
mod console;
#[cfg(feature = "line-protocol")]
mod lines;
mod node;
mod plugins;
#[cfg(feature = "prometheus")]
mod remote_write;
mod rollouts;
mod rows;
mod sql;
mod subscribe;
mod sync;
mod write;

use std::sync::Arc;

use axum::Router;
use axum::routing::{delete, get, post};

use crate::server::Shared;

/// Every route.
pub(crate) fn routes() -> Router<Arc<Shared>> {
    let routes = Router::new();
    #[cfg(feature = "console")]
    let routes = routes
        .route("/", get(console::page))
        .route("/console/{name}", get(console::file));
    #[cfg(not(feature = "console"))]
    let routes = routes.route("/", get(node::no_console));
    let router = routes
        .route("/openapi.json", get(node::openapi))
        .route("/metrics", get(node::metrics))
        .route("/health/live", get(node::live))
        .route("/health/ready", get(node::ready))
        .route("/v1/status", get(node::status))
        .route("/v1/sql", post(sql::run))
        .route("/v1/subscribe", get(subscribe::run))
        .route("/v1/tables/{keyspace}/{table}/rows", post(rows::insert))
        .route("/v1/plugins", get(plugins::list).post(plugins::deploy))
        .route("/v1/plugins/{name}", delete(plugins::remove))
        .route("/v1/plugins/{name}/component", get(plugins::component))
        .route("/v1/plugins/{name}/logs", get(plugins::logs))
        .route("/v1/plugins/{name}/rollback", post(plugins::rollback))
        .route("/v1/rollouts", get(rollouts::list))
        .route("/v1/rollouts/{name}/{act}", post(rollouts::act))
        .route("/v1/files/{name}", post(plugins::put_file))
        .route("/v1/sync", get(sync::status))
        .route("/v1/sync/receipts", get(sync::receipts))
        .route("/v1/sync/events", get(sync::events))
        .route("/v1/sync/verify", post(sync::verify))
        .route("/v1/sync/rejected", post(sync::rejected))
        .route("/v1/tokens", post(sync::create_token))
        .route("/v1/edges/{node}/labels", post(sync::label_edge))
        .route("/v1/backup", post(backup::create));
    #[cfg(feature = "line-protocol")]
    let router = router
        .route("/v1/write", post(lines::native))
        .route("/api/v3/write_lp", post(lines::v3::write))
        .route("/api/v2/write", post(lines::influx_v2))
        .route("/write", post(lines::influx_v1))
        .route("/ping", get(lines::ping::ping));
    #[cfg(feature = "prometheus")]
    let router = router.route("/api/v1/write", post(remote_write::write));
    router
}
