//! Limits hold for one instance and for all together, and what is dropped is given back.

use wasmtime::ResourceLimiter;

use super::{MemoryLimit, MemoryTotal, Refusal};

#[test]
fn an_instance_is_held_to_its_limit() {
    let total = MemoryTotal::new(1000);
    let mut limit = MemoryLimit::new(total.clone(), 100);
    assert!(limit.memory_growing(0, 60, None).unwrap());
    assert!(!limit.memory_growing(60, 101, None).unwrap());
    assert_eq!(limit.refused(), Some(Refusal::Instance));
    assert_eq!((limit.held(), total.held()), (60, 60));
    limit.begin();
    assert_eq!(limit.refused(), None);
}

#[test]
fn all_instances_share_the_total() {
    let total = MemoryTotal::new(100);
    let mut first = MemoryLimit::new(total.clone(), 100);
    let mut second = MemoryLimit::new(total.clone(), 100);
    assert!(first.memory_growing(0, 60, None).unwrap());
    assert!(!second.memory_growing(0, 60, None).unwrap());
    assert_eq!(second.refused(), Some(Refusal::Total));
    drop(first);
    assert!(second.memory_growing(0, 60, None).unwrap());
    drop(second);
    assert_eq!(total.held(), 0);
}

#[test]
fn a_failed_growth_is_given_back_once() {
    let total = MemoryTotal::new(100);
    let mut limit = MemoryLimit::new(total.clone(), 100);
    assert!(limit.memory_growing(0, 40, None).unwrap());
    limit
        .memory_grow_failed(wasmtime::Error::msg("no"))
        .unwrap();
    limit
        .memory_grow_failed(wasmtime::Error::msg("no"))
        .unwrap();
    assert_eq!((limit.held(), total.held()), (0, 0));
}

#[test]
fn tables_count_as_memory_and_each_has_an_end() {
    let total = MemoryTotal::new(1 << 30);
    let mut limit = MemoryLimit::new(total.clone(), 1_500_000);
    assert!(limit.table_growing(0, 100_000, None).unwrap());
    assert_eq!(limit.held(), 100_000 * size_of::<usize>());
    assert!(!limit.table_growing(0, 100_001, None).unwrap());
    assert_eq!(limit.refused(), Some(Refusal::Table));
    // What failed took nothing, so nothing is given back for it.
    limit.table_grow_failed(wasmtime::Error::msg("no")).unwrap();
    assert_eq!(limit.held(), 100_000 * size_of::<usize>());
    assert!(!limit.table_growing(0, 100_000, None).unwrap());
    assert_eq!(limit.refused(), Some(Refusal::Instance));
    drop(limit);
    assert_eq!(total.held(), 0);
}
