//! Files that are damaged, or say more of themselves than there is.

use proptest::prelude::*;

use super::*;

/// How many rows it has, or why not; a few bytes may say that there are very many that are NULL.
fn read(bytes: Vec<u8>) -> Result<usize> {
    let mut rows = 0;
    for batch in ParquetReader::of_bytes(bytes.into(), PIECE)? {
        rows += batch?.num_rows();
        if rows > 1 << 20 {
            break;
        }
    }
    Ok(rows)
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// A file with this head.
fn with_head(head: &[u8]) -> Vec<u8> {
    let mut file = b"PAR1".to_vec();
    file.extend_from_slice(head);
    file.extend_from_slice(&u32::try_from(head.len()).unwrap().to_le_bytes());
    file.extend_from_slice(b"PAR1");
    file
}

/// A list of so many structs, as the field behind the last.
fn list(count: u64) -> Vec<u8> {
    let mut out = vec![0x19, 0xfc];
    out.extend(varint(count));
    out
}

/// An element of a schema with so many in it.
fn element(children: u64) -> Vec<u8> {
    let mut out = vec![0x35, 0x02, 0x18, 1, b'a', 0x15];
    out.extend(varint(children * 2));
    out.push(0);
    out
}

/// The version, which stands before all else.
const VERSION: [u8; 2] = [0x15, 0x02];

fn is_refused(head: &[&[u8]], told: &str) {
    let error = read(with_head(&head.concat())).unwrap_err();
    assert!(error.to_string().contains(told), "{told}: {error}");
}

#[test]
fn a_file_that_is_cut_is_an_error_wherever_it_is_cut() {
    let whole = written(&every_kind(40), 1);
    assert_eq!(read(whole.clone()).unwrap(), 40);
    for cut in 0..whole.len() {
        assert!(read(whole[..cut].to_vec()).is_err(), "{cut}");
    }
}

#[test]
fn a_head_that_says_more_than_it_has_is_refused() {
    let schema = [list(2), element(1), element(0)].concat();
    is_refused(&[&VERSION, &list(1 << 31)], "cut off");
    is_refused(
        &[&VERSION, &list(2), &element(1 << 30), &element(0), &[0]],
        "schema",
    );
    is_refused(
        &[&VERSION, &list(2), &element(0), &element(0), &[0]],
        "schema",
    );
    let rows = [0x16, 0x02];
    is_refused(
        &[&VERSION, &schema, &rows, &list(100_000), &[0; 100_001]],
        "row groups",
    );
    is_refused(&[&VERSION, &schema, &rows, &list(1 << 31), &[0]], "cut off");
    let many = vec![element(0); 20_000].concat();
    is_refused(
        &[&VERSION, &list(20_001), &element(20_000), &many],
        "columns",
    );
    let deep = vec![element(1); 1_000].concat();
    is_refused(
        &[&VERSION, &list(1_001), &deep, &element(0), &[0]],
        "deep in each other",
    );
    // Structs in structs of a field that nobody knows.
    is_refused(&[&VERSION, &[0xac], &[0x1c; 100_000]], "nested too deep");
}

#[test]
fn a_head_whose_length_is_not_true_is_refused() {
    let mut file = written(&every_kind(3), 1);
    let place = file.len() - 8;
    for length in [u32::MAX, 1 << 31, 1 << 24] {
        file[place..place + 4].copy_from_slice(&length.to_le_bytes());
        assert!(read(file.clone()).is_err());
    }
    let end = file.len() - 4;
    file[end..].copy_from_slice(b"PARE");
    assert!(read(file).unwrap_err().to_string().contains("encrypted"));
    for bytes in [&b""[..], b"PAR1", b"PAR1PAR1", b"PAR1\0\0\0\0PAR1"] {
        assert!(read(bytes.to_vec()).is_err());
    }
}

#[test]
fn a_page_that_comes_to_more_than_a_page_may_is_refused() {
    let bytes = written(&texts(&[130 << 20]), 1 << 30);
    assert!(bytes.len() < 1 << 20, "{}", bytes.len());
    let error = read(bytes).unwrap_err().to_string();
    assert!(error.contains("a page says"), "{error}");
    assert!(error.contains("column 'text'"), "{error}");
}

#[test]
fn a_value_that_many_rows_name_is_spread_out_within_a_bound() {
    const VALUE: usize = 900 << 10;
    // Rows of nothing first, so that many seem to fit at once.
    let mut lengths = vec![0; 100_000];
    lengths.extend(vec![VALUE; 300]);
    let bytes = written(&texts(&lengths), 1 << 30);
    assert!(bytes.len() < 1 << 20, "{}", bytes.len());
    let mut rows = 0;
    for batch in ParquetReader::of_bytes(bytes.into(), PIECE).unwrap() {
        let batch = batch.unwrap();
        rows += batch.num_rows();
        assert!(values_bytes(&batch) <= 33 << 20, "{}", values_bytes(&batch));
    }
    assert_eq!(rows, lengths.len());
}

proptest! {
    /// Whatever is damaged, there are rows or an error.
    #[test]
    fn damage_is_an_error_or_goes_unseen(
        group_bytes in prop::sample::select(vec![1_usize, 1 << 30]),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = written(&every_kind(60), group_bytes);
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let _either = read(bytes);
    }

    /// The same for heads alone, most of which nobody would write.
    #[test]
    fn any_head_is_an_error_or_is_read(head in prop::collection::vec(any::<u8>(), 0..200)) {
        let _either = read(with_head(&head));
    }
}
