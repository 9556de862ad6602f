//! What is made of a node's answers.

use serde_json::json;

use super::*;

fn lines(body: &str) -> Lines {
    Lines {
        body: body.as_bytes().to_vec(),
        first: 11,
    }
}

#[test]
fn what_a_processor_refuses_is_no_line_that_is_looked_for() {
    let four = lines("m f=1\nnonsense\nm f=2\nm f=3\n");
    let listed = json!([{ "line": 2, "reason": "a field is expected" }]);
    let answer = json!({ "rows": 1, "rejected": 3, "refused": listed.clone(), "refused_total": 1 });
    let read = Read::of(&answer, &four);
    assert_eq!((read.rows, read.rejected, read.unnamed), (1, 2, 0));
    assert_eq!(read.refused[0].line, 12);
    // More lines than are named.
    let answer = json!({ "rows": 1, "rejected": 3, "refused": listed.clone(), "refused_total": 2 });
    let read = Read::of(&answer, &four);
    assert_eq!((read.rejected, read.unnamed), (1, 1));
    assert!(read.error().message().contains("12: a field"));
    // A node of before, and one that has nothing to say.
    let read = Read::of(
        &json!({ "rows": 1, "rejected": 3, "refused": listed }),
        &four,
    );
    assert_eq!((read.rejected, read.unnamed), (0, 2));
    let read = Read::of(&Value::Null, &four);
    assert_eq!((read.rows, read.rejected, read.unnamed), (4, 0, 0));
}
