//! Rows as messages, a chunk at a time.

use activestore_types::{Error, Result};
use arrow::record_batch::RecordBatch;
use bytes::{BufMut, BytesMut};
use futures::{FutureExt, StreamExt};
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

use super::answer;
use super::cell::Cells;
use super::copy::{Format, Layout};
use super::feed::Feed;
use super::run::{Batch, Cursor, Ended, Patience, Reach, Rowwise, Sent};

/// About how large the pieces of an answer are.
const CHUNK_BYTES: usize = 64 * 1024;

/// How far sending came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// There are no more rows.
    End,
    /// There are as many as are asked for, or as come in the time for it.
    Enough,
    /// What comes is waited for from here on: nothing of it computes.
    Followed,
}

/// Rows on their way into chunks.
pub(super) struct Sending {
    out: BytesMut,
    chunks: Sender<BytesMut>,
    sent: Sent,
    reach: Reach,
    until: Option<Instant>,
    count: u64,
}

/// What comes of a subscription.
enum Came {
    Batch(RecordBatch),
    Stop(Reached),
}

impl Sending {
    /// Sends behind what is in `out`.
    pub(super) fn new(out: BytesMut, chunks: Sender<BytesMut>, sent: Sent, reach: Reach) -> Self {
        let until = match reach.patience {
            Patience::For(time) => Instant::now().checked_add(time),
            _ => None,
        };
        Sending {
            out,
            chunks,
            sent,
            reach,
            until,
            count: 0,
        }
    }

    /// What is told of it: what is left of the rows where they have not ended.
    pub(super) fn ended(mut self, reached: Reached, cursor: Box<Cursor>) -> Ended {
        if let Sent::Copied(layout) = &self.sent {
            if layout.format == Format::Binary {
                answer::message(&mut self.out, b'd', |out| out.put_i16(-1));
            }
            answer::empty(&mut self.out, b'c');
        }
        Ended::Rows {
            count: self.count,
            last: self.out,
            left: (reached != Reached::End).then_some(cursor),
        }
    }

    /// Sends rows until they end, or there are as many as are asked for; with `computes` until those of a subscription
    /// are only waited for.
    ///
    /// # Errors
    /// What the rows end with; `Closed` where nobody takes them.
    pub(super) async fn rows(&mut self, cursor: &mut Cursor, computes: bool) -> Result<Reached> {
        let most = match self.reach.rows {
            0 => u64::MAX,
            most => u64::try_from(most).unwrap_or(u64::MAX),
        };
        loop {
            if self.count >= most {
                return Ok(Reached::Enough);
            }
            let Some(batch) = &mut cursor.batch else {
                if computes && cursor.rows.follows() {
                    return Ok(Reached::Followed);
                }
                let batch = match &mut cursor.rows {
                    Rowwise::Rows(rows) => match rows.stream.next().await {
                        Some(batch) => batch?,
                        None => return Ok(Reached::End),
                    },
                    Rowwise::Feed(feed) => match self.fed(feed).await? {
                        Came::Batch(batch) => batch,
                        Came::Stop(reached) => return Ok(reached),
                    },
                };
                let columns = batch.columns().iter().zip(&cursor.shown);
                let cells = columns.map(|(array, shown)| Cells::new(array, shown));
                cursor.batch = Some(Batch {
                    cells: cells.collect::<Result<_>>()?,
                    rows: batch.num_rows(),
                    at: 0,
                });
                continue;
            };
            while batch.at < batch.rows && self.count < most {
                self.row(batch)?;
                batch.at += 1;
                self.count += 1;
                if self.out.len() >= CHUNK_BYTES {
                    self.hand_on().await?;
                }
            }
            if batch.at >= batch.rows {
                cursor.batch = None;
            }
        }
    }

    /// What comes of a subscription next. What is there goes to its reader before more is waited for.
    async fn fed(&mut self, feed: &mut Feed) -> Result<Came> {
        if let Some(next) = feed.next().now_or_never() {
            return Ok(came(next?));
        }
        if self.count > 0 && self.reach.patience == Patience::One {
            return Ok(Came::Stop(Reached::Enough));
        }
        if !self.out.is_empty() {
            self.hand_on().await?;
        }
        let over = async {
            match self.until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            next = feed.next() => Ok(came(next?)),
            () = over => Ok(Came::Stop(Reached::Enough)),
            () = self.chunks.closed() => Err(gone()),
        }
    }

    async fn hand_on(&mut self) -> Result<()> {
        let chunk = std::mem::take(&mut self.out);
        // Nobody who takes it means that nobody wants the rest.
        self.chunks.send(chunk).await.map_err(|_| gone())
    }

    /// Appends a row as a message; nothing of it where a value has no form.
    fn row(&mut self, batch: &Batch) -> Result<()> {
        let start = self.out.len();
        let mut written = Ok(());
        let count = u16::try_from(batch.cells.len()).unwrap_or(u16::MAX);
        match &self.sent {
            Sent::Described | Sent::Rows(_) => answer::message(&mut self.out, b'D', |out| {
                out.put_u16(count);
                written = batch
                    .cells
                    .iter()
                    .try_for_each(|cells| cells.write(batch.at, out));
            }),
            Sent::Copied(layout) => answer::message(&mut self.out, b'd', |out| {
                written = if layout.format == Format::Binary {
                    out.put_u16(count);
                    batch
                        .cells
                        .iter()
                        .try_for_each(|cells| cells.write(batch.at, out))
                } else {
                    copied(batch, layout, out)
                };
            }),
        }
        if written.is_err() {
            self.out.truncate(start);
        }
        written
    }
}

fn came(next: Option<RecordBatch>) -> Came {
    next.map_or(Came::Stop(Reached::End), Came::Batch)
}

fn gone() -> Error {
    Error::closed("the client is gone")
}

fn copied(batch: &Batch, layout: &Layout, out: &mut BytesMut) -> Result<()> {
    let mut field = BytesMut::new();
    for (place, cells) in batch.cells.iter().enumerate() {
        if place > 0 {
            out.put_u8(layout.delimiter);
        }
        if cells.is_null(batch.at) {
            layout.field(None, out);
            continue;
        }
        field.clear();
        cells.text(batch.at, &mut field)?;
        layout.field(Some(&field), out);
    }
    out.put_u8(b'\n');
    Ok(())
}
