//! Nanoseconds a row of conversions, outside of the sandbox.

use std::hint::black_box;
use std::time::Instant;

const ROWS: usize = 10_000_000;

fn time<R>(name: &str, row: impl Fn(f64) -> R) {
    let begun = Instant::now();
    (0..ROWS).for_each(|index| drop(black_box(row(index as f64))));
    let each = begun.elapsed().as_nanos() as f64 / ROWS as f64;
    println!("{name}: {each:.2} ns");
}

fn main() {
    time("f_to_c", units::f_to_c);
    time("psi_to_bar", units::psi_to_bar);
    time("dew_point", |c| units::dew_point(c / 1e6, 50.0));
}
