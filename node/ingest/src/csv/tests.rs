//! CSV: headers, types, quotes, and reading on after a broken record.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType as ArrowType, Float64Type, Int64Type, TimestampNanosecondType};
use proptest::prelude::*;

use super::*;

fn options() -> CsvOptions {
    CsvOptions::new(TableName::new("k", "t"))
}

fn parse_text(text: &str) -> Parsed {
    parse(text.as_bytes(), &options()).unwrap()
}

#[test]
fn types_are_inferred_from_the_first_rows() {
    let parsed = parse_text(concat!(
        "i,d,b,day,ts,id,s,e\n",
        "1,1,true,2026-01-02,2026-01-02 03:04:05,007,x,\n",
        "-5,2.5,false,2026-01-03,2026-01-02T03:04:05Z,008,,\n",
    ));
    assert_eq!(parsed.rejected, []);
    let types: Vec<_> = parsed.batches[0]
        .columns
        .iter()
        .map(|column| column.array.data_type().clone())
        .collect();
    assert_eq!(
        types,
        [
            ArrowType::Int64,
            ArrowType::Float64,
            ArrowType::Boolean,
            ArrowType::Date32,
            DataType::Timestamp.arrow(),
            ArrowType::Utf8,
            ArrowType::Utf8,
            ArrowType::Utf8,
        ]
    );
    let ts = parsed.batches[0].column("ts").unwrap().array.clone();
    assert_eq!(
        ts.as_primitive::<TimestampNanosecondType>().values(),
        &[1_767_323_045_000_000_000; 2]
    );
}

#[test]
fn no_digit_is_lost_to_an_inferred_type() {
    let text = "a,b,c\n1,1.5,1.5\n2,2.5,2.5\n007,3,3\n+08,4,4\n0,00,9007199254740993\n9,9007199254740992,1e300\n";
    let few = CsvOptions {
        infer_rows: 2,
        ..options()
    };
    let parsed = parse(text.as_bytes(), &few).unwrap();
    let refused: Vec<_> = parsed.rejected.iter().map(|one| one.line).collect();
    assert_eq!(refused, [4, 5, 6], "{:?}", parsed.rejected);
    assert!(parsed.rejected[0].reason.contains("007"));
    assert_eq!(parsed.batches[0].rows, 3);
    // The same types, asked for: somebody knows that they are numbers.
    let asked = CsvOptions {
        types: ["a", "b", "c"]
            .into_iter()
            .zip([DataType::BigInt, DataType::Double, DataType::Double])
            .map(|(name, data_type)| (name.to_owned(), data_type))
            .collect(),
        ..options()
    };
    assert!(parse(text.as_bytes(), &asked).unwrap().rejected.is_empty());
    // Of all that are seen, whole numbers beyond a double and fractions make text.
    let both = parse(b"a\n9007199254740993\n1.5\n", &options()).unwrap();
    assert_eq!(
        both.batches[0].columns[0].array.data_type(),
        &DataType::Text.arrow()
    );
}

#[test]
fn given_types_go_before_inference() {
    let options = CsvOptions {
        types: vec![
            ("ts".to_owned(), DataType::Timestamp),
            ("v".to_owned(), DataType::Double),
        ],
        ..options()
    };
    let parsed = parse(b"ts,v\n1700000000,1\n1700000000.25,2\nx,3\n", &options).unwrap();
    let batch = &parsed.batches[0];
    let ts = batch.column("ts").unwrap().array.clone();
    assert_eq!(
        ts.as_primitive::<TimestampNanosecondType>().values(),
        &[1_700_000_000_000_000_000, 1_700_000_000_250_000_000]
    );
    let v = batch.column("v").unwrap().array.clone();
    assert_eq!(v.as_primitive::<Float64Type>().values(), &[1.0, 2.0]);
    assert_eq!(parsed.rejected[0].line, 4);
    assert!(parsed.rejected[0].reason.contains("column 'ts'"));
}

#[test]
fn nothing_is_null_and_quoted_nothing_is_empty_text() {
    let parsed = parse_text("a,b\n,\"\"\nx,\"a\"\"b,\nc\"\n");
    let a = parsed.batches[0].column("a").unwrap().array.clone();
    let b = parsed.batches[0].column("b").unwrap().array.clone();
    assert!(a.is_null(0));
    assert_eq!(b.as_string::<i32>().value(0), "");
    assert_eq!(b.as_string::<i32>().value(1), "a\"b,\nc");
}

#[test]
fn a_broken_record_is_refused_and_reading_goes_on() {
    let parsed = parse_text(concat!(
        "a,b\r\n",
        "1,x\r\n",
        "2\n",
        "3,y,z\n",
        "four,y\n",
        "5,\"open\n",
        "6,\"s\"t\n",
        "\n",
        "7,ok",
    ));
    let rejected: Vec<_> = parsed.rejected.iter().map(|line| line.line).collect();
    assert_eq!(
        parsed.batches[0].column("a").unwrap().array.len(),
        parsed.rows() as usize
    );
    // 'four' makes the column text: nothing is refused for its type.
    assert_eq!(rejected, [3, 4, 6, 7], "{:?}", parsed.rejected);
    assert_eq!(parsed.rows(), 3);
    assert!(
        parsed.rejected[0]
            .reason
            .contains("1 fields where the header has 2")
    );
}

