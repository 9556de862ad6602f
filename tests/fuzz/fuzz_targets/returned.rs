//! What guests return: a guest gives the input itself back, as a function's list and values, an aggregate's
//! states and values, a processor's specification and rows. See `activestore_fuzz::mirror`.
#![no_main]

use activestore_fuzz::mirror::{Case, Mirrors};

thread_local! {
    static MIRRORS: Mirrors = Mirrors::new();
}

libfuzzer_sys::fuzz_target!(init: activestore_fuzz::seeds::write("returned"), |data: &[u8]| {
    if let Some(case) = Case::of(data) {
        MIRRORS.with(|mirrors| mirrors.run(&case));
    }
});
