//! Replay on two processors: a thread reads and checks records ahead of the one that decodes and
//! applies them. It holds a bounded number of bytes ahead; records keep their order, and the first
//! error ends both.

use std::sync::mpsc::sync_channel;

use activestore_types::{Error, Lsn, Result};
use arrow::buffer::Buffer;

use super::recovery::{End, replay};
use super::seal::RecordSealer;
use super::segment::Segment;

/// Records are handed over in lots of about so many bytes of payload.
const LOT_BYTES: usize = 512 << 10;

/// Lots that wait to be applied.
const LOTS_AHEAD: usize = 4;

/// Reads every record above `flushed` on a thread of its own; `each` runs on this one, in the order of
/// the log.
pub(super) fn replay_ahead(
    chain: &[Segment],
    sealer: &RecordSealer,
    flushed: Lsn,
    mut each: impl FnMut(Lsn, Buffer) -> Result<()>,
) -> Result<Option<End>> {
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel::<Vec<(Lsn, Buffer)>>(LOTS_AHEAD);
        let reader = std::thread::Builder::new()
            .name("store-replay".to_owned())
            .spawn_scoped(scope, move || {
                let (mut lot, mut bytes) = (Vec::new(), 0);
                let stopped = || Error::internal("a record could not be applied");
                let end = replay(chain, sealer, flushed, |lsn, payload| {
                    bytes += payload.len();
                    lot.push((lsn, payload));
                    if bytes >= LOT_BYTES {
                        bytes = 0;
                        return sender.send(std::mem::take(&mut lot)).map_err(|_| stopped());
                    }
                    Ok(())
                })?;
                sender.send(lot).map_err(|_| stopped())?;
                Ok(end)
            })?;
        // Ends when the reader does, or at the first error, which ends the reader in turn.
        let applied = receiver
            .into_iter()
            .flatten()
            .try_for_each(|(lsn, payload)| each(lsn, payload));
        let read = reader.join().unwrap_or_else(|_| {
            Err(Error::internal(
                "the thread that reads the log ended by a defect",
            ))
        });
        applied.and(read)
    })
}
