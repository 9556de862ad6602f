//! Line protocol: what a line means, what is refused, and that parsing agrees with a simple model.

use std::collections::BTreeMap;

use activestore_types::NamedBatch;
use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType as ArrowType, Float64Type, Int64Type, TimestampNanosecondType};
use proptest::prelude::*;

use super::*;

fn options() -> LineProtocolOptions {
    LineProtocolOptions::new("k", 42)
}

fn parse_text(text: &str) -> Parsed {
    parse(text.as_bytes(), &options())
}

/// A cell as the tests compare it.
#[derive(Clone, Debug, PartialEq)]
enum Cell {
    Double(f64),
    BigInt(i64),
    Boolean(bool),
    Text(String),
    Time(i64),
}

/// Every row of a batch as its set cells by name.
fn rows(batch: &NamedBatch) -> Vec<BTreeMap<String, Cell>> {
    batch.validate().unwrap();
    (0..batch.rows)
        .map(|row| {
            batch
                .columns
                .iter()
                .filter(|column| column.set.as_ref().is_none_or(|set| set.value(row)))
                .map(|column| {
                    let array = &column.array;
                    assert!(array.is_valid(row), "line protocol knows no NULL");
                    let cell = match array.data_type() {
                        ArrowType::Float64 => {
                            Cell::Double(array.as_primitive::<Float64Type>().value(row))
                        }
                        ArrowType::Int64 => {
                            Cell::BigInt(array.as_primitive::<Int64Type>().value(row))
                        }
                        ArrowType::Boolean => Cell::Boolean(array.as_boolean().value(row)),
                        ArrowType::Utf8 => {
                            Cell::Text(array.as_string::<i32>().value(row).to_owned())
                        }
                        ArrowType::Timestamp(_, None) => {
                            Cell::Time(array.as_primitive::<TimestampNanosecondType>().value(row))
                        }
                        other => panic!("unexpected type {other}"),
                    };
                    (column.name.clone(), cell)
                })
                .collect()
        })
        .collect()
}

fn text(text: &str) -> Cell {
    Cell::Text(text.to_owned())
}

#[test]
fn a_line_becomes_a_row_with_its_key_and_types() {
    let parsed = parse_text(
        "pump,region=eu,device=p1 temp=21.5,n=7i,u=8u,on=t,s=\"a b\",e=1e3 1700000000000000001\n",
    );
    assert_eq!(parsed.rejected, []);
    assert_eq!(parsed.lines, 1);
    let batch = &parsed.batches[0];
    assert_eq!(batch.table.to_string(), "k.pump");
    assert_eq!(batch.create, Some(key_hint()));
    let row = &rows(batch)[0];
    assert_eq!(row["_series"], text("device=p1,region=eu"));
    assert_eq!(row["time"], Cell::Time(1_700_000_000_000_000_001));
    assert_eq!(row["device"], text("p1"));
    assert_eq!(row["temp"], Cell::Double(21.5));
    assert_eq!(row["n"], Cell::BigInt(7));
    assert_eq!(row["u"], Cell::BigInt(8));
    assert_eq!(row["on"], Cell::Boolean(true));
    assert_eq!(row["s"], text("a b"));
    assert_eq!(row["e"], Cell::Double(1000.0));
}

#[test]
fn missing_timestamp_is_now_and_precision_scales() {
    let parsed = parse_text("m f=1\n");
    assert_eq!(rows(&parsed.batches[0])[0]["time"], Cell::Time(42));
    let options = LineProtocolOptions {
        precision: Some(Precision::Milliseconds),
        ..options()
    };
    let parsed = parse(b"m f=1 5\nm f=1 9223372036854775807\n", &options);
    assert_eq!(rows(&parsed.batches[0])[0]["time"], Cell::Time(5_000_000));
    assert_eq!(parsed.rejected[0].line, 2);
    assert!(parsed.rejected[0].reason.contains("precision"));
    let options = LineProtocolOptions {
        precision: None,
        ..options
    };
    let parsed = parse(b"m f=1 5\nm f=1 5000000001\nm f=1\n", &options);
    let times: Vec<_> = rows(&parsed.batches[0])
        .iter()
        .map(|row| row["time"].clone())
        .collect();
    let expected = [5_000_000_000, 5_000_000_001_000_000, 42];
    assert_eq!(times, expected.map(Cell::Time));
}

