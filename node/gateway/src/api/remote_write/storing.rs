//! The rows of a body on their way into their tables. What one table does not take keeps no other from being stored:
//! the sender never sends any of it again.

use activestore_db::Db;
use activestore_ingest::RemoteWrite;
use activestore_types::{Error, ErrorKind, Result};

/// Stores the rows of a body: all at once where every table takes them, else half by half, so that one table that
/// does not is found by few writes. `samples` says how many are durable. What comes back is why the first table
/// that took nothing did not; `parsed` counts all of them.
///
/// # Errors
/// What a later attempt could mend. Then all of it is to be sent again, also what is stored by now.
pub(super) async fn store(
    db: &Db,
    parsed: &mut RemoteWrite,
    samples: &mut u64,
) -> Result<Option<Error>> {
    let mut first = None;
    let mut open = vec![std::mem::take(&mut parsed.batches)];
    while let Some(mut batches) = open.pop() {
        if batches.is_empty() {
            continue;
        }
        let rows: u64 = batches.iter().map(|batch| batch.rows as u64).sum();
        // The rows themselves are shared, not copied.
        let Err(error) = db.write(batches.clone()).await else {
            *samples += rows;
            continue;
        };
        if !is_refusal(&error) {
            return Err(error);
        }
        if let [batch] = batches.as_slice() {
            parsed.refuse(batch, &error);
            first.get_or_insert(error);
            continue;
        }
        let later = batches.split_off(batches.len() / 2);
        open.extend([later, batches]);
    }
    Ok(first)
}

/// Whether it lies in what was sent and in the table that it is for, so that the same again would be met the same.
fn is_refusal(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::Conflict | ErrorKind::Denied => true,
        ErrorKind::Overloaded
        | ErrorKind::DiskFull
        | ErrorKind::Corrupt
        | ErrorKind::Poisoned
        | ErrorKind::Closed
        | ErrorKind::Internal => false,
    }
}
