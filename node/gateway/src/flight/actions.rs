//! Actions: statements are prepared and let go.

use std::sync::Arc;

use activestore_query::ParamTypes;
use activestore_types::{Error, Result};
use arrow_flight::sql::{
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest,
    ActionCreatePreparedStatementResult, Any, ProstMessageExt,
};
use arrow_flight::{Action, ActionType};
use bytes::Bytes;
use prost::Message;

use super::Flight;
use super::door::Caller;
use super::fault::{Fault, unavailable};
use super::params;
use super::prepared::Planned;
use super::statement::{check_length, one_of};
use super::told::{encoded, told};

const PREPARE: &str = "CreatePreparedStatement";
const CLOSE: &str = "ClosePreparedStatement";

/// What there is.
pub(super) fn all() -> [ActionType; 2] {
    [
        (PREPARE, "Prepares a statement. Takes ActionCreatePreparedStatementRequest, gives ActionCreatePreparedStatementResult."),
        (CLOSE, "Lets a prepared statement go. Takes ActionClosePreparedStatementRequest, gives nothing."),
    ]
    .map(|(name, description)| ActionType {
        r#type: name.to_owned(),
        description: description.to_owned(),
    })
}

impl Flight {
    /// Does what an action asks for; what it gives, if anything.
    pub(super) async fn act(
        self: &Arc<Self>,
        caller: Caller,
        action: Action,
    ) -> Result<Option<Bytes>, Fault> {
        match action.r#type.as_str() {
            PREPARE => {
                let asked = unpacked(&action.body)?;
                let result = self.prepare(caller, asked).await?;
                Ok(Some(result.as_any().encode_to_vec().into()))
            }
            CLOSE => {
                let asked: ActionClosePreparedStatementRequest = unpacked(&action.body)?;
                self.prepared
                    .close(&caller.owner, &asked.prepared_statement_handle);
                Ok(None)
            }
            "BeginTransaction" | "EndTransaction" | "BeginSavepoint" | "EndSavepoint" => {
                Err(unavailable(
                    "transactions are",
                    "every statement is durable by itself; BEGIN BATCH …; APPLY BATCH writes several as one",
                ))
            }
            "CreatePreparedSubstraitPlan" => Err(unavailable(
                "plans of Substrait are",
                "send the statement as SQL",
            )),
            "CancelQuery" | "CancelFlightInfo" => Err(unavailable(
                "cancelling by name is",
                "cancel the call that takes the rows: the statement stops with it",
            )),
            other => {
                let name: String = other.chars().take(64).collect();
                Err(unavailable(
                    &format!("the action '{name}' is"),
                    "ListActions tells which there are",
                ))
            }
        }
    }

    async fn prepare(
        self: &Arc<Self>,
        caller: Caller,
        asked: ActionCreatePreparedStatementRequest,
    ) -> Result<ActionCreatePreparedStatementResult, Fault> {
        no_transaction(asked.transaction_id.as_ref())?;
        check_length(&asked.query)?;
        let flight = self.clone();
        self.run(async move {
            let statement = one_of(&asked.query)?;
            let planned = Planned::new(&caller.db, statement, &ParamTypes::new()).await?;
            let described = &planned.prepared.described;
            let dataset_schema = match &described.columns {
                Some(columns) => encoded(&told(columns))?,
                None => Bytes::new(),
            };
            let parameter_schema = encoded(&params::told(&described.params))?;
            let handle = flight
                .prepared
                .add(&caller.db, caller.owner, planned, &asked.query);
            Ok(ActionCreatePreparedStatementResult {
                prepared_statement_handle: handle,
                dataset_schema,
                parameter_schema,
            })
        })
        .await
    }
}

/// Refuses what is asked for within a transaction.
pub(super) fn no_transaction(id: Option<&Bytes>) -> Result<(), Fault> {
    match id {
        Some(id) if !id.is_empty() => Err(unavailable(
            "transactions are",
            "send the statement without one: it is durable by itself",
        )),
        _ => Ok(()),
    }
}

fn unpacked<M: ProstMessageExt>(body: &[u8]) -> Result<M, Fault> {
    let broken = || Error::invalid("what the action is asked with cannot be read");
    let any = Any::decode(body).map_err(|_| broken())?;
    let message = any.unpack::<M>().map_err(|_| broken())?;
    Ok(message.ok_or_else(broken)?)
}