#[test]
fn comments_blank_lines_crlf_and_a_missing_last_newline_are_fine() {
    let parsed = parse_text("# hello\n\n  m f=1 1\r\n#c\nm  f=2  2  ");
    assert_eq!(parsed.rejected, []);
    assert_eq!(parsed.lines, 2);
    assert_eq!(parsed.rows(), 2);
}

#[test]
fn rows_are_grouped_per_table_and_unnamed_fields_are_absent() {
    let parsed = parse_text("a x=1 1\nb y=1 1\na z=2i 2\n");
    assert_eq!(parsed.batches.len(), 2);
    let a = rows(&parsed.batches[0]);
    assert!(a[0].contains_key("x") && !a[0].contains_key("z"));
    assert!(!a[1].contains_key("x") && a[1].contains_key("z"));
    let x = parsed.batches[0].column("x").unwrap();
    assert!(x.array.is_null(1));
}

#[test]
fn a_tag_that_first_appears_later_makes_another_series() {
    let parsed = parse_text("m,a=1 f=1 1\nm,a=1,b=2 f=2 1\nm f=3 1\n");
    let rows = rows(&parsed.batches[0]);
    assert_eq!(rows[0]["_series"], text("a=1"));
    assert_eq!(rows[1]["_series"], text("a=1,b=2"));
    assert_eq!(rows[2]["_series"], text(""));
}

#[test]
fn the_last_of_two_equal_fields_counts() {
    let parsed = parse_text("m f=1,g=2,f=3 1\nm f=1,g=2,f=3 2\nn f=\"x\",f=1 3");
    assert_eq!(parsed.rejected, []);
    for row in rows(&parsed.batches[0]) {
        assert_eq!(row["f"], Cell::Double(3.0));
    }
    assert_eq!(rows(&parsed.batches[1])[0]["f"], Cell::Double(1.0));
}

