//! The cache gives back what was put, for each file its own, and keeps to its bytes.

use super::*;

fn slot(file: u64, vector: u32) -> Slot {
    Slot { file, vector }
}

fn bundle(column: u32, bytes: &[u8]) -> Arc<Bundle> {
    Arc::new(Bundle::new(None, &[(column, bytes)]))
}

#[test]
fn files_do_not_mix() {
    let cache = BlockCache::new(1 << 20, 0, 0);
    let (first, second) = (cache.number_file(), cache.number_file());
    assert_ne!(first, second);
    cache.put(slot(first, 1), bundle(3, &[1, 2]));
    cache.put(slot(second, 1), bundle(3, &[3]));
    let held = |slot| {
        cache
            .get(&slot)
            .map(|bundle| bundle.get(3).unwrap().to_vec())
    };
    assert_eq!(held(slot(first, 1)), Some(vec![1, 2]));
    assert_eq!(held(slot(second, 1)), Some(vec![3]));
    assert!(cache.get(&slot(first, 2)).is_none());
}

#[test]
fn columns_are_added_to_those_that_are_held() {
    let first = Bundle::new(None, &[(9, &[9, 9]), (2, &[2])]);
    let both = Bundle::new(Some(&first), &[(5, &[5, 5, 5]), (0, &[])]);
    assert_eq!(first.get(5), None);
    assert_eq!(both.get(0), Some(&[] as &[u8]));
    assert_eq!(both.get(2), Some([2].as_slice()));
    assert_eq!(both.get(5), Some([5, 5, 5].as_slice()));
    assert_eq!(both.get(9), Some([9, 9].as_slice()));
    assert_eq!(both.get(3), None);
}

#[test]
fn it_keeps_to_its_bytes() {
    let bytes_max = 400 << 10;
    let cache = BlockCache::new(bytes_max, 0, 0);
    for vector in 0..2000 {
        cache.put(slot(0, vector), bundle(0, &[0; 12_000]));
        assert!(cache.bytes() <= bytes_max as u64);
    }
    assert!(cache.bytes() > bytes_max as u64 / 2);
}
