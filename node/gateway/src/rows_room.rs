//! Room for the rows that are made of a body, among what all bodies may make the node hold. What a body makes is known
//! once it is made: a text that stands in it once may stand in each of its rows, and a column that one row names takes
//! room in all of them. So a body is read within what is usual, and where that is too little again within more.

use activestore_types::{Error, ErrorKind, NamedBatch, Result};
use arrow::array::Array;
use axum::http::StatusCode;
use tokio::sync::OwnedSemaphorePermit;

use crate::answer::Refusal;
use crate::room::{self, Pool};
use crate::server::Shared;

/// Bytes of rows that any body may make, however short it is.
const ROWS_BYTES_LEAST: usize = 256 << 10;

/// How much more is tried where it was too little.
const GROWTH: usize = 4;

/// Bytes of rows per byte of a body.
pub(crate) struct Ratio {
    /// What nearly all bodies stay below.
    pub(crate) usual: usize,
    /// Whether room is kept for what is usual, or only for what goes beyond.
    pub(crate) kept: bool,
    /// What a body of any length may make, though others hold room.
    pub(crate) most: usize,
}

/// Rows of line protocol and JSON: about as many bytes as stand in the body where each row names each column, three
/// times where names and values have one letter.
pub(crate) const TEXT: Ratio = Ratio {
    usual: 3,
    kept: false,
    most: 5,
};

/// Bytes of rows of one body.
pub(crate) struct RowsRoom {
    length: usize,
    /// What is held beside the rows and is not the body that came.
    beside: usize,
    usual: usize,
    kept: bool,
    most: usize,
    held: Option<OwnedSemaphorePermit>,
}

impl RowsRoom {
    /// Those of a body of this length: with it no more than half of what may be made of all bodies, so that two that
    /// want so much are read at once, but always what is allowed to one of its length, if need be alone.
    pub(crate) fn of(shared: &Shared, length: usize, ratio: &Ratio) -> RowsRoom {
        let half = shared.made.bytes() / 2;
        let most = half
            .saturating_sub(length)
            .max(length.saturating_mul(ratio.most));
        RowsRoom {
            length,
            beside: 0,
            usual: length.saturating_mul(ratio.usual).max(ROWS_BYTES_LEAST),
            kept: ratio.kept,
            most,
            held: None,
        }
    }

    /// The same of a body that came packed: while rows are made of it, it is held unpacked beside them.
    #[cfg(feature = "prometheus")]
    pub(crate) fn unpacked(mut self, packed: usize) -> RowsRoom {
        self.beside = std::mem::replace(&mut self.length, packed);
        self
    }

    /// No more than so many in any case.
    #[cfg(feature = "prometheus")]
    pub(crate) fn at_most(mut self, bytes: usize) -> RowsRoom {
        self.most = self.most.min(bytes);
        self
    }

    /// What no rows of the body may exceed.
    #[cfg(feature = "prometheus")]
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// Makes rows of the body off the threads that answer; `make` is told how many bytes they may take, and gives
    /// nothing where that is too little. Gives nothing where the rows take more than the most that there is.
    ///
    /// # Errors
    /// `Overloaded` when there is no room, and those of `make`.
    pub(crate) async fn make<T: Send + 'static>(
        &mut self,
        shared: &Shared,
        body: &mut OwnedSemaphorePermit,
        make: impl FnMut(usize) -> Result<Option<T>> + Send + 'static,
    ) -> Result<Option<T>> {
        let made = self.make_in(&shared.made, body, make).await;
        made.inspect_err(|error| {
            if error.kind() == ErrorKind::Overloaded {
                shared.metrics.refused();
            }
        })
    }

    async fn make_in<T: Send + 'static>(
        &mut self,
        pool: &Pool,
        body: &mut OwnedSemaphorePermit,
        mut make: impl FnMut(usize) -> Result<Option<T>> + Send + 'static,
    ) -> Result<Option<T>> {
        // Who announced nothing has held the most that there is.
        room::shrink(body, self.length);
        let mut bytes = self.usual.min(self.most);
        let mut kept = self.kept;
        loop {
            // What was too little is given back first: who waits for more holds nothing that others wait for.
            self.held = None;
            if kept {
                self.held = Some(pool.take(self.beside.saturating_add(bytes)).await?);
            }
            let made = tokio::task::spawn_blocking(move || (make(bytes), make))
                .await
                .map_err(|_| Error::internal("reading the rows failed"))?;
            let rows = made.0?;
            if rows.is_some() || bytes >= self.most {
                return Ok(rows);
            }
            make = made.1;
            kept = true;
            bytes = bytes.saturating_mul(GROWTH).min(self.most);
        }
    }

    /// Once there are rows of so many bytes, and no body any more: gives back what is held beyond them.
    pub(crate) fn settle(&mut self, body: &mut OwnedSemaphorePermit, bytes: usize) {
        let left = bytes.saturating_sub(room::shrink(body, bytes));
        if let Some(held) = &mut self.held {
            room::shrink(held, left);
        }
    }

    /// The answer where the rows take more than the most.
    pub(crate) fn exceeded(&self) -> Refusal {
        Refusal::with_status(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            &format!(
                "the rows of the request take more than {} bytes of memory: each has room for every column that any of them names",
                self.most
            ),
            Some("send it in smaller requests, and rows that name the same columns together"),
        )
    }
}

/// What rows take.
pub(crate) fn bytes_of(batches: &[NamedBatch]) -> usize {
    let columns = batches.iter().flat_map(|batch| &batch.columns);
    columns
        .map(|column| {
            let data = column.array.to_data();
            data.get_slice_memory_size().unwrap_or(0)
        })
        .sum()
}

#[cfg(test)]
mod tests;
