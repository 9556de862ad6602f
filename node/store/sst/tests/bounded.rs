//! Bytes that were changed on purpose never make decoding ask for more memory than its bound: a
//! fixed part, and a part in proportion to the bytes that are there.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use activestore_sst::{decode_array, encode_array};
use arrow::array::{
    Array, ArrayRef, BinaryArray, Float64Array, Int64Array, StringArray, TimestampNanosecondArray,
};
use proptest::prelude::*;

/// What one array may expand to by a dictionary, by symbols or by zstd, held twice while its
/// vectors are joined, and once more while one is expanded.
const FIXED_BYTES: usize = 4 * (64 << 20);
/// A vector of a constant is some five bytes for 1,024 values of 16, held twice.
const BYTES_A_BYTE: usize = 16 << 10;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[expect(
    unsafe_code,
    reason = "an allocator that counts is the measure of this test"
)]
// SAFETY: every call is passed on as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size(), 0);
        // SAFETY: as the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(0, layout.size());
        // SAFETY: as the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn note(taken: usize, given: usize) {
    // A thread that ends has no count any more.
    let _ = HELD.try_with(|held| {
        held.set((held.get() + taken).saturating_sub(given));
        let _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
    });
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn arrays() -> impl Strategy<Value = ArrayRef> {
    (0..7_u8, 1..3000_usize, any::<i64>()).prop_map(|(kind, rows, seed)| -> ArrayRef {
        let values = (0..rows as i64).map(move |row| seed.wrapping_mul(row / 7 + 1) >> 20);
        match kind {
            0 => Arc::new(Int64Array::from_iter_values(values)),
            1 => Arc::new(Int64Array::from(vec![seed; rows])),
            2 => Arc::new(Float64Array::from_iter_values(
                values.map(|v| v as f64 / 100.0),
            )),
            3 => Arc::new(Float64Array::from_iter_values(
                values.map(|v| f64::from_bits(v as u64)),
            )),
            4 => Arc::new(TimestampNanosecondArray::from_iter_values(
                values.map(|v| v * 1000),
            )),
            5 => Arc::new(StringArray::from_iter_values(
                values.map(|v| format!("value {}", v % 9)),
            )),
            _ => Arc::new(BinaryArray::from_iter_values(
                values.map(|v| format!("{v:x} bytes").repeat(3)),
            )),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn changed_bytes_ask_for_bounded_memory(
        array in arrays(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        head in prop::collection::vec((0..24_usize, any::<u8>()), 0..4),
    ) {
        let mut bytes = encode_array(&array);
        let data_type = array.data_type().clone();
        drop(array);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] ^= byte;
        }
        // Most lengths stand at the front.
        for (at, byte) in head {
            if let Some(slot) = bytes.get_mut(at) {
                *slot = byte;
            }
        }
        let before = HELD.get();
        MOST.set(before);
        let read = decode_array(&bytes, &data_type);
        let most = MOST.get() - before;
        drop(read);
        prop_assert!(most <= FIXED_BYTES + BYTES_A_BYTE * bytes.len(), "{most} bytes for {}", bytes.len());
    }
}