#[test]
fn an_open_quote_costs_one_line_only() {
    let parsed = parse_text("a,b\n1,\"x\n2,y\n3,z\n");
    assert_eq!(parsed.rejected.len(), 1);
    assert_eq!(parsed.rejected[0].line, 2);
    assert_eq!(parsed.rows(), 2);
}

#[test]
fn bad_headers_are_errors() {
    for (body, expected) in [
        ("", "no header"),
        ("a,a\n1,2\n", "'a' twice"),
        ("a,,c\n1,2,3\n", "no column at place 2"),
        ("\"a\n", "header is broken"),
    ] {
        let error = parse(body.as_bytes(), &options()).unwrap_err();
        assert!(error.to_string().contains(expected), "{body}: {error}");
    }
}

#[test]
fn other_delimiters_marks_and_given_headers() {
    let semicolon = CsvOptions {
        delimiter: b';',
        ..options()
    };
    let parsed = parse("\u{feff}a;b\n1;2\n".as_bytes(), &semicolon).unwrap();
    assert_eq!(parsed.batches[0].columns[0].name, "a");
    let given = CsvOptions {
        header: Some(vec!["x".to_owned(), "y".to_owned()]),
        ..options()
    };
    let parsed = parse(b"1,2\n", &given).unwrap();
    assert_eq!(parsed.rows(), 1);
    assert_eq!(parsed.batches[0].columns[1].name, "y");
}

#[test]
fn the_reader_yields_bounded_chunks_with_line_numbers() {
    let mut body = "n,s\n".to_owned();
    for row in 0..1000 {
        body.push_str(&format!("{row},\"a\nb\"\n"));
        if row % 250 == 249 {
            body.push_str("bad\n");
        }
    }
    let reader = CsvReader::new(
        body.as_bytes(),
        CsvOptions {
            chunk_rows: 100,
            ..options()
        },
    );
    let (mut seen, mut rejected, mut end) = (Vec::new(), Vec::new(), 0);
    for chunk in reader {
        let chunk = chunk.unwrap();
        assert!(chunk.rows() <= 100 && chunk.batches.len() <= 1);
        for batch in &chunk.batches {
            let n = batch.column("n").unwrap().array.clone();
            seen.extend(n.as_primitive::<Int64Type>().values().to_vec());
        }
        rejected.extend(chunk.rejected.iter().map(|line| line.line));
        end = chunk.bytes_read;
    }
    assert_eq!(seen, (0..1000).collect::<Vec<i64>>());
    assert_eq!(rejected, [502, 1003, 1504, 2005]);
    assert_eq!(end, body.len() as u64);
}

#[test]
fn a_record_without_end_is_refused_in_bounded_memory() {
    let mut body = b"a,b\n1,".to_vec();
    body.extend(vec![b'x'; 6 << 20]);
    body.extend(b"\n2,y\n");
    let chunks: Vec<_> = CsvReader::new(body.as_slice(), options())
        .map(|chunk| chunk.unwrap())
        .collect();
    assert_eq!(chunks.iter().map(Chunk::rows).sum::<u64>(), 1);
    assert_eq!(
        chunks
            .iter()
            .map(|chunk| chunk.rejected.len())
            .sum::<usize>(),
        1
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_is_written_is_what_is_read(rows in prop::collection::vec(
        ("[a-c\",\n\r é]{0,6}", prop::option::of(any::<i64>())), 1..30,
    )) {
        let mut body = "s,n\n".to_owned();
        for (text, number) in &rows {
            body.push_str(&format!("\"{}\",", text.replace('"', "\"\"")));
            if let Some(number) = number {
                body.push_str(&number.to_string());
            }
            body.push('\n');
        }
        let options = CsvOptions {
            types: vec![("n".to_owned(), DataType::BigInt), ("s".to_owned(), DataType::Text)],
            chunk_rows: 7,
            ..options()
        };
        let mut got = Vec::new();
        for chunk in CsvReader::new(body.as_bytes(), options) {
            let chunk = chunk.unwrap();
            prop_assert_eq!(&chunk.rejected, &[]);
            let s = chunk.batches[0].column("s").unwrap().array.clone();
            let n = chunk.batches[0].column("n").unwrap().array.clone();
            let (s, n) = (s.as_string::<i32>(), n.as_primitive::<Int64Type>());
            for row in 0..s.len() {
                got.push((s.value(row).to_owned(), n.is_valid(row).then(|| n.value(row))));
            }
        }
        prop_assert_eq!(got, rows);
    }

    #[test]
    fn hostile_bytes_never_panic(body in prop::collection::vec(
        prop_oneof![Just(b','), Just(b'"'), Just(b'\n'), Just(b'\r'), Just(b'1'), any::<u8>()], 0..100,
    )) {
        let mut with_header = b"a,b\n".to_vec();
        with_header.extend(&body);
        let parsed = parse(&with_header, &options()).unwrap();
        prop_assert_eq!(parsed.rows() + parsed.rejected_total, parsed.lines);
        let _ = parse(&body, &options());
    }
}
