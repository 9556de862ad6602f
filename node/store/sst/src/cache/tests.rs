//! The cache gives back what was put, for each file its own, and keeps to its bytes.

use super::*;

fn slot(file: u64, vector: u32) -> Slot {
    Slot {
        file,
        column: 3,
        vector,
    }
}

#[test]
fn files_do_not_mix() {
    let cache = BlockCache::new(1 << 20, 0);
    let (first, second) = (cache.number_file(), cache.number_file());
    assert_ne!(first, second);
    cache.put(slot(first, 1), Arc::from([1_u8, 2].as_slice()));
    cache.put(slot(second, 1), Arc::from([3_u8].as_slice()));
    assert_eq!(
        cache.get(&slot(first, 1)).as_deref(),
        Some([1, 2].as_slice())
    );
    assert_eq!(cache.get(&slot(second, 1)).as_deref(), Some([3].as_slice()));
    assert!(cache.get(&slot(first, 2)).is_none());
}

#[test]
fn it_keeps_to_its_bytes() {
    let bytes_max = 100 << 10;
    let cache = BlockCache::new(bytes_max, 0);
    for vector in 0..2000 {
        cache.put(slot(0, vector), Arc::from(vec![0_u8; 1200]));
        assert!(cache.bytes() <= bytes_max as u64);
    }
    assert!(cache.bytes() > bytes_max as u64 / 2);
}
