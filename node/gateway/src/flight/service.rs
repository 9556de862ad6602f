//! The calls: what is asked for is read, and handed to the part that answers it.

use std::pin::Pin;
use std::sync::Arc;

use activestore_types::Error;
use arrow::datatypes::Schema;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::{Command, DoPutPreparedStatementResult, DoPutUpdateResult};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo,
    HandshakeRequest, HandshakeResponse, PollInfo, PutResult, SchemaResult, Ticket,
};
use bytes::Bytes;
use futures::{Stream, stream};
use prost::Message;
use tonic::{Request, Response, Status, Streaming};

use super::actions::{self, no_transaction};
use super::connection::Peer;
use super::door::{Caller, Place};
use super::fault::{Fault, unauthenticated, unavailable};
use super::prepared::Bound;
use super::put::{self, Batches};
use super::query::{no_substrait, not_here, whole};
use super::statement::Data;
use super::tally::one;
use super::told::encoded;
use super::{Flight, params};

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The calls of all clients.
pub(super) struct Service(pub(super) Arc<Flight>);

fn caller<T>(request: &Request<T>) -> Result<(Caller, Place), Fault> {
    let extensions = request.extensions();
    let caller = extensions.get::<Caller>().cloned();
    let place = extensions.get::<Place>().cloned();
    let both = caller.zip(place);
    Ok(both.ok_or_else(|| Error::internal("a call came by without being looked at"))?)
}

fn single<T: Send + 'static>(item: T) -> Answers<T> {
    Box::pin(stream::iter([Ok(item)]))
}

impl Flight {
    async fn put(
        self: &Arc<Self>,
        request: Request<Streaming<FlightData>>,
    ) -> Result<PutResult, Fault> {
        let (caller, _place) = caller(&request)?;
        let (command, batches) = put::begin(request.into_inner()).await?;
        let record_count = match command {
            Command::CommandStatementUpdate(update) => {
                no_transaction(update.transaction_id.as_ref())?;
                self.update(caller, &update.query).await?
            }
            Command::CommandPreparedStatementUpdate(update) => {
                let handle = update.prepared_statement_handle;
                self.update_prepared(caller, handle, batches).await?
            }
            Command::CommandStatementIngest(ingest) => self.ingest(caller, ingest, batches).await?,
            Command::CommandPreparedStatementQuery(query) => {
                let handle = query.prepared_statement_handle;
                self.bind(caller, &handle, batches).await?;
                let same = DoPutPreparedStatementResult {
                    prepared_statement_handle: Some(handle),
                };
                return Ok(PutResult {
                    app_metadata: same.encode_to_vec().into(),
                });
            }
            Command::CommandStatementSubstraitPlan(_) => return Err(no_substrait()),
            _ => return Err(not_here()),
        };
        let result = DoPutUpdateResult {
            record_count: whole(record_count),
        };
        Ok(PutResult {
            app_metadata: result.encode_to_vec().into(),
        })
    }

    /// Gives a prepared statement the values of its parameters.
    async fn bind(
        self: &Arc<Self>,
        caller: Caller,
        handle: &Bytes,
        mut batches: Batches,
    ) -> Result<(), Fault> {
        let Bound { planned, .. } = self.prepared.get(&caller.owner, handle)?;
        let Some(values) = batches.next().await? else {
            let none = Bound {
                planned,
                values: None,
            };
            return Ok(self.prepared.bind(&caller.owner, handle, none)?);
        };
        if batches.next().await?.is_some() {
            return Err(
                Error::invalid("the values of a statement come in more than one batch")
                    .with_hint("send all rows of values in one batch")
                    .into(),
            );
        }
        let db = caller.db.clone();
        let bound = self.run(async move { Ok(params::bound(&db, planned, &values).await?) });
        let bound = bound.await?;
        Ok(self.prepared.bind(&caller.owner, handle, bound)?)
    }

