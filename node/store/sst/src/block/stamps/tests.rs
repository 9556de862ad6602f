//! Stamps come back through a map, whatever they are, and bulk arrival makes them even steps.

use proptest::prelude::*;

use super::*;

fn round_trip(vectors: &[Vec<u64>]) -> (Vec<Vec<u64>>, StampMapBuilder) {
    let mut builder = StampMapBuilder::default();
    let mut numbered = Vec::new();
    for stamps in vectors {
        let mut numbers = vec![0; stamps.len()];
        numbered.push(builder.number(stamps, &mut numbers).then_some(numbers));
    }
    let rows = vectors.iter().map(|stamps| stamps.len() as u64).sum();
    let map = StampMap::decode(&builder.encode(), rows).unwrap();
    let mut kept = Vec::new();
    for (numbers, stamps) in numbered.into_iter().zip(vectors) {
        if let Some(numbers) = numbers {
            let mut read = numbers.clone();
            map.to_stamps(&mut read).unwrap();
            assert_eq!(&read, stamps);
            for (number, stamp) in numbers.iter().zip(stamps) {
                let mut one = [*number];
                map.to_stamps(&mut one).unwrap();
                assert_eq!(one[0], *stamp);
            }
            kept.push(numbers);
        }
    }
    (kept, builder)
}

/// `devices` devices report in turn, `batch` rows a commit, which begins some milliseconds after
/// the one before; the rows of each device as one vector.
fn arrival(devices: u64, ticks: u64, batch: u64) -> Vec<Vec<u64>> {
    let (mut first, mut ms) = (0, 1_767_225_600_000_u64);
    let mut stamps = Vec::new();
    for row in 0..devices * ticks {
        if row % batch == 0 {
            ms += 3 + (row / batch).wrapping_mul(0x9e37_79b9) % 7;
            first = (ms << 16).wrapping_sub(row);
        }
        stamps.push(first.wrapping_add(row));
    }
    let of = |device| {
        stamps
            .iter()
            .skip(device as usize)
            .step_by(devices as usize)
    };
    (0..devices)
        .map(|device| of(device).copied().collect())
        .collect()
}

proptest! {
    #[test]
    fn any_stamps_come_back(
        vectors in prop::collection::vec(
            prop::collection::vec(prop_oneof![any::<u64>(), 0..5000_u64, (0..300_u64).prop_map(|n| n << 16)], 1..200),
            1..6,
        ),
    ) {
        round_trip(&vectors);
    }

    #[test]
    fn other_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), value in any::<u64>()) {
        if let Ok(map) = StampMap::decode(&bytes, 1000) {
            let _ = map.to_stamps(&mut [value, 0, value / 2]);
        }
    }
}

#[test]
fn bulk_arrival_becomes_even_steps() {
    // Commits that end inside a round of all devices leave some of them one uneven step each.
    assert_eq!(round_trip(&arrival(200, 1000, 500)).0.len(), 200);
    for batch in [1000, 10_000] {
        let (vectors, builder) = round_trip(&arrival(200, 1000, batch));
        assert_eq!(vectors.len(), 200);
        let even = vectors.iter().filter(|numbers| {
            let steps: Vec<u64> = numbers.windows(2).map(|pair| pair[1] - pair[0]).collect();
            steps.iter().all(|step| *step == 200)
        });
        assert!(even.count() > 150, "batches of {batch}");
        assert!(
            builder.encode().len() < 200 * 1000 / 4,
            "batches of {batch}"
        );
    }
}

#[test]
fn stamps_without_order_fill_the_map_and_are_refused() {
    let mut state = 1_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state >> 3
    };
    let vectors: Vec<Vec<u64>> = (0..20)
        .map(|_| (0..1024).map(|_| next()).collect())
        .collect();
    let (kept, builder) = round_trip(&vectors);
    assert!(kept.len() <= 8);
    assert!(builder.stretches.len() <= stretches_max(20 * 1024));
}
