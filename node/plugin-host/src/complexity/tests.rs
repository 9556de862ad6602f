//! What is counted, and that honest components are far from the limits.

use super::*;

fn check_text(text: &str) -> Result<()> {
    check(&wat::parse_str(text).unwrap())
}

#[test]
fn copies_multiply_along_every_path() {
    let made = |each: usize| {
        let by = |name: &str| format!("(instance (instantiate {name}))").repeat(each);
        check_text(&format!(
            "(component (component $a (core module $m) (core instance (instantiate $m)))
               (component $b (alias outer 1 $a (component $a)) {})
               (component $c (alias outer 1 $b (component $b)) {}) {})",
            by("$a"),
            by("$b"),
            by("$c")
        ))
    };
    // Two for each of 8,000 innermost instances, and little else.
    assert!(made(20).is_ok());
    let error = made(40).unwrap_err();
    assert!(error.message().contains("written out"), "{error}");
}

/// Many components side by side, each of which is made a few times, do not multiply.
#[test]
fn copies_side_by_side_are_added() {
    let one = "(component $n (core module $m) (core instance (instantiate $m)))
        (instance (instantiate $n)) (instance (instantiate $n))";
    let text: String = (0..60)
        .map(|at| one.replace("$n", &format!("$n{at}")))
        .collect();
    assert!(check_text(&format!("(component {text})")).is_ok());
}

#[test]
fn a_component_is_not_handed_on() {
    for text in [
        "(component (component $f (import \"c\" (component $c)) (instance (instantiate $c))))",
        "(component (import \"m\" (core module $m)))",
        "(component (component $f (component $c) (export \"c\" (component $c)))
           (instance $i (instantiate $f)) (alias export $i \"c\" (component $c))
           (instance (instantiate $c)))",
    ] {
        let error = check_text(text).unwrap_err();
        assert!(error.message().contains("hands a component"), "{error}");
    }
}

#[test]
fn what_cannot_be_read_is_not_valid() {
    for bytes in [
        &b"\0asm\x0d\0\x01\0\x01"[..],
        b"\0asm\x0d\0\x01\0\x01\x05\0",
    ] {
        let error = check(bytes).unwrap_err();
        assert!(error.message().contains("not a valid component"), "{error}");
    }
    assert!(check(b"\0asm\x0d\0\x01\0").is_ok());
}

#[test]
fn a_function_is_weighed_by_values_times_blocks() {
    let function = |locals: usize, blocks: usize| {
        check_text(&format!(
            "(component (core module (func {} {})))",
            "(local i64)".repeat(locals),
            "(block)".repeat(blocks)
        ))
    };
    assert!(function(2_000, 2_000).is_ok());
    assert!(function(20_000, 20).is_ok());
    let error = function(20_000, 5_000).unwrap_err();
    assert!(error.message().contains("times its blocks"), "{error}");
}
