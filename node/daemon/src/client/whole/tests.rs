//! What is whole is read to its end, and nothing else is.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;

const FAILED: &str = r#"{"code":"invalid","message":"Divide by zero","hint":null}"#;

fn read(body: &str, format: Format) -> io::Result<String> {
    let mut text = String::new();
    let body = io::Cursor::new(body.to_owned().into_bytes());
    Whole::new(Box::new(body), format).read_to_string(&mut text)?;
    Ok(text)
}

#[test]
fn an_error_at_the_end_is_told() {
    let rows = format!("[{}]", "1],[".repeat(100_000) + "1");
    for (body, format) in [
        (
            format!(r#"{{"columns":[],"rows":[{rows}],"error":{FAILED}}}"#),
            Format::Json,
        ),
        (
            "{\"n\":1}\n".repeat(50_000) + &format!("{{\"error\":{FAILED}}}\n"),
            Format::Ndjson,
        ),
    ] {
        let error = read(&body, format).unwrap_err();
        assert!(error.to_string().contains("Divide by zero"), "{error}");
    }
}

#[test]
fn rows_that_look_like_an_error_are_rows() {
    let text = format!(r#"],"error":{FAILED}}}"#);
    let text = serde_json::to_string(&text).unwrap();
    for (body, format) in [
        (
            format!(r#"{{"columns":[],"rows":[[{{"a":[1],"error":{FAILED}}}]],"stats":{{}}}}"#),
            Format::Json,
        ),
        (
            format!(r#"{{"columns":[],"rows":[[{text}]],"stats":{{}}}}"#),
            Format::Json,
        ),
        (
            format!("{{\"error\":{FAILED},\"n\":1}}\n{{\"error\":null}}\n"),
            Format::Ndjson,
        ),
        (String::new(), Format::Ndjson),
    ] {
        assert_eq!(read(&body, format).unwrap(), body);
    }
}

#[test]
fn an_answer_that_breaks_off_is_no_end() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(ErrorKind::UnexpectedEof.into())
        }
    }
    let body: BodyReader = Box::new(io::Cursor::new(b"1\r\n").chain(Broken));
    let mut whole = Whole::new(body, Format::Csv);
    let error = whole.read_to_end(&mut Vec::new()).unwrap_err();
    assert_ne!(error.kind(), ErrorKind::UnexpectedEof);
}
