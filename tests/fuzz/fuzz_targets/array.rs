//! The first byte picks the type, the rest is an encoded array.
#![no_main]

use activestore_fuzz::schema;
use activestore_sst::decode_array;

libfuzzer_sys::fuzz_target!(init: activestore_fuzz::seeds::write("array"), |data: &[u8]| {
    let Some((kind, bytes)) = data.split_first() else {
        return;
    };
    let schema = schema();
    let column = &schema.columns[usize::from(*kind) % schema.columns.len()];
    if let Ok(array) = decode_array(bytes, &column.data_type.arrow()) {
        assert_eq!(*array.data_type(), column.data_type.arrow());
    }
});