#[test]
fn escapes_follow_influxdb() {
    let parsed = parse_text(concat!(
        r"m\,\ x,t\=a\ b=v\,\=\ w f\,\=\ g=1,s=",
        r#""q\"u\\o\n" 1"#,
        "\n",
        r"plain,t=back\slash f=1 1",
        "\n"
    ));
    assert_eq!(parsed.rejected, []);
    assert_eq!(parsed.batches[0].table.table, "m, x");
    let row = &rows(&parsed.batches[0])[0];
    assert_eq!(row["t=a b"], text("v,= w"));
    assert_eq!(row["f,= g"], Cell::Double(1.0));
    assert_eq!(row["s"], text(r#"q"u\o\n"#));
    assert_eq!(row["_series"], text(r"t\=a b=v\,\= w"));
    assert_eq!(rows(&parsed.batches[1])[0]["t"], text(r"back\slash"));
}

#[test]
fn a_quoted_string_may_hold_newlines_commas_and_spaces() {
    let parsed = parse_text("m s=\"a\nb, c=1 2\" 1\nm f= 2\n");
    assert_eq!(rows(&parsed.batches[0])[0]["s"], text("a\nb, c=1 2"));
    assert_eq!(parsed.rejected[0].line, 3);
}

#[test]
fn a_bad_line_says_where_and_leaves_nothing() {
    for (line, expected) in [
        ("m", "column 2: a field is expected"),
        ("m ", "a field is expected"),
        (",t=1 f=1", "column 1: a measurement is expected"),
        ("m,t f=1", "'=' is expected after the tag's name"),
        ("m,t= f=1", "column 5: a tag's value is expected"),
        ("m,=v f=1", "a tag's name is expected"),
        ("m,t=a=b f=1", "',' is expected after the tag's value"),
        ("m,t=1,t=2 f=1", "tag 't' stands twice"),
        ("m,t=1 t=1", "both a tag and a field"),
        ("m f", "'=' is expected"),
        ("m f=", "column 5: a field's value is expected"),
        ("m f=1,", "a field is expected"),
        ("m f=1,,g=2", "a field's name is expected"),
        ("m f=abc", "'abc' is not a field's value"),
        ("m f=nan", "is not a field's value"),
        ("m f=inf", "is not a field's value"),
        ("m f=1e999", "is not a field's value"),
        ("m f=1.5i", "'1.5i' is not an integer"),
        (
            "m f=9223372036854775808i",
            "not an integer of 64 signed bits",
        ),
        (
            "m f=18446744073709551615u",
            "not an integer of 64 signed bits",
        ),
        ("m f=-1u", "not an integer"),
        ("m f=\"abc", "no closing quote"),
        ("m f=\"abc\"d", "is expected after the field's value"),
        ("m f=1 12a", "'12a' is not a timestamp"),
        ("m f=1 1 1", "the line's end is expected"),
        ("m time=1", "'time' is a column of the key"),
        ("m,_series=1 f=1", "'_series' is a column of the key"),
    ] {
        let body = format!("ok g=1 1\n{line}\nok g=2 2\n");
        let parsed = parse_text(&body);
        assert_eq!(parsed.rejected_total, 1, "{line}: {:?}", parsed.rejected);
        assert_eq!(parsed.rejected[0].line, 2, "{line}");
        assert!(
            parsed.rejected[0].reason.contains(expected),
            "{line}: {}",
            parsed.rejected[0].reason
        );
        assert_eq!(parsed.batches.len(), 1, "{line}");
        assert_eq!(parsed.rows(), 2, "{line}");
        assert_eq!(parsed.batches[0].columns.len(), 3, "{line}");
        let error = parsed.strict().unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
    }
}

#[test]
fn a_field_keeps_its_type_within_a_body() {
    let parsed = parse_text("m f=1 1\nm f=1i 2\nm g=bad,h=1 3\nm h=1i 4\n");
    assert_eq!(parsed.rejected.len(), 2);
    assert!(
        parsed.rejected[0]
            .reason
            .contains("'f' is DOUBLE in the lines before and BIGINT here")
    );
    // A refused line settles no type.
    assert_eq!(rows(&parsed.batches[0])[1]["h"], Cell::BigInt(1));
}

#[test]
fn a_body_cut_anywhere_gives_whole_rows_only() {
    let whole = "m,t=a x=1.25,s=\"q\\\"z\" 111\nm,t=b x=2.5,s=\"y\" 222\n";
    let full = rows(&parse_text(whole).batches[0]);
    for cut in 0..whole.len() {
        let parsed = parse_text(&whole[..cut]);
        for batch in &parsed.batches {
            for (index, row) in rows(batch).iter().enumerate() {
                // Only the last line can differ, in a value that is whole but shorter.
                let named: Vec<_> = row.keys().collect();
                if whole[..cut].ends_with('\n') {
                    assert_eq!(*row, full[index]);
                }
                assert!(named.iter().all(|name| full[index].contains_key(*name)));
            }
        }
    }
    let cut = parse_text("m,t=a x=1.25,s=\"abc");
    assert_eq!(cut.rows(), 0);
    assert!(
        cut.rejected[0]
            .reason
            .contains("the input ends in the middle of the line")
    );
}

#[test]
fn bytes_that_are_not_text_are_refused_line_by_line() {
    let parsed = parse(
        b"m f=1 1\nm s=\"\xff\" 2\nm\xff f=1 3\nm f\xff=1 4\nm f=2 5\n",
        &options(),
    );
    assert_eq!(parsed.rows(), 2);
    assert_eq!(
        parsed
            .rejected
            .iter()
            .map(|line| line.line)
            .collect::<Vec<_>>(),
        [2, 3, 4]
    );
}

#[test]
fn limits_hold() {
    let options = LineProtocolOptions {
        line_bytes_max: 20,
        columns_max: 2,
        rejected_max: 1,
        ..options()
    };
    let parsed = parse(
        b"m aaaaaaaaaaaaaaaaaaaaaaaa=1 1\nm a=1,b=2 1\nm c=1 1\n",
        &options,
    );
    assert_eq!(parsed.rows(), 1);
    assert_eq!(parsed.rejected.len(), 1);
    assert_eq!(parsed.rejected_total, 2);
}

#[test]
fn added_tags_and_a_fixed_table() {
    let options = LineProtocolOptions {
        table: Some("t".to_owned()),
        tags: vec![("site".to_owned(), "a,b".to_owned())],
        ..options()
    };
    let parsed = parse(b"m,d=1 f=1 1\nn f=1 1\nm,site=x f=1 1", &options);
    assert_eq!(parsed.batches.len(), 1);
    let rows = rows(&parsed.batches[0]);
    assert_eq!(rows[0]["_series"], text(r"d=1,site=a\,b"));
    assert_eq!(rows[1]["site"], text("a,b"));
    assert!(parsed.rejected[0].reason.contains("stands twice"));
}

#[test]
fn a_sparse_body_becomes_several_batches_instead_of_filling_memory() {
    let body: String = (0..4_000)
        .map(|row| format!("m c{row}={row} {row}\n"))
        .collect();
    let parsed = parse_text(&body);
    assert_eq!(parsed.rejected, []);
    assert!(parsed.batches.len() > 1);
    let got: Vec<_> = parsed.batches.iter().flat_map(rows).collect();
    assert_eq!(got.len(), 4_000);
    for (index, row) in got.iter().enumerate() {
        assert_eq!(row.len(), 3);
        assert_eq!(row[&format!("c{index}")], Cell::Double(index as f64));
    }
}

/// A reader that gives a few bytes at a time.
struct Trickle<'a>(&'a [u8], usize);

impl std::io::Read for Trickle<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let count = self.1.min(out.len()).min(self.0.len());
        out[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

#[test]
fn the_reader_gives_the_same_rows_in_chunks() {
    let mut body = String::new();
    for row in 0..1000 {
        body.push_str(&format!("m,d={} f={row} {row}\n", row % 7));
        if row % 100 == 0 {
            body.push_str("broken\n");
        }
    }
    let whole = parse_text(&body);
    let reader =
        LineProtocolReader::new(Trickle(body.as_bytes(), 1000), options()).with_chunk_rows(64);
    let (mut lines, mut got, mut rejected, mut end) = (0, Vec::new(), Vec::new(), 0);
    for chunk in reader {
        let chunk = chunk.unwrap();
        assert!(chunk.rows() <= 64);
        lines += chunk.lines;
        for batch in &chunk.batches {
            got.extend(rows(batch));
        }
        rejected.extend(chunk.rejected);
        end = chunk.bytes_read;
    }
    assert_eq!(got, rows(&whole.batches[0]));
    assert_eq!(rejected, whole.rejected);
    assert_eq!(lines, whole.lines);
    assert_eq!(end, body.len() as u64);
}

#[test]
fn the_reader_skips_a_line_without_end() {
    let mut body = vec![b'x'; 9 << 20];
    body.extend(b" f=1 1\nm f=1 1\n");
    let chunks: Vec<_> = LineProtocolReader::new(body.as_slice(), options())
        .map(|chunk| chunk.unwrap())
        .collect();
    assert_eq!(chunks.iter().map(Chunk::rows).sum::<u64>(), 1);
    let rejected: Vec<_> = chunks.iter().flat_map(|chunk| &chunk.rejected).collect();
    assert_eq!(rejected.len(), 1, "{rejected:?}");
    assert_eq!(rejected[0].line, 1);
}

fn escape(text: &str, special: &[char]) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        if special.contains(&letter) {
            out.push('\\');
        }
        out.push(letter);
    }
    out
}

