//! What comes in by a call: a command, and batches of rows behind it. Whoever sends them is not trusted: each message
//! is looked at before it is read, and code that panics over one ends that call alone.

use std::panic::AssertUnwindSafe;

use activestore_formats::arrow_ipc::{Bounds, plain};
use activestore_types::Error;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use arrow_flight::FlightData;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::sql::Command;
use futures::{FutureExt, StreamExt, future, stream};
use tonic::{Status, Streaming};

use super::fault::Fault;
use super::query::command;

/// The batches of a call.
pub(super) struct Batches {
    inner: FlightRecordBatchStream,
    failed: bool,
}

/// The command that a call begins with, and what follows.
pub(super) async fn begin(
    mut messages: Streaming<FlightData>,
) -> Result<(Command, Batches), Fault> {
    let first = messages.message().await?;
    let first = first.ok_or_else(|| Error::invalid("the call holds no command"))?;
    let descriptor = first.flight_descriptor.as_ref();
    let descriptor = descriptor.ok_or_else(|| {
        Error::invalid("the call does not begin with a command")
            .with_hint("the first message carries a descriptor")
    })?;
    let command = command(&descriptor.cmd)?;
    let mut bounds = Bounds::default();
    let looked_at = stream::once(future::ready(Ok(first)))
        .chain(messages)
        // A message may carry a descriptor alone.
        .filter(|message| {
            future::ready(!matches!(message, Ok(data) if data.data_header.is_empty()))
        })
        .map(move |message: Result<FlightData, Status>| {
            let message = message?;
            bounds
                .check(&message.data_header, &message.data_body)
                .map_err(|error| Status::from(Fault::from(error)))?;
            Ok(message)
        })
        .map(|message: Result<FlightData, Status>| message.map_err(FlightError::from));
    let batches = Batches {
        inner: FlightRecordBatchStream::new_from_flight_data(looked_at),
        failed: false,
    };
    Ok((command, batches))
}

impl Batches {
    /// The next batch, with plain columns.
    pub(super) async fn next(&mut self) -> Result<Option<RecordBatch>, Fault> {
        if self.failed {
            return Ok(None);
        }
        let next = AssertUnwindSafe(self.inner.next()).catch_unwind().await;
        let next = match next {
            Ok(next) => next.transpose().map_err(read),
            Err(_) => Err(Error::invalid("a batch of rows cannot be read").into()),
        };
        self.failed = next.is_err();
        let Some(batch) = next? else {
            return Ok(None);
        };
        Ok(Some(plain(&batch)?))
    }

    /// The columns, as soon as they were told.
    pub(super) fn schema(&self) -> Option<&SchemaRef> {
        self.inner.schema()
    }
}

/// What Arrow does not read is the client's mistake.
fn read(error: FlightError) -> Fault {
    match error {
        FlightError::Tonic(status) => Fault::from(*status),
        FlightError::Arrow(error) => {
            Error::invalid(format!("a batch of rows cannot be read: {error}")).into()
        }
        error => error.into(),
    }
}
