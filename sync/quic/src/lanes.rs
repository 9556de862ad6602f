//! Frames over streams: one task per stream and direction, each with a bounded queue. A peer that
//! does not read fills its queue and loses the connection; it cannot make this node hold more.

use activestore_sync_proto::{Frame, FrameReader, Lane, encode};
use activestore_types::{Error, Result};
use quinn::{Connection, RecvStream, SendStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Frames that wait to be written, per lane. More than any window and any request brings.
const WRITE_QUEUE_FRAMES: usize = 1024;
/// Frames that were read and wait for the machine.
pub(crate) const READ_QUEUE_FRAMES: usize = 16;
/// Bytes read from a stream at once.
const READ_BYTES: usize = 64 << 10;

/// The writing ends of a connection: control both ways, and one bulk lane of this end.
pub(crate) struct Lanes {
    control: mpsc::Sender<Frame>,
    bulk: mpsc::Sender<Frame>,
}

impl Lanes {
    /// Starts the writers.
    pub(crate) fn start(tasks: &mut JoinSet<()>, control: SendStream, bulk: SendStream) -> Lanes {
        // A stream's priority cannot fail to be set before the stream is finished.
        let _ = control.set_priority(2);
        let _ = bulk.set_priority(1);
        Lanes {
            control: writer(tasks, control),
            bulk: writer(tasks, bulk),
        }
    }

    /// Queues a frame.
    ///
    /// # Errors
    /// `Overloaded` when the peer has not read for so long that the queue is full.
    pub(crate) fn send(&self, frame: Frame) -> Result<()> {
        let queue = match frame.lane() {
            Lane::Control => &self.control,
            Lane::Rows | Lane::Blobs => &self.bulk,
        };
        match queue.try_send(frame) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => {
                Err(Error::overloaded("the peer does not read"))
            }
            // The stream is gone; the connection says why.
            Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
        }
    }
}

fn writer(tasks: &mut JoinSet<()>, mut stream: SendStream) -> mpsc::Sender<Frame> {
    let (sender, mut frames) = mpsc::channel::<Frame>(WRITE_QUEUE_FRAMES);
    tasks.spawn(async move {
        while let Some(frame) = frames.recv().await {
            let name = frame.name();
            match encode(&frame) {
                Ok(bytes) => {
                    if stream.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                Err(error) => tracing::error!("a {name} frame was not sent: {error}"),
            }
        }
    });
    sender
}

/// Reads frames from a stream until it ends; an error is the last thing delivered.
pub(crate) async fn read_frames(mut stream: RecvStream, into: mpsc::Sender<Result<Frame>>) {
    let mut reader = FrameReader::new();
    loop {
        match stream.read_chunk(READ_BYTES, true).await {
            Ok(Some(chunk)) => reader.push(&chunk.bytes),
            Ok(None) | Err(_) => return, // the connection says why
        }
        loop {
            let frame = match reader.next_frame() {
                Ok(None) => break,
                Ok(Some(frame)) => Ok(frame),
                Err(error) => Err(error),
            };
            let last = frame.is_err();
            if into.send(frame).await.is_err() || last {
                return;
            }
        }
    }
}

/// Reads the peer's bulk streams, one after the other.
pub(crate) async fn read_bulk(connection: Connection, into: mpsc::Sender<Result<Frame>>) {
    while let Ok(stream) = connection.accept_uni().await {
        read_frames(stream, into.clone()).await;
        if into.is_closed() {
            return;
        }
    }
}

/// Returns once this end was told to stop, or its handle is gone.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
