//! A file of rows.
#![no_main]

libfuzzer_sys::fuzz_target!(init: activestore_fuzz::seeds::write("sst"), |data: &[u8]| activestore_fuzz::read_table_file(data));
