//! Formats by name and by content.

use super::*;

#[test]
fn the_name_says_the_format_behind_gz_too() {
    let named = |name: &str| of_name(Path::new(name));
    assert_eq!(named("a.csv"), Some(FileFormat::Csv));
    assert_eq!(named("a.CSV.gz"), Some(FileFormat::Csv));
    assert_eq!(named("a.jsonl"), Some(FileFormat::Ndjson));
    assert_eq!(named("a.parquet"), Some(FileFormat::Parquet));
    assert_eq!(named("a.gz"), None);
    assert!(
        of_output(None, Path::new("a.dat"))
            .unwrap_err()
            .hint()
            .unwrap()
            .contains("--format")
    );
    let asked = of_output(Some(FileFormat::Csv), Path::new("a.dat")).unwrap();
    assert_eq!(asked, FileFormat::Csv);
}

#[test]
fn content_says_it_where_the_name_does_not_and_marks_go_before_names() {
    let of = |head: &[u8]| of_input(None, None, head).ok();
    assert_eq!(of(b"PAR1\x15"), Some(FileFormat::Parquet));
    assert_eq!(of(b"ARROW1\0\0"), Some(FileFormat::Arrow));
    assert_eq!(of(&[0xff, 0xff, 0xff, 0xff, 0x10]), Some(FileFormat::Arrow));
    assert_eq!(of(b" \n[{\"a\":1}]"), Some(FileFormat::Json));
    assert_eq!(of(b"{\"a\":1}\n"), Some(FileFormat::Ndjson));
    assert_eq!(of(b"\xef\xbb\xbfdevice,ts\n"), Some(FileFormat::Csv));
    assert_eq!(of(b"# notes\npump,d=1 v=1,w=2 17\n"), Some(FileFormat::Lp));
    assert_eq!(of(b"what is this\n"), None);
    assert_eq!(of(b""), None);
    let named = Some(Path::new("a.csv"));
    assert_eq!(of_input(None, named, b"PAR1").unwrap(), FileFormat::Parquet);
    assert_eq!(of_input(None, named, b"one").unwrap(), FileFormat::Csv);
    assert!(of_input(Some(FileFormat::Csv), named, b"PAR1").is_err());
    let lines = of_input(None, Some(Path::new("a.json")), b"{\"a\":1}\n{\"a\":2}\n");
    assert_eq!(lines.unwrap(), FileFormat::Ndjson);
    let cut = of_input(None, Some(Path::new("a.parquet")), b"");
    assert!(cut.unwrap_err().message().contains("empty"));
}
