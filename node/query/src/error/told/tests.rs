//! What DataFusion says, and what is told of it.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use activestore_types::ErrorKind;

use super::*;

#[track_caller]
fn told(message: &str, text: &str) {
    let error = mistake(message).unwrap();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(error.message(), text);
}

#[test]
fn calls_are_told_by_their_function_and_types() {
    told(
        "Internal error: Function 'avg' failed to match any signature, errors: Error during planning: Function 'avg' requires Decimal, but received String (DataType: Utf8).\nThis issue was likely caused by a bug in DataFusion's code. Please help us. No function matches the given name and argument types 'avg(Utf8)'. You might need to add explicit type casts.\n\tCandidate functions:\n\tavg(Decimal)\n\tavg(Duration)\n\tavg(Float64)",
        "avg() does not take (TEXT), but (DECIMAL) or (INTERVAL) or (DOUBLE)",
    );
    told(
        "Failed to coerce. No function matches the given name and argument types 'corr(Timestamp(ns), List(Int64))'. You might need to add explicit type casts.\n\tCandidate functions:\n\tcorr(y: Float64, x: Float64)",
        "corr() does not take (TIMESTAMP, BIGINT[]), but (DOUBLE, DOUBLE)",
    );
    told(
        "Execution error: Function 'f' user-defined coercion failed with: Error during planning: f() takes JSON, not Float64. No function matches the given name and argument types 'f(Float64, Decimal128(10, 2))'. You might need to add explicit type casts.\n\tCandidate functions:\n\tf(UserDefined)",
        "f() does not take (DOUBLE, DECIMAL(10,2)): f() takes JSON, not DOUBLE",
    );
    told(
        "'now' takes none. No function matches the given name and argument types 'now(Int64)'. You might need to add explicit type casts.\n\tCandidate functions:\n\tnow(NullAry())",
        "now() does not take (BIGINT), but ()",
    );
    told(
        "No function matches the given name and argument types 'atan2()'. You might need to add explicit type casts.\n\tCandidate functions:\n\tatan2(Numeric(2))",
        "atan2() does not go without arguments, but (a number, a number)",
    );
    told(
        "No function matches the given name and argument types 'lpad(Utf8, Utf8)'. You might need to add explicit type casts. Candidate functions: lpad(Utf8View, Int64) lpad(Utf8, Int64) lpad(Utf8View, Int64, Utf8)",
        "lpad() does not take (TEXT, TEXT), but (TEXT, BIGINT) or (TEXT, BIGINT, TEXT)",
    );
}

#[test]
fn operators_expressions_and_places_are_told_in_a_sentence() {
    told(
        "Internal error: Failed to coerce types Timestamp(ns) and Int64 in BETWEEN expression.\nThis issue was likely caused by a bug in DataFusion's code.",
        "TIMESTAMP BETWEEN BIGINT is not possible",
    );
    for (message, text) in [
        (
            "Cannot coerce arithmetic expression Utf8 + Int64 to valid types",
            "TEXT + BIGINT is not possible",
        ),
        (
            "Cannot coerce arithmetic expression Decimal128(10, 2) * Utf8 to valid types",
            "DECIMAL(10,2) * TEXT is not possible",
        ),
        (
            "Cannot infer common argument type for comparison operation Int32 IS DISTINCT FROM Boolean",
            "INT IS DISTINCT FROM BOOLEAN is not possible",
        ),
        (
            "Cannot infer common string type for string concat operation Boolean || Int32",
            "BOOLEAN || INT is not possible",
        ),
        (
            "Cannot get result type for temporal operation Timestamp(ns) + Timestamp(ns): Invalid argument error: x",
            "TIMESTAMP + TIMESTAMP is not possible",
        ),
        (
            "regex parse error:\n    a (\n      ^\nerror: unclosed group",
            "'a (' is no regular expression: unclosed group",
        ),
        (
            "Regular expression did not compile: Syntax(\n~~~\nregex parse error:\n    (?q)a\n      ^\nerror: unrecognized flag\n~~~\n)",
            "'(?q)a' is no regular expression: unrecognized flag",
        ),
        (
            "Unsupported ast node Pivot { table: Ident { span: Span(Location(1,15)) } }",
            "not available: Unsupported ast node Pivot",
        ),
        (
            "Dot access not supported for non-string expr: Identifier(Ident { span: Span(Location(1,18)) })",
            "not available: Dot access not supported for non-string expr",
        ),
    ] {
        told(message, text);
    }
    for other in [
        "",
        "No function matches the given name and argument types '",
        "Cannot infer common  operation ",
        "regex parse error:",
        "Span(",
        "a value",
    ] {
        assert!(mistake(other).is_none(), "{other}");
    }
    assert_eq!(
        unreported(
            "Internal error: it broke.\nThis issue was likely caused by a bug in DataFusion's code."
        ),
        "it broke."
    );
}
