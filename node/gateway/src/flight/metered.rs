//! What comes of a call, looked at before it is gathered to messages: a large message waits for room among what all
//! clients make the node hold, one that is too large is not read, and a client that stops in the middle of one is put
//! out.

use std::sync::Arc;
use std::time::Duration;

use activestore_types::{Error, Result};
use axum::body::{Body as Pieces, BodyDataStream};
use bytes::Bytes;
use futures::{StreamExt, stream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tonic::body::Body;
use tonic::{Code, Status};

use super::Flight;
use super::fault::Fault;
use super::tally::one;

/// Whether it is packed, and its length.
const HEAD_BYTES: usize = 5;
/// Messages above this ask for room.
const LARGE_BYTES: usize = 64 * 1024;
/// How long a message may stand still that has begun, or is the first.
const STALL_MAX: Duration = Duration::from_secs(30);
/// How long a client may take between two messages.
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// A body that is looked at.
struct Metered {
    pieces: BodyDataStream,
    flight: Arc<Flight>,
    messages: Messages,
    room: Option<OwnedSemaphorePermit>,
    ended: bool,
}

/// Where one message ends and the next begins.
#[derive(Default)]
struct Messages {
    head: [u8; HEAD_BYTES],
    /// How much of the head is there.
    known: usize,
    /// What is to come of the message behind it.
    left: usize,
    /// Whether there was one.
    begun: bool,
}

/// The body of a call, looked at as it comes.
pub(super) fn metered(body: Body, flight: Arc<Flight>) -> Body {
    let metered = Metered {
        pieces: Pieces::new(body).into_data_stream(),
        flight,
        messages: Messages::default(),
        room: None,
        ended: false,
    };
    let pieces = stream::unfold(metered, async |mut metered| {
        if metered.ended {
            return None;
        }
        let piece = metered.next().await.transpose()?;
        metered.ended = piece.is_err();
        Some((piece, metered))
    });
    Body::new(Pieces::from_stream(pieces))
}

impl Metered {
    async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        let patience = self.messages.patience();
        let Ok(piece) = timeout(patience, self.pieces.next()).await else {
            one(&self.flight.tally.protocol_violations);
            let slow = Error::invalid(format!(
                "nothing of the call came for {} s",
                patience.as_secs()
            ))
            .with_hint("call again, and send what belongs to it without a pause");
            return Err(Fault::new(Code::DeadlineExceeded, &slow).into());
        };
        let piece = match piece {
            None => return Ok(None),
            Some(Ok(piece)) => piece,
            Some(Err(error)) => return Err(Status::from_error(error.into())),
        };
        let most = self.flight.options.message_bytes_max;
        let mut large = None;
        let begun = self.messages.pass(&piece, |length| large = Some(length));
        if begun {
            // The message before is read.
            self.room = None;
        }
        let Some(length) = large.filter(|length| *length > LARGE_BYTES) else {
            return Ok(Some(piece));
        };
        if length > most {
            one(&self.flight.tally.protocol_violations);
            let large = Error::invalid(format!(
                "a message of {length} bytes is too large: at most {most} are taken"
            ))
            .with_hint("send rows in smaller batches");
            return Err(Fault::new(Code::ResourceExhausted, &large).into());
        }
        let room = self.flight.shared.room(length).await;
        self.room = Some(room.map_err(|error| Status::from(Fault::from(error)))?);
        Ok(Some(piece))
    }
}

impl Messages {
    /// How long the next piece may take.
    fn patience(&self) -> Duration {
        if self.begun && self.known == 0 && self.left == 0 {
            PAUSE_MAX
        } else {
            STALL_MAX
        }
    }

    /// Goes over a piece, and tells the length of each message that begins in it; whether one does.
    fn pass(&mut self, mut piece: &[u8], mut tell: impl FnMut(usize)) -> bool {
        let mut one_begins = false;
        while !piece.is_empty() {
            if self.left > 0 {
                let (_, rest) = piece.split_at(self.left.min(piece.len()));
                self.left -= piece.len() - rest.len();
                piece = rest;
                continue;
            }
            let missing = HEAD_BYTES - self.known;
            let (now, rest) = piece.split_at(missing.min(piece.len()));
            for (to, from) in self.head.iter_mut().skip(self.known).zip(now) {
                *to = *from;
            }
            self.known += now.len();
            piece = rest;
            if self.known == HEAD_BYTES {
                let [_, a, b, c, d] = self.head;
                // Four bytes are a length on every machine that this runs on.
                self.left = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
                self.known = 0;
                self.begun = true;
                one_begins = true;
                tell(self.left);
            }
        }
        one_begins
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    fn message(length: u32) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend(length.to_be_bytes());
        bytes.resize(HEAD_BYTES + length as usize, 7);
        bytes
    }

    #[test]
    fn messages_are_found_however_they_are_cut() {
        let lengths = [0, 1, 300, 5, 0, 70_000];
        let all: Vec<u8> = lengths.into_iter().flat_map(message).collect();
        for piece_bytes in [1, 2, 3, 4, 5, 6, 7, 64, 1000, all.len()] {
            let mut messages = Messages::default();
            let mut found = Vec::new();
            assert_eq!(messages.patience(), STALL_MAX);
            for piece in all.chunks(piece_bytes) {
                messages.pass(piece, |length| found.push(u32::try_from(length).unwrap()));
            }
            assert_eq!(found, lengths);
            assert_eq!(messages.patience(), PAUSE_MAX);
            messages.pass(&message(9)[..7], |_| {});
            assert_eq!(messages.patience(), STALL_MAX);
        }
    }
}
