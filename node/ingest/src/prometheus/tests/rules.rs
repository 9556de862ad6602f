//! What a series has to keep to.

use super::*;

#[test]
fn what_breaks_a_rule_is_left_out_alone() {
    let long = "l".repeat(129);
    let many: Vec<_> = (0..=LABELS_MAX).map(|n| format!("l{n}")).collect();
    let mut many: Vec<_> = many.iter().map(|name| (name.as_str(), "x")).collect();
    many.push(("__name__", "m"));
    type Case<'a> = (&'a [(&'a str, &'a str)], i64, &'a str);
    let cases: [Case; 8] = [
        (&[("job", "x")], 1, "no __name__"),
        (&[("__name__", "")], 1, "no __name__"),
        (&[("__name__", "a"), ("__name__", "b")], 1, "two names"),
        (&[("__name__", "m"), ("a", "1"), ("a", "2")], 1, "'a' twice"),
        (
            &[("__name__", "m"), (&long, "1")],
            1,
            "longer than 128 bytes",
        ),
        (
            &[("__name__", "a.b")],
            1,
            "a character that no name here has",
        ),
        (&many, 1, "more than 512 labels"),
        (
            &[("__name__", "m")],
            i64::MAX,
            "beyond what a TIMESTAMP carries",
        ),
    ];
    for (labels, ms, reason) in cases {
        let good = series(&[("__name__", "good")], &[(1, 1.0)]);
        let written = read(&request(&[series(labels, &[(ms, 1.0)]), good]));
        assert_eq!((written.samples, written.refused), (1, 1), "{reason}");
        let left_out = written.left_out().unwrap();
        assert!(left_out.contains(reason), "{left_out}");
        assert_eq!(written.batches.len(), 1);
        assert_eq!(written.batches[0].table.table, "good");
    }
    let mut foreign = Vec::new();
    let mut label = Vec::new();
    bytes(1, b"__name__", &mut label);
    bytes(2, &[0xff, 0xfe], &mut label);
    bytes(1, &label, &mut foreign);
    bytes(2, &sample(1, 1.0), &mut foreign);
    assert_eq!(
        read(&request(&[foreign])).refusal.unwrap(),
        "a label is not UTF-8 text"
    );
}
