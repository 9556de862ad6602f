//! Nanoseconds a join of sets and counters with eight entries, outside of the sandbox.

use std::hint::black_box;
use std::time::Instant;

const ROWS: usize = 200_000;

fn time<R>(name: &str, join: impl Fn() -> R) {
    let begun = Instant::now();
    (0..ROWS).for_each(|_| drop(black_box(join())));
    let each = begun.elapsed().as_nanos() as f64 / ROWS as f64;
    println!("{name}: {each:.0} ns");
}

fn main() {
    let entries = |from: usize, entry: fn(usize) -> String| -> String {
        let entries: Vec<String> = (from..from + 8).map(entry).collect();
        entries.join(",")
    };
    let array = |from| format!("[{}]", entries(from, |n| format!("\"tag-{n}\"")));
    let counter = |from| {
        format!(
            "{{{}}}",
            entries(from, |n| format!("\"node-{n}\":{}", n * 977))
        )
    };
    let words = |from| entries(from, |n| format!("tag-{n}"));
    time("set_union", || merge_set::set_union(&array(0), &array(4)));
    time("words_union", || {
        merge_set::words_union(&words(0), &words(4))
    });
    time("max_by_key", || {
        merge_set::max_by_key(&counter(0), &counter(4))
    });
}
