//! Nanoseconds a join, outside of the sandbox.

use std::hint::black_box;
use std::time::Instant;

const ROWS: i64 = 10_000_000;

fn time<R>(name: &str, join: impl Fn(i64) -> R) {
    let begun = Instant::now();
    (0..ROWS).for_each(|row| drop(black_box(join(black_box(row)))));
    let each = begun.elapsed().as_nanos() as f64 / ROWS as f64;
    println!("{name}: {each:.2} ns");
}

fn main() {
    time("greatest of BIGINT", |row| {
        merge_max::greatest(row, ROWS - row)
    });
    time("greatest of DOUBLE", |row| {
        merge_max::greatest_double(row as f64, (ROWS - row) as f64)
    });
    let texts: Vec<String> = (0..1000).map(|row| format!("2026-11-{row:03}")).collect();
    let text = |row: i64| texts[(row % 1000) as usize].as_str();
    time("greatest of TEXT", |row| {
        merge_max::greatest_text(text(row), text(row * 7))
    });
}
