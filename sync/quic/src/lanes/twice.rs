//! Alarms go twice over a link that loses packets, the second time in a stream of their own and a moment later. One that is
//! lost with its packet would wait until that is noticed, which takes a round trip and more, and with bad luck again; over a
//! satellite that is seconds. The peer knows a segment that it has, and alarms are few and small.

use std::time::Duration;

use activestore_sync_proto::{Frame, Lane};
use activestore_types::SyncClass;
use quinn::Connection;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::WRITE_QUEUE_FRAMES;

/// A link that lost one of so many packets or more loses packets.
const LOSSY: u64 = 200;
/// What is larger takes several packets, and too much of a narrow link.
const PAYLOAD_MAX: usize = 2 << 10;
/// The second one waits for this share of a round trip, so that it meets another moment of the link …
const SHARE: u32 = 16;
/// … but at least so long, for else both would go in one packet …
const PAUSE_MIN: Duration = Duration::from_millis(5);
/// … and no longer than this.
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// The second way of alarms.
pub(super) struct Twice {
    connection: Connection,
    queue: mpsc::Sender<(Instant, Box<Frame>)>,
}

impl Twice {
    /// Starts what waits a moment and hands over to a writer.
    pub(super) fn start(
        tasks: &mut JoinSet<()>,
        connection: Connection,
        writer: mpsc::Sender<Box<Frame>>,
    ) -> Twice {
        let (queue, mut frames) = mpsc::channel::<(Instant, Box<Frame>)>(WRITE_QUEUE_FRAMES);
        tasks.spawn(async move {
            while let Some((at, frame)) = frames.recv().await {
                tokio::time::sleep_until(at).await;
                if writer.send(frame).await.is_err() {
                    return; // the connection says why
                }
            }
        });
        Twice { connection, queue }
    }

    /// Has a frame sent once more, if it is one for that and the link is.
    pub(super) fn offer(&self, frame: &Frame) {
        let Frame::Segment(segment) = frame else {
            return;
        };
        let is_alarm = frame.lane() == Lane::Rows(SyncClass::Alarm);
        if !is_alarm || segment.segment.payload.len() > PAYLOAD_MAX {
            return;
        }
        let path = self.connection.stats().path;
        if is_lossy(path.sent_packets, path.lost_packets) {
            let at = Instant::now() + pause(path.rtt);
            // Where there is no room the first one has to do.
            let _ = self.queue.try_send((at, Box::new(frame.clone())));
        }
    }
}

fn is_lossy(sent: u64, lost: u64) -> bool {
    lost > 0 && lost.saturating_mul(LOSSY) >= sent
}

fn pause(rtt: Duration) -> Duration {
    (rtt / SHARE).clamp(PAUSE_MIN, PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    //! When, and how long after.
    use super::*;

    #[test]
    fn a_link_is_lossy_from_a_two_hundredth_on() {
        for (sent, lost, lossy) in [(0, 0, false), (100, 0, false), (1000, 4, false)] {
            assert_eq!(is_lossy(sent, lost), lossy);
        }
        assert!(is_lossy(1000, 5));
        assert!(is_lossy(1, 1));
    }

    #[test]
    fn the_pause_follows_the_round_trip_within_bounds() {
        assert_eq!(pause(Duration::from_millis(1)), PAUSE_MIN);
        assert_eq!(pause(Duration::from_millis(320)), Duration::from_millis(20));
        assert_eq!(pause(Duration::from_secs(5)), PAUSE_MAX);
    }
}
