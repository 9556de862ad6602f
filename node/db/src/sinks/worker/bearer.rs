//! Has parcels on their way in a thread of its own, so that the sink's is free to look after the log meanwhile.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use activestore_types::{Error, Result};

use crate::sinks::port::{Carried, Parcel, SinkLine};

/// What is to be carried, and how.
struct Errand {
    line: Box<dyn SinkLine>,
    parcels: Vec<Parcel>,
}

/// What came of it.
pub(super) struct Outcome {
    pub(super) line: Box<dyn SinkLine>,
    pub(super) parcels: Vec<Parcel>,
    pub(super) carried: Carried,
}

/// The thread that carries; it ends with this, once its receiver has answered or kept silent for long enough.
pub(super) struct Bearer {
    give: Sender<Errand>,
    back: Receiver<Outcome>,
}

impl Bearer {
    /// # Errors
    /// When the machine has no thread left.
    pub(super) fn start() -> Result<Bearer> {
        let (give, errands) = channel::<Errand>();
        let (done, back) = channel();
        std::thread::Builder::new()
            .name("sink-line".to_owned())
            .spawn(move || {
                for Errand { mut line, parcels } in errands {
                    let carried = line.carry(&parcels);
                    let outcome = Outcome {
                        line,
                        parcels,
                        carried,
                    };
                    if done.send(outcome).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Bearer { give, back })
    }

    /// Sends parcels on their way.
    ///
    /// # Errors
    /// Where the thread is no more.
    pub(super) fn send(&self, line: Box<dyn SinkLine>, parcels: Vec<Parcel>) -> Result<()> {
        let given = self.give.send(Errand { line, parcels });
        given.map_err(|_| gone())
    }

    /// What came of them; `None` where they are still on their way after so long.
    ///
    /// # Errors
    /// Where the thread is no more, since the line panicked.
    pub(super) fn wait(&self, wait: Duration) -> Result<Option<Outcome>> {
        match self.back.recv_timeout(wait) {
            Ok(outcome) => Ok(Some(outcome)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(gone()),
        }
    }
}

fn gone() -> Error {
    Error::internal("the thread that sends for the sink panicked; another one is begun")
}