/// Names without a backslash: InfluxDB's escapes leave no way to write one before a separator.
fn name() -> impl Strategy<Value = String> {
    "[a-c ,=é\"]{1,4}".prop_filter("a comment or blank", |name| !name.trim().is_empty())
}

fn cell() -> impl Strategy<Value = Cell> {
    prop_oneof![
        any::<f64>()
            .prop_filter("finite", |value| value.is_finite())
            .prop_map(Cell::Double),
        any::<i64>().prop_map(Cell::BigInt),
        any::<bool>().prop_map(Cell::Boolean),
        "[a-z \"\\\\,=\n\u{e9}]{0,8}".prop_map(Cell::Text),
    ]
}

type ModelLine = (Vec<(String, String)>, Vec<(String, Cell)>, i64);

fn line() -> impl Strategy<Value = ModelLine> {
    (
        prop::collection::btree_map(name(), name(), 0..3),
        prop::collection::vec((name(), cell()), 1..5),
        any::<i64>(),
    )
        .prop_map(|(tags, fields, time)| {
            // Fields and tags live in different names so that only types can collide.
            let tags = tags
                .into_iter()
                .map(|(n, v)| (format!("t{n}"), v))
                .collect();
            let fields = fields
                .into_iter()
                .map(|(n, cell)| {
                    let kind = match cell {
                        Cell::Double(_) => "d",
                        Cell::BigInt(_) => "i",
                        Cell::Boolean(_) => "b",
                        _ => "s",
                    };
                    (format!("{kind}{n}"), cell)
                })
                .collect();
            (tags, fields, time)
        })
}