    async fn log_in(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Answers<HandshakeResponse>>, Fault> {
        let peer = request.extensions().get::<Peer>().cloned();
        let peer = peer.ok_or_else(|| Error::internal("a call came from nowhere"))?;
        let principal = self.principal(request.metadata().as_ref(), &peer).await?;
        let db = self.shared.db.acting_as(principal.clone());
        db.check_admitted().map_err(unauthenticated)?;
        peer.is_used();
        let token = self.sessions.begin(&db, principal);
        let payload = Bytes::from(token.clone());
        let mut response = Response::new(single(HandshakeResponse {
            protocol_version: 0,
            payload,
        }));
        let bearer = format!("Bearer {token}").parse();
        let bearer = bearer.map_err(|_| Error::internal("a token is no header"))?;
        response.metadata_mut().insert("authorization", bearer);
        Ok(response)
    }

    /// Counts a call that failed, and says why.
    fn failed(&self, fault: Fault) -> Status {
        one(&self.tally.calls_failed);
        fault.into()
    }
}

#[tonic::async_trait]
impl FlightService for Service {
    type HandshakeStream = Answers<HandshakeResponse>;
    type ListFlightsStream = Answers<FlightInfo>;
    type DoGetStream = Data;
    type DoPutStream = Answers<PutResult>;
    type DoActionStream = Answers<arrow_flight::Result>;
    type ListActionsStream = Answers<ActionType>;
    type DoExchangeStream = Answers<FlightData>;

    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        let logged_in = self.0.log_in(request).await;
        logged_in.map_err(|fault| self.0.failed(fault))
    }

    async fn list_flights(
        &self,
        _request: Request<Criteria>,
    ) -> Result<Response<Self::ListFlightsStream>, Status> {
        Err(self.0.failed(not_here()))
    }

    async fn get_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let answered = async {
            let (caller, _place) = caller(&request)?;
            let descriptor = request.into_inner();
            let told = self.0.told(caller, &descriptor, true).await?;
            Ok(Response::new(told.info(descriptor)?))
        };
        answered.await.map_err(|fault: Fault| self.0.failed(fault))
    }

    async fn poll_flight_info(
        &self,
        _request: Request<FlightDescriptor>,
    ) -> Result<Response<PollInfo>, Status> {
        Err(self.0.failed(unavailable(
            "PollFlightInfo is",
            "GetFlightInfo answers without delay",
        )))
    }

    async fn get_schema(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<SchemaResult>, Status> {
        let answered = async {
            let (caller, _place) = caller(&request)?;
            let told = self.0.told(caller, request.get_ref(), false).await?;
            let columns = told.columns.unwrap_or_else(|| Arc::new(Schema::empty()));
            Ok(Response::new(SchemaResult {
                schema: encoded(&columns)?,
            }))
        };
        answered.await.map_err(|fault: Fault| self.0.failed(fault))
    }

    async fn do_get(
        &self,
        request: Request<Ticket>,
    ) -> Result<Response<Self::DoGetStream>, Status> {
        let answered = async {
            let (caller, place) = caller(&request)?;
            let rows = self.0.get(caller, place, request.get_ref()).await?;
            Ok(Response::new(rows))
        };
        answered.await.map_err(|fault: Fault| self.0.failed(fault))
    }

    async fn do_put(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoPutStream>, Status> {
        let put = self.0.put(request).await;
        put.map(|result| Response::new(single(result)))
            .map_err(|fault| self.0.failed(fault))
    }

    async fn do_exchange(
        &self,
        _request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        Err(self.0.failed(unavailable(
            "DoExchange is",
            "rows go out by DoGet and come in by DoPut",
        )))
    }

    async fn do_action(
        &self,
        request: Request<Action>,
    ) -> Result<Response<Self::DoActionStream>, Status> {
        let answered = async {
            let (caller, _place) = caller(&request)?;
            let body = self.0.act(caller, request.into_inner()).await?;
            let results = body.map(|body| Ok(arrow_flight::Result { body }));
            let results: Self::DoActionStream = Box::pin(stream::iter(results));
            Ok(Response::new(results))
        };
        answered.await.map_err(|fault: Fault| self.0.failed(fault))
    }

    async fn list_actions(
        &self,
        _request: Request<Empty>,
    ) -> Result<Response<Self::ListActionsStream>, Status> {
        let all: Self::ListActionsStream = Box::pin(stream::iter(actions::all().map(Ok)));
        Ok(Response::new(all))
    }
}
