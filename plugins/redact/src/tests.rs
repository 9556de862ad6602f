//! What is kept is kept, what is not is gone, whatever the text.

use super::*;

const ODD: [&str; 8] = [
    "",
    "a",
    "héllo wörld",
    "日本語テキスト",
    "🦀🦀",
    "a\u{301}b",
    "12345",
    " ",
];

#[test]
fn text_keeps_its_last_characters() {
    assert_eq!(
        mask_text("DE89370400440532013000", 4),
        "******************3000"
    );
    assert_eq!(mask_text("日本語", 1), "**語");
    assert_eq!(mask_text("secret", 0), "******");
    assert_eq!(mask_text("secret", -3), "******");
    // What is no longer than what would be kept is not given away.
    assert_eq!(mask_text("abc", 3), "***");
    assert_eq!(mask_text("abc", i64::MAX), "***");
    for text in ODD {
        assert_eq!(mask_text(text, 1).chars().count(), text.chars().count());
    }
}

#[test]
fn digits_are_masked_where_they_stand() {
    assert_eq!(mask_digits("4111 1111 1111 1234", 4), "**** **** **** 1234");
    assert_eq!(mask_digits("+49 (30) 901820", 3), "+** (**) ***820");
    assert_eq!(mask_digits("plate B-XY 12", 2), "plate B-XY **");
    assert_eq!(mask_digits("no digits", 2), "no digits");
    assert_eq!(mask_digits("٤٢٤٢", 0), "****");
}

#[test]
fn addresses_keep_their_domain() {
    assert_eq!(mask_email("jane.doe@example.com"), "j***@example.com");
    assert_eq!(mask_email("ö@example.com"), "ö***@example.com");
    for text in [
        "",
        "jane",
        "@example.com",
        "jane@",
        "a b@example.com",
        "x@y@z",
        "a@b c",
    ] {
        assert_eq!(mask_email(text), "***", "{text}");
    }
}

#[test]
fn hashes_are_those_of_the_standard_and_need_a_salt() {
    // FIPS 180-2, appendix B.1: the hash of "abc".
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(hash_text("bc", "a").unwrap(), abc);
    assert_ne!(hash_text("bc", "b").unwrap(), abc);
    assert!(hash_text("abc", "").unwrap_err().contains("salt"));
}

#[test]
fn coordinates_lose_digits_and_nothing_else() {
    assert_eq!(truncate_coordinate(52.520_008, 3), 52.52);
    assert_eq!(truncate_coordinate(-13.404_954, 2), -13.4);
    assert_eq!(truncate_coordinate(13.999, 0), 13.0);
    assert_eq!(truncate_coordinate(13.999, -5), 13.0);
    assert_eq!(truncate_coordinate(1.0 / 3.0, 99), 0.333_333_333);
    assert!(truncate_coordinate(f64::NAN, 3).is_nan());
    assert_eq!(truncate_coordinate(f64::INFINITY, 3), f64::INFINITY);
    for tenths in -1800..1800 {
        let degrees = f64::from(tenths) / 10.0;
        assert_eq!(truncate_coordinate(degrees, 1), degrees);
        assert_eq!(
            truncate_coordinate(truncate_coordinate(degrees, 4), 4),
            degrees
        );
    }
}