fn written((tags, fields, time): &ModelLine) -> String {
    let special = [',', '=', ' '];
    let mut out = "m".to_owned();
    for (name, value) in tags.iter().rev() {
        out.push_str(&format!(
            ",{}={}",
            escape(name, &special),
            escape(value, &special)
        ));
    }
    for (index, (name, value)) in fields.iter().enumerate() {
        out.push(if index == 0 { ' ' } else { ',' });
        out.push_str(&escape(name, &special));
        out.push('=');
        out.push_str(&match value {
            Cell::Double(value) => format!("{value:?}"),
            Cell::BigInt(value) => format!("{value}i"),
            Cell::Boolean(value) => value.to_string(),
            Cell::Text(text) => format!("\"{}\"", escape(text, &['"', '\\'])),
            Cell::Time(_) => unreachable!(),
        });
    }
    out.push_str(&format!(" {time}\n"));
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_is_written_is_what_is_parsed(lines in prop::collection::vec(line(), 1..20)) {
        let body: String = lines.iter().map(written).collect();
        let parsed = parse_text(&body);
        prop_assert_eq!(&parsed.rejected, &[]);
        let got = rows(&parsed.batches[0]);
        prop_assert_eq!(got.len(), lines.len());
        for (row, (tags, fields, time)) in got.iter().zip(&lines) {
            let mut model: BTreeMap<String, Cell> = BTreeMap::new();
            for (name, value) in tags {
                model.insert(name.clone(), Cell::Text(value.clone()));
            }
            for (name, value) in fields {
                model.insert(name.clone(), value.clone());
            }
            model.insert("time".to_owned(), Cell::Time(*time));
            let mut row = row.clone();
            row.remove("_series");
            prop_assert_eq!(row, model);
        }
        let mut chunked = Vec::new();
        for chunk in LineProtocolReader::new(Trickle(body.as_bytes(), 7), options()).with_chunk_rows(3) {
            for batch in &chunk.unwrap().batches {
                chunked.extend(rows(batch));
            }
        }
        prop_assert_eq!(chunked, got);
    }

    #[test]
    fn different_tag_sets_have_different_series(
        one in prop::collection::btree_map("[a,=\\\\]{1,3}", "[a,=\\\\]{1,3}", 0..3),
        other in prop::collection::btree_map("[a,=\\\\]{1,3}", "[a,=\\\\]{1,3}", 0..3),
    ) {
        let canonical = |tags: &BTreeMap<String, String>| {
            let tags: Vec<_> = tags.iter().map(|(n, v)| (n.into(), v.into())).collect();
            series::canonical(&tags)
        };
        prop_assert_eq!(canonical(&one) == canonical(&other), one == other);
    }

    #[test]
    fn hostile_bytes_never_panic(body in prop::collection::vec(
        prop_oneof![Just(b','), Just(b'='), Just(b' '), Just(b'"'), Just(b'\\'), Just(b'\n'), Just(b'm'), Just(b'1'), any::<u8>()],
        0..200,
    )) {
        let parsed = parse(&body, &options());
        for batch in &parsed.batches {
            rows(batch);
        }
        let mut chunked = 0;
        for chunk in LineProtocolReader::new(Trickle(&body, 3), options()) {
            chunked += chunk.unwrap().rows();
        }
        prop_assert_eq!(chunked, parsed.rows());
        prop_assert_eq!(parsed.rows() + parsed.rejected_total, parsed.lines);
    }
}
