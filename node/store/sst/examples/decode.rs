//! Nanoseconds of processor time and bits per value of each encoding, by vectors of 1,024 values in
//! the shape that chooses it.
//! `cargo run --release -p activestore-sst --example decode`

use std::hint::black_box;
use std::sync::Arc;

use activestore_sst::{VECTOR_ROWS, decode_array, encode_array};
use activestore_types::Result;
use arrow::array::{
    Array, ArrayRef, BooleanArray, Float32Array, Float64Array, Int32Array, Int64Array, StringArray,
    TimestampNanosecondArray,
};

const ROUNDS: usize = 20_000;

fn main() -> Result<()> {
    println!(
        "{:34} {:>9} {:>9} {:>9}",
        "", "bits", "encode ns", "decode ns"
    );
    for (name, array) in shapes() {
        let bytes = encode_array(&array);
        let begin = cpu_s();
        for _ in 0..ROUNDS / 10 {
            black_box(encode_array(black_box(&array)));
        }
        let encoded = cpu_s() - begin;
        let begin = cpu_s();
        for _ in 0..ROUNDS {
            black_box(decode_array(black_box(&bytes), array.data_type())?);
        }
        let decoded = cpu_s() - begin;
        let values = (ROUNDS * VECTOR_ROWS) as f64;
        println!(
            "{name:34} {:9.2} {:9.2} {:9.2}",
            bytes.len() as f64 * 8.0 / VECTOR_ROWS as f64,
            encoded * 1e10 / values,
            decoded * 1e9 / values,
        );
    }
    Ok(())
}

fn shapes() -> Vec<(&'static str, ArrayRef)> {
    let mut state = 7_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    };
    let mut values = |mask: u64| -> Vec<i64> {
        (0..VECTOR_ROWS)
            .map(|_| (next() & mask).cast_signed())
            .collect()
    };
    let noise = values(0x3ff);
    let wide = values(u64::MAX >> 1);
    let long = values((1 << 40) - 1);
    let walk = |start: i64, noise: &[i64]| -> Vec<i64> {
        let mut at = start;
        let steps = noise.iter().map(|step| {
            at += step & 0xf;
            at
        });
        steps.collect()
    };
    let doubles = |values: &[i64], power: f64| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(
            values.iter().map(|v| *v as f64 / power),
        ))
    };
    let ms: Vec<i64> = walk(1_767_225_600_000, &noise)
        .iter()
        .map(|ms| ms * 1_000_000)
        .collect();
    let outliers = noise.iter().enumerate();
    let outliers = outliers.map(|(row, v)| if row % 50 == 7 { v << 30 } else { *v });
    let outliers: Vec<i64> = outliers.collect();
    vec![
        (
            "integers, constant",
            Arc::new(Int64Array::from(vec![7; VECTOR_ROWS])) as ArrayRef,
        ),
        (
            "integers, frame of 10 bits",
            Arc::new(Int64Array::from(noise.clone())),
        ),
        (
            "integers, frame of 40 bits",
            Arc::new(Int64Array::from(long)),
        ),
        (
            "integers, frame with outliers",
            Arc::new(Int64Array::from(outliers)),
        ),
        (
            "integers, delta",
            Arc::new(Int64Array::from(walk(0, &noise))),
        ),
        (
            "integers, runs",
            Arc::new(Int64Array::from_iter_values(
                (0..1024).map(|r| r / 90 * 77777),
            )),
        ),
        (
            "32-bit integers, frame",
            Arc::new(Int32Array::from_iter_values(
                noise.iter().map(|v| *v as i32),
            )),
        ),
        (
            "milliseconds as nanoseconds",
            Arc::new(TimestampNanosecondArray::from(ms)),
        ),
        ("decimals of 2 digits, frame", doubles(&noise, 100.0)),
        (
            "decimals of 2 digits, delta",
            doubles(&walk(100_000, &noise), 100.0),
        ),
        (
            "decimals of 32-bit floats",
            Arc::new(Float32Array::from_iter_values(
                noise.iter().map(|v| *v as f32 / 10.0),
            )),
        ),
        (
            "doubles of all digits",
            Arc::new(Float64Array::from_iter_values(
                wide.iter().map(|v| *v as f64 / 1e18 + 1.0),
            )),
        ),
        (
            "booleans",
            Arc::new(BooleanArray::from_iter(
                noise.iter().map(|v| Some(v & 1 == 1)),
            )),
        ),
        (
            "text, 10 values",
            Arc::new(StringArray::from_iter_values(
                noise.iter().map(|v| format!("state-{}", v % 10)),
            )),
        ),
        (
            "text, all different",
            Arc::new(StringArray::from_iter_values(
                wide.iter().map(|v| format!("{v:x}")),
            )),
        ),
    ]
}

/// Processor time of this process.
fn cpu_s() -> f64 {
    let usage = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    usage.tv_sec as f64 + usage.tv_nsec as f64 / 1e9
}
