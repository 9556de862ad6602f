//! New versions of plugins on their way to the edges: begun by a deployment that names waves, seen and held here.

use std::sync::Arc;

use activestore_db::{RolloutAct, RolloutPlan};
use activestore_types::{Error, Result};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::json;

use super::node::value;
use crate::answer::{Answer, json_body};
use crate::request::Parameters;
use crate::server::Shared;

pub(super) async fn list(State(shared): State<Arc<Shared>>) -> Answer {
    let rollouts = value(&shared.db.rollouts())?;
    Ok(json_body(StatusCode::OK, &json!({ "rollouts": rollouts })))
}

pub(super) async fn act(
    State(shared): State<Arc<Shared>>,
    Path((plugin, act)): Path<(String, String)>,
) -> Answer {
    let act: RolloutAct = act.parse()?;
    let info = shared.db.act_on_rollout(&plugin, act).await?;
    Ok(json_body(StatusCode::OK, &value(&info)?))
}

/// The plan that a deployment's parameters name: `wave` with waves separated by `;`, `soak`, `max_errors`.
///
/// # Errors
/// `Invalid` for what is none, and for the others without waves.
pub(super) fn plan(parameters: &Parameters) -> Result<Option<RolloutPlan>> {
    let given = |name: &str| parameters.get(name).map(String::as_str);
    let Some(waves) = given("wave") else {
        for name in ["soak", "max_errors"] {
            if given(name).is_some() {
                return Err(
                    Error::invalid(format!("{name} is about waves, and none is named"))
                        .with_hint("add wave=ring=canary;all"),
                );
            }
        }
        return Ok(None);
    };
    RolloutPlan::parse(waves.split(';'), given("soak"), given("max_errors")).map(Some)
}
