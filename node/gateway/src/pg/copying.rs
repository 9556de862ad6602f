//! COPY in a session: rows of a query out, rows of the client in.

use std::sync::atomic::Ordering;

use activestore_types::Error;
use bytes::Bytes;

use super::answer;
use super::copy::{Copy, Format, What};
use super::copy_in::Incoming;
use super::fault::{BAD_COPY, CANCELLED, Fault, WRONG_VALUE};
use super::message::Message;
use super::run::{Reach, Sent, Source};
use super::session::{Failure, Session};

impl Session {
    pub(super) async fn copy(&mut self, copy: Copy) -> Result<(), Failure> {
        match copy.what {
            What::Out(statement) => {
                let source = Source::Statement(statement, Vec::new());
                let ended = self
                    .drive(source, Sent::Copied(copy.layout), Reach::of(0))
                    .await?;
                self.tell(ended, "COPY").map(drop)
            }
            What::In { table, columns } => {
                self.admit_write()?;
                self.db.check_insert(&table)?;
                let schema = self.db.table_schema(&table).ok_or_else(|| {
                    Error::not_found(format!("table {table} does not exist"))
                        .with_hint("create it with CREATE TABLE")
                })?;
                let incoming = Incoming::new(&schema, &columns, copy.layout.clone())?;
                let binary = copy.layout.format == Format::Binary;
                answer::copy(&mut self.wire.out, b'G', binary, incoming.columns());
                self.wire.flush().await?;
                let copied = self.copy_in(incoming).await?;
                self.transaction.wrote(copied);
                answer::complete(&mut self.wire.out, &format!("COPY {copied}"));
                Ok(())
            }
        }
    }

    /// Takes the rows of a COPY and stores them batch by batch: each batch is durable on its own.
    async fn copy_in(&mut self, mut incoming: Incoming) -> Result<u64, Failure> {
        let mut stored = 0;
        loop {
            let Some(message) = self.message().await? else {
                return Err(Failure::Gone);
            };
            let (taken, done) = match message {
                Message::CopyData(piece) => (self.pieces(incoming, Some(piece)).await, false),
                Message::CopyDone => (self.pieces(incoming, None).await, true),
                Message::CopyFail(reason) => {
                    self.transaction.wrote(stored);
                    let what = format!("the client broke off the COPY: {reason}");
                    return Err(kept(Fault::new(CANCELLED, what), stored).into());
                }
                Message::Flush | Message::Sync => continue,
                _ => {
                    let error = Error::invalid("something else came in the middle of a COPY");
                    return Err(Fault::protocol(&error).into());
                }
            };
            self.room = None;
            let (rest, rows) = match taken {
                Ok(taken) => taken,
                Err((error, rows)) => {
                    stored += rows;
                    self.transaction.wrote(stored);
                    let mut fault = Fault::from(error);
                    if fault.code == WRONG_VALUE {
                        fault.code = BAD_COPY;
                    }
                    return Err(kept(fault, stored).into());
                }
            };
            incoming = rest;
            stored += rows;
            self.pg
                .tally
                .rows_copied_in
                .fetch_add(rows, Ordering::Relaxed);
            if done {
                return Ok(stored);
            }
        }
    }

    /// Reads a piece, none for the end, away from the threads that serve connections; stores what it fills.
    async fn pieces(
        &mut self,
        mut incoming: Incoming,
        piece: Option<Bytes>,
    ) -> Result<(Incoming, u64), (Error, u64)> {
        let read = tokio::task::spawn_blocking(move || {
            let full = match piece {
                Some(piece) => incoming.take(&piece),
                None => incoming.finish().map(|last| last.into_iter().collect()),
            };
            full.map(|full| (incoming, full))
        });
        let read = read
            .await
            .map_err(|_| Error::internal("reading the rows failed"));
        let (incoming, full) = read.and_then(|read| read).map_err(|error| (error, 0))?;
        let mut stored = 0;
        for batch in full {
            let receipt = self
                .db
                .write(vec![batch])
                .await
                .map_err(|error| (error, stored))?;
            stored += receipt.rows;
        }
        Ok((incoming, stored))
    }
}

/// What a COPY that fails leaves behind.
fn kept(mut fault: Fault, stored: u64) -> Fault {
    if stored > 0 {
        let what = format!("{stored} rows before it are stored and stay");
        fault.hint = Some(match fault.hint {
            Some(hint) => format!("{hint}; {what}"),
            None => what,
        });
    }
    fault
}
