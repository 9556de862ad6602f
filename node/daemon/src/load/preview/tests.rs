//! What is taken for a moment among texts.

use std::sync::Arc;

use arrow::array::StringArray;

use super::*;

#[test]
fn moments_have_a_date_and_identifiers_stay_text() {
    let are = |texts: &[&str]| {
        let array: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
        are_moments(&array)
    };
    assert!(are(&["2026-01-31T06:00:00Z", "2026-01-31 06:00"]));
    // Numbers as long as a moment: of a card, of a device, of nanoseconds; signed and with a fraction.
    for number in [
        "4929123456789012",
        "1767225600000000000",
        "-1767225600000000000",
        "1767225600.123456",
        "00000000000000017",
    ] {
        assert!(!are(&[number]), "{number}");
        assert!(!are(&["2026-01-31T06:00:00Z", number]), "{number}");
    }
    assert!(!are(&["2026-01-31"]));
    assert!(!are(&["2026-13-31T06:00:00Z"]));
    assert!(!are(&[]));
}
