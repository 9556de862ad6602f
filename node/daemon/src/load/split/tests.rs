//! Pieces hold whole records, numbered as an editor numbers them.

use std::io::Cursor;

use super::*;

fn at(text: &[u8], format: FileFormat, offset: u64, next_line: u64) -> Splitter {
    let input = Input::Stream(Box::new(Cursor::new(text.to_vec())));
    Splitter::open(input, format, b',', offset, next_line).unwrap()
}

fn open(text: &str, format: FileFormat) -> Splitter {
    at(text.as_bytes(), format, 0, 0)
}

fn pieces(text: &str, format: FileFormat) -> Vec<Piece> {
    let mut text = open(text, format);
    std::iter::from_fn(|| text.next_piece().unwrap()).collect()
}

fn lines(piece: &Piece) -> &Lines {
    match &piece.content {
        Content::Text(lines) => lines,
        Content::Batch(..) => panic!("text is cut to text"),
    }
}

/// The records that begin at these lines.
fn records<'a>(piece: &'a Piece, format: FileFormat, at: &'a [u64]) -> Vec<&'a str> {
    let records = lines(piece).records(format, b',', at.iter().copied());
    records
        .map(|record| std::str::from_utf8(record).unwrap())
        .collect()
}

#[test]
fn quoted_line_ends_stay_inside_their_record() {
    let text = "\u{feff}a,b\r\n1,\"x\ny\"\n2,\"say \"\"hi\"\"\"\n3,5\" pipe\n4,last";
    let mut splitter = open(text, FileFormat::Csv);
    assert_eq!(splitter.names, ["a", "b"]);
    let piece = splitter.next_piece().unwrap().unwrap();
    assert!(splitter.next_piece().unwrap().is_none());
    assert_eq!(lines(&piece).first, 2);
    assert_eq!(
        records(&piece, FileFormat::Csv, &[2, 4, 5, 6]),
        [
            "1,\"x\ny\"\n",
            "2,\"say \"\"hi\"\"\"\n",
            "3,5\" pipe\n",
            "4,last\n"
        ]
    );
    assert_eq!(lines(&piece).file_line(3), 4);
    assert_eq!(piece.next_line, 7);
    assert_eq!(piece.end_offset, text.len() as u64);
}

#[test]
fn an_open_quote_costs_its_own_line_and_no_more() {
    let mut text = "a\n1\n\"open\n".to_owned();
    for _ in 0..200_000 {
        text.push_str("12345\n");
    }
    let found = pieces(&text, FileFormat::Csv);
    let all: Vec<u8> = found
        .iter()
        .flat_map(|piece| lines(piece).body.clone())
        .collect();
    assert_eq!(all, text.as_bytes()[2..]);
    assert_eq!(records(&found[0], FileFormat::Csv, &[3]), ["\"open\n"]);
}

#[test]
fn a_line_without_end_is_passed_in_bounded_memory() {
    for format in [FileFormat::Csv, FileFormat::Ndjson, FileFormat::Lp] {
        let mut text = b"a,b\n1,x\n".to_vec();
        text.extend(vec![b'x'; 20 * 1024 * 1024]);
        text.extend(b"\n2,y\n");
        let mut splitter = at(&text, format, 0, 0);
        let first = splitter.next_line;
        let (mut refused, mut body, mut end) = (Vec::new(), Vec::new(), 0);
        while let Some(piece) = splitter.next_piece().unwrap() {
            refused.extend(piece.refused.iter().map(|one| one.line));
            body.extend(lines(&piece).body.clone());
            assert!(splitter.window.capacity() < 24 * 1024 * 1024);
            end = piece.next_line;
        }
        assert_eq!(refused, [3], "{format:?}");
        assert_eq!(end, 5);
        let whole: &[u8] = if first == 2 {
            b"1,x\n2,y\n"
        } else {
            b"a,b\n1,x\n2,y\n"
        };
        assert_eq!(body, whole, "{format:?}");
    }
}

#[test]
fn an_array_becomes_lines() {
    let text = " [ {\"a\": \"]},\\\"\",\n \"b\": [1, {}]},\n{\"a\": 2} , 3,{}] ";
    let found = pieces(text, FileFormat::Json);
    let body = String::from_utf8(lines(&found[0]).body.clone()).unwrap();
    assert_eq!(
        body,
        "{\"a\": \"]},\\\"\",  \"b\": [1, {}]}\n{\"a\": 2}\n3\n{}\n"
    );
    assert_eq!(lines(&found[0]).first, 1);
    assert_eq!(found[0].next_line, 5);
    assert!(pieces("[]", FileFormat::Json).is_empty());
}

