//! The exchange of digests as either end has it: it asks, is asked, and the host computes once for both.

use activestore_types::{Error, Result};

use super::TableDigest;
use crate::frame::Frame;
use crate::limits::cut_reason;

/// What this end asked for.
#[derive(Debug)]
struct Asked {
    id: u64,
    here: Option<Result<Vec<TableDigest>>>,
    there: Option<Result<Vec<TableDigest>>>,
}

/// Both ends' digests.
#[derive(Debug)]
pub(crate) struct Exchanged {
    pub(crate) id: u64,
    pub(crate) here: Result<Vec<TableDigest>>,
    pub(crate) there: Result<Vec<TableDigest>>,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    asked: Option<Asked>,
    calling: bool,
    reply_to: Option<u64>,
}

impl Exchange {
    /// Asks the peer; a later call replaces one under way. Send the frame, and have the host compute if
    /// [`Exchange::calls`].
    pub(crate) fn begin(&mut self, id: u64) -> Frame {
        self.asked = Some(Asked {
            id,
            here: None,
            there: None,
        });
        Frame::DigestRequest {
            id,
            tables: Vec::new(),
        }
    }

    /// The peer asked.
    pub(crate) fn requested(&mut self, id: u64) {
        self.reply_to = Some(id);
    }

    /// Whether the host is to compute now; it is not while it does.
    pub(crate) fn calls(&mut self) -> bool {
        !std::mem::replace(&mut self.calling, true)
    }

    /// The host has computed: what the peer is owed, and both ends' digests once they are there.
    pub(crate) fn here(
        &mut self,
        result: Result<Vec<TableDigest>>,
    ) -> (Option<Frame>, Option<Exchanged>) {
        self.calling = false;
        let reply = self.reply_to.take().map(|id| {
            let (tables, error) = match &result {
                Ok(tables) => (tables.clone(), None),
                Err(error) => (Vec::new(), Some(cut_reason(&error.to_string()))),
            };
            Frame::DigestReply { id, tables, error }
        });
        if let Some(asked) = &mut self.asked {
            asked.here = Some(result);
        }
        (reply, self.finish())
    }

    /// The peer answered.
    pub(crate) fn there(
        &mut self,
        id: u64,
        tables: Vec<TableDigest>,
        error: Option<String>,
    ) -> Option<Exchanged> {
        let asked = self.asked.as_mut().filter(|asked| asked.id == id)?;
        asked.there = Some(match error {
            None => Ok(tables),
            Some(reason) => Err(Error::internal(format!("the peer's digests: {reason}"))),
        });
        self.finish()
    }

    fn finish(&mut self) -> Option<Exchanged> {
        match self.asked.take() {
            Some(Asked {
                id,
                here: Some(here),
                there: Some(there),
            }) => Some(Exchanged { id, here, there }),
            unfinished => {
                self.asked = unfinished;
                None
            }
        }
    }
}
