//! Room for the rows that are made of a body, among what all bodies may make the node hold. What a body makes is known
//! once it is made: a text that stands in it once may stand in each of its rows, and a column that one row names takes
//! room in all of them. So a body is read within what is usual, and where that is too little again within more.

use activestore_types::{Error, Result};
use axum::http::StatusCode;
use tokio::sync::OwnedSemaphorePermit;

use crate::answer::Refusal;
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
    usual: usize,
    kept: bool,
    most: usize,
}

impl RowsRoom {
    /// Those of a body of this length: with it no more than half of what all bodies may take, so that one that
    /// waits for its room gets it though others hold some, but always what is allowed to one of its length.
    pub(crate) fn of(shared: &Shared, length: usize, ratio: &Ratio) -> RowsRoom {
        let half = shared.options.bodies_bytes_max / 2;
        let most = half
            .saturating_sub(length)
            .max(length.saturating_mul(ratio.most));
        RowsRoom {
            length,
            usual: length.saturating_mul(ratio.usual).max(ROWS_BYTES_LEAST),
            kept: ratio.kept,
            most,
        }
    }

    /// No more than so many in any case.
    #[cfg(feature = "prometheus")]
    pub(crate) fn at_most(mut self, bytes: usize) -> RowsRoom {
        self.most = self.most.min(bytes);
        self
    }

    /// What no rows of the body may exceed.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// Makes rows of the body off the threads that answer; `make` is told how many bytes they may take, and gives
    /// nothing where that is too little. What room is held becomes that of the body and its rows. Gives nothing where
    /// the rows take more than the most that there is.
    ///
    /// # Errors
    /// `Overloaded` when there is no room, and those of `make`.
    pub(crate) async fn make<T: Send + 'static>(
        &self,
        shared: &Shared,
        room: &mut OwnedSemaphorePermit,
        mut make: impl FnMut(usize) -> Result<Option<T>> + Send + 'static,
    ) -> Result<Option<T>> {
        let mut bytes = self.usual.min(self.most);
        let mut kept = self.kept;
        loop {
            let rows = if kept { bytes } else { 0 };
            shared
                .resize_room(room, self.length.saturating_add(rows))
                .await?;
            let made = tokio::task::spawn_blocking(move || (make(bytes), make))
                .await
                .map_err(|_| Error::internal("reading the rows failed"))?;
            let rows = made.0?;
            if rows.is_some() || bytes >= self.most {
                return Ok(rows);
            }
            make = made.1;
            // Who waits for more holds no more than it needs meanwhile.
            shared.resize_room(room, self.length).await?;
            kept = true;
            bytes = bytes.saturating_mul(GROWTH).min(self.most);
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