#[test]
fn an_array_that_breaks_off_is_an_error_after_its_whole_rows() {
    let mut text = open("[{\"a\":1},{\"a\":", FileFormat::Json);
    let piece = text.next_piece().unwrap().unwrap();
    assert_eq!(lines(&piece).body, b"{\"a\":1}\n");
    let error = text.next_piece().err().unwrap();
    assert!(error.message().contains("row 2"), "{error}");
}

#[test]
fn a_load_goes_on_where_a_piece_ended() {
    for (format, quoted) in [
        (FileFormat::Csv, false),
        (FileFormat::Csv, true),
        (FileFormat::Ndjson, false),
    ] {
        let text: String = std::iter::once("n\n".to_owned())
            .chain((0..300_000).map(|n| {
                if quoted && n % 7 == 0 {
                    format!("\"{n}\n\"\n")
                } else {
                    format!("{n}\n")
                }
            }))
            .collect();
        let all = pieces(&text, format);
        assert!(all.len() > 2);
        let whole: Vec<u8> = all
            .iter()
            .flat_map(|piece| lines(piece).body.clone())
            .collect();
        assert!(text.as_bytes().ends_with(&whole));
        let (first, second) = (&all[0], &all[1]);
        let rest = at(text.as_bytes(), format, first.end_offset, first.next_line)
            .next_piece()
            .unwrap()
            .unwrap();
        assert_eq!(lines(&rest), lines(second));
        assert_eq!(rest.end_offset, second.end_offset);
    }
}

#[test]
fn halves_are_the_whole() {
    let piece = &pieces("n\n1\n2\n3\n", FileFormat::Csv)[0];
    let (one, other) = lines(piece).halves().unwrap();
    assert_eq!(
        [one.body.as_slice(), &other.body].concat(),
        lines(piece).body
    );
    assert_eq!((one.first, other.first), (2, 3));
    assert!(one.halves().is_none());
}

#[test]
fn blank_and_comment_lines_keep_the_numbers_right() {
    let piece = &pieces("# note\n\nm x=1\n", FileFormat::Lp)[0];
    assert_eq!(lines(piece).first, 1);
    assert_eq!(
        records(piece, FileFormat::Lp, &[1, 3]),
        ["# note\n", "m x=1\n"]
    );
}

#[test]
fn text_of_line_protocol_may_hold_line_ends() {
    let records = [
        "m,t=\"x f=\"a\nb, c=1\",g=2i 7\n",
        "# f=\"open\n",
        "\n",
        "m\\ n,t=\\=\" f\\ x=\"say \\\"\n\\\"\" \r\n",
        "m f=1 g=\"open\n",
        "m f=\"a\"b\n",
        "m f=\"\",g=\"\n\n\"\n",
    ];
    let text = records.concat();
    let found: Vec<_> = pieces(&text, FileFormat::Lp);
    assert_eq!(found.len(), 1);
    let whole = lines(&found[0]);
    let cut: Vec<_> = whole.lp_records().collect();
    assert_eq!(
        cut,
        records.iter().map(|one| one.as_bytes()).collect::<Vec<_>>()
    );
    assert_eq!(found[0].next_line, 1 + newlines(text.as_bytes()));
    // Every cut of a half lies between two records, down to single ones.
    let mut parts = vec![whole.clone()];
    let mut single = 0;
    while let Some(part) = parts.pop() {
        match part.halves() {
            Some((one, other)) => parts.extend([one, other]),
            None => {
                single += 1;
                let text = std::str::from_utf8(&part.body).unwrap();
                assert!(records.contains(&text), "{text:?}");
            }
        }
    }
    assert_eq!(single, records.len());
    // What is cut off is more, whatever the place; what has ended is one record.
    let first = records[0].as_bytes();
    for end in 1..first.len() {
        assert_eq!(scan::lp_record(&first[..end], false), Found::More, "{end}");
    }
    // A piece ends between records too: its bound falls into text.
    let long = format!("m f=\"{}\"\n", "x\n".repeat(300_000));
    for piece in pieces(&long.repeat(10), FileFormat::Lp) {
        let piece = lines(&piece);
        assert!(piece.lp_records().all(|record| record == long.as_bytes()));
    }
}
