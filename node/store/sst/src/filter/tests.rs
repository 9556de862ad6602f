//! The filter never forgets a partition and seldom invents one.

use super::*;

#[test]
fn what_was_added_is_held_and_little_else_is() {
    let mut builder = FilterBuilder::default();
    for partition in 0..5_000_u32 {
        builder.add(&partition.to_be_bytes());
    }
    let bytes = builder.build().encode();
    assert!(bytes.len() <= 5_000 * 10 / 8 + BLOCK_BYTES);
    let filter = Filter::decode(&bytes).unwrap();
    assert!((0..5_000_u32).all(|partition| filter.may_hold(&partition.to_be_bytes())));
    let wrong = (5_000..55_000_u32)
        .filter(|p| filter.may_hold(&p.to_be_bytes()))
        .count();
    assert!(
        wrong < 1_500,
        "{wrong} of 50,000 absent partitions seem present"
    );
}

#[test]
fn cut_bytes_are_refused() {
    assert!(Filter::decode(&[]).is_err());
    assert!(Filter::decode(&[0; 31]).is_err());
    assert!(Filter::decode(&[0; 36]).is_err());
}
