//! Pieces hold whole records, numbered as an editor numbers them.

use std::io::Cursor;

use super::*;

fn open(text: &str, format: FileFormat) -> Text<Cursor<Vec<u8>>> {
    Text::open(Cursor::new(text.as_bytes().to_vec()), format, 0, 0).unwrap()
}

fn pieces(text: &str, format: FileFormat) -> Vec<Piece> {
    let mut text = open(text, format);
    std::iter::from_fn(|| text.next_piece().unwrap()).collect()
}

#[test]
fn quoted_line_ends_stay_inside_their_record() {
    let text = "a,b\n1,\"x\ny\"\n2,\"say \"\"hi\"\"\"\n3,5\" pipe\n4,last";
    let found = pieces(text, FileFormat::Csv);
    assert_eq!(found.len(), 1);
    let piece = &found[0];
    assert_eq!(piece.header, b"a,b\n");
    assert_eq!(
        piece.records,
        [(0, 2), (8, 4), (23, 5), (33, 6)],
        "{:?}",
        String::from_utf8_lossy(&piece.body)
    );
    assert_eq!(piece.record(3), b"1,\"x\ny\"\n");
    assert_eq!(piece.file_line(2), 2);
    assert_eq!(piece.file_line(4), 4);
    assert_eq!(piece.end_offset, text.len() as u64);
}

#[test]
fn an_open_quote_costs_its_own_line_and_no_more() {
    let mut text = "a\n1\n\"open\n".to_owned();
    for _ in 0..200_000 {
        text.push_str("12345\n");
    }
    let found = pieces(&text, FileFormat::Csv);
    let records: usize = found.iter().map(|piece| piece.records.len()).sum();
    assert_eq!(records, 200_002);
    assert_eq!(found[0].record(3), b"\"open\n");
}

#[test]
fn an_array_becomes_lines() {
    let text = " [ {\"a\": \"]},\\\"\",\n \"b\": [1, {}]},\n{\"a\": 2} , 3,{}] ";
    let found = pieces(text, FileFormat::Json);
    let body = String::from_utf8(found[0].body.clone()).unwrap();
    assert_eq!(
        body,
        "{\"a\": \"]},\\\"\",  \"b\": [1, {}]}\n{\"a\": 2}\n3\n{}\n"
    );
    assert_eq!(found[0].records.last().unwrap().1, 4);
    assert!(pieces("[]", FileFormat::Json).is_empty());
}

#[test]
fn an_array_that_breaks_off_is_an_error_after_its_whole_rows() {
    let mut text = open("[{\"a\":1},{\"a\":", FileFormat::Json);
    let error = text.next_piece().unwrap_err();
    assert!(error.message().contains("row 2"), "{error}");
}

#[test]
fn a_load_goes_on_where_a_piece_ended() {
    let text: String = std::iter::once("n\n".to_owned())
        .chain((0..2_500).map(|n| format!("{n}\n")))
        .collect();
    let all = pieces(&text, FileFormat::Csv);
    assert_eq!(all.len(), 3);
    let first = &all[0];
    let mut rest = Text::open(
        Cursor::new(text.into_bytes()),
        FileFormat::Csv,
        first.end_offset,
        first.next_line,
    )
    .unwrap();
    assert_eq!(rest.next_piece().unwrap().unwrap(), all[1]);
}

#[test]
fn halves_are_the_whole() {
    let piece = &pieces("n\n1\n2\n3\n", FileFormat::Csv)[0];
    let (one, other) = piece.halves().unwrap();
    assert_eq!([one.body.as_slice(), &other.body].concat(), piece.body);
    assert_eq!(other.records[0], (0, 3));
    assert_eq!(other.request(), b"n\n2\n3\n");
    assert!(one.halves().is_none());
}

#[test]
fn blank_and_comment_lines_keep_the_numbers_right() {
    let piece = &pieces("# note\n\nm x=1\n", FileFormat::Lp)[0];
    assert_eq!(piece.records, [(0, 1), (7, 2), (8, 3)]);
}
