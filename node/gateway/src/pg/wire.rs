//! One connection's bytes: messages in, with a bound on each and on how long it takes to come, and a buffer out, which
//! waits for its reader and gives up one that does not read.

use std::time::Duration;

use activestore_types::Error;
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::certificate::Io;

use super::fault::{CONNECTION_LOST, Fault, TOO_LARGE};

/// What a read asks for at a time.
const READ_BYTES: usize = 8 * 1024;
/// The room that an idle connection keeps.
const IDLE_BYTES: usize = 1024;
/// How long a message that has begun may stand still.
const MESSAGE_STALL_MAX: Duration = Duration::from_secs(30);
/// How long a client may take none of what it is sent.
const READER_STALL_MAX: Duration = Duration::from_secs(300);
/// What is read of a client ahead while its statement runs.
const AHEAD_BYTES: usize = 64 * 1024;
/// Tag and length.
const HEAD_BYTES: usize = 5;

/// The client is gone, or is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone;

/// A connection's two buffers.
pub(super) struct Wire {
    io: Box<dyn Io>,
    input: BytesMut,
    pub(super) out: BytesMut,
}

impl Wire {
    pub(super) fn new(io: Box<dyn Io>) -> Self {
        Wire {
            io,
            input: BytesMut::new(),
            out: BytesMut::new(),
        }
    }

    /// The socket, where nothing of the client is waiting that was sent before it should have been.
    pub(super) fn into_io(self) -> Option<Box<dyn Io>> {
        self.input.is_empty().then_some(self.io)
    }

    /// How long the next message is, as soon as its head is there.
    ///
    /// # Errors
    /// For a length that is none, or is above `most`.
    pub(super) fn announced(&self, most: usize) -> Result<Option<usize>, Fault> {
        let Some((_, rest)) = self.input.split_first() else {
            return Ok(None);
        };
        let Some(length) = rest.first_chunk::<4>() else {
            return Ok(None);
        };
        let length = i32::from_be_bytes(*length).checked_sub(4);
        let length = length.and_then(|length| usize::try_from(length).ok());
        let length = length.ok_or_else(|| {
            Fault::protocol(&Error::invalid("a message says a length that is none"))
        })?;
        if length > most {
            return Err(Fault::new(
                TOO_LARGE,
                format!("a message of {length} bytes is too long: at most {most} are taken"),
            )
            .hint("send rows with COPY … FROM STDIN, which takes them in pieces")
            .fatal());
        }
        Ok(Some(length))
    }

    /// The next message, if it is there whole.
    ///
    /// # Errors
    /// As [`Wire::announced`].
    pub(super) fn taken(&mut self, most: usize) -> Result<Option<(u8, Bytes)>, Fault> {
        let Some(length) = self.announced(most)? else {
            return Ok(None);
        };
        if self.input.len() < HEAD_BYTES + length {
            return Ok(None);
        }
        let mut message = self.input.split_to(HEAD_BYTES + length);
        let tag = message.get_u8();
        message.advance(HEAD_BYTES - 1);
        if self.input.is_empty() {
            // What a large message took is given back with the message.
            self.input = BytesMut::new();
        }
        Ok(Some((tag, message.freeze())))
    }

    /// Reads what is there; false at the end.
    ///
    /// # Errors
    /// For a client that stops within a message.
    pub(super) async fn fill(&mut self) -> Result<bool, Fault> {
        self.fill_within(MESSAGE_STALL_MAX).await
    }

    async fn fill_within(&mut self, stall_max: Duration) -> Result<bool, Fault> {
        if self.input.is_empty() {
            self.input.reserve(IDLE_BYTES);
            return Ok(self
                .io
                .read_buf(&mut self.input)
                .await
                .is_ok_and(|read| read > 0));
        }
        self.input.reserve(READ_BYTES);
        match timeout(stall_max, self.io.read_buf(&mut self.input)).await {
            Ok(read) => Ok(read.is_ok_and(|read| read > 0)),
            Err(_) => Err(Fault::new(
                CONNECTION_LOST,
                format!("nothing came of a message for {} s", stall_max.as_secs()),
            )
            .fatal()),
        }
    }

    /// Reads exactly so many bytes.
    pub(super) async fn exactly(&mut self, bytes: usize) -> Result<Bytes, Gone> {
        while self.input.len() < bytes {
            self.input.reserve(bytes - self.input.len());
            match self.io.read_buf(&mut self.input).await {
                Ok(read) if read > 0 => {}
                _ => return Err(Gone),
            }
        }
        Ok(self.input.split_to(bytes).freeze())
    }

    /// Ends when the client is gone; reads a little ahead for that.
    pub(super) async fn gone(&mut self) {
        while self.input.len() < AHEAD_BYTES {
            self.input.reserve(READ_BYTES);
            match self.io.read_buf(&mut self.input).await {
                Ok(read) if read > 0 => {}
                _ => return,
            }
        }
        std::future::pending::<()>().await;
    }

    /// Sends what is in `out`; may be dropped and begun again.
    pub(super) async fn flush(&mut self) -> Result<(), Gone> {
        self.flush_within(READER_STALL_MAX).await
    }

    async fn flush_within(&mut self, stall_max: Duration) -> Result<(), Gone> {
        while !self.out.is_empty() {
            match timeout(stall_max, self.io.write_buf(&mut self.out)).await {
                Ok(Ok(written)) if written > 0 => {}
                _ => return Err(Gone),
            }
        }
        if self.out.capacity() > READ_BYTES {
            self.out = BytesMut::new();
        }
        match timeout(stall_max, self.io.flush()).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Gone),
        }
    }

    /// Sends what is left, and closes.
    pub(super) async fn close(mut self) {
        // Who is told goodbye may be gone already.
        let _ = timeout(Duration::from_secs(1), async {
            let _ = self.flush().await;
            let _ = self.io.shutdown().await;
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn who_stops_in_a_message_is_put_out_and_who_is_idle_is_not() {
        let (mut client, node) = tokio::io::duplex(64);
        let mut wire = Wire::new(Box::new(node));
        let idle = timeout(SHORT * 5, wire.fill_within(SHORT)).await;
        assert!(idle.is_err(), "nothing was begun");
        client.write_all(b"Q\0\0").await.unwrap();
        assert!(wire.fill_within(SHORT).await.unwrap());
        let fault = wire.fill_within(SHORT).await.unwrap_err();
        assert_eq!((fault.code, fault.fatal), (CONNECTION_LOST, true));
    }

    #[tokio::test]
    async fn who_reads_nothing_is_given_up() {
        let (_client, node) = tokio::io::duplex(64);
        let mut wire = Wire::new(Box::new(node));
        wire.out.extend_from_slice(&[0; 1000]);
        assert_eq!(wire.flush_within(SHORT).await, Err(Gone));
    }
}
