//! Nanoseconds a row of each function, outside of the sandbox.

use std::hint::black_box;
use std::time::Instant;

const ROWS: usize = 1_000_000;

fn time<R>(name: &str, row: impl Fn(usize) -> R) {
    let begun = Instant::now();
    (0..ROWS).for_each(|index| drop(black_box(row(index))));
    let each = begun.elapsed().as_nanos() as f64 / ROWS as f64;
    println!("{name}: {each:.1} ns");
}

fn main() {
    let texts: Vec<String> = (0..1000)
        .map(|row| format!("driver.{row}@example-{}.com 4111 1111", row % 7))
        .collect();
    let text = |row: usize| texts[row % texts.len()].as_str();
    time("mask_text", |row| redact::mask_text(text(row), 4));
    time("mask_digits", |row| redact::mask_digits(text(row), 4));
    time("mask_email", |row| redact::mask_email(text(row)));
    time("hash_text", |row| redact::hash_text(text(row), "a salt"));
    time("truncate_coordinate", |row| {
        redact::truncate_coordinate(row as f64 / 7919.0, 3)
    });
}
