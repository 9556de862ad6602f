//! Rows find their devices in whatever order they come, and what is kept is bounded.

use super::*;

fn sorted(fleet: &mut Fleet, keys: &[u64]) -> Vec<(u64, Vec<u32>)> {
    let sorted = fleet.sort(keys.len(), |row, out| out.extend(keys[row].to_le_bytes()));
    sorted
        .devices
        .iter()
        .map(|device| {
            let device = fleet.device(*device);
            let (first, count) = device.rows;
            let key = u64::from_le_bytes(device.key[..].try_into().unwrap());
            (key, sorted.rows[first..first + count].to_vec())
        })
        .collect()
}

#[test]
fn rows_are_those_of_their_device_in_order() {
    let mut fleet = Fleet::new(1, 1 << 20);
    let orders: [fn(u64) -> u64; 5] = [
        |row| row / 10,
        |row| row % 10,
        |row| row * row % 11,
        |_| 3,
        |row| u64::MAX - row,
    ];
    for order in orders.into_iter().chain(orders) {
        let keys: Vec<u64> = (0..200).map(order).collect();
        let mut expected: Vec<(u64, Vec<u32>)> = Vec::new();
        for (row, key) in (0..).zip(&keys) {
            match expected.iter_mut().find(|(other, _)| other == key) {
                Some((_, rows)) => rows.push(row),
                None => expected.push((*key, vec![row])),
            }
        }
        assert_eq!(sorted(&mut fleet, &keys), expected);
        assert!(sorted(&mut fleet, &[]).is_empty());
    }
}

#[test]
fn idle_devices_make_room_and_names_are_forgotten() {
    let mut fleet = Fleet::new(2, 100_000);
    let series = |points: usize| {
        Series::of(
            Recent {
                points: crate::window::Window::of(vec![0.0; points]),
                ..Recent::default()
            },
            Vec::new(),
        )
    };
    let all: Vec<u64> = (0..20_000).collect();
    let first = fleet.sort(all.len(), |row, out| out.extend(all[row].to_le_bytes()));
    for device in &first.devices[..10] {
        fleet.put(*device, 1, series(500));
        fleet.put(*device, 1, series(600));
    }
    let held = fleet.bytes;
    assert!((96_000..100_000).contains(&held) && !fleet.is_over());
    fleet.work(0, 1, |series| series.history = Some(vec![0; 10_000]));
    assert!(fleet.is_over());
    fleet.forget(0, 1);
    assert!(fleet.bytes < held && fleet.series(0, 1).is_none());
    // The names of the others go at once, the series of those that are idle when room is short.
    fleet.tidy();
    assert_eq!(fleet.devices.len(), 9);
    assert_eq!(fleet.places.len(), 9);
    for _ in 0..=IDLE_BATCHES {
        sorted(&mut fleet, &[5]);
    }
    fleet.room = fleet.bytes;
    fleet.tidy();
    let left: Vec<usize> = (0..9)
        .filter(|device| fleet.series(*device, 1).is_some())
        .collect();
    assert_eq!(left.len(), 1);
    assert_eq!(*fleet.device(left[0]).key, 5_u64.to_le_bytes());
    fleet.forget(left[0], 1);
    assert_eq!(fleet.bytes, 0);
}
