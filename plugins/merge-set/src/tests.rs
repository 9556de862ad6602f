//! Unions and counters, and what is neither.

use super::*;

#[test]
fn arrays_are_joined_element_by_element() {
    let union = |left, right| set_union(left, right).unwrap();
    assert_eq!(union(r#"["b","a"]"#, r#"["c", "a"]"#), r#"["a","b","c"]"#);
    assert_eq!(union("[2, 10, 2]", "[]"), "[10,2]");
    assert_eq!(union("", r#"[{"b":1,"a":[2]}]"#), r#"[{"a":[2],"b":1}]"#);
    assert_eq!(union("", ""), "[]");
    for text in ["{}", "1", "null", "[1", "a,b"] {
        assert!(
            set_union(text, "[]").unwrap_err().contains("no JSON array"),
            "{text}"
        );
    }
}

#[test]
fn words_are_joined() {
    assert_eq!(words_union("b, a", "a,,c "), "a,b,c");
    assert_eq!(words_union("", " , "), "");
}

#[test]
fn each_node_counts_by_itself() {
    let join = |left, right| max_by_key(left, right).unwrap();
    assert_eq!(
        join(r#"{"n1":4,"n2":1}"#, r#"{"n2":7,"n3":2}"#),
        r#"{"n1":4,"n2":7,"n3":2}"#
    );
    assert_eq!(join("", r#"{"a\"":-1}"#), r#"{"a\"":-1}"#);
    for text in [r#"{"a":0.5}"#, r#"{"a":"1"}"#, "[]", "3", r#"{"a":1e40}"#] {
        assert!(
            max_by_key(text, "{}")
                .unwrap_err()
                .contains("whole numbers"),
            "{text}"
        );
    }
}
