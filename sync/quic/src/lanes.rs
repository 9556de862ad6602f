//! Frames over streams: one task per stream and direction, each with a bounded queue. A peer that
//! does not read fills its queue and loses the connection; it cannot make this node hold more.

use std::sync::Arc;

use activestore_sync_proto::{Frame, FrameReader, LANES_VERSION, Lane, encode};
use activestore_types::{Error, Result, SyncClass};
use quinn::{Connection, RecvStream, SendStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::bandwidth::{Bucket, Turn};
use crate::early::Early;

mod twice;

use twice::Twice;

/// Frames that wait to be written, per lane. More than any window and any request brings.
pub(crate) const WRITE_QUEUE_FRAMES: usize = 1024;
/// Frames that were read and wait for the machine.
pub(crate) const READ_QUEUE_FRAMES: usize = 16;
/// Bytes read from a stream at once.
const READ_BYTES: usize = 64 << 10;

/// What quinn sends first when several streams wait. It decides that packet by packet, also for what was lost
/// and goes again, as long as its streams are fair (see `transport.rs`).
const CONTROL_PRIORITY: i32 = 5;
const BLOBS_PRIORITY: i32 = 0;

fn priority_of(class: SyncClass) -> i32 {
    match class {
        SyncClass::Alarm => 4,
        SyncClass::Control => 3,
        SyncClass::Live => 2,
        SyncClass::Backlog => 1,
    }
}

fn turn_of(class: SyncClass) -> Turn {
    match class {
        SyncClass::Alarm | SyncClass::Control => Turn::AtOnce,
        SyncClass::Live => Turn::After(0),
        SyncClass::Backlog => Turn::After(1),
    }
}

/// The writing ends of a connection: control both ways, and of this end one lane for each class of rows and
/// one for blobs. A peer of an older version has one for all of these. Frames wait in boxes, since a queue has room for
/// many from the beginning and each connection has seven.
pub(crate) struct Lanes {
    control: mpsc::Sender<Box<Frame>>,
    rows: Vec<(SyncClass, mpsc::Sender<Box<Frame>>)>,
    /// At an edge, where alarms have a lane.
    twice: Option<Twice>,
    bulk: mpsc::Sender<Box<Frame>>,
}

impl Lanes {
    /// Starts the writers.
    pub(crate) fn start(
        tasks: &mut JoinSet<()>,
        connection: &Connection,
        control: SendStream,
        version: u16,
        manner: Manner<'_>,
    ) -> Lanes {
        let classes: &[SyncClass] = if version >= LANES_VERSION {
            &SyncClass::ALL
        } else {
            &[]
        };
        let mut lane = |to, priority, turn| {
            let metered = manner.bucket.map(|bucket| (bucket.clone(), turn));
            writer(tasks, to, priority, metered, manner.early.cloned())
        };
        let to_lane = || To::Lane(connection.clone());
        let mut rows = Vec::new();
        for class in classes {
            let queue = lane(to_lane(), priority_of(*class), turn_of(*class));
            rows.push((*class, queue));
        }
        let alarms = (manner.alarms_twice && !classes.is_empty()).then(|| {
            let class = SyncClass::Alarm;
            lane(to_lane(), priority_of(class), turn_of(class))
        });
        Lanes {
            rows,
            bulk: lane(to_lane(), BLOBS_PRIORITY, Turn::After(2)),
            control: lane(To::Stream(control), CONTROL_PRIORITY, Turn::AtOnce),
            twice: alarms.map(|writer| Twice::start(tasks, connection.clone(), writer)),
        }
    }

    /// Queues a frame.
    ///
    /// # Errors
    /// `Overloaded` when the peer has not read for so long that the queue is full.
    pub(crate) fn send(&self, frame: Frame) -> Result<()> {
        if let Some(twice) = &self.twice {
            twice.offer(&frame);
        }
        let queue = match frame.lane() {
            Lane::Control => &self.control,
            Lane::Rows(class) => {
                let mut rows = self.rows.iter();
                let own = rows.find(|(of, _)| *of == class);
                own.map_or(&self.bulk, |(_, queue)| queue)
            }
            Lane::Blobs => &self.bulk,
        };
        match queue.try_send(Box::new(frame)) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => {
                Err(Error::overloaded("the peer does not read"))
            }
            // The stream is gone; the connection says why.
            Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
        }
    }
}

/// What holds back the bytes of a connection, and whether some go once more.
#[derive(Clone, Copy)]
pub(crate) struct Manner<'a> {
    pub(crate) bucket: Option<&'a Arc<Bucket>>,
    /// Until the cloud has answered.
    pub(crate) early: Option<&'a Arc<Early>>,
    /// Whether this end has alarms to send.
    pub(crate) alarms_twice: bool,
}

/// Where a writer writes to.
enum To {
    Stream(SendStream),
    /// A stream that is opened when the first frame is to be written.
    Lane(Connection),
}

fn writer(
    tasks: &mut JoinSet<()>,
    to: To,
    priority: i32,
    metered: Option<(Arc<Bucket>, Turn)>,
    early: Option<Arc<Early>>,
) -> mpsc::Sender<Box<Frame>> {
    let (sender, mut frames) = mpsc::channel::<Box<Frame>>(WRITE_QUEUE_FRAMES);
    tasks.spawn(async move {
        let mut first = frames.recv().await;
        if first.is_none() {
            return;
        }
        let mut stream = match to {
            To::Stream(stream) => stream,
            To::Lane(connection) => match connection.open_uni().await {
                Ok(stream) => stream,
                Err(_) => return, // the connection says why
            },
        };
        // A stream's priority cannot fail to be set before the stream is finished.
        let _ = stream.set_priority(priority);
        loop {
            let frame = match first.take() {
                Some(frame) => frame,
                None => match frames.recv().await {
                    Some(frame) => frame,
                    None => return,
                },
            };
            let name = frame.name();
            match encode(&frame) {
                Ok(bytes) => {
                    let most = metered.as_ref().map_or(usize::MAX, |(one, _)| one.piece());
                    for piece in bytes.chunks(most) {
                        if let Some((bucket, turn)) = &metered {
                            bucket.take(*turn, piece.len()).await;
                        }
                        if let Some(early) = &early {
                            early.pass(piece.len()).await;
                        }
                        if stream.write_all(piece).await.is_err() {
                            return;
                        }
                    }
                }
                Err(error) => tracing::error!("a {name} frame was not sent: {error}"),
            }
        }
    });
    sender
}

/// Reads frames from a stream until it ends; an error is the last thing delivered.
pub(crate) async fn read_frames(mut stream: RecvStream, into: mpsc::Sender<Result<Box<Frame>>>) {
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
            if into.send(frame.map(Box::new)).await.is_err() || last {
                return;
            }
        }
    }
}

/// Reads the peer's lanes, side by side; the transport bounds how many there are.
pub(crate) async fn read_bulk(connection: Connection, into: mpsc::Sender<Result<Box<Frame>>>) {
    let mut lanes = JoinSet::new();
    loop {
        tokio::select! {
            stream = connection.accept_uni() => match stream {
                Ok(stream) => drop(lanes.spawn(read_frames(stream, into.clone()))),
                Err(_) => return, // the connection says why
            },
            Some(_) = lanes.join_next(), if !lanes.is_empty() => {
                if into.is_closed() {
                    return;
                }
            }
        }
    }
}

/// Returns once this end was told to stop, or its handle is gone.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
