//! The bound of the queue, and that every event is either told or counted as left out, in order.

use activestore_types::Lsn;
use arrow::array::{ArrayRef, UInt64Array};
use arrow::record_batch::RecordBatch;
use proptest::prelude::*;

use super::super::changes::{Change, What};
use super::*;

const NODE: NodeId = NodeId([7; 16]);

/// One record's changes: so many events.
fn changes(lsn: u64, events: usize) -> Changes {
    let values: ArrayRef = Arc::new(UInt64Array::from_iter_values(
        (0..events as u64).map(|row| lsn * 1000 + row),
    ));
    let rows = RecordBatch::try_from_iter([("n", values)]).unwrap();
    let list = (0..events).map(|row| Change {
        what: What::Upsert(row),
        place: Place {
            lsn: Lsn(lsn),
            row: row as u32,
            stamp: 1,
            among: None,
        },
    });
    Changes {
        keys: RecordBatch::new_empty(rows.schema()),
        list: list.collect(),
        rows,
        ranges: Vec::new(),
        node: NODE,
    }
}

fn channel(bytes: usize, all: usize, when_slow: WhenSlow) -> Channel {
    let room = Arc::new(Room {
        bytes_max: all,
        ..Room::default()
    });
    Channel::new(NODE, bytes, when_slow, Place::behind(Lsn(0)), room)
}

proptest! {
    #[test]
    fn what_is_pushed_is_told_or_counted_and_the_bound_holds(
        steps in prop::collection::vec((1..200_usize, 0..4_usize), 1..80),
        bytes in 1000..40_000_usize,
        all in 1000..60_000_usize,
    ) {
        let channel = channel(bytes, all, WhenSlow::Drop);
        let (mut pushed, mut told, mut dropped) = (0, 0, 0);
        let mut last = (0, 0);
        let mut take = |told: &mut u64, dropped: &mut u64| match channel.take() {
            Taken::Told(Told::Changes(changes)) => {
                for change in &changes.list {
                    let place = (change.place.lsn.0, change.place.row);
                    assert!(place > last, "{place:?} after {last:?}");
                    last = place;
                }
                *told += changes.list.len() as u64;
                true
            }
            Taken::Told(Told::Dropped { events, token }) => {
                *dropped += events.unwrap();
                let place = Place::read(&token, NODE).unwrap();
                assert!((place.lsn.0, place.row) > last);
                last = (place.lsn.0, place.row);
                true
            }
            Taken::Nothing => false,
            _ => panic!("it goes on"),
        };
        for (lsn, (events, takes)) in steps.iter().enumerate() {
            let changes = changes(lsn as u64 + 1, *events);
            let one = changes.bytes();
            let before = channel.room.bytes.load(Ordering::Relaxed);
            channel.push(changes);
            pushed += *events as u64;
            let held = channel.room.bytes.load(Ordering::Relaxed);
            // Only what comes into an empty queue may be more than fits.
            let fits = held <= bytes.min(all) || held <= before;
            prop_assert!(fits || (before == 0 && held == one), "{} bytes are held", held);
            for _ in 0..*takes {
                take(&mut told, &mut dropped);
            }
        }
        while take(&mut told, &mut dropped) {}
        prop_assert_eq!(told + dropped, pushed);
        prop_assert_eq!(channel.room.bytes.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn who_is_too_slow_gives_its_room_back_at_once() {
    let channel = channel(4000, 1 << 20, WhenSlow::Disconnect);
    let mut waits = 0;
    let ended = (1..100).find(|lsn| {
        let pushed = channel.push(changes(*lsn, 50));
        waits += u64::from(pushed == Pushed::Waits);
        pushed == Pushed::Ended
    });
    assert!(ended.is_some() && waits > 0);
    assert_eq!(channel.push(changes(200, 1)), Pushed::Ended);
    // It may never take what waited, and goes on from the last event that it has.
    assert_eq!(channel.room.bytes.load(Ordering::Relaxed), 0);
    for _ in 0..2 {
        let Taken::Ended(error) = channel.take() else {
            panic!("it has ended");
        };
        assert_eq!(error.kind(), activestore_types::ErrorKind::Overloaded);
    }
    let room = channel.room.clone();
    drop(channel);
    assert_eq!(room.bytes.load(Ordering::Relaxed), 0);
}
